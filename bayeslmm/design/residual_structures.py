"""Residual structures: what a user asks for, and the formulas of each.

The residuals of a block (a level of ``by``) are correlated or differ in size:

    e ~ N(0, sigma^2 D^-1/2 R D^-1/2),   D the precision weights, R(phi) with unit or ratio
                                         variances, block diagonal.

Every structure is written row by row, each given the rows of its block before it. With
h = D^1/2 e and "past" a linear function of these rows,

    h_i | past ~ N(c_i past(h)_i, sigma^2 s_i^2),

so that (h - c past(h)) / s has independent entries (whitening) and log|R| = 2 sum log s.
The formulas use operators only, and serve arrays of numbers and tensors alike; rows are
the last axis.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.errors import ArgumentError

RATIO_DIM = "sd_ratio_level"
"""Dimension of the ratios of residual SDs: every level but the first."""


@dataclass(frozen=True, eq=False, slots=True)
class RowOrder:
    """The rows that count, block by block, each block in its order.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Which of the rows that count stands at each place.
    level : ndarray of int, shape (n,)
        Block of the row.
    rank : ndarray of int, shape (n,)
        Rows of the block before it.
    step : ndarray, shape (n,)
        Steps of time since the row before; 1 for the first of a block.
    previous, first : ndarray of int, shape (n,)
        Places of the row before (itself for the first of a block) and of the first.
    """

    rows: IntArray
    level: IntArray
    rank: IntArray
    step: FloatArray
    previous: IntArray
    first: IntArray

    @property
    def largest(self) -> int:
        """Rows of the largest block."""
        return int(self.rank.max(initial=-1)) + 1


@dataclass(frozen=True)
class ResidualStructure(ABC):
    """What every residual structure answers; ``by`` is a column, or columns ``a:b``."""

    by: str

    words: ClassVar[str]
    variable: ClassVar[str]
    correlated: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not isinstance(value, str) and not (f.name == "time" and value is None):
                raise ArgumentError(
                    f"{type(self).__name__}: {f.name}= takes the name of a column.",
                    found=repr(value),
                    fix=f'{type(self).__name__}({f.name}="column")',
                )

    @property
    def arguments(self) -> dict[str, str | None]:
        """Arguments by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @abstractmethod
    def names(self, levels: Sequence[str]) -> tuple[str, ...]:
        """Names of the parameters."""

    @abstractmethod
    def form(self, order: RowOrder, values: Sequence[Any]) -> tuple[Any, Any]:
        """The factors c and s of each row, in order."""

    @abstractmethod
    def past(self, order: RowOrder, h: Any) -> Any:
        """The function of the rows before that c multiplies; rows in order, last axis."""

    def pairs(self, order: RowOrder) -> tuple[IntArray, IntArray]:
        """Places of each row and of every row before it that `past` reads."""
        none = np.empty(0, dtype=np.int64)
        return none, none

    @abstractmethod
    def row(self, codes: IntArray, position: FloatArray, at: int, values: FloatArray) -> FloatArray:
        """Row ``at`` of R among m rows of a table; values (S, parameters) give (S, m)."""

    @abstractmethod
    def interval(self, order: RowOrder) -> tuple[float, float]:
        """Values a parameter may take, an open interval."""


@dataclass(frozen=True)
class AR1(ResidualStructure):
    """Autoregressive residuals of order one within each level of a factor.

    Two residuals of one level, t steps apart, have correlation ``ar1`` ** t; those of
    different levels are independent.

    Parameters
    ----------
    by : str
        Column whose levels are the series; ``"a:b"`` for the combinations of two.
    time : str, optional
        Column of whole numbers, the place of each row in its series; numbers may be missing
        (gaps), and none may occur twice in a series. Without it rows are one step apart in
        the order of the table; rows left out (missing values, weight zero) leave a gap.

    Notes
    -----
    ``ar1`` lies between -1 and 1 (Pinheiro and Bates 2000, section 5.3.1; `corAR1` of nlme).

    Examples
    --------
    >>> import bayeslmm as bl
    >>> data = bl.load_dataset("sleepstudy")
    >>> model = bl.Model("Reaction ~ Days + (1 | Subject)", data,
    ...                  residual=bl.AR1(by="Subject", time="Days"))
    >>> model.fit().residual_parameters.round(3).to_dict()
    {'ar1': 0.653}
    """

    time: str | None = None

    words: ClassVar[str] = "AR(1)"
    variable: ClassVar[str] = "ar1"

    def names(self, levels: Sequence[str]) -> tuple[str, ...]:
        """Names of the parameters."""
        return ("ar1",)

    def form(self, order: RowOrder, values: Sequence[Any]) -> tuple[Any, Any]:
        """The factors c and s of each row, in order."""
        later = (order.rank > 0).astype(float)
        c = values[0] ** order.step * later
        return c, (1.0 - c**2) ** 0.5

    def past(self, order: RowOrder, h: Any) -> Any:
        """The row before."""
        return h[..., order.previous]

    def pairs(self, order: RowOrder) -> tuple[IntArray, IntArray]:
        """Each row and the one before it."""
        later = np.flatnonzero(order.rank > 0)
        return later, order.previous[later]

    def row(self, codes: IntArray, position: FloatArray, at: int, values: FloatArray) -> FloatArray:
        """Row ``at`` of R: ``ar1 ** |t_i - t_j|``."""
        steps = np.abs(position - position[at])
        return np.where(codes == codes[at], values[:, :1] ** steps, 0.0)

    def interval(self, order: RowOrder) -> tuple[float, float]:
        """Between -1 and 1."""
        return -1.0, 1.0


