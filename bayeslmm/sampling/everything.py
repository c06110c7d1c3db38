"""NUTS on the PyMC model with all effects in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.priors import PriorSet
from bayeslmm.priors.names import corr_name
from bayeslmm.sampling.drawn import RawDraws, Receiver, Run
from bayeslmm.sampling.live import run_nutpie
from bayeslmm.sampling.record import SAMPLE, variable_dims
from bayeslmm.sampling.settings import Settings

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
    *,
    parameterization: Literal["noncentered", "centered"],
    sampler: str,
    receive: Receiver | None = None,
    folder: Path | None = None,
) -> Run:
    """Sample all parameters and effects by NUTS.

    Parameters
    ----------
    receive : callable, optional
        Takes what nutpie has so far.
    folder : Path, optional
        Where nutpie keeps the draws of a large model. Otherwise, and with other samplers,
        they are in memory till the end.
    """
    from bayeslmm.pymc_model import build_pymc_model
    from bayeslmm.pymc_model.run import compile_for_nutpie, nuts_options, run_nuts

    began = time.perf_counter()
    model = build_pymc_model(design, priors, parameterization=parameterization)
    options = nuts_options(
        sampler=sampler,
        parameterization=parameterization,
        n_effects=design.q,
        target_accept=settings.target_accept,
    )
    tune = TUNE if settings.tune is None else settings.tune
    if sampler == "nutpie":
        compiled = compile_for_nutpie(model, list(variable_dims(design)))
        numbers = settings.chains * settings.draws * (design.q + design.p)
        kept = folder if 8.0 * numbers > LARGE else None
        raw = run_nutpie(
            compiled, settings, tune=tune, options=options, receive=receive, folder=kept
        )
    else:
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
