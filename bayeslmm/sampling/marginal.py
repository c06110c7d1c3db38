"""NUTS on the variance parameters alone, and exact draws of everything else."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import xarray as xr

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.engine.gaussian import MarginalPosterior
from bayeslmm.priors import PriorSet
from bayeslmm.sampling.drawn import Drawn

# Few parameters without funnels: fewer draws of adaptation are enough.
TUNE = 500
_TARGET = 0.85
# Chains start this many units apart, in logs of SDs.
_SPREAD = 0.5


def sample_marginal(
    design: Design,
    priors: PriorSet,
    *,
    draws: int,
    tune: int | None,
    chains: int,
    cores: int | None,
    random_seed: int,
    target_accept: float | None,
    progressbar: bool,
    rng: np.random.Generator,
) -> Drawn:
    """Sample SDs, correlations and sigma by NUTS, then draw beta and b given each draw."""
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    began = time.perf_counter()
    posterior = MarginalPosterior(design, priors)
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
    options: dict[str, Any] = {
        "target_accept": float(_TARGET if target_accept is None else target_accept),
        "adaptation": "diag",
    }
    sampled = nutpie.sample(
        compiled,
        draws=draws,
        tune=TUNE if tune is None else tune,
        chains=chains,
        cores=cores,
        seed=random_seed,
        save_warmup=False,
        progress_bar=progressbar,
        **options,
    )
    sampling_time = time.perf_counter() - began
    x = np.ascontiguousarray(sampled.posterior["x"].to_numpy().reshape(-1, posterior.size))
    found = {**posterior.constrained(x), **posterior.draw(x, rng)}
    stats: xr.Dataset = sampled.sample_stats.to_dataset()
    return Drawn(found, stats, chains, TUNE if tune is None else tune, options, sampling_time)