@dataclass(frozen=True)
class CompoundSymmetry(ResidualStructure):
    """Equally correlated residuals within each level of a factor.

    Parameters
    ----------
    by : str
        Column whose levels are the blocks; ``"a:b"`` for the combinations of two.

    Notes
    -----
    ``rho`` lies between -1 / (m - 1) and 1, with m rows in the largest block (`corCompSymm`
    of nlme). Where it is positive this is a random intercept; unlike one it may be negative.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> data = bl.load_dataset("sleepstudy")
    >>> model = bl.Model("Reaction ~ Days", data, residual=bl.CompoundSymmetry(by="Subject"))
    >>> model.fit().residual_parameters.round(3).to_dict()
    {'rho': 0.589}
    """

    words: ClassVar[str] = "compound symmetry"
    variable: ClassVar[str] = "rho"

    def names(self, levels: Sequence[str]) -> tuple[str, ...]:
        """Names of the parameters."""
        return ("rho",)

    def form(self, order: RowOrder, values: Sequence[Any]) -> tuple[Any, Any]:
        """The factors c and s of each row, in order."""
        rho, k = values[0], order.rank
        before = 1.0 + (k - 1.0) * rho
        return rho / before, ((1.0 - rho) * (1.0 + k * rho) / before) ** 0.5

    def past(self, order: RowOrder, h: Any) -> Any:
        """The sum of the rows before."""
        before = h.cumsum(axis=-1) - h
        return before - before[..., order.first]

    def pairs(self, order: RowOrder) -> tuple[IntArray, IntArray]:
        """Each row and all before it."""
        row = np.repeat(np.arange(len(order.rank)), order.rank)
        ends = np.cumsum(order.rank)
        within = np.arange(len(row)) - np.repeat(ends - order.rank, order.rank)
        return row, order.first[row] + within

    def row(self, codes: IntArray, position: FloatArray, at: int, values: FloatArray) -> FloatArray:
        """Row ``at`` of R: ``rho``, and 1 of the row itself."""
        out = np.where(codes == codes[at], values[:, :1], 0.0)
        out[:, at] = 1.0
        return out

    def interval(self, order: RowOrder) -> tuple[float, float]:
        """From -1 / (m - 1), m rows in the largest block, to 1."""
        return -1.0 / max(order.largest - 1, 1), 1.0


@dataclass(frozen=True)
class VarianceBy(ResidualStructure):
    """A residual SD of its own for each level of a factor.

    Parameters
    ----------
    by : str
        Column whose levels differ; ``"a:b"`` for the combinations of two. The first level
        (of sorted values, or of the categories) has the SD ``sigma``; ``sd_ratio[level]`` are
        the others' SDs over it (`varIdent` of nlme).

    Examples
    --------
    >>> import bayeslmm as bl
    >>> data = bl.load_dataset("cake")
    >>> structure = bl.VarianceBy(by="recipe")
    >>> model = bl.Model("angle ~ temp + (1 | replicate)", data, residual=structure)
    >>> model.fit().residual_parameters.round(3).to_dict()
    {'sd_ratio[B]': 0.798, 'sd_ratio[C]': 0.824}
    """

    words: ClassVar[str] = "SD ratios"
    variable: ClassVar[str] = "sd_ratio"
    correlated: ClassVar[bool] = False

    def names(self, levels: Sequence[str]) -> tuple[str, ...]:
        """Names of the parameters, one for each level but the first."""
        return tuple(f"sd_ratio[{level}]" for level in levels[1:])

    def form(self, order: RowOrder, values: Sequence[Any]) -> tuple[Any, Any]:
        """The factors c and s of each row, in order."""
        s: Any = (order.level == 0).astype(float)
        for k, ratio in enumerate(values, 1):
            s = s + ratio * (order.level == k)
        return 0.0, s

    def past(self, order: RowOrder, h: Any) -> Any:
        """Nothing: residuals are independent."""
        return 0.0

    def row(self, codes: IntArray, position: FloatArray, at: int, values: FloatArray) -> FloatArray:
        """Row ``at`` of R: the squared ratio of the row itself."""
        out = np.zeros((len(values), len(codes)))
        out[:, at] = values[:, codes[at] - 1] ** 2 if codes[at] > 0 else 1.0
        return out

    def interval(self, order: RowOrder) -> tuple[float, float]:
        """Positive numbers."""
        return 0.0, np.inf


STRUCTURES: dict[str, type[ResidualStructure]] = {
    c.__name__: c for c in (AR1, CompoundSymmetry, VarianceBy)
}


def structure_of(stored: Mapping[str, Any] | None) -> ResidualStructure | None:
    """A structure from its class's name and arguments, as fits are stored."""
    if stored is None:
        return None
    return STRUCTURES[stored["name"]](**stored["arguments"])
