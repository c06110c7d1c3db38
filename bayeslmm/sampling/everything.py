"""NUTS on the PyMC model with all effects in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.priors import PriorSet
from bayeslmm.priors.names import corr_name
from bayeslmm.sampling.choose import Plan
from bayeslmm.sampling.drawn import RawDraws, Receiver, Run
from bayeslmm.sampling.live import run_nutpie
from bayeslmm.sampling.record import SAMPLE, variable_dims
from bayeslmm.sampling.settings import START_STREAM, Settings
from bayeslmm.sampling.start import find_start

if TYPE_CHECKING:
    import xarray as xr

TUNE = 1000
"""Draws of adaptation, a chain."""

LARGE = 5e8
"""Bytes of all draws from which the sampler keeps them on disk, in many small files."""


def sample_everything(
    design: Design,
    priors: PriorSet,
    settings: Settings,
    plan: Plan,
    *,
    receive: Receiver | None = None,
    folder: Path | None = None,
) -> Run:
    """Sample all parameters and effects by NUTS.

    Parameters
    ----------
    design : Design
    priors : PriorSet
    settings : Settings
    plan : Plan
        Of all parameters and effects.
    receive : callable, optional
        Takes what nutpie has so far.
    folder : Path, optional
        Where nutpie keeps the draws of a large model. Otherwise, and with other samplers,
        they are in memory till the end.
    """
    from bayeslmm.pymc_model import build_pymc_model
    from bayeslmm.pymc_model.run import compile_for_nutpie, nuts_options, run_nuts

    began = time.perf_counter()
    sampler, ways = plan.sampler, plan.ways
    model = build_pymc_model(design, priors, parameterization=ways)
    start = find_start(design, priors, plan.approximation, ways)
    options = nuts_options(
        sampler=sampler,
        centered="centered" in ways.values(),
        n_effects=design.q,
        target_accept=settings.target_accept,
    )
    tune = TUNE if settings.tune is None else settings.tune
    if sampler == "nutpie":
        compiled = compile_for_nutpie(model, list(variable_dims(design)), start)
        numbers = settings.chains * settings.draws * (design.q + design.p)
        kept = folder if 8.0 * numbers > LARGE else None
        raw = run_nutpie(
            compiled, settings, tune=tune, options=options, receive=receive, folder=kept
        )
    else:
        streams = [settings.stream(START_STREAM, chain) for chain in range(settings.chains)]
        tree = run_nuts(
            model,
            sampler=sampler,
            draws=settings.draws,
            tune=tune,
            chains=settings.chains,
            cores=settings.cores,
            random_seed=settings.seed,
            options=options,
            progressbar=settings.progressbar,
            points=None if start is None else [start(rng) for rng in streams],
        )
        raw = _of_tree(tree, design, settings.chains)
    return Run(raw, tune, options, time.perf_counter() - began)


def named(
    design: Design, raw: dict[str, FloatArray], rng: np.random.Generator
) -> dict[str, FloatArray]:
    """The variables of the model; nothing is left to draw."""
    found = {name: np.array(raw[name], dtype=np.float64) for name in variable_dims(design)}
    for f in design.factors:
        if f.has_correlations:  # rounding leaves 1 - 1e-16 on some diagonals
            at = np.arange(f.n_columns)
            found[corr_name(f.name)][:, at, at] = 1.0
    return found


def _of_tree(tree: Any, design: Design, chains: int) -> RawDraws:
    posterior: xr.Dataset = tree["posterior"].to_dataset()
    stats: xr.Dataset = tree["sample_stats"].to_dataset()
    variables = {
        name: posterior[name].transpose(*SAMPLE, *own).to_numpy()
        for name, own in variable_dims(design).items()
    }
    numbers = {str(k): v.to_numpy() for k, v in stats.data_vars.items() if v.dims == SAMPLE}
    lengths = np.zeros(chains, dtype=np.int64)  # PyMC, interrupted, gives fewer
    lengths[: posterior.sizes["chain"]] = posterior.sizes["draw"]
    return RawDraws(variables, numbers, lengths)
