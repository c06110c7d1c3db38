"""One parameter held at a value, all others free: the problem behind a likelihood profile.

The ML deviance is a function of z = (free entries of every T_w, log sigma_w). Holding a
parameter leaves coordinates x of the others, z = place(x, value), chosen so that the
constraint is exact, boundaries included:

- an SD of column a: a stands first in its term, so the first row of T is the entry
  t_aa = SD / sigma alone, and x has log sigma instead of t_aa;
- a correlation of a and b: a and b stand first and the first two rows of T are
  (v^2) and w^2 (rho, sqrt(1 - rho^2)), with v and w in x;
- sigma: x is the entries of T;
- a fixed effect: its column goes to the response, and x is z.

A term's order is changed in the columns of the design; the covariance that T stands for
is the same.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import override

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.gaussian.crossproducts import CrossProducts
from bayeslmm.engine.gaussian.ml_deviance import Deviance, with_columns
from bayeslmm.engine.gaussian.objective import Point
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.gaussian.reordered import Placed, Reordered

# Pivots of T below this are lifted to it where a search starts: it would not leave zero.
_LEAST = 0.05
# Pivots at which searches from elsewhere start.
_ELSEWHERE = 0.5


class Held(ABC):
    """A parameter that can be held at a value.

    Attributes
    ----------
    name : str
    limits : tuple of float
        Ends of the parameter's range.
    pivots, roots : list of int
        Coordinates that are pivots of T, and square roots of such.
    rows : list of list of int
        Coordinates that are the other entries of T, by row.
    """

    name: str
    limits: tuple[float, float]
    pivots: list[int]
    roots: list[int]
    rows: list[list[int]]

    @abstractmethod
    def deviance(self, value: float) -> Deviance:
        """The function of z to be minimised."""

    @abstractmethod
    def place(self, x: FloatArray, value: float) -> Placed:
        """Coordinates x to z."""

    @abstractmethod
    def start(self, T: Sequence[FloatArray], sigma: float) -> FloatArray:
        """Coordinates of T of each factor and sigma, both on the user's scale."""

    def lifted(self, x: FloatArray) -> FloatArray:
        """The same, with pivots next to zero made larger, so that a search can start."""
        return _lift(_lift(x, self.pivots, _LEAST), self.roots, math.sqrt(_LEAST))

    def singular(self, x: FloatArray) -> bool:
        """Whether a pivot is next to zero, where there may be an optimum elsewhere."""
        near = [x[i] for i in self.pivots] + [x[i] ** 2 for i in self.roots]
        return bool((np.abs(near) < _LEAST).any())

    def elsewhere(self, x: FloatArray) -> list[FloatArray]:
        """Other starts: without correlation, and with the signs of one row's changed."""
        starts = [x.copy()]
        for row in self.rows:
            starts[0][row] = 0.0
            flipped = self.lifted(x)
            flipped[row] *= -1.0
            starts.append(flipped)
        starts[0] = _lift(_lift(starts[0], self.pivots, _ELSEWHERE), self.roots, _ELSEWHERE)
        return starts

    def rivals(self, x: FloatArray, deviance: float, value: float) -> list[FloatArray]:
        """Starts in the basins of other optima, where some are known beside the one found."""
        return []

    def _read(self, layout: Layout, kept: Sequence[int], roots: Sequence[int] = ()) -> None:
        """Find pivots and rows among coordinates that are the entries ``kept`` of T."""
        factor, row, column, _ = layout.entries
        self.roots = list(roots)
        by_row: dict[tuple[int, int], list[int]] = {}
        self.pivots = []
        for i, e in enumerate(kept):
            if i in self.roots:
                continue
            if row[e] == column[e]:
                self.pivots.append(i)
            else:
                by_row.setdefault((int(factor[e]), int(row[e])), []).append(i)
        self.rows = list(by_row.values())

    def slope(self, x: FloatArray, value: float) -> float:
        """Derivative of the profile deviance in the value, x being the optimum there."""
        placed = self.place(x, value)
        found = self.deviance(value)(placed.z)
        return math.nan if found is None else float(found.gradient @ placed.by_value)

    def criterion(self, value: float) -> Callable[[FloatArray], Point]:
        """What is minimised over x with the parameter held."""
        deviance = self.deviance(value)

        def evaluate(x: FloatArray) -> Point:
            p = self.place(x, value)
            found = deviance(p.z)
            if found is None or not np.isfinite(found.deviance + found.gradient.sum()):
                return Point.outside(x)

            def curvature() -> FloatArray:
                H = p.J.T @ found.curvature() @ p.J
                return np.asarray(H + np.diag(found.gradient @ p.bend))

            return Point(x, found.deviance, found.gradient @ p.J, curvature)

        return evaluate

    def spread(self, x: FloatArray, value: float) -> float:
        """Standard error of the parameter by the expected information at (x, value), or NaN."""
        p = self.place(x, value)
        found = self.deviance(value)(p.z)
        if found is None:
            return math.nan
        J = np.column_stack([p.J, p.by_value])
        H = J.T @ found.curvature() @ J
        H[:-1, :-1] += np.diag(np.maximum(found.gradient @ p.bend, 0.0))
        held, rest = H[-1, :-1], H[:-1, :-1]
        curvature = float(H[-1, -1] - held @ np.linalg.lstsq(rest, held)[0])
        return math.sqrt(2.0 / curvature) if curvature > 0.0 else math.nan


