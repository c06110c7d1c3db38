"""Fits on disk: one netCDF-4 file, readable by xarray, ArviZ and every HDF5 tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayeslmm import __version__
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError, FileFormatError
from bayeslmm.outcomes import FitStatus
from bayeslmm.results.definition import ModelDefinition, dataset_to_frame, frame_to_dataset

FORMAT = 1
_GROUP = "bayeslmm_model"
_ESTIMATE = "bayeslmm_estimate"
_PER_FACTOR = ("T", "b")
_ARRAYS = ("beta", "cov_beta", "variance_values")
_SCALARS = ("method", "sigma", "loglik", "n_params", "decrement", "evaluations")


def write_fit(
    path: str | Path,
    definition: ModelDefinition,
    *,
    estimate: Estimate | None = None,
    datatree: xr.DataTree | None = None,
) -> Path:
    """Write a model with its estimate or its draws.

    Raises
    ------
    ArgumentError
        The folder does not exist.
    """
    path = Path(path)
    if not path.parent.exists():
        raise ArgumentError(f"there is no folder {str(path.parent)!r}.", fix="make it first")
    if path.is_dir():
        raise ArgumentError(f"{str(path)!r} is a folder.", fix='name a file in it: "fit.nc"')
    tree = xr.DataTree() if datatree is None else datatree.copy()
    model = frame_to_dataset(definition.data)
    model.attrs = {
        "format": FORMAT,
        "bayeslmm_version": __version__,
        "kind": "point" if estimate is not None else "posterior",
        "definition": definition.to_json(),
    }
    tree[_GROUP] = xr.DataTree(model)
    if estimate is not None:
        tree[_ESTIMATE] = xr.DataTree(_estimate_dataset(estimate))
    tree.to_netcdf(path, engine="h5netcdf")
    return path


def read_fit(path: str | Path) -> tuple[ModelDefinition, Estimate | None, xr.DataTree | None]:
    """Read what `write_fit` wrote; nothing in the file is evaluated.

    Raises
    ------
    ArgumentError
        There is no such file.
    FileFormatError
        The file is not one of this package, or is of a newer format.
    """
    path = Path(path)
    if not path.exists():
        raise ArgumentError(f"there is no file {str(path)!r}.", fix="check the path")
    if path.is_dir():
        raise ArgumentError(f"{str(path)!r} is a folder.", fix="name the file in it")
    try:
        tree = xr.open_datatree(path, engine="h5netcdf").load()
        tree.close()
        model = tree[_GROUP].to_dataset()
        found, kind = int(model.attrs["format"]), str(model.attrs["kind"])
    except (OSError, KeyError, ValueError) as error:
        raise FileFormatError(
            f"{path.name!r} is not a fit saved by bayeslmm.",
            found="no netCDF-4 file, or a damaged one"
            if isinstance(error, OSError)
            else "a netCDF-4 file without a model",
            fix="fit.save(path) writes such a file",
        ) from error
    if found > FORMAT:
        raise FileFormatError(
            f"{path.name!r} was saved by a newer bayeslmm ({model.attrs['bayeslmm_version']}).",
            fix="upgrade bayeslmm",
        )
    definition = ModelDefinition.from_json(model.attrs["definition"], dataset_to_frame(model))
    if kind == "point":
        return definition, _read_estimate(tree[_ESTIMATE].to_dataset()), None
    posterior = xr.DataTree.from_dict(
        {name: node.to_dataset() for name, node in tree.children.items() if name != _GROUP}
    )
    posterior.attrs = tree.attrs
    return definition, None, posterior


def _estimate_dataset(e: Estimate) -> xr.Dataset:
    variables: dict[str, Any] = {}

    def put(name: str, array: Any) -> None:
        values = np.asarray(array, dtype=np.float64)
        variables[name] = ([f"{name}_{i}" for i in range(values.ndim)], values)

    for name in _ARRAYS:
        put(name, getattr(e, name))
    for name in _PER_FACTOR:
        for k, array in enumerate(getattr(e, name)):
            put(f"{name}_{k}", array)
    put("trace", np.reshape(e.trace, (-1, 2)))
    attrs = {k: getattr(e, k) for k in _SCALARS}
    attrs |= {
        "factors": len(e.T),
        "status": e.status.name,
        "variance_names": json.dumps(list(e.variance_names)),
    }
    return xr.Dataset(variables, attrs=attrs)


def _read_estimate(dataset: xr.Dataset) -> Estimate:
    def array(name: str) -> Any:
        return dataset[name].to_numpy()

    attrs = dataset.attrs
    n_factors = range(int(attrs["factors"]))
    arrays: dict[str, Any] = {name: array(name) for name in _ARRAYS}
    arrays |= {name: tuple(array(f"{name}_{k}") for k in n_factors) for name in _PER_FACTOR}
    return Estimate(
        method=str(attrs["method"]),  # type: ignore[arg-type]
        sigma=float(attrs["sigma"]),
        loglik=float(attrs["loglik"]),
        n_params=int(attrs["n_params"]),
        decrement=float(attrs["decrement"]),
        evaluations=int(attrs["evaluations"]),
        status=FitStatus[str(attrs["status"])],
        variance_names=tuple(json.loads(attrs["variance_names"])),
        trace=tuple((float(a), float(b)) for a, b in array("trace")),
        **arrays,
    )
