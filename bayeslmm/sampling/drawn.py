"""What samplers give: draws of all they sampled, so far or altogether."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bayeslmm.arrays import IntArray


class Stretchable(Protocol):
    """An array of chains by draws, in memory or on disk, read a stretch at a time."""

    def __getitem__(self, at: tuple[int, slice]) -> Any: ...


@dataclass(frozen=True, eq=False, slots=True)
class RawDraws:
    """Draws as a sampler made them, chains by draws; more may follow.

    ``variables`` and ``stats`` have chain and draw first; ``lengths`` (chains,) says how
    many draws each chain has.
    """

    variables: Mapping[str, Stretchable]
    stats: Mapping[str, Stretchable]
    lengths: IntArray


Receiver = Callable[[RawDraws], None]
"""Takes what a running sampler has so far."""


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """A finished or interrupted run of a sampler.

    ``options`` are what it was told beside numbers of draws; ``sampling_time`` seconds.
    """

    raw: RawDraws
    tune: int
    options: dict[str, Any]
    sampling_time: float
