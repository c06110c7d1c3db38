"""The mode where Uniform priors end: a search that stays between their ends.

Sequential quadratic programming leads close to the mode. Newton steps on the
conditions of Karush, Kuhn and Tucker then give it the precision of the other fits: the
gradient is a combination of the normals of the ends that are reached, none of them
pulling inwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeslmm.arrays import BoolArray, FloatArray
from bayeslmm.engine.gaussian.boundary import settle_zeros
from bayeslmm.engine.gaussian.bounds import Bounds
from bayeslmm.engine.gaussian.newton import Criterion, newton_step
from bayeslmm.engine.gaussian.objective import Point, gradient_differences
from bayeslmm.engine.gaussian.search import Search

# Constraints with less room than this may be reached.
_NEAR = 1e-4
# What counts as exactly at an end, or not beyond it.
AT_END = 1e-10
# Largest log sigma and entries of T that a step may try.
_WIDE, _FAR = 20.0, 1e6
# Newton steps: their largest number, their length (or that of the vector), and the
# decrement at which they end.
_STEPS, _LONGEST, _ENDED = 30, 2.0, 1e-12


@dataclass(frozen=True, eq=False, slots=True)
class Within:
    """A mode between the ends of priors.

    ``H`` and ``slope`` are the curvature and the gradient along the ends that are reached,
    ``reached`` says which these are, ``free`` which entries are not held at zero, and
    ``excess`` how far the worst constraint is violated.
    """

    point: Point
    free: BoolArray
    H: FloatArray
    slope: FloatArray
    reached: BoolArray
    excess: float


def descend_within(search: Search, bounds: Bounds, x: FloatArray) -> Within:
    """The mode between the ends, from (free entries of T, log sigma)."""
    x = _programmed(search, bounds, bounds.inside(x))
    everything = np.ones(len(x), dtype=bool)
    found = _polished(search, bounds, x, everything)

    def walk(_: Criterion, start: Point, free: BoolArray) -> tuple[Point, FloatArray]:
        trial = _polished(search, bounds, start.x, free)
        point = trial.point if trial.excess < AT_END else Point.outside(start.x)
        return point, trial.H

    point, free, _ = settle_zeros(search, found.point, found.H, walk)
    return found if free.all() else _polished(search, bounds, point.x, free)


def along(
    bounds: Bounds, point: Point, free: BoolArray, reached: BoolArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Normals of the ends reached, directions along them, and multipliers.

    Returns
    -------
    J : ndarray, shape (reached, free)
    Z : ndarray, shape (free, free - reached)
        Orthonormal, J Z = 0.
    multipliers : ndarray, shape (reached,)
        With gradient = J' multipliers at a mode, none of them negative.
    """
    J = bounds.jacobian(point.x)[reached][:, free]
    if len(J) == 0:
        return J, np.eye(int(free.sum())), np.empty(0)
    _, size, V = np.linalg.svd(J)
    rank = int((size > 1e-12 * size[0]).sum())
    multipliers = np.linalg.lstsq(J.T, point.gradient[free], rcond=None)[0]
    return J, V[rank:].T, multipliers


def curvature_along(
    search: Any, bounds: Bounds, x: FloatArray, free: BoolArray, lam: FloatArray
) -> FloatArray:
    """Hessian, in the free entries, of the criterion less the constraints times ``lam``."""

    def lagrangian(x: FloatArray) -> Point:
        point = search(x)
        gradient = point.gradient - bounds.jacobian(x).T @ lam
        return Point(x, point.value, gradient, point.curvature)

    return gradient_differences(lagrangian, x, free)


def _programmed(search: Search, bounds: Bounds, x: FloatArray) -> FloatArray:
    """Close to the mode, by sequential quadratic programming."""
    from scipy.optimize import minimize

    n = float(search.objective.cp.n)

    def scaled(x: FloatArray) -> tuple[float, FloatArray]:
        point = search(x)
        return (point.value / n if np.isfinite(point.value) else 1e10), point.gradient / n

    box = [(-_FAR, _FAR)] * (len(x) - 1) + [(-_WIDE, _WIDE)]
    constraint = {"type": "ineq", "fun": bounds.slack, "jac": bounds.jacobian}
    found: Any = minimize(  # type: ignore[call-overload]
        scaled,
        x,
        jac=True,
        method="SLSQP",
        bounds=box,
        constraints=[constraint],
        options={"ftol": 1e-13, "maxiter": 500},
    )
    return np.asarray(found.x if np.isfinite(found.x).all() else x, dtype=np.float64)


def _polished(search: Search, bounds: Bounds, x: FloatArray, free: BoolArray) -> Within:
    """Newton steps until gradient and constraints vanish, over the ends that hold."""
    point = search(x)
    reached = bounds.slack(x) < _NEAR
    for _ in range(len(reached) + 1):
        point, H, slope, lam = _newton(search, bounds, point, free, reached)
        slack = bounds.slack(point.x)
        released = np.zeros_like(reached)
        released[reached] = lam < 0.0
        beyond = ~reached & (slack < -AT_END)
        if not (released | beyond).any():
            break
        reached = (reached & ~released) | beyond
    excess = max(float(-slack.min(initial=0.0)), float(np.abs(slack[reached]).max(initial=0.0)))
    return Within(point, free, H, slope, reached, excess)


def _newton(
    search: Search, bounds: Bounds, point: Point, free: BoolArray, reached: BoolArray
) -> tuple[Point, FloatArray, FloatArray, FloatArray]:
    """Newton steps with the given ends reached; curvature and slope along them, multipliers."""
    before = np.inf
    for _ in range(_STEPS):
        J, Z, multipliers = along(bounds, point, free, reached)
        lam = np.zeros(len(reached))
        lam[reached] = multipliers
        H = curvature_along(search, bounds, point.x, free, lam)
        off = bounds.slack(point.x)[reached]
        back = -np.linalg.lstsq(J, off, rcond=None)[0] if len(J) else np.zeros(len(H))
        slope, curved = Z.T @ point.gradient[free], Z.T @ H @ Z
        room = max(_LONGEST, float(np.abs(point.x).max()))
        step, decrement = newton_step(curved, slope + Z.T @ (H @ back), room)
        left = max(decrement, float(np.abs(off).max(initial=0.0)) ** 2)
        if left < _ENDED**2 or (left < _ENDED and left > 0.5 * before):
            break
        before = left
        x = point.x.copy()
        x[free] += np.clip(back, -room, room) + Z @ step
        following = search(x)
        if not np.isfinite(following.value):
            break
        point = following
    return point, curved, slope, multipliers
