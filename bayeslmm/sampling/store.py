"""Draws in a Zarr directory, written as they are made and read lazily."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.sampling.trace import (
    Dims,
    Groups,
    Stretch,
    Trace,
    shortened,
    usable,
    written_lengths,
)

PROGRESS = "bayeslmm_progress"
"""Group that an unfinished store has: draws written of each stretch."""

RAW = "bayeslmm_raw"
"""Directory in an unfinished store: what the sampler itself writes."""

ORDER = "bayeslmm_order"
"""Attribute of a store: groups and their variables in order, which Zarr does not keep."""

_APART = (PROGRESS, RAW)


class StoredTrace(Trace):
    """Draws in a Zarr directory; a stretch counts once all of it is on disk.

    Parameters
    ----------
    folder : Path
        A Zarr group that exists.
    groups : dict of Dataset
        Groups that do not grow; they are written at once.
    attributes : dict
        What is known before sampling.
    """

    def __init__(
        self,
        folder: Path,
        design: Design,
        dims: Dims,
        chains: int,
        draws: int,
        *,
        groups: dict[str, xr.Dataset],
        attributes: dict[str, Any],
    ) -> None:
        import zarr

        from bayeslmm.sampling.record import coordinates

        super().__init__(design, dims, chains, draws)
        self.folder = folder
        self._root: Any = zarr.open_group(folder, mode="a")
        empty = {
            group: xr.Dataset(coords=coordinates(design, own, chains, draws))
            for group, own in dims.items()
        }
        for name, dataset in {**groups, **empty}.items():
            dataset.to_zarr(folder, group=name, mode="a", consolidated=False, zarr_format=3)
        self._others = {name: list(map(str, group.data_vars)) for name, group in groups.items()}
        self._put_attributes({**attributes, "interrupted": 1})
        self._root.require_group(PROGRESS).create_array(
            "written", shape=self.written.shape, chunks=(1, 1), dtype="int64", fill_value=0,
            compressors=None, attributes={"length": self.length},
        )  # fmt: skip

    def put(self, stretch: Stretch, groups: Groups) -> None:
        """Write all groups of a stretch, and then that they are there."""
        for group, arrays in groups.items():
            for name, values in arrays.items():
                self._array(group, name, values)
                whole = np.full((self.length, *values.shape[1:]), _missing(values), values.dtype)
                whole[: len(values)] = values
                self._write_chunk(group, name, stretch, whole)
        n = np.array([stretch.stop - stretch.first], dtype=np.int64)
        self._write_chunk(PROGRESS, "written", stretch, n)
        self.written[stretch.chain, stretch.index] = n[0]

    def _write_chunk(self, group: str, name: str, stretch: Stretch, values: NDArray[Any]) -> None:
        """Write one chunk of an array without compression: its file holds the numbers as such.

        Through Zarr each of the many small chunks takes milliseconds, and the sampler's
        threads wait for the interpreter meanwhile.
        """
        at = (str(stretch.chain), str(stretch.index), *("0" for _ in values.shape[1:]))
        path = self.folder.joinpath(group, name, "c", *at)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        values.astype(values.dtype.newbyteorder("<")).tofile(partial)
        partial.replace(path)

    def finish(self, groups: dict[str, xr.Dataset], attributes: dict[str, Any]) -> xr.DataTree:
        """Cut what an interruption left unequal, and read the store lazily."""
        chains, n = usable(self.lengths)
        if len(chains) < self.chains or n < self.draws:
            for group in self.dims:
                for _, array in self._root[group].arrays():
                    _cut(array, chains, n, self.length)
        self._put_attributes(attributes)
        for name in _APART:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return open_store(self.folder, frozenset({*self.dims, *groups}))

    def _put_attributes(self, attributes: dict[str, Any]) -> None:
        order = {group: list({**own, **self._arrays[group]}) for group, own in self.dims.items()}
        order |= self._others
        self._root.attrs.put({**attributes, ORDER: order})
        for name in ("posterior", "sample_stats"):
            self._root[name].attrs.put(attributes)

    def _allocate(self, group: str, name: str, values: FloatArray) -> Any:
        rest = values.shape[1:]
        return self._root[group].create_array(
            name,
            shape=(self.chains, self.draws, *rest),
            chunks=(1, self.length, *rest),
            dtype=values.dtype,
            fill_value=_missing(values),
            compressors=None,
            dimension_names=("chain", "draw", *self.dims[group].get(name, ())),
        )


def open_store(folder: Path, groups: frozenset[str] | None = None) -> xr.DataTree:
    """Read a store lazily; of one whose run was killed, the draws that are whole.

    Parameters
    ----------
    folder : Path
    groups : frozenset of str, optional
        All by default, but those that only an unfinished store has.

    Returns
    -------
    xarray.DataTree
        After a kill the attributes say what was asked for and what there is, which may be
        no draw at all.
    """
    import zarr

    root: Any = zarr.open_group(folder, mode="r")
    attributes = dict(root.attrs)
    order = attributes.pop(ORDER, {})
    there = [name for name, _ in root.groups() if name not in _APART]
    found = {}
    for name in sorted(there, key=[*order, *sorted(there)].index):
        if groups is None or name in groups:
            # not cached: what is read once would stay in memory
            one = xr.open_dataset(
                folder, engine="zarr", group=name, consolidated=False, cache=False
            )
            names = sorted(map(str, one.data_vars))
            found[name] = one[sorted(names, key=[*order.get(name, ()), *names].index)]
    if PROGRESS in root:
        counts = root[PROGRESS]["written"]
        chains, n = usable(written_lengths(counts[:], int(counts.attrs["length"])))
        attributes = shortened(attributes, len(chains), n)
        for name, dataset in found.items():
            if "draw" in dataset.dims and not name.startswith("prior"):
                cut = dataset.isel(chain=chains, draw=slice(0, n))
                found[name] = cut.assign_coords(chain=np.arange(len(chains)))
        for name in {"posterior", "sample_stats"} & found.keys():
            found[name].attrs = attributes
    tree = xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in found.items()})
    tree.attrs.update(attributes)
    return tree


def _missing(values: FloatArray) -> float:
    """What stands for draws that are not there."""
    return np.nan if values.dtype.kind == "f" else 0


def _cut(array: Any, chains: Any, n: int, length: int) -> None:
    """Keep some chains of an array, numbered anew, and their first draws."""
    names = array.metadata.dimension_names
    if "draw" not in names and "chain" not in names:
        return
    if "draw" in names and "chain" in names:
        for to, chain in enumerate(chains):
            for first in range(0, n, length) if to != chain else ():
                array[to, first : first + length] = array[int(chain), first : first + length]
    sizes = {"chain": len(chains), "draw": n}
    array.resize(tuple(sizes.get(d, s) for d, s in zip(names, array.shape, strict=True)))