class _Plain(Held):
    """z is x but for what is held; T in the design's own order."""

    def __init__(self, design: Design, cp: CrossProducts) -> None:
        self.cp = cp
        self.layout = Layout.of(design, cp.coordinates)
        self._read(self.layout, range(self.layout.size))

    @override
    def start(self, T: Sequence[FloatArray], sigma: float) -> FloatArray:
        theta = self.layout.pack(self.layout.to_working(T))
        return np.append(theta, math.log(sigma / self.cp.coordinates.y_scale))


class HeldSigma(_Plain):
    """The residual standard deviation."""

    def __init__(self, design: Design, cp: CrossProducts) -> None:
        super().__init__(design, cp)
        self.name, self.limits = "sigma", (0.0, math.inf)
        self._deviance = Deviance(cp, self.layout)

    @override
    def deviance(self, value: float) -> Deviance:
        return self._deviance

    @override
    def start(self, T: Sequence[FloatArray], sigma: float) -> FloatArray:
        return super().start(T, sigma)[:-1]

    @override
    def place(self, x: FloatArray, value: float) -> Placed:
        k = len(x)
        by_value = np.zeros(k + 1)
        by_value[-1] = 1.0 / value
        z = np.append(x, math.log(value / self.cp.coordinates.y_scale))
        return Placed(z, np.eye(k + 1, k), np.zeros((k + 1, k)), by_value)


class Unheld(_Plain):
    """Nothing is held: x is z."""

    def __init__(self, design: Design, cp: CrossProducts) -> None:
        super().__init__(design, cp)
        self.name, self.limits = "", (-math.inf, math.inf)
        self._deviance = Deviance(cp, self.layout)

    @override
    def deviance(self, value: float) -> Deviance:
        return self._deviance

    @override
    def place(self, x: FloatArray, value: float) -> Placed:
        k = len(x)
        return Placed(x, np.eye(k), np.zeros((k, k)), np.zeros(k))


class HeldFixed(_Plain):
    """A fixed effect: its column, times the value, is taken from the response."""

    def __init__(self, design: Design, cp: CrossProducts, column: int) -> None:
        super().__init__(design, cp)
        self.name, self.limits = design.fixed_names[column], (-math.inf, math.inf)
        self.column = column
        self.intercept = design.fixed_names.index("Intercept") if design.has_intercept else None
        self._full = Deviance(cp, self.layout)

    @override
    def deviance(self, value: float) -> Deviance:
        maps, j = self.cp.coordinates, self.column
        if j == self.intercept:
            keep = np.delete(maps.X_map, j, axis=1)
            keep = keep / np.linalg.norm(keep, axis=0)
            unit, amount = 1.0, (value - maps.y_shift) / maps.y_scale
        else:
            # what the others leave of the column: its centre belongs to the intercept
            keep = np.delete(np.eye(self.cp.p), j, axis=1)
            unit, amount = maps.X_map[j, j], value / maps.y_scale
        Q = np.zeros((self.cp.p + 1, self.cp.p))
        Q[:-1, :-1] = keep
        Q[j, -1], Q[-1, -1] = -amount * unit, 1.0
        return Deviance(with_columns(self.cp, Q), self.layout)

    @override
    def place(self, x: FloatArray, value: float) -> Placed:
        k = len(x)
        return Placed(x, np.eye(k), np.zeros((k, k)), np.zeros(k))

    @override
    def spread(self, x: FloatArray, value: float) -> float:
        _, variance = self._given(x)
        return math.sqrt(variance)

    @override
    def slope(self, x: FloatArray, value: float) -> float:
        """At given theta, r^2 rises by (value - estimate)^2 / C_jj."""
        estimate, variance = self._given(x)
        return 2.0 * (value - estimate) / variance

    def _given(self, x: FloatArray) -> tuple[float, float]:
        """The effect's estimate at the variance parameters x, and its variance."""
        maps, j = self.cp.coordinates, self.column
        beta, C = self._full.fixed_effects(x[:-1])
        back = np.linalg.inv(maps.X_map)[j]
        estimate = maps.y_scale * float(back @ beta)
        if j == self.intercept:
            estimate += maps.y_shift
        sigma = math.exp(x[-1]) * maps.y_scale
        return estimate, sigma**2 * float(back @ C @ back)


