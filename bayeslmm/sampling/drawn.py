"""What every way of sampling gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayeslmm.arrays import FloatArray

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False, slots=True)
class Drawn:
    """Draws of every named variable, one leading axis of draws, chain after chain.

    ``stats`` are the sampler's own, with dimensions chain and draw; ``options`` what it
    was told beside numbers of draws; ``sampling_time`` seconds.
    """

    variables: dict[str, FloatArray]
    stats: xr.Dataset
    chains: int
    tune: int
    options: dict[str, Any]
    sampling_time: float
