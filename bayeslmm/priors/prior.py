"""What every prior answers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayeslmm.arrays import FloatArray
from bayeslmm.errors import PriorError

type Support = Literal["real", "positive", "correlation"] | tuple[float, float]
type Size = int | tuple[int, ...] | None


@dataclass(frozen=True, repr=False)
class Prior(ABC):
    """A prior distribution: frozen arguments, a normalised density, draws.

    Every argument is a finite number; those named in ``positive_arguments`` are
    greater than zero.

    Raises
    ------
    PriorError
        An argument is not a number, not finite, or not positive where it must be.
    """

    positive_arguments: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = math.nan
            if isinstance(value, bool | str) or not math.isfinite(number):
                raise PriorError(
                    f"{type(self).__name__}: `{f.name}` must be a finite number.",
                    found=f"{f.name}={value!r}",
                )
            if f.name in self.positive_arguments and number <= 0:
                raise PriorError(
                    f"{type(self).__name__}: `{f.name}` must be greater than 0.",
                    found=f"{f.name}={number:g}",
                )
            object.__setattr__(self, f.name, number)

    def __repr__(self) -> str:
        inner = ", ".join(f"{k}={v:.10g}" for k, v in self.arguments.items())
        return f"{type(self).__name__}({inner})"

    @property
    def arguments(self) -> dict[str, float]:
        """Arguments by name, as PyMC's distribution of the same name takes them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    @abstractmethod
    def support(self) -> Support:
        """Values it may take: ``"real"``, ``"positive"``, ``"correlation"`` or (low, high)."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper end of the support."""
        if isinstance(self.support, tuple):
            return self.support
        if self.support == "correlation":
            return -1.0, 1.0
        return (0.0 if self.support == "positive" else -math.inf), math.inf

    @abstractmethod
    def logpdf(self, x: ArrayLike) -> FloatArray:
        """Log density, normalised, elementwise; -inf outside the support."""

    @abstractmethod
    def dlogpdf(self, x: ArrayLike) -> FloatArray:
        """Derivative of `logpdf`, elementwise; nan outside the support."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, size: Size = None) -> FloatArray:
        """Independent draws of the given shape."""


@dataclass(frozen=True, repr=False)
class ScalarPrior(Prior):
    """A prior of one number: its density on the support, and nothing outside."""

    @abstractmethod
    def _log_density(self, x: FloatArray) -> FloatArray:
        """Log density inside the support."""

    @abstractmethod
    def _slope(self, x: FloatArray) -> FloatArray:
        """Derivative of the log density inside the support."""

    def _inside(self, x: FloatArray) -> NDArray[np.bool_]:
        low, high = self.bounds
        inside: NDArray[np.bool_] = (x >= low) & (x <= high)
        return inside

    def logpdf(self, x: ArrayLike) -> FloatArray:
        """Log density, normalised, elementwise; -inf outside the support."""
        v = np.asarray(x, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self._inside(v), self._log_density(v), -np.inf)

    def dlogpdf(self, x: ArrayLike) -> FloatArray:
        """Derivative of `logpdf`, elementwise; nan outside the support."""
        v = np.asarray(x, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self._inside(v), self._slope(v), np.nan)
