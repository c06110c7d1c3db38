"""Run one of the NUTS samplers on a PyMC model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.configdefaults import config

from bayeslmm.arrays import FloatArray

FEW_EFFECTS = 500
"""Up to here a sampler's care costs less than the compilation before it."""

ADAPTATION = {False: "draw_diag", True: "low_rank"}
"""How nutpie learns the mass matrix of a model with few effects, by whether any are centered.

Centered effects and the intercept lie on narrow ridges that a low-rank matrix follows:
Penicillin has a bulk ESS of 2,500 of 4,000 draws where a diagonal one gives 100. After
noncentering there are few ridges left but funnels near an SD of 0, where low rank
diverges; the variances of the draws alone do better there than nutpie's own default,
which also uses gradients (Penicillin: ESS 600 against 130). With thousands of effects
both take three times as many steps to tune as the default does.
"""

type Point = Mapping[str, Any]
"""Values of a model's free variables, by name, on their own scales."""


def nuts_options(
    *,
    sampler: str,
    centered: bool,
    n_effects: int,
    target_accept: float | None,
) -> dict[str, Any]:
    """Options of NUTS for a model of this size.

    Parameters
    ----------
    sampler : str
    centered : bool
        Whether the effects of any factor are.
    n_effects : int
    target_accept : float or None

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
        options["adaptation"] = ADAPTATION[centered] if few else "diag"
    return options


def compile_for_nutpie(
    model: pm.Model,
    var_names: Sequence[str],
    start: Callable[[np.random.Generator], Point] | None = None,
) -> Any:
    """A model as nutpie samples it, keeping the variables named.

    Parameters
    ----------
    model : pm.Model
    var_names : sequence of str
    start : callable, optional
        A point for a chain to begin at; by default PyMC's, each coordinate moved by up to 1.
    """
    import nutpie

    with _as_cached():
        compiled = nutpie.compile_pymc_model(model, var_names=list(var_names))
        if start is None:
            return compiled
        return replace(compiled, initial_point_func=_first_point(model, start))


def _first_point(
    model: pm.Model, start: Callable[[np.random.Generator], Point]
) -> Callable[[int], FloatArray]:
    """The unconstrained vector, in the order of nutpie, of the point of a seed."""
    values = [rv.type(rv.name) for rv in model.free_RVs]
    parts = []
    for rv, value in zip(model.free_RVs, values, strict=True):
        transform = model.rvs_to_transforms[rv]
        moved = value if transform is None else transform.forward(value, *rv.owner.inputs)
        parts.append(moved.ravel())
    joined = pt.concatenate(parts)  # type: ignore[no-untyped-call]
    flat = model.compile_fn(joined, inputs=values, mode="FAST_COMPILE", point_fn=False)
    lock = Lock()

    def first(seed: int) -> FloatArray:
        # chains begin at the same time, and compiled functions have state
        with lock:
            point = start(np.random.default_rng(seed))
            return np.asarray(flat(*(np.asarray(point[v.name], dtype=v.dtype) for v in values)))

    return first


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
    points: Sequence[Point] | None = None,
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
    points : sequence of mapping, optional
        Where each chain begins, for PyMC's own sampler.

    Returns
    -------
    xarray.DataTree
        As PyMC gives it, every variable of the model included.
    """
    begin: dict[str, Any] = {}
    if points is not None and sampler == "pymc":
        begin = {"initvals": [dict(point) for point in points], "init": "adapt_diag"}
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
            **begin,
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
