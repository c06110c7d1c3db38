"""Run one of the NUTS samplers on a PyMC model."""

from __future__ import annotations

from typing import Any

import pymc as pm
from pytensor.configdefaults import config


def run_nuts(
    model: pm.Model,
    *,
    sampler: str,
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    random_seed: int,
    target_accept: float | None,
    progressbar: bool,
) -> Any:
    """Draw from a model's posterior.

    Convergence is not checked here: PyMC does so for some of its samplers only.

    Returns
    -------
    xarray.DataTree
        As PyMC gives it, every variable of the model included.
    """
    nuts = {} if target_accept is None else {"target_accept": float(target_accept)}
    # With fast math the code numba loads from its cache differs in the last bit from
    # the code it has just compiled, and then the same seed gives other draws.
    with model, config.change_flags(numba__fastmath=False):
        return pm.sample(
            draws=draws,
            tune=tune,
            chains=chains,
            cores=cores,
            random_seed=random_seed,
            nuts_sampler=sampler,
            nuts=nuts,
            progressbar=progressbar,
            quiet=not progressbar,
            compute_convergence_checks=False,
        )
