"""Fits on disk: one netCDF-4 file, or a Zarr directory that is written while sampling.

Both hold the same groups and attributes, and xarray and ArviZ read both.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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
_ARRAYS = ("beta", "cov_beta", "variance_values", "residual_values")
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
    _check_parent(path)
    if path.is_dir():
        raise ArgumentError(f"{str(path)!r} is a folder.", fix='name a file in it: "fit.nc"')
    tree = xr.DataTree() if datatree is None else datatree.copy()
    kind = "point" if estimate is not None else "posterior"
    tree[_GROUP] = xr.DataTree(_model_dataset(definition, kind))
    if estimate is not None:
        tree[_ESTIMATE] = xr.DataTree(_estimate_dataset(estimate))
    tree.to_netcdf(path, engine="h5netcdf")
    return path


@contextmanager
def storing(path: str | Path | None, definition: ModelDefinition) -> Iterator[None]:
    """Make a Zarr directory with a model in it, for draws to follow.

    The model is there before the first draw, so that draws can be read whatever ends the
    run. Where it ends without any, the directory is taken away again. No path, nothing
    happens.

    Raises
    ------
    ArgumentError
        The folder it should be in does not exist, or there is something of that name.
    MissingDependencyError
        Zarr is not installed.
    """
    if path is None:
        yield
        return
    from bayeslmm.sampling.settings import check_zarr
    from bayeslmm.sampling.store import open_store

    check_zarr()
    path = Path(path)
    _check_parent(path)
    if path.exists():
        raise ArgumentError(
            f"there is something at {str(path)!r} already, and a store is never overwritten.",
            fix=f"another name, or remove it; bl.load({str(path)!r}) reads a store",
        )
    model = _model_dataset(definition, "posterior")
    model.to_zarr(path, group=_GROUP, mode="w-", consolidated=False, zarr_format=3)
    try:
        yield
    except BaseException:
        with suppress(Exception):  # a store that cannot be read is no reason to say else
            if not open_store(path).attrs.get("draws"):
                shutil.rmtree(path)
        raise


def write_attributes(path: str | Path, attributes: Mapping[Any, Any]) -> None:
    """Give a store attributes that are known once its draws are there."""
    import zarr

    zarr.open_group(path, mode="r+").attrs.update(dict(attributes))


def read_fit(path: str | Path) -> tuple[ModelDefinition, Estimate | None, xr.DataTree | None]:
    """Read what `write_fit` wrote, or a store; nothing in the file is evaluated.

    Raises
    ------
    ArgumentError
        There is no such file, or it is a folder that is no store.
    FileFormatError
        The file is not one of this package, is of a newer format, or has no draws yet.
    MissingDependencyError
        It is a store, and Zarr is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise ArgumentError(f"there is no file {str(path)!r}.", fix="check the path")
    tree = _open_folder(path) if path.is_dir() else _open_file(path)
    try:
        model = tree[_GROUP].to_dataset()
        found, kind = int(model.attrs["format"]), str(model.attrs["kind"])
    except (KeyError, ValueError) as error:
        raise FileFormatError(
            f"{path.name!r} is not a fit saved by bayeslmm.",
            found=f"a {'Zarr directory' if path.is_dir() else 'netCDF-4 file'} without a model",
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
    if not posterior.attrs.get("draws", 0 if path.is_dir() else 1):
        raise FileFormatError(
            f"{path.name!r} has no draws yet.",
            found="a run that had not finished its first draws when it was stopped",
            fix="sample again",
        )
    return definition, None, posterior


def _check_parent(path: Path) -> None:
    if not path.parent.exists():
        raise ArgumentError(f"there is no folder {str(path.parent)!r}.", fix="make it first")


def _model_dataset(definition: ModelDefinition, kind: str) -> xr.Dataset:
    model = frame_to_dataset(definition.data)
    model.attrs = {
        "format": FORMAT,
        "bayeslmm_version": __version__,
        "kind": kind,
        "definition": definition.to_json(),
    }
    return model


def _open_file(path: Path) -> xr.DataTree:
    try:
        tree = xr.open_datatree(path, engine="h5netcdf").load()
        tree.close()
    except (OSError, ValueError) as error:
        raise FileFormatError(
            f"{path.name!r} is not a fit saved by bayeslmm.",
            found="no netCDF-4 file, or a damaged one",
            fix="fit.save(path) writes such a file",
        ) from error
    return tree


def _open_folder(path: Path) -> xr.DataTree:
    from bayeslmm.sampling.settings import check_zarr
    from bayeslmm.sampling.store import open_store

    if not (path / "zarr.json").exists():
        raise ArgumentError(
            f"{str(path)!r} is a folder, and not one that model.sample(store=...) wrote.",
            fix="name the file in it",
        )
    check_zarr()
    return open_store(path)


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
        "residual_names": json.dumps(list(e.residual_names)),
    }
    return xr.Dataset(variables, attrs=attrs)


def _read_estimate(dataset: xr.Dataset) -> Estimate:
    def array(name: str) -> Any:
        if name == "residual_values" and name not in dataset:  # files before there were any
            return np.empty(0)
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
        residual_names=tuple(json.loads(attrs.get("residual_names", "[]"))),
        trace=tuple((float(a), float(b)) for a, b in array("trace")),
        **arrays,
    )
