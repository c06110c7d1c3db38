"""Likelihood profiles: the ML deviance minimised with one parameter held, value by value.

For a parameter psi, zeta(psi) = sign(psi - estimate) sqrt(min deviance at psi - deviance
at the optimum), and its derivative is that of the deviance in psi with everything else as
it is there (the envelope theorem) over 2 zeta. So each side is walked outwards with the
cubic through the last two points as predictor, and zeta = cutoff is solved by Newton-like
steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.engine.estimate import Estimate
from bayeslmm.engine.gaussian.held import Held
from bayeslmm.engine.gaussian.held_structured import StructuredProblems
from bayeslmm.engine.gaussian.newton import descend
from bayeslmm.engine.gaussian.objective import Point
from bayeslmm.engine.gaussian.problems import Problems

# Shares of the cutoff at which zeta is wanted; the cutoff itself is solved for.
_STATIONS = (0.35, 0.7, 1.0, 1.35)
_EXACT = 1e-8
# Points of one side, and steps of one search: next to a boundary more add nothing.
_MOST, _STEPS = 80, 60
# A better optimum than the fit's is better by more than rounding, in deviance.
_BETTER = 1e-5


class ProfilePoint(NamedTuple):
    """zeta at a value of the parameter, and dzeta/dvalue (NaN where it is not known)."""

    value: float
    zeta: float
    slope: float


@dataclass(frozen=True, eq=False, slots=True)
class ProfileCurve:
    """The profile of one parameter.

    Attributes
    ----------
    name : str
    estimate : float
        By ML; NaN for the correlation of an effect whose SD is zero.
    points : tuple of ProfilePoint
        In order of the value.
    interval : tuple of float
        Where zeta is minus and plus the cutoff, or the end of the parameter's range; NaN
        where the walk did not get there.
    monotone : bool
        Whether zeta rises throughout.
    better : float
        By how much the deviance fell below that of the fit, 0 if nowhere.
    """

    name: str
    estimate: float
    points: tuple[ProfilePoint, ...]
    interval: tuple[float, float]
    monotone: bool
    better: float


def parameter_names(design: Design, variance_names: Sequence[str]) -> tuple[str, ...]:
    """Fixed effects, SDs, correlations, sigma, and the residual structure's, as reported."""
    structure = () if design.residual is None else design.residual.names
    return (*design.fixed_names, *variance_names, *structure)


@one_blas_thread
def profile_likelihood(
    design: Design,
    estimate: Estimate,
    wanted: Sequence[int],
    cutoff: float,
    watch: Callable[[Sequence[int]], Sequence[int]] | None = None,
) -> list[ProfileCurve]:
    """Profile the ML deviance.

    Parameters
    ----------
    design : Design
    estimate : Estimate
        By ML.
    wanted : sequence of int
        Positions among `parameter_names`.
    cutoff : float
        zeta at which limits are solved for: the normal quantile of the level.
    watch : callable, optional
        Takes and gives the positions, for a progress bar.
    """
    problems: Problems | StructuredProblems = Problems(design)
    if design.residual is not None:
        problems = StructuredProblems(design, estimate)
    values = np.concatenate([estimate.beta, estimate.variance_values, estimate.residual_values])
    return [
        _profile(problems, i, float(values[i]), estimate, cutoff)
        for i in (wanted if watch is None else watch(wanted))
    ]


@dataclass(frozen=True, eq=False, slots=True)
class _Knot:
    """A point of one side: |zeta|, d|zeta|/d distance, and the other parameters there."""

    value: float
    zeta: float
    slope: float
    x: FloatArray


