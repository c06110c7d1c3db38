"""Design + priors -> pm.Model."""

from __future__ import annotations

from typing import Any, Literal, get_args

import pymc as pm
import pytensor.tensor as pt

from bayeslmm.design.design import Design
from bayeslmm.errors import ArgumentError
from bayeslmm.priors import PriorSet
from bayeslmm.priors.names import informative_rows, obs_labels, term_dim, term_dim_bis
from bayeslmm.pymc_model.distributions import free_scalar, free_vector
from bayeslmm.pymc_model.effects import add_effects, contribution
from bayeslmm.pymc_model.likelihood import add_likelihood

MANY_COLUMNS = 12
"""Above this, a matrix product: slow to compile the first time, faster to evaluate."""

Parameterization = Literal["noncentered", "centered"]


def build_pymc_model(
    design: Design, priors: PriorSet, *, parameterization: Parameterization = "noncentered"
) -> pm.Model:
    """The full model: fixed and random effects, their priors, the likelihood.

    Parameters
    ----------
    design : Design
    priors : PriorSet
    parameterization : {"noncentered", "centered"}
        Whether the sampler moves standardised effects ``z_<factor>`` or the effects
        themselves. The posterior is the same.

    Returns
    -------
    pm.Model
        ``beta[fixed]``; for each factor ``b_<f>[<f>, <f>_term]``,
        ``sd_<f>[<f>_term]`` and, with correlations,
        ``corr_<f>[<f>_term, <f>_term_bis]``; ``sigma`` or ``alpha``; the observed
        response under its own name (``<name>_obs`` if a variable or dimension has that
        name), with dimension ``obs``. Rows of weight zero are left out. With an
        intercept the free variable is ``beta_centered``, the coefficients of columns
        less their means.

    Raises
    ------
    ArgumentError
        An unknown parameterization.
    """
    if parameterization not in get_args(Parameterization):
        raise ArgumentError(
            "parameterization= takes one of two names.",
            found=repr(parameterization),
            fix='use "noncentered" or "centered"',
        )
    used = informative_rows(design)
    with pm.Model(coords=_coords(design)) as model:
        eta: Any = design.offset[used]
        if design.p:
            eta = eta + _add_fixed(design, priors, used)
        for factor in design.factors:
            b = add_effects(factor, priors, centered=parameterization == "centered")
            eta = eta + contribution(factor, b, used)
        aux = {
            name: free_scalar(name, prior, positive=True)
            for name, prior in priors.auxiliary.items()
        }
        add_likelihood(design, eta, aux, used)
    return model


def _coords(design: Design) -> dict[str, Any]:
    coords: dict[str, Any] = {**design.coords, "obs": obs_labels(design)}
    if not design.p:
        del coords["fixed"]
    for f in design.factors:
        if f.has_correlations:
            coords[term_dim_bis(f.name)] = coords[term_dim(f.name)]
    return coords


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
