"""Named arrays become the groups of a DataTree, and are read from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.errors import ArgumentError
from bayeslmm.priors import PriorSet
from bayeslmm.priors.names import (
    corr_name,
    effects_name,
    obs_labels,
    observed_name,
    sd_name,
    term_dim,
    term_dim_bis,
)

SAMPLE = ("chain", "draw")

STAT_NAMES = {
    "depth": "tree_depth",
    "maxdepth_reached": "reached_max_treedepth",
    "mean_tree_accept": "acceptance_rate",
    "logp": "lp",
}
"""nutpie's names of what ArviZ's schema calls otherwise."""


def variable_dims(design: Design) -> dict[str, tuple[str, ...]]:
    """Dimensions of every variable of the posterior, beside chain and draw, in order."""
    dims: dict[str, tuple[str, ...]] = {"beta": ("fixed",)} if design.p else {}
    for f in design.factors:
        dims[sd_name(f.name)] = (term_dim(f.name),)
        if f.has_correlations:
            dims[corr_name(f.name)] = (term_dim(f.name), term_dim_bis(f.name))
    dims.update({name: () for name in design.family.auxiliary})
    if design.residual is not None:
        dims[design.residual.variable] = design.residual.dims
    for f in design.factors:
        dims[effects_name(f.name)] = (f.name, term_dim(f.name))
    return dims


def log_prior_dims(design: Design) -> dict[str, tuple[str, ...]]:
    """Dimensions of the log prior's variables: a correlation matrix has one density."""
    effects = {effects_name(f.name) for f in design.factors}
    dims = {k: d for k, d in variable_dims(design).items() if k not in effects}
    dims.update({corr_name(f.name): () for f in design.factors if corr_name(f.name) in dims})
    return dims


def labels(design: Design) -> dict[str, list[Any]]:
    """Labels of every dimension that a group may have."""
    found: dict[str, list[Any]] = {**design.coords, "obs": obs_labels(design)}
    for f in design.factors:
        found[term_dim_bis(f.name)] = found[term_dim(f.name)]
    return found


def draws_dataset(
    design: Design,
    arrays: Mapping[str, FloatArray],
    dims: Mapping[str, tuple[str, ...]],
    chains: int,
) -> xr.Dataset:
    """Arrays with a leading axis of draws as a Dataset with chain and draw first."""
    found: dict[str, tuple[tuple[str, ...], FloatArray]] = {}
    for name, own in dims.items():
        values = np.asarray(arrays[name])
        found[name] = ((*SAMPLE, *own), values.reshape(chains, -1, *values.shape[1:]))
    n_draws = next(iter(found.values()))[1].shape[1]
    return xr.Dataset(found, coords=coordinates(design, dims, chains, n_draws))


def draws_of(datatree: xr.DataTree, name: str) -> FloatArray:
    """Draws of one variable, chains joined: shape (chain x draw, ...).

    Raises
    ------
    ArgumentError
        The variable was not kept when the posterior was sampled.
    """
    if name not in datatree["posterior"].data_vars:
        raise ArgumentError(
            f"this needs draws of `{name}`, and they were not kept.",
            found=", ".join(map(str, datatree["posterior"].data_vars)),
            fix=f'sample again and keep them: var_names=[..., "{name}"], or all by default',
        )
    variable = datatree["posterior"][name]
    values = variable.transpose("chain", "draw", ...).to_numpy()
    return np.asarray(values.reshape(-1, *values.shape[2:]), dtype=np.float64)


def coordinates(
    design: Design, dims: Mapping[str, tuple[str, ...]], chains: int, draws: int
) -> dict[str, Any]:
    """Labels of the dimensions of a group's variables, and numbers of chains and draws."""
    used = {d for own in dims.values() for d in own}
    coords: dict[str, Any] = {k: v for k, v in labels(design).items() if k in used}
    return {**coords, "chain": np.arange(chains), "draw": np.arange(draws)}


def rows_dataset(design: Design, arrays: Mapping[str, ArrayLike]) -> xr.Dataset:
    """One value a row of positive weight."""
    found = {name: (("obs",), np.asarray(values)) for name, values in arrays.items()}
    return xr.Dataset(found, coords={"obs": labels(design)["obs"]})


def observed_dataset(design: Design) -> xr.Dataset:
    """The response as it was used."""
    return rows_dataset(design, {observed_name(design): design.y[design.weights > 0]})


def constant_dataset(design: Design) -> xr.Dataset | None:
    """Offset, weights and trials, where they are not trivial."""
    used = design.weights > 0
    arrays: dict[str, FloatArray] = {}
    if np.any(design.offset != 0):
        arrays["offset"] = design.offset[used]
    if np.any(design.weights != 1):
        arrays["weights"] = design.weights[used]
    if design.trials is not None:
        arrays["trials"] = design.trials[used]
    return rows_dataset(design, arrays) if arrays else None


def record_attributes(design: Design, priors: PriorSet) -> dict[str, Any]:
    """What made the record: package, model and priors."""
    table = priors.table()
    written = dict(zip(table["parameter"], table["prior"], strict=True))
    return {
        "creation_library": "bayeslmm",
        "creation_library_version": package_version("bayeslmm"),
        "formula": design.spec.text,
        "family": design.family.name,
        "link": design.family.link.name,
        "response": design.response_name,
        "priors": json.dumps(written),
    }


def package_version(name: str) -> str:
    """Version of an installed package, ``"unknown"`` where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
