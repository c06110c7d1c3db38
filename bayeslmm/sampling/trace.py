"""The draws of all groups, chains by draws, filled a stretch at a time.

A stretch is a run of draws of one chain. Its length depends on the size of the model only,
and each stretch has random numbers of its own, so that draws do not depend on the number of
threads, nor on when or where a stretch is written.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.design.design import Design
from bayeslmm.errors import build_message

Groups = Mapping[str, Mapping[str, FloatArray]]
"""Arrays by group and name, draws first."""

Dims = dict[str, dict[str, tuple[str, ...]]]
"""Dimensions beside chain and draw, by group and name."""

LONGEST = 100
"""Draws of a stretch at most."""

LARGEST = 2_000_000
"""Numbers in one array of a stretch at most, where it is of more than one draw: 16 MB."""


def stretch_length(design: Design) -> int:
    """Draws of a stretch: a hundred, or fewer where rows or effects are many."""
    return int(np.clip(LARGEST // max(design.n, design.q, 1), 1, LONGEST))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Draws ``first`` up to ``stop`` of a chain; ``index`` counts its stretches."""

    chain: int
    index: int
    first: int
    stop: int


class Trace:
    """Draws in memory.

    Attributes
    ----------
    written : ndarray, shape (chains, stretches)
        Draws written of each stretch.
    """

    def __init__(self, design: Design, dims: Dims, chains: int, draws: int) -> None:
        self.design, self.dims, self.chains, self.draws = design, dims, chains, draws
        self.length = stretch_length(design)
        self.written = np.zeros((chains, -(-draws // self.length)), dtype=np.int64)
        self._arrays: dict[str, dict[str, Any]] = {group: {} for group in dims}
        self._lock = threading.Lock()

    def describe(self, attributes: dict[str, Any]) -> None:
        """Learn what is known of the run while it goes on; memory needs none of it."""

    @property
    def lengths(self) -> IntArray:
        """Draws written of each chain, without a gap."""
        return written_lengths(self.written, self.length)

    def due(self, lengths: IntArray, *, last: bool) -> list[Stretch]:
        """Stretches not written that chains of these lengths have; the last may be shorter."""
        found = []
        for chain, index in zip(*np.nonzero(self.written == 0), strict=True):
            first = int(index) * self.length
            whole = min(first + self.length, self.draws)
            stop = min(whole, int(lengths[chain]))
            if stop == whole or (last and stop > first):
                found.append(Stretch(int(chain), int(index), first, stop))
        return found

    def put(self, stretch: Stretch, groups: Groups) -> None:
        """Write all groups of a stretch."""
        piece = slice(stretch.first, stretch.stop)
        for group, arrays in groups.items():
            for name, values in arrays.items():
                self._array(group, name, values)[stretch.chain, piece] = values
        self.written[stretch.chain, stretch.index] = stretch.stop - stretch.first

    def finish(self, groups: dict[str, xr.Dataset], attributes: dict[str, Any]) -> xr.DataTree:
        """The usable draws, other groups and attributes as a DataTree."""
        from bayeslmm.sampling.record import coordinates

        chains, n = usable(self.lengths)
        every = len(chains) == self.chains and n == self.draws
        found: dict[str, xr.Dataset] = {}
        for group, arrays in self._arrays.items():
            cut = {k: a if every else a[chains][:, :n] for k, a in arrays.items()}
            own = {k: ("chain", "draw", *self.dims[group].get(k, ())) for k in cut}
            coords = coordinates(self.design, self.dims[group], len(chains), n)
            found[group] = xr.Dataset({k: (own[k], cut[k]) for k in cut}, coords=coords)
        for group in ("posterior", "sample_stats"):
            found[group].attrs.update(attributes)
        tree = xr.DataTree.from_dict({f"/{k}": ds for k, ds in {**found, **groups}.items()})
        tree.attrs.update(attributes)
        return tree

    def _array(self, group: str, name: str, values: FloatArray) -> Any:
        with self._lock:
            if name not in self._arrays[group]:
                self._arrays[group][name] = self._allocate(group, name, values)
            return self._arrays[group][name]

    def _allocate(self, group: str, name: str, values: FloatArray) -> Any:
        return np.zeros((self.chains, self.draws, *values.shape[1:]), dtype=values.dtype)


def written_lengths(written: IntArray, length: int) -> IntArray:
    """Draws of each chain up to the first stretch that is not whole."""
    whole = np.cumprod(written == length, axis=1)
    before = np.hstack([np.ones((len(written), 1), dtype=np.int64), whole[:, :-1]])
    return np.asarray((written * before).sum(axis=1), dtype=np.int64)


def usable(lengths: IntArray) -> tuple[IntArray, int]:
    """Chains and draws of each that make the most draws of chains of equal length.

    Chains that had hardly begun when a run was interrupted would cost the others their
    draws: they are left out.
    """
    order = np.argsort(-lengths, kind="stable")
    totals = lengths[order] * np.arange(1, len(lengths) + 1)
    best = int(np.flatnonzero(totals == totals.max())[-1])
    return np.sort(order[: best + 1]), int(lengths[order[best]])


def shortened(attributes: dict[str, Any], chains: int, draws: int) -> dict[str, Any]:
    """Attributes of a run that was interrupted with so many chains and draws."""
    return {
        **attributes,
        "interrupted": 1,
        "chains": chains,
        "draws": draws,
        "chains_asked": attributes["chains"],
        "draws_asked": attributes["draws"],
    }


def interruption_words(attributes: Mapping[Any, Any]) -> str:
    """What an interrupted run has of what was asked for."""
    chains, asked = attributes["chains"], attributes["chains_asked"]
    some = f" of {chains} of {asked} chains" if chains < asked else " a chain"
    return build_message(
        f"sampling was interrupted: {attributes['draws']} of {attributes['draws_asked']} draws"
        f"{some} are there.",
        fix="look at fit.diagnostics before using them; sample again for the rest",
    )
