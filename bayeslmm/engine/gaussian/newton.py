"""Descent by Newton-like steps: expected curvature far away, secant updates close by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import lapack

from bayeslmm.arrays import BoolArray, FloatArray, IntArray
from bayeslmm.engine.gaussian.descent import (
    CLOSE,
    DECREMENT,
    LONGEST,
    ROUNDING,
    SHRINK,
    SLACK,
    SLIGHT,
    UNEVEN,
)
from bayeslmm.engine.gaussian.objective import Point, gradient_differences

type Criterion = Callable[[FloatArray], Point]

# Curvature far below this one is rounding: the criterion does not depend on the entry.
NOTHING = 1e-2
# Evaluations after which a walk is given up.
MOST = 200


def newton_step(
    H: FloatArray, gradient: FloatArray, room: float = np.inf
) -> tuple[FloatArray, float]:
    """Step -H^-1 g and decrement g'H^-1 g / 2.

    Where H is not positive definite or the step longer than ``room``, eigenvalues are
    made positive and the step along each eigenvector is cut to ``room``.
    """
    if len(gradient) == 0:
        return gradient, 0.0
    factor, step, info = lapack.dposv(H, -gradient)
    if info == 0:
        pivots = factor.diagonal()
        if pivots.min() > UNEVEN * pivots.max() and np.abs(step).max() <= room:
            return step, -0.5 * float(gradient @ step)
    values, vectors = np.linalg.eigh(H)
    floor = 1e-10 * max(float(np.abs(values).max()), NOTHING)
    along = vectors.T @ gradient
    damped = np.maximum(np.abs(values), floor)
    step = -vectors @ np.clip(along / damped, -room, room)
    return step, 0.5 * float(np.sum(along**2 / damped))


def descend(
    criterion: Criterion, start: Point, free: BoolArray, most: int = MOST
) -> tuple[Point, FloatArray]:
    """Walk from a point to where the decrement is rounding; free entries only.

    Returns
    -------
    Point
    H : ndarray
        Curvature in the free entries there.
    """
    at, point = np.flatnonzero(free).astype(np.int64), start
    part = np.ix_(at, at)
    H, exact, differenced = point.curvature()[part], True, False
    before = np.inf
    for _ in range(most):
        room = max(LONGEST, float(np.abs(point.x).max(initial=0.0)))
        step, decrement = newton_step(H, point.gradient[at], room)
        ended = decrement < DECREMENT or (decrement < ROUNDING and decrement > 0.5 * before)
        before = decrement
        following = None if ended else _search(criterion, point, at, step, decrement)
        if following is None:
            if exact and (ended or differenced):
                break
            if exact:
                # expected curvature can be far too small where T is nearly singular
                H, differenced = gradient_differences(criterion, point.x, free), True
                before = np.inf
                continue
            H, exact = point.curvature()[part], True
            if newton_step(H, point.gradient[at])[1] < SLIGHT:
                break
            before = np.inf
            continue
        exact, differenced = decrement > CLOSE, False
        if exact:
            H = following.curvature()[part]
        else:
            moved = (following.x - point.x)[at]
            H = secant(H, moved, (following.gradient - point.gradient)[at])
        point = following
    return point, H


def _search(
    criterion: Criterion, point: Point, at: IntArray, step: FloatArray, decrement: float
) -> Point | None:
    """The first shortened step that lowers the criterion."""
    longest = 1.0
    for d, v in zip(step.tolist(), point.x[at].tolist(), strict=True):
        longest = max(longest, abs(d) / max(LONGEST, abs(v)))
    slack = SLACK * abs(point.value) if decrement < ROUNDING else 0.0
    for shrink in SHRINK:
        x = point.x.copy()
        x[at] += (shrink / longest) * step
        trial = criterion(x)
        if trial.value <= point.value + slack:
            return trial
    return None


def secant(H: FloatArray, s: FloatArray, y: FloatArray) -> FloatArray:
    """BFGS update of H, damped so that it stays positive definite."""
    Hs = H @ s
    curved, expected = float(s @ y), float(s @ Hs)
    if expected <= 0.0:
        return H
    if curved < 0.2 * expected:
        mix = 0.8 * expected / (expected - curved)
        y = mix * y + (1.0 - mix) * Hs
        curved = float(s @ y)
    return H - np.outer(Hs, Hs) / expected + np.outer(y, y) / curved


def quasi_newton(criterion: Criterion, x: FloatArray, scale: float) -> FloatArray:
    """L-BFGS on the criterion over ``scale``: the second way, needing no curvature."""
    if len(x) == 0:
        return x

    def scaled(x: FloatArray) -> tuple[float, FloatArray]:
        point = criterion(x)
        return point.value / scale, point.gradient / scale

    # only MAP comes here, and the import is not free
    from scipy.optimize import minimize

    options = {"ftol": 1e-10, "gtol": 1e-7, "maxiter": 2000, "maxcor": 20}
    found: Any = minimize(scaled, x, jac=True, method="L-BFGS-B", options=options)  # type: ignore[call-overload]
    return np.asarray(found.x, dtype=np.float64)
