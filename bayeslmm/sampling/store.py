"""Draws in a Zarr directory, written as they are made and read lazily."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
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
"""Group that an unfinished store has: draws written of each stretch, and at the end `FINAL`."""

FINAL = "final"
"""Attribute of that group: where the draws to keep are, and the attributes of the whole."""

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
        self._progress = self._root.require_group(PROGRESS)
        self._progress.create_array(
            "written", shape=self.written.shape, chunks=(1, 1), dtype="int64", fill_value=0,
            compressors=None, attributes={"length": self.length},
        )  # fmt: skip
        self.describe(attributes)

    def describe(self, attributes: dict[str, Any]) -> None:
        """Write what is known of the run while it goes on."""
        self._put_attributes({**attributes, "interrupted": 1})

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
        """Cut what an interruption left unequal, and read the store lazily.

        What is to be there is written down first, and `open_store` goes by that until all
        of it is done: the store can be read whatever ends this.
        """
        chains, n = usable(self.lengths)
        self._put_final(chains.tolist(), n, attributes)
        if len(chains) < self.chains or n < self.draws:
            self._cut(chains.tolist(), n, attributes)
        self._put_attributes(attributes)
        self._root.require_group(RAW)
        waste = self.folder / RAW
        (self.folder / PROGRESS).rename(waste / PROGRESS)  # gone at once
        shutil.rmtree(waste, ignore_errors=True)
        return open_store(self.folder, frozenset({*self.dims, *groups}))

    def _put_final(self, chains: list[int], n: int, attributes: dict[str, Any]) -> None:
        self._progress.attrs.put({FINAL: {"chains": chains, "draws": n, "attributes": attributes}})

    def _cut(self, chains: list[int], n: int, attributes: dict[str, Any]) -> None:
        """Number the kept chains from 0, and take the rest away.

        A chain is copied to where none is kept, and only then counts as being there.
        """
        arrays = [array for group in self.dims for _, array in self._root[group].arrays()]
        for to, chain in enumerate(chains):
            if to != chain:
                for array in filter(_of_draws, arrays):
                    for first in range(0, n, self.length):
                        piece = slice(first, min(first + self.length, n))
                        array[to, piece] = array[chain, piece]
                chains = [*chains[:to], to, *chains[to + 1 :]]
                self._put_final(chains, n, attributes)
        sizes = {"chain": len(chains), "draw": n}
        for array in arrays:
            names = array.metadata.dimension_names or ()
            if sizes.keys() & set(names):
                shape = zip(names, array.shape, strict=True)
                array.resize(tuple(sizes.get(name, size) for name, size in shape))

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
    unfinished = f"{PROGRESS}/written" in root
    if unfinished:
        chains, n, attributes = _kept(root[PROGRESS], attributes)
    found = {}
    for name in sorted(there, key=[*order, *sorted(there)].index):
        if groups is None or name in groups:
            drawn = unfinished and not name.startswith("prior")
            one = _kept_draws(folder, root[name], chains, n) if drawn else _dataset(folder, name)
            names = sorted(map(str, one.data_vars))
            found[name] = one[sorted(names, key=[*order.get(name, ()), *names].index)]
    for name in {"posterior", "sample_stats"} & found.keys() if unfinished else ():
        found[name].attrs = attributes
    tree = xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in found.items()})
    tree.attrs.update(attributes)
    return tree


def _missing(values: FloatArray) -> float:
    """What stands for draws that are not there."""
    return np.nan if values.dtype.kind == "f" else 0


def _of_draws(array: Any) -> bool:
    return {"chain", "draw"} <= set(array.metadata.dimension_names or ())


def _kept(progress: Any, begun: dict[str, Any]) -> tuple[list[int], int, dict[str, Any]]:
    """Where the draws of an unfinished store are, chains and their lengths, and attributes."""
    if FINAL in progress.attrs:
        final = progress.attrs[FINAL]
        return final["chains"], int(final["draws"]), dict(final["attributes"])
    written = progress["written"]
    chains, n = usable(written_lengths(written[:], int(written.attrs["length"])))
    asked = {"chains": written.shape[0], "draws": 0, **begun}
    attributes = shortened(asked, len(chains), n)
    if (len(chains), n) == (asked["chains"], asked["draws"]):  # stopped after the last draw
        attributes = {k: v for k, v in asked.items() if k != "interrupted"}
    return chains.tolist(), n, attributes


def _dataset(folder: Path, group: str, without: Sequence[str] = ()) -> xr.Dataset:
    # not cached: what is read once would stay in memory
    return xr.open_dataset(
        folder, engine="zarr", group=group, consolidated=False, cache=False,
        drop_variables=list(without),
    )  # fmt: skip


def _kept_draws(folder: Path, group: Any, chains: list[int], n: int) -> xr.Dataset:
    """Some chains of a group and their first draws, of arrays that differ in length."""
    names = [name for name, array in group.arrays() if _of_draws(array)]
    if not names:
        return _dataset(folder, group.basename)
    apart = [*names, *({"chain", "draw"} & set(group.array_keys()))]
    found = _dataset(folder, group.basename, apart)
    for name in names:
        one = _dataset(folder, group.basename, [k for k in apart if k != name])
        found[name] = one[name].isel(chain=chains, draw=slice(0, n))
    return found.assign_coords(chain=np.arange(len(chains)), draw=np.arange(n))
