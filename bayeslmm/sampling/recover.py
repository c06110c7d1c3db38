"""Effects for draws of the variance parameters, whichever sampler made these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.design.residual import refuse_residual_structure
from bayeslmm.engine.gaussian.marginal_likelihood import MarginalLikelihood
from bayeslmm.errors import ArgumentError
from bayeslmm.priors import PriorSet
from bayeslmm.priors.names import corr_name, effects_name, observed_name, sd_name, term_dim
from bayeslmm.sampling.linear import log_likelihood as pointwise_log_likelihood
from bayeslmm.sampling.linear import predictive

if TYPE_CHECKING:
    import xarray as xr

# Draws of effects between two steps of the progress bar.
_STRETCH = 256

# What the attribute `effects` says of a predictive group.
_NEW = "new: b drawn anew, beta from its prior"
_RECOVERED = "recovered: given beta and b of the draw"

MARGINAL = "log_marginal_likelihood"
"""Group of a log likelihood with the effects integrated out."""


def recover(
    design: Design,
    priors: PriorSet,
    tree: xr.DataTree,
    *,
    random_seed: int | None = None,
    progressbar: bool = False,
    log_likelihood: bool = True,
    posterior_predictive: bool = False,
) -> xr.DataTree:
    """Draw beta and b given each draw of SDs, correlations and sigma.

    Parameters
    ----------
    design : Design
    priors : PriorSet
        Those of the fixed effects count, no others.
    tree : xarray.DataTree
        With a group ``posterior`` that holds ``sd_<factor>`` (K,), ``corr_<factor>``
        (K, K) of factors with correlations, and ``sigma``. It is not changed.
    random_seed : int, optional
    progressbar : bool
    log_likelihood : bool
        Add the log likelihood of every row given b.
    posterior_predictive : bool
        Add one simulated response a draw given b.

    Returns
    -------
    xarray.DataTree

    Raises
    ------
    ArgumentError
        Variables are missing or of another shape, or SDs are not positive; the response is
        not Gaussian.
    PriorError
        A prior of a fixed effect is neither Normal nor Flat.

    Notes
    -----
    (u, beta) | y ~ N(v, sigma^2 M^-1), in the symbols of docs/mathematics.md.
    """
    refuse_residual_structure(
        design, "the marginal model", "model.sample() samples all effects with the others"
    )
    likelihood = MarginalLikelihood(design, priors)
    parameters = _parameters(design, tree)
    seed = np.random.SeedSequence(random_seed)
    effects_rng, predictive_rng = map(np.random.default_rng, seed.spawn(2))
    x = _coordinates(design, likelihood, parameters)
    drawn = parameters | _draw(likelihood, x, effects_rng, progressbar)
    rows = pointwise_log_likelihood(design, drawn) if log_likelihood else None
    simulated = predictive(design, drawn, predictive_rng) if posterior_predictive else None
    return _with_effects(design, tree, drawn, rows, simulated)


def _with_effects(
    design: Design,
    tree: xr.DataTree,
    drawn: dict[str, FloatArray],
    log_likelihood: FloatArray | None,
    simulated: FloatArray | None,
) -> xr.DataTree:
    """The groups that were there, with effects and what is given them."""
    import xarray as xr

    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    posterior = groups["posterior"]
    effects: dict[str, tuple[str, ...]] = {"beta": ("fixed",)} if design.p else {}
    effects |= {effects_name(f.name): (f.name, term_dim(f.name)) for f in design.factors}
    found = _dataset(design, {name: drawn[name] for name in effects}, effects, posterior)
    kept = posterior.drop_vars([name for name in found.data_vars if name in posterior])
    groups["posterior"] = kept.merge(found, compat="override", join="exact")
    name, rows = observed_name(design), {observed_name(design): ("obs",)}
    if "log_likelihood" in groups and "obs" not in groups["log_likelihood"].dims:
        groups[MARGINAL] = groups.pop("log_likelihood")
    # given effects that these replace
    groups.pop("log_likelihood", None)
    if log_likelihood is not None:
        groups["log_likelihood"] = _dataset(design, {name: log_likelihood}, rows, posterior)
    for group in ("prior_predictive", "posterior_predictive"):
        if groups.get(group, posterior).attrs.get("effects") == _RECOVERED:
            del groups[group]
        elif group in groups:
            groups[group].attrs["effects"] = _NEW
    if simulated is not None:
        groups["posterior_predictive"] = _dataset(design, {name: simulated}, rows, posterior)
        groups["posterior_predictive"].attrs["effects"] = _RECOVERED
    attributes = {
        "effects": "recovered: drawn exactly given SDs, correlations and sigma",
        "formula": design.spec.text,
        "response": design.response_name,
    }
    groups["posterior"].attrs |= posterior.attrs | attributes
    out = xr.DataTree.from_dict({f"/{name}": ds for name, ds in groups.items()})
    out.attrs |= tree.attrs | attributes
    return out


def _parameters(design: Design, tree: Any) -> dict[str, FloatArray]:
    """SDs, correlations and sigma of every draw, chains joined: (S, ...)."""
    wanted: dict[str, tuple[int, ...]] = {}
    for f in design.factors:
        wanted[sd_name(f.name)] = (f.n_columns,)
        if f.has_correlations:
            wanted[corr_name(f.name)] = (f.n_columns, f.n_columns)
    wanted["sigma"] = ()
    posterior = tree["posterior"] if "posterior" in getattr(tree, "children", {}) else None
    if posterior is None:
        raise ArgumentError(
            "recover takes a DataTree with a group `posterior`.",
            found=type(tree).__name__,
            fix='what pm.sample returns for model.to_pymc("marginal")',
        )
    missing = [name for name in wanted if name not in posterior]
    if missing:
        raise ArgumentError(
            f"the posterior has no {', '.join(missing)}, which the effects depend on.",
            found=", ".join(map(str, posterior.data_vars)),
            fix="keep them with pm.Deterministic, or use model.marginal_likelihood, which does",
        )
    out = {}
    for name, shape in wanted.items():
        values = posterior[name].transpose("chain", "draw", ...).to_numpy()
        size = int(np.prod(shape, dtype=int))
        if values[0, 0].size != size or (values.ndim > 2 and values.shape[2:] != shape):
            raise ArgumentError(
                f"{name} has another shape than the model's.",
                found=f"{values.shape[2:]}",
                fix=f"shape {shape} a draw",
            )
        out[name] = np.array(values, dtype=np.float64).reshape(-1, *shape)
        positive = len(shape) == 2 or np.all(out[name] > 0)
        if not positive or not np.all(np.isfinite(out[name])):
            raise ArgumentError(
                f"some draws of {name} are not {'numbers' if len(shape) == 2 else 'positive'}.",
                found=f"the smallest is {np.min(out[name]):g}",
            )
    return out


def _coordinates(
    design: Design, likelihood: MarginalLikelihood, parameters: dict[str, FloatArray]
) -> FloatArray:
    sds = [parameters[sd_name(f.name)] for f in design.factors]
    Rs = []
    for f in design.factors:
        none = np.broadcast_to(np.eye(f.n_columns), (len(parameters["sigma"]), *f.pattern.shape))
        Rs.append(parameters.get(corr_name(f.name), none))
    return np.array(
        [
            likelihood.coordinates([sd[s] for sd in sds], [R[s] for R in Rs], float(sigma))
            for s, sigma in enumerate(parameters["sigma"])
        ]
    ).reshape(-1, likelihood.size)


def _draw(
    likelihood: MarginalLikelihood, x: FloatArray, rng: np.random.Generator, progressbar: bool
) -> dict[str, FloatArray]:
    from rich.progress import track

    starts = range(0, len(x), _STRETCH)
    steps = track(starts, "drawing effects", disable=not progressbar, transient=True)
    parts = [likelihood.draw(x[first : first + _STRETCH], rng) for first in steps]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _dataset(
    design: Design, arrays: dict[str, FloatArray], dims: dict[str, Any], like: xr.Dataset
) -> xr.Dataset:
    """Arrays with a leading axis of draws, chains and draws labelled as in ``like``."""
    from bayeslmm.sampling.record import SAMPLE, draws_dataset

    found = draws_dataset(design, arrays, dims, like.sizes["chain"])
    return found.assign_coords({d: like[d] for d in SAMPLE})
