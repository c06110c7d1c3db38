"""Run one of the NUTS samplers on a PyMC model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pymc as pm
from pytensor.configdefaults import config

from bayeslmm.pymc_model.build import Parameterization

FEW_EFFECTS = 500
"""Up to here a sampler's care costs less than the compilation before it."""

ADAPTATION: dict[Parameterization, str] = {
    "noncentered": "draw_diag",
    "centered": "low_rank",
}
"""How nutpie learns the mass matrix of a model with few effects.

Centered effects and the intercept lie on narrow ridges that a low-rank matrix follows:
Penicillin has a bulk ESS of 2,500 of 4,000 draws where a diagonal one gives 100. After
noncentering there are few ridges left but funnels near an SD of 0, where low rank
diverges; the variances of the draws alone do better there than nutpie's own default,
which also uses gradients (Penicillin: ESS 600 against 130). With thousands of effects
both take three times as many steps to tune as the default does.
"""


def nuts_options(
    *,
    sampler: str,
    parameterization: Parameterization,
    n_effects: int,
    target_accept: float | None,
) -> dict[str, Any]:
    """Options of NUTS for a model of this size.

    Returns
    -------
    dict
        ``target_accept``, 0.9 for few effects and 0.8 for many unless given, and
        nutpie's ``adaptation``.
    """
    few = n_effects <= FEW_EFFECTS
    target = target_accept if target_accept is not None else 0.9 if few else 0.8
    options: dict[str, Any] = {"target_accept": float(target)}
    if sampler == "nutpie":
        options["adaptation"] = ADAPTATION[parameterization] if few else "diag"
    return options


def compile_for_nutpie(model: pm.Model, var_names: Sequence[str]) -> Any:
    """A model as nutpie samples it, keeping the variables named."""
    import nutpie

    with _as_cached():
        return nutpie.compile_pymc_model(model, var_names=list(var_names))


def run_nuts(
    model: pm.Model,
    *,
    sampler: str,
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    random_seed: int,
    options: dict[str, Any],
    progressbar: bool,
) -> Any:
    """Draw from a model's posterior by a sampler other than nutpie.

    Convergence is not checked here: PyMC does so for some of its samplers only.

    Parameters
    ----------
    model : pm.Model
    sampler : {"pymc", "numpyro", "blackjax"}
    draws, tune, chains, cores, random_seed
        As `pymc.sample` takes them.
    options : dict
        From `nuts_options`.
    progressbar : bool
        Quiet otherwise.

    Returns
    -------
    xarray.DataTree
        As PyMC gives it, every variable of the model included.
    """
    with model, _as_cached():
        return pm.sample(
            draws=draws,
            tune=tune,
            chains=chains,
            cores=cores,
            random_seed=random_seed,
            nuts_sampler=sampler,
            nuts=options,
            progressbar=progressbar,
            quiet=not progressbar,
            compute_convergence_checks=False,
        )


@contextmanager
def _as_cached() -> Iterator[None]:
    """Compile so that code just compiled and code from numba's cache give the same draws.

    With fast math the two differ in the last bit, and then the same seed gives other draws.
    """
    with config.change_flags(numba__fastmath=False), warnings.catch_warnings():
        # a grouping factor may be called `sample`, as in Penicillin
        warnings.filterwarnings("ignore", message="Found dimension named")
        yield
