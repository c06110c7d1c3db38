"""NUTS on the variance parameters alone, and exact draws of everything else."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.engine.gaussian import MarginalPosterior
from bayeslmm.sampling.drawn import Receiver, Run
from bayeslmm.sampling.live import run_nutpie
from bayeslmm.sampling.settings import Settings

# Few parameters without funnels: fewer draws of adaptation are enough.
TUNE = 500
_TARGET = 0.85
# Chains start this many units apart, in logs of SDs.
_SPREAD = 0.5


def sample_marginal(
    posterior: MarginalPosterior, settings: Settings, receive: Receiver | None = None
) -> Run:
    """Sample SDs, correlations and sigma, as the variable ``x``, by NUTS.

    `effects_of` makes the variables of the model of them.
    """
    from nutpie.compiled_pyfunc import from_pyfunc

    began = time.perf_counter()
    start = posterior.start()

    def first(seed: int) -> FloatArray:
        noise = np.random.default_rng(seed).standard_normal(posterior.size)
        return np.asarray(start + _SPREAD * noise)

    compiled = from_pyfunc(
        posterior.size,
        lambda: posterior,
        lambda *_: lambda x: {"x": np.array(x)},
        [np.dtype("float64")],
        [(posterior.size,)],
        ["x"],
        make_initial_point_fn=first,
    )
    target = settings.target_accept
    options: dict[str, Any] = {
        "target_accept": float(_TARGET if target is None else target),
        "adaptation": "diag",
    }
    tune = TUNE if settings.tune is None else settings.tune
    raw = run_nutpie(compiled, settings, tune=tune, options=options, receive=receive)
    return Run(raw, tune, options, time.perf_counter() - began)


def effects_of(
    posterior: MarginalPosterior, raw: dict[str, FloatArray], rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Variables of the model, beta and b drawn exactly, given draws ``x`` (S, size).

    Effects that a sampler drew with ``x`` are taken as they are.
    """
    x = np.ascontiguousarray(raw["x"])
    effects = {name: values for name, values in raw.items() if name != "x"}
    return {**posterior.constrained(x), **(effects or posterior.draw(x, rng))}