class _Side:
    """The walk from the estimate to one side."""

    def __init__(
        self, held: Held, centre: _Knot, lowest: float, sign: int, step: float, ceiling: float
    ) -> None:
        self.held, self.lowest, self.sign, self.step = held, lowest, sign, step
        self.ceiling = ceiling
        self.limit = held.limits[0 if sign < 0 else 1]
        self.knots, self.left = [centre], _MOST
        self.better = 0.0

    @property
    def ended(self) -> bool:
        """Whether the end of the parameter's range has been reached."""
        return any(k.value == self.limit for k in self.knots)

    def evaluate(self, value: float) -> _Knot:
        """Minimise with the parameter held, from what its neighbours say; keep the point."""
        self.left -= 1
        held = self.held
        near = self._near(value)
        starts = [_guess(near, value), near[0].x, self.knots[0].x]
        point = _least(held, value, starts)
        excess = min(point.value, self.ceiling) - self.lowest
        self.better = max(self.better, -excess)
        zeta = math.sqrt(max(excess, 0.0))
        slope = math.nan
        if point.value > self.ceiling:
            slope = 0.0
        elif excess > _rounding(self.lowest) and math.isfinite(excess):
            slope = self.sign * held.slope(point.x, value) / (2.0 * zeta)
        knot = _Knot(value, zeta, slope, point.x)
        self.knots.append(knot)
        self.knots.sort(key=lambda k: self.sign * k.value)
        return knot

    def _near(self, value: float) -> list[_Knot]:
        """The two points nearest to a value, or the only one."""
        known = [k for k in self.knots if math.isfinite(k.zeta)]
        return sorted(known, key=lambda k: abs(k.value - value))[:2]

    def walk(self, cutoff: float) -> float:
        """Go past the cutoff; the value at which it is reached, the range's end, or NaN."""
        found = math.nan
        for share in _STATIONS:
            target = share * cutoff
            while self.left > 0 and not self.ended and self.knots[-1].zeta < 0.97 * target:
                self.evaluate(self._predict(target))
            if share == 1.0:
                found = self._solve(cutoff)
        return found

    def _predict(self, target: float) -> float:
        """A value beyond the last point where |zeta| may be the target."""
        last = self.knots[-1]
        gone = abs(last.value - self.knots[0].value)
        far = max(3.0 * gone, self.step)
        if last.slope > 0.0 and target > last.zeta:
            tangent = (target - last.zeta) / last.slope
            step = tangent
            if len(self.knots) > 1:
                curved = _inverse_cubic(self.knots[-2], last, target)
                if 0.5 * tangent < curved < 2.0 * tangent:
                    step = curved
        else:
            step = max(gone, self.step * target / 2.0)
        value = last.value + self.sign * min(step, far)
        if self.sign * (value - self.limit) < 0.0:
            return value
        # sigma has no value at its end
        return self.limit if self.held.name != "sigma" else 0.4 * last.value

    def _solve(self, cutoff: float) -> float:
        """The first value where |zeta| is the cutoff."""
        inside = 0
        while self.left > 0:
            for k in self.knots:
                if abs(k.zeta - cutoff) < _EXACT:
                    return k.value
            above = next((i for i, k in enumerate(self.knots) if k.zeta > cutoff), None)
            if above is None:
                if self.ended:
                    return self.limit
                self.evaluate(self._predict(cutoff))
                continue
            low, high = self.knots[above - 1], self.knots[above]
            if abs(high.value - low.value) <= 1e-14 * abs(high.value):
                return high.value
            inside += 1
            # slopes that mislead the cubic would let it creep along from one end
            creeps = inside > 2 and inside % 2 == 1
            middle = 0.5 * (low.value + high.value)
            self.evaluate(middle if creeps else _between(low, high, cutoff))
        return math.nan


def _guess(near: list[_Knot], value: float) -> FloatArray:
    """The other parameters, on the line through the two nearest points."""
    if len(near) < 2:
        return near[0].x
    share = (value - near[0].value) / (near[1].value - near[0].value)
    return np.asarray(near[0].x + share * (near[1].x - near[0].x))


def _least(held: Held, value: float, starts: list[FloatArray]) -> Point:
    """The optimum from the better of the first two starts; where in doubt, from others too."""
    criterion = held.criterion(value)

    def settled(first: Point) -> Point:
        if not np.isfinite(first.value):
            return first
        return descend(criterion, first, np.ones(len(first.x), dtype=bool), _STEPS)[0]

    firsts = [criterion(held.lifted(x)) for x in starts[:2]]
    best = settled(min(firsts, key=lambda p: p.value))
    if np.isfinite(best.value) and held.singular(best.x):
        others = [held.lifted(x) for x in (*held.elsewhere(best.x), starts[-1])]
        best = min([best, *(settled(criterion(x)) for x in others)], key=lambda p: p.value)
    rivals = held.rivals(best.x, best.value, value) if np.isfinite(best.value) else []
    return min([best, *(settled(criterion(x)) for x in rivals)], key=lambda p: p.value)


def _rounding(deviance: float) -> float:
    """What differences of deviances can tell from nothing."""
    return 1e-9 * max(1.0, abs(deviance) / 1e3)


