"""Pointwise log likelihood as a tree of its own: given the effects, or integrated over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.design.residual import refuse_residual_structure
from bayeslmm.design.rows import Factor
from bayeslmm.errors import ArgumentError, suggest
from bayeslmm.priors import PriorSet
from bayeslmm.priors.names import corr_name, obs_labels, observed_name, sd_name
from bayeslmm.sampling.linear import log_likelihood

if TYPE_CHECKING:
    import xarray as xr

ROWS = "obs"
"""What leaves out one row at a time, and the dimension of rows."""


def log_likelihood_tree(
    design: Design,
    priors: PriorSet,
    datatree: xr.DataTree,
    integrate: str | None,
    *,
    draws: int | None,
    progressbar: bool,
) -> xr.DataTree:
    """Groups ``posterior`` and ``log_likelihood`` of some draws; see `PosteriorFit`."""
    import xarray as xr

    from bayeslmm.sampling.record import SAMPLE, draws_of, variable_dims

    if integrate is not None:
        _check(design, priors, integrate)
    posterior = cast("xr.DataTree", datatree["posterior"]).to_dataset(inherit=False)
    posterior = posterior.isel(draw=_spaced(posterior.sizes["draw"], draws))
    tree = xr.DataTree.from_dict({"/posterior": posterior})
    if integrate is None:
        drawn = {name: draws_of(tree, name) for name in variable_dims(design)}
        dim, labels, values = ROWS, obs_labels(design), log_likelihood(design, drawn)
    else:
        dim = integrate
        labels, values = _left_out(design, priors, tree, integrate, progressbar=progressbar)
    sizes = [posterior.sizes[k] for k in SAMPLE]
    pointwise = xr.Dataset(
        {observed_name(design): ((*SAMPLE, dim), values.reshape(*sizes, -1))},
        coords={**{k: posterior[k].to_numpy() for k in SAMPLE}, dim: labels},
    )
    tree["log_likelihood"] = xr.DataTree(pointwise)
    tree.attrs = {
        "formula": design.spec.text,
        "left_out": dim,
        "effects": "given" if integrate is None else "integrated out",
    }
    return tree


def _check(design: Design, priors: PriorSet, integrate: Any) -> None:
    refuse_residual_structure(
        design, "integrate=", "log_likelihood() gives each row's given those before it"
    )
    family = design.family
    if family.name != "gaussian" or family.link.name != "identity":
        raise ArgumentError(
            "random effects are integrated out exactly for the Gaussian family with identity "
            f"link only, and this model is {family.name} ({family.link.name}).",
            fix="log_likelihood() gives each row's given the effects",
        )
    names = [f.name for f in design.factors]
    if integrate not in (ROWS, *names):
        near = suggest(str(integrate), names)
        raise ArgumentError(
            f"integrate={integrate!r} is no grouping factor of the model.",
            found=", ".join(names) or "no grouping factor",
            fix=f'did you mean "{near}"?' if near else f'a factor, or "{ROWS}" for single rows',
        )
    priors.integrable_beta(
        "sample with bl.Normal priors, or use log_likelihood(), given the effects"
    )


def _spaced(n: int, wanted: Any) -> slice | np.ndarray[Any, Any]:
    """Positions of so many draws of a chain, evenly spaced."""
    if wanted is None:
        return slice(None)
    whole = isinstance(wanted, int | np.integer) and not isinstance(wanted, bool)
    if not whole or not 1 <= wanted <= n:
        raise ArgumentError(
            f"draws= must be a whole number from 1 to {n}, the draws of a chain.",
            found=repr(wanted),
        )
    return np.linspace(0, n - 1, wanted).round().astype(np.int64)


def _left_out(
    design: Design,
    priors: PriorSet,
    tree: xr.DataTree,
    integrate: str,
    *,
    progressbar: bool,
) -> tuple[list[Any], FloatArray]:
    """Labels of what is left out, and log densities of shape (draws, labels)."""
    from bayeslmm.engine.gaussian.leaving_out import LeavingOut, Sets
    from bayeslmm.sampling.record import draws_of

    if integrate == ROWS:
        sets, names = Sets.each_row(design), None
    else:
        factor = [f.name for f in design.factors].index(integrate)
        sets, names = Sets.levels(design, factor), design.coords[integrate]
    leaving = LeavingOut(design, priors, sets)
    labels = obs_labels(design) if names is None else [names[j] for j in leaving.occurring]
    alone = set(leaving.undetermined().tolist())
    if alone:
        some = [str(k) for k, j in zip(labels, leaving.occurring, strict=True) if int(j) in alone]
        raise ArgumentError(
            "the others do not determine the fixed effects, whose priors are flat.",
            found=f"left out: {', '.join(some[:5])}{', ...' if len(some) > 5 else ''}",
            fix="sample with Normal priors on the fixed effects, as by default",
        )
    halves = [_half(f, tree) for f in design.factors]
    sigma = draws_of(tree, "sigma")
    return labels, leaving.log_likelihood(halves, sigma, progressbar=progressbar)


def _half(factor: Factor, tree: xr.DataTree) -> FloatArray:
    """E with E E' the covariance of a level's effects, (draws, K, K); singular ones too."""
    from bayeslmm.sampling.record import draws_of

    sd = draws_of(tree, sd_name(factor.name))
    if not factor.has_correlations:
        return sd[:, :, None] * np.eye(factor.n_columns)
    values, vectors = np.linalg.eigh(draws_of(tree, corr_name(factor.name)))
    roots = np.sqrt(np.maximum(values, 0.0))
    return np.asarray(sd[:, :, None] * vectors * roots[:, None, :])
