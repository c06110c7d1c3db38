"""From a starting vector to a certified optimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayeslmm.arrays import BoolArray, FloatArray
from bayeslmm.engine.gaussian.boundary import false_boundary, settle_zeros
from bayeslmm.engine.gaussian.bounds import Bounds
from bayeslmm.engine.gaussian.constrained import AT_END, Within, descend_within
from bayeslmm.engine.gaussian.moments import moment_start
from bayeslmm.engine.gaussian.newton import newton_step, quasi_newton
from bayeslmm.engine.gaussian.objective import Objective, Point
from bayeslmm.engine.gaussian.search import Search
from bayeslmm.engine.gaussian.small_problem import SmallProblem
from bayeslmm.outcomes import FitStatus

# A Newton decrement that no report would show; beyond it the fit has failed.
_FAILED = 1e-6
# Curvature below this share of the largest, on the scale of the entries, is called flat.
_FLAT = 1e-9
# SDs over the residual's from which to try again when the first search ends on a boundary.
_STARTS = (1.0, 0.1, 5.0)
# A better optimum is better by more than rounding.
_BETTER = 1e-8


@dataclass(frozen=True, eq=False, slots=True)
class Optimum:
    """Where the search ended.

    ``point`` vector, criterion and solution there; ``free`` entries not held at zero;
    ``decrement`` Newton decrement; ``status``; ``evaluations``; ``trace`` of
    (criterion, largest gradient entry).
    """

    point: Point
    free: BoolArray
    decrement: float
    status: FitStatus
    evaluations: int
    trace: tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False, slots=True)
class _Candidate:
    point: Point
    free: BoolArray
    H: FloatArray


def minimise(
    objective: Objective,
    *,
    joint: bool,
    start: FloatArray | None = None,
    small: SmallProblem | None = None,
    bounds: Bounds | None = None,
) -> Optimum:
    """Minimise an objective over its variance parameters.

    Parameters
    ----------
    objective : Objective
    joint : bool
        Over (T, log sigma) as MAP needs, instead of T with sigma profiled out.
    start : ndarray, optional
        Free entries of T to start from.
    small : SmallProblem, optional
        See `Search`.
    bounds : Bounds, optional
        Ends of Uniform priors; with ``joint`` only. Where the optimum without them lies
        outside, it is sought between them.
    """
    search = Search(objective, joint=joint, small=small)
    if start is None:
        start = moment_start(objective.cp, objective.layout)
    # a density without its ends may rise for ever: the search then comes back from there
    with np.errstate(over="ignore"):
        best, status, decrement = _best(search, start)
    point, free = best.point, best.free
    if bounds is not None and not _inside(bounds, point.x):
        within = _best_within(search, bounds, point.x)
        point, free = within.point, within.free
        status, decrement = _judged_within(within)
    return Optimum(
        point=point,
        free=free,
        decrement=decrement,
        status=status,
        evaluations=len(search.trace),
        trace=tuple(search.trace),
    )


def _best(search: Search, start: FloatArray) -> tuple[_Candidate, FitStatus, float]:
    """The optimum from a start, and from others where that is not an ordinary one."""
    best = _from(search, start)
    status, decrement = _judged(best)
    if status is not FitStatus.CONVERGED:
        for ratio in _STARTS:
            other = _from(search, ratio * search.objective.layout.start())
            if other.point.value < best.point.value - _BETTER:
                best = other
                status, decrement = _judged(best)
    return best, status, decrement


def _inside(bounds: Bounds, x: FloatArray) -> bool:
    return bool(np.isfinite(x).all() and (bounds.slack(x) >= -AT_END).all())


def _best_within(search: Search, bounds: Bounds, x: FloatArray) -> Within:
    """The best mode between the ends of priors, from an optimum outside and from far away."""
    start = search.objective.layout.start()
    starts = [np.nan_to_num(x), *(np.append(ratio * start, 0.0) for ratio in _STARTS)]
    found = [descend_within(search, bounds, x) for x in starts]
    return min(found, key=lambda w: w.point.value if w.excess < AT_END else np.inf)


def _judged_within(found: Within) -> tuple[FitStatus, float]:
    """As `_judged`, along the ends that are reached."""
    _, decrement = newton_step(found.H, found.slope)
    if not np.isfinite(found.point.value) or not decrement <= _FAILED or found.excess > AT_END:
        return FitStatus.FAILED, decrement
    if found.reached.any():
        return FitStatus.AT_END, decrement
    return (FitStatus.CONVERGED if found.free.all() else FitStatus.SINGULAR), decrement


def _from(search: Search, x: FloatArray) -> _Candidate:
    """The optimum reached from free entries of T."""
    objective = search.objective
    if search.joint:
        f = objective.factorise(objective.layout.unpack(x))
        sigma = objective.best_sigma(f) if f is not None else 1.0
        # expected curvature is there for the likelihood only, so priors start with L-BFGS
        x = np.append(x, np.log(max(sigma, 1e-8)))
        x = quasi_newton(search, x, float(objective.cp.n))
    best = _settled(search, x)
    while True:
        escape = false_boundary(search, best.point.x, best.free)
        if escape is None:
            return best
        other = _settled(search, escape)
        if not other.point.value < best.point.value - _BETTER:
            return best
        best = other


def _settled(search: Search, x: FloatArray) -> _Candidate:
    point, H = search.descend(x)
    return _Candidate(*settle_zeros(search, point, H))


def _judged(candidate: _Candidate) -> tuple[FitStatus, float]:
    """What became of the search, and the Newton decrement left."""
    at = np.flatnonzero(candidate.free)
    _, decrement = newton_step(candidate.H, candidate.point.gradient[at])
    if not np.isfinite(candidate.point.value) or not decrement <= _FAILED:
        return FitStatus.FAILED, decrement
    if len(at) < len(candidate.free):
        return FitStatus.SINGULAR, decrement
    if len(at) == 0:
        return FitStatus.CONVERGED, decrement
    curvature = np.linalg.eigvalsh(candidate.H)
    # along a ridge the criterion curves by what is left of its slope, and by no more
    x, slope = candidate.point.x[at], candidate.point.gradient[at]
    ridge = 2.0 * float(np.linalg.norm(slope)) / max(float(np.linalg.norm(x)), 1e-300)
    if curvature[0] < max(_FLAT * curvature[-1], ridge):
        return FitStatus.FLAT, decrement
    return FitStatus.CONVERGED, decrement