class _OfTerm(Held):
    """A parameter of one random term."""

    def __init__(self, name: str, reordered: Reordered) -> None:
        self.name, self.here = name, reordered
        self.y_scale = reordered.cp.coordinates.y_scale

    @override
    def deviance(self, value: float) -> Deviance:
        return self.here.deviance


class HeldSD(_OfTerm):
    """The SD of the column that stands first in its term."""

    limits = (0.0, math.inf)

    def __init__(self, name: str, reordered: Reordered) -> None:
        super().__init__(name, reordered)
        self.at = reordered.position(0, 0)
        k = reordered.layout.size
        self.kept = np.delete(np.arange(k), self.at)
        # entries of T but the held one, then log sigma
        self.J = np.delete(np.eye(k + 1), self.at, axis=1)
        self._read(reordered.layout, self.kept.tolist())

    @override
    def start(self, T: Sequence[FloatArray], sigma: float) -> FloatArray:
        return np.append(self.here.entries(T)[self.kept], math.log(sigma / self.y_scale))

    @override
    def place(self, x: FloatArray, value: float) -> Placed:
        k = self.here.layout.size
        t, by_value, J, bend = np.empty(k), np.zeros(k + 1), self.J.copy(), np.zeros((k + 1, k))
        t[self.kept] = x[:-1]
        ratio = self.here.units[0] / self.y_scale * math.exp(-x[-1])
        t[self.at] = value * ratio
        by_value[self.at] = ratio
        J[self.at, -1], bend[self.at, -1] = -t[self.at], t[self.at]
        return self.here.placed(t, float(x[-1]), J, bend, by_value)


class HeldCorrelation(_OfTerm):
    """The correlation of the two columns that stand first in their term."""

    limits = (-1.0, 1.0)

    def __init__(self, name: str, reordered: Reordered) -> None:
        super().__init__(name, reordered)
        k = reordered.layout.size
        self.one, self.cross, self.two = (
            reordered.position(r, c) for r, c in ((0, 0), (1, 0), (1, 1))
        )
        # x: v and w in the places of t_00 and t_10, the other entries but t_11, log sigma
        self.kept = np.delete(np.arange(k), self.two)
        self.J = np.delete(np.eye(k + 1), self.two, axis=1)
        self.v, self.w = (int(np.flatnonzero(self.kept == i)[0]) for i in (self.one, self.cross))
        self._read(reordered.layout, self.kept.tolist(), roots=(self.v, self.w))

    @override
    def start(self, T: Sequence[FloatArray], sigma: float) -> FloatArray:
        t = self.here.entries(T)
        x = np.append(t[self.kept], math.log(sigma / self.y_scale))
        x[self.v] = math.sqrt(abs(t[self.one]))
        x[self.w] = math.sqrt(math.hypot(t[self.cross], t[self.two]))
        return x

    @override
    def place(self, x: FloatArray, value: float) -> Placed:
        k = self.here.layout.size
        t, by_value, J, bend = np.empty(k), np.zeros(k + 1), self.J.copy(), np.zeros((k + 1, k))
        v, w = float(x[self.v]), float(x[self.w])
        other = math.sqrt(max(1.0 - value**2, 0.0))
        t[self.kept] = x[:-1]
        t[self.one], t[self.cross], t[self.two] = v**2, value * w**2, other * w**2
        J[self.one, self.v] = 2.0 * v
        J[self.cross, self.w], J[self.two, self.w] = 2.0 * value * w, 2.0 * other * w
        bend[self.one, self.v] = 2.0
        bend[self.cross, self.w], bend[self.two, self.w] = 2.0 * value, 2.0 * other
        by_value[self.cross] = w**2
        by_value[self.two] = -value * w**2 / other if other > 0.0 else math.nan
        return self.here.placed(t, float(x[-1]), J, bend, by_value)


def _lift(x: FloatArray, at: list[int], least: float) -> FloatArray:
    out = x.copy()
    for i in at:
        if abs(out[i]) < least:
            out[i] = math.copysign(least, out[i])
    return out