def _inverse_cubic(a: _Knot, b: _Knot, target: float) -> float:
    """Distance beyond b at which the cubic of distance in zeta reaches the target, or NaN."""
    h, width = b.zeta - a.zeta, abs(b.value - a.value)
    if not (a.slope > 0.0 and b.slope > 0.0 and h > 0.0):
        return math.nan
    da, db = h / a.slope, h / b.slope
    u = (target - a.zeta) / h
    cubic = (u**3 - 2 * u**2 + u) * da + (3 * u**2 - 2 * u**3) * width + (u**3 - u**2) * db
    return cubic - width


def _between(low: _Knot, high: _Knot, target: float) -> float:
    """A value inside the bracket, by the cubic in zeta where it can be, else by halves."""
    width = high.value - low.value
    if not math.isfinite(high.zeta):
        return low.value + 0.5 * width
    share = (target - low.zeta) / (high.zeta - low.zeta)
    if low.slope > 0.0 and high.slope > 0.0:
        h = high.zeta - low.zeta
        da, db = h / low.slope, h / high.slope
        u = share
        at = (u**3 - 2 * u**2 + u) * da + (u**3 - u**2) * db
        at = at / abs(width) + 3 * u**2 - 2 * u**3
        if 0.0 < at < 1.0:
            return low.value + at * width
    # where the slope is not known the deviance, zeta^2, is the smoother of the two
    share = (target**2 - low.zeta**2) / (high.zeta**2 - low.zeta**2)
    return low.value + min(max(share, 0.05), 0.95) * width


def _without(problems: Problems | StructuredProblems, position: int, fit: Estimate) -> float:
    """The least deviance with an SD of a correlation at zero, where it may be anything."""
    values = [
        _least(sd, 0.0, [sd.start(fit.T, fit.sigma)]).value for sd in problems.escapes(position)
    ]
    return min(values, default=math.inf)


def _profile(
    problems: Problems | StructuredProblems,
    position: int,
    estimate: float,
    fit: Estimate,
    cutoff: float,
) -> ProfileCurve:
    held, lowest = problems.held(position), -2.0 * fit.loglik
    ceiling = _without(problems, position, fit)
    x = held.start(fit.T, fit.sigma)
    at = 0.0 if math.isnan(estimate) else estimate
    spread = held.spread(held.lifted(x), at)
    centre = _Knot(at, 0.0, 1.0 / spread if spread > 0.0 else math.nan, x)
    step = spread if math.isfinite(spread) else _some_step(held, x, at)
    sides, ends = [], []
    for sign in (-1, 1):
        side = _Side(held, centre, lowest, sign, step, ceiling)
        ends.append(at if at == side.limit else side.walk(cutoff))
        sides.append(side)
    points = [
        ProfilePoint(k.value, sign * k.zeta, k.slope)
        for sign, side in zip((-1, 1), sides, strict=True)
        for k in side.knots[1:]
        if math.isfinite(k.zeta)
    ]
    points.append(ProfilePoint(at, 0.0, _central_slope(points, at)))
    points.sort(key=lambda p: p.value)
    zetas = np.array([p.zeta for p in points])
    better = max(side.better for side in sides)
    return ProfileCurve(
        name=held.name,
        estimate=estimate,
        points=tuple(points),
        interval=(ends[0], ends[1]),
        monotone=bool((np.diff(zetas) >= -math.sqrt(_rounding(lowest))).all()),
        better=better if better > _BETTER else 0.0,
    )


def _some_step(held: Held, x: FloatArray, value: float) -> float:
    """A first step where the information at the estimate says nothing."""
    by_value = held.place(x, value).by_value
    size = float(np.nanmax(np.abs(by_value), initial=0.0))
    return min(0.3 / size if size > 0.0 else 0.3, 0.5 * (held.limits[1] - held.limits[0]))


def _central_slope(points: Sequence[ProfilePoint], at: float) -> float:
    """dzeta/dvalue at the estimate: of the polynomial through the nearest point of each side."""
    rows, right = [], []
    for sign in (-1, 1):
        side = [p for p in points if sign * (p.value - at) > 0.0]
        if not side:
            continue
        near = min(side, key=lambda p: abs(p.value - at))
        d = near.value - at
        if not near.slope > 0.0:
            continue
        powers = np.arange(1, 5)
        rows += [d**powers, powers * d ** (powers - 1)]
        right += [near.zeta, near.slope]
    if not rows:
        return math.nan
    # scaled by the distance, or powers of it would not be comparable
    scale = abs(rows[0][0])
    system = np.array(rows)[:, : len(rows)] / scale ** np.arange(1, len(rows) + 1)
    slope = float(np.linalg.solve(system, right)[0]) / scale
    return slope if slope > 0.0 else math.nan
