"""One parameter held in a model with a residual structure, phi searched with all others.

Given phi the problem is that of `held`, in coordinates x; here phi's own coordinates (see
`residual.Scale`) stand after x, or, where one of phi is the parameter that is held, those of
the rest. Derivatives in x are exact; those in phi are central differences of order four of the
deviance, and mixed ones differences of the exact gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import override

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate
from bayeslmm.engine.gaussian.held import Held
from bayeslmm.engine.gaussian.ml_deviance import Deviance
from bayeslmm.engine.gaussian.newton import descend
from bayeslmm.engine.gaussian.objective import Point
from bayeslmm.engine.gaussian.problems import Problems
from bayeslmm.engine.gaussian.reordered import Placed
from bayeslmm.engine.gaussian.residual import END, STARTS, ResidualSearch

_STEP = 3e-3
# Problems at given phi that are kept: an evaluation and its differences, of a few parameters.
_KEPT = 24


class HeldStructured(Held):
    """A parameter of a model with a residual structure, held at a value.

    Parameters
    ----------
    search : ResidualSearch
        By ML.
    make : callable
        The problem at given phi, from the held parameters of the design with that phi.
    phi : ndarray, shape (k,)
        Coordinates of phi where searches start.
    fixed : int, optional
        Which of phi is held; then ``make`` holds nothing.
    """

    def __init__(
        self,
        search: ResidualSearch,
        make: Callable[[Problems], Held],
        phi: FloatArray,
        fixed: int | None = None,
    ) -> None:
        self.search, self.make, self.phi, self.fixed = search, make, phi, fixed
        self.free = [i for i in range(len(phi)) if i != fixed]
        self._made: dict[bytes, Held] = {}
        given = self._given(phi)
        self.name, self.limits = given.name, given.limits
        if fixed is not None:
            self.name = search.names[fixed]
            self.limits = (float(search.scale.low[fixed]), float(search.scale.high[fixed]))

    def _given(self, phi: FloatArray) -> Held:
        """The problem at phi."""
        key = phi.tobytes()
        if key not in self._made:
            if len(self._made) >= _KEPT:
                self._made.pop(next(iter(self._made)))
            self._made[key] = self.make(Problems(self.search.bound(phi)))
        return self._made[key]

    def _split(self, x: FloatArray, value: float) -> tuple[FloatArray, FloatArray]:
        """Coordinates of the others, and those of phi."""
        own, phi = x[: len(x) - len(self.free)], self.phi.copy()
        phi[self.free] = x[len(own) :]
        if self.fixed is not None:
            values = self.search.scale.values(phi)
            values[self.fixed] = value
            phi[self.fixed] = self.search.scale.coordinates(values)[self.fixed]
        return own, phi

    def _joined(self, own: FloatArray, x: FloatArray) -> FloatArray:
        """Other coordinates beside those of phi in x."""
        return np.concatenate([own, x[len(x) - len(self.free) :]])

    @override
    def deviance(self, value: float) -> Deviance:
        return self._given(self.phi).deviance(value)

    @override
    def place(self, x: FloatArray, value: float) -> Placed:
        own, phi = self._split(x, value)
        return self._given(phi).place(own, value)

    @override
    def start(self, T: Sequence[FloatArray], sigma: float) -> FloatArray:
        return np.concatenate([self._given(self.phi).start(T, sigma), self.phi[self.free]])

    @override
    def lifted(self, x: FloatArray) -> FloatArray:
        own, _ = self._split(x, self.limits[0])
        return self._joined(self._given(self.phi).lifted(own), x)

    @override
    def singular(self, x: FloatArray) -> bool:
        own, _ = self._split(x, self.limits[0])
        return self._given(self.phi).singular(own)

    @override
    def elsewhere(self, x: FloatArray) -> list[FloatArray]:
        own, _ = self._split(x, self.limits[0])
        starts = [self._joined(o, x) for o in self._given(self.phi).elsewhere(own)]
        # without what a random effect and phi may take from each other
        independent = starts[0].copy()
        independent[len(own) :] = 0.0
        return [*starts, independent]

    @override
    def rivals(self, x: FloatArray, deviance: float, value: float) -> list[FloatArray]:
        """Where the deviance, at given correlations of residuals, has minima beside the found one.

        A correlation near one and a random effect can stand for each other.
        """
        own, phi = self._split(x, value)
        if not self.free or not self.search.correlated or not len(own):
            return []
        found = [(float(phi[0]), deviance, own)]
        for start in STARTS:
            first = self._point(self._given(self.phi).lifted(own), np.array([start]), value)
            if np.isfinite(first.value):
                free = np.ones(len(own), dtype=bool)
                given = self._given(np.array([start])).criterion(value)
                best = descend(given, first, free)[0]
                found.append((start, best.value, best.x))
        found.sort(key=lambda f: f[0])
        values = [math.inf, *(f[1] for f in found), math.inf]
        return [
            np.append(at, start)
            for i, (start, least, at) in enumerate(found)
            if least < min(values[i], values[i + 2]) and least != deviance
        ]

    @override
    def criterion(self, value: float) -> Callable[[FloatArray], Point]:
        def evaluate(x: FloatArray) -> Point:
            own, phi = self._split(x, value)
            if (np.abs(phi) > END).any():
                return Point.outside(x)
            here = self._point(own, phi, value)
            near = [self._near(own, phi, value, i) for i in self.free]
            values = np.array([[p.value for p in points] for points in near]).reshape(-1, 4)
            if not np.isfinite(here.value + values.sum()):
                return Point.outside(x)
            slopes = values @ [-1.0, 8.0, -8.0, 1.0] / (12.0 * _STEP)

            def curvature() -> FloatArray:
                return self._curvature(own, phi, value, here, near)

            return Point(x, here.value, np.append(here.gradient, slopes), curvature)

        return evaluate

    @override
    def slope(self, x: FloatArray, value: float) -> float:
        own, phi = self._split(x, value)
        if self.fixed is None:
            return self._given(phi).slope(own, value)
        values = [p.value for p in self._near(own, phi, value, self.fixed)]
        by_coordinate = np.dot(values, [-1.0, 8.0, -8.0, 1.0]) / (12.0 * _STEP)
        return float(by_coordinate / self.search.scale.slope(phi)[self.fixed])

    @override
    def spread(self, x: FloatArray, value: float) -> float:
        """Standard error given phi, or of one of phi given all else: for a first step."""
        own, phi = self._split(x, value)
        if self.fixed is None:
            return self._given(phi).spread(own, value)
        points = [self._point(own, phi, value), *self._near(own, phi, value, self.fixed)]
        bend = np.dot([p.value for p in points], [-30.0, -1.0, 16.0, 16.0, -1.0])
        bend /= 12.0 * _STEP**2
        slope = float(self.search.scale.slope(phi)[self.fixed])
        return slope * math.sqrt(2.0 / bend) if bend > 0.0 else math.nan

    def _point(self, own: FloatArray, phi: FloatArray, value: float) -> Point:
        return self._given(phi).criterion(value)(own)

    def _near(self, own: FloatArray, phi: FloatArray, value: float, i: int) -> list[Point]:
        """The deviance two steps and one step up, one and two down, in coordinate i of phi."""
        step = _STEP * np.eye(len(phi))[i]
        return [self._point(own, phi + m * step, value) for m in (2.0, 1.0, -1.0, -2.0)]

    def _curvature(
        self,
        own: FloatArray,
        phi: FloatArray,
        value: float,
        here: Point,
        near: Sequence[Sequence[Point]],
    ) -> FloatArray:
        """Expected in the others, observed in phi."""
        m = len(own)
        H = np.zeros((m + len(self.free),) * 2)
        H[:m, :m] = here.curvature()
        for a, points in enumerate(near):
            up, down = points[1], points[2]
            H[:m, m + a] = H[m + a, :m] = (up.gradient - down.gradient) / (2.0 * _STEP)
            values = [p.value for p in points]
            bend = np.dot(values, [-1.0, 16.0, 16.0, -1.0]) - 30.0 * here.value
            H[m + a, m + a] = bend / (12.0 * _STEP**2)
            for b in range(a):
                mixed = 0.0
                for s in (1.0, -1.0):
                    for t in (1.0, -1.0):
                        moved = phi.copy()
                        moved[self.free[a]] += s * _STEP
                        moved[self.free[b]] += t * _STEP
                        mixed += s * t * self._point(own, moved, value).value
                H[m + a, m + b] = H[m + b, m + a] = mixed / (4.0 * _STEP**2)
        return H


class StructuredProblems:
    """The held parameters of a design with a residual structure; those of phi come last."""

    def __init__(self, design: Design, estimate: Estimate) -> None:
        self.search = ResidualSearch(design, "ML", None)
        self.phi = self.search.scale.coordinates(estimate.residual_values)
        self.plain = Problems(self.search.bound(self.phi))

    def held(self, position: int) -> Held:
        """The problem of one of `parameter_names`."""
        which = position - self.plain.size
        if which >= 0:
            return HeldStructured(self.search, Problems.nothing, self.phi, which)
        return HeldStructured(self.search, lambda problems: problems.held(position), self.phi)

    def escapes(self, position: int) -> list[Held]:
        """The SDs of a correlation, either of which may be zero instead."""

        def made(i: int) -> Held:
            return HeldStructured(self.search, lambda p: p.escapes(position)[i], self.phi)

        return [made(i) for i in range(len(self.plain.escapes(position)))]
