"""Design + priors -> pm.Model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

import pymc as pm
import pytensor.tensor as pt

from bayeslmm.design.centring import Way, check_ways
from bayeslmm.design.design import Design
from bayeslmm.design.residual import ResidualRows
from bayeslmm.design.residual_structures import RATIO_DIM
from bayeslmm.errors import ArgumentError
from bayeslmm.priors import PriorSet
from bayeslmm.priors.names import informative_rows
from bayeslmm.pymc_model.coords import model_coords
from bayeslmm.pymc_model.distributions import free_scalar, free_vector
from bayeslmm.pymc_model.effects import add_effects, contribution
from bayeslmm.pymc_model.likelihood import add_likelihood
from bayeslmm.pymc_model.marginal import add_marginal_likelihood

MANY_COLUMNS = 12
"""Above this, a matrix product: slow to compile the first time, faster to evaluate."""

Parameterization = Literal["noncentered", "centered", "marginal"]
NONCENTERED: Way = "noncentered"


def build_pymc_model(
    design: Design,
    priors: PriorSet,
    *,
    parameterization: Parameterization | Mapping[str, Way] = NONCENTERED,
) -> pm.Model:
    """The model: priors and likelihood, with all effects in it or integrated out.

    Parameters
    ----------
    design : Design
    priors : PriorSet
    parameterization : {"noncentered", "centered", "marginal"}, or mapping
        Whether the sampler moves standardised effects ``z_<factor>``, the effects
        themselves, or neither: ``"marginal"`` integrates fixed and random effects out,
        for a Gaussian response with normal or flat priors of the fixed effects. A mapping
        has one of the first two by factor; factors it does not name are noncentered. The
        posterior is the same.

    Returns
    -------
    pm.Model
        ``beta[fixed]``; for each factor ``b_<f>[<f>, <f>_term]``,
        ``sd_<f>[<f>_term]`` and, with correlations,
        ``corr_<f>[<f>_term, <f>_term_bis]``; ``sigma`` or ``alpha``; the observed
        response under its own name (``<name>_obs`` if a variable or dimension has that
        name), with dimension ``obs``. Rows of weight zero are left out. With an
        intercept the free variable is ``beta_centered``, the coefficients of columns
        less their means. Marginal, there is no ``beta`` and no ``b_<f>``.

    Raises
    ------
    ArgumentError
        An unknown parameterization or factor, or ``"marginal"`` for a response that is not
        Gaussian.
    PriorError
        ``"marginal"``, and a prior of a fixed effect is neither Normal nor Flat.
    """
    if parameterization == "marginal":
        with pm.Model() as model:
            add_marginal_likelihood(design, priors)
        return model
    used = informative_rows(design)
    ways = _ways_of(design, parameterization)
    with pm.Model(coords=model_coords(design)) as model:
        eta: Any = design.offset[used]
        if design.p:
            eta = eta + _add_fixed(design, priors, used)
        for factor in design.factors:
            b = add_effects(factor, priors, centered=ways[factor.name] == "centered")
            eta = eta + contribution(factor, b, used)
        aux = {
            name: free_scalar(name, prior, positive=True)
            for name, prior in priors.auxiliary.items()
        }
        if design.residual is not None:
            aux[design.residual.variable] = _add_residual(design.residual, priors)
        add_likelihood(design, eta, aux, used)
    return model


def _ways_of(design: Design, parameterization: str | Mapping[str, Way]) -> dict[str, Way]:
    """The way of each factor's effects."""
    names = [f.name for f in design.factors]
    if isinstance(parameterization, Mapping):
        return {**dict.fromkeys(names, NONCENTERED), **check_ways(design, parameterization)}
    if parameterization not in get_args(Way):
        raise ArgumentError(
            "parameterization= takes one of three names, or a name for each factor.",
            found=repr(parameterization),
            fix='use "noncentered", "centered" or "marginal"',
        )
    return dict.fromkeys(names, cast(Way, parameterization))


def _add_residual(rows: ResidualRows, priors: PriorSet) -> Any:
    """Add the parameters of the residual structure."""
    if rows.structure.correlated:
        return free_scalar(rows.variable, priors.residual[rows.variable], positive=False)
    own = list(priors.residual.values())
    return free_vector(rows.variable, own, rows.levels[1:], RATIO_DIM, positive=True)


def _add_fixed(design: Design, priors: PriorSet, used: Any) -> Any:
    """Add ``beta``; the fixed part of the linear predictor."""
    i, names = priors.intercept, design.fixed_names
    centred = i is not None and design.p > 1
    name = "beta_centered" if centred else "beta"
    free = free_vector(name, priors.beta, names, "fixed", positive=False)
    if centred:
        shift = (priors.centre * free).sum()
        pm.Deterministic("beta", free[i].set(free[i] - shift), dims="fixed")
    X = design.X[used] - priors.centre
    if design.p > MANY_COLUMNS:
        return pt.as_tensor(X) @ free
    return sum(X[:, j] * free[j] for j in range(design.p))
