"""The plain road of `newton.descend` for a small model, in one compiled call.

The same steps by the same rules, as long as the curvature is positive definite and the
search ends in the open; anything else goes back to `descend`, at the point reached.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.compiled import kernel
from bayeslmm.engine.gaussian.bend import add_bend
from bayeslmm.engine.gaussian.small_problem import SmallProblem

# Newton decrement (in units of the deviance) below which nothing is left to gain.
DECREMENT = 1e-12
# Below this one, rounding of the value hides what the gradient still sees: a step may
# raise the value by this share of it, and the walk ends when decrements stop shrinking.
ROUNDING = 1e-6
SLACK = 1e-11
# Secants may be too stiff along a ridge, so the end is judged by curvature evaluated anew:
# a decrement below this one is an end.
SLIGHT = 1e-8
# Below this decrement the curvature is improved by secants instead of evaluated anew.
CLOSE = 0.05
# A step changes no entry by more than this, or by more than its own size.
LONGEST = 2.0
# Curvature whose pivots differ by more than this needs its eigenvalues looked at.
UNEVEN = 1e-4
SHRINK = (1.0, 0.5, 0.2, 0.05, 0.01, 1e-3)


@kernel
def _step(H: FloatArray, gradient: FloatArray, room: float, step: FloatArray) -> float:
    """Newton step; its decrement, or -1 where H or the step's length need more care."""
    k = len(gradient)
    L = np.empty((k, k))
    lowest, highest, longest, decrement = np.inf, 0.0, 0.0, 0.0
    for i in range(k):
        for j in range(i + 1):
            s = H[i, j]
            for t in range(j):
                s -= L[i, t] * L[j, t]
            if i == j:
                if not s > 0.0:
                    return -1.0
                L[i, i] = np.sqrt(s)
                lowest, highest = min(lowest, L[i, i]), max(highest, L[i, i])
            else:
                L[i, j] = s / L[j, j]
    if k > 0 and not lowest > UNEVEN * highest:
        return -1.0
    for i in range(k):
        s = -gradient[i]
        for j in range(i):
            s -= L[i, j] * step[j]
        step[i] = s / L[i, i]
    for i in range(k - 1, -1, -1):
        s = step[i]
        for j in range(i + 1, k):
            s -= L[j, i] * step[j]
        step[i] = s / L[i, i]
    for i in range(k):
        longest = max(longest, abs(step[i]))
        decrement -= 0.5 * gradient[i] * step[i]
    return decrement if longest <= room else -1.0


@kernel
def _secant(H: FloatArray, s: FloatArray, y: FloatArray) -> None:
    """As `newton.secant`, in place."""
    k = len(s)
    Hs = np.zeros(k)
    curved, expected = 0.0, 0.0
    for i in range(k):
        for j in range(k):
            Hs[i] += H[i, j] * s[j]
        curved += s[i] * y[i]
        expected += s[i] * Hs[i]
    if expected <= 0.0:
        return
    mix = 1.0
    if curved < 0.2 * expected:
        mix = 0.8 * expected / (expected - curved)
        curved = mix * curved + (1.0 - mix) * expected
    for i in range(k):
        for j in range(k):
            a = mix * y[i] + (1.0 - mix) * Hs[i]
            b = mix * y[j] + (1.0 - mix) * Hs[j]
            H[i, j] += a * b / curved - Hs[i] * Hs[j] / expected


@kernel
def _criterion(
    logdet: float,
    r2: float,
    G: FloatArray,
    R: FloatArray,
    df: float,
    constant: float,
    gradient: FloatArray,
    trace: FloatArray,
) -> float:
    """Deviance with sigma profiled out, its gradient, and a row of the trace."""
    value, largest = np.inf, 0.0
    if r2 > 0.0:
        value = logdet + df * np.log(r2) + constant
    for i in range(len(gradient)):
        gradient[i] = 2.0 * G[i] - 2.0 * df / r2 * R[i] if r2 > 0.0 else 0.0
        largest = max(largest, abs(gradient[i]))
    trace[0], trace[1] = value, largest
    return value


@kernel
def small_descend(
    evaluate: Any,
    x: FloatArray,
    given: SmallProblem,
    constant: float,
    factor: IntArray,
    row: IntArray,
    column: IntArray,
    first: IntArray,
    trace: FloatArray,
) -> Any:
    """Descend the profiled deviance from ``x``.

    Parameters
    ----------
    evaluate : Pointer
        To `small_evaluate`.
    x : ndarray, shape (k,)
        Changed: the point reached.
    given : SmallProblem
    constant : float
        What log |M| + df log r^2 leaves out of the deviance.
    factor, row, column, first : ndarray
        See `Layout.entries`.
    trace : ndarray, shape (evaluations, 2)
        Filled with (criterion, largest gradient entry); its length bounds the walk.

    Returns
    -------
    ended : bool
        Whether the walk ended as `descend` would; else that has to go on from x.
    count : int
        Evaluations.
    value : float
    gradient, H : ndarray
        At x; H the curvature there.
    found : tuple
        What `small_evaluate` gave there.
    """
    k, count, n_shrink = len(x), 1, len(SHRINK)
    step, moved, change = np.empty(k), np.empty(k), np.empty(k)
    gradient, slope, trial, H = np.empty(k), np.empty(k), np.empty(k), np.empty((k, k))
    found = evaluate(x, given, 0.0, True)
    value = _criterion(*found[:4], given.df, constant, gradient, trace[0])
    renew, exact, judged, before, ended = True, True, False, np.inf, False
    while value < np.inf and count + n_shrink < len(trace):
        room = LONGEST
        for i in range(k):
            room = max(room, abs(x[i]))
        if renew:
            H[:] = found[4]
            add_bend(x, gradient, factor, row, column, first, H)
        decrement = _step(H, gradient, room, step)
        if decrement < 0.0:
            break
        if judged and decrement < SLIGHT:
            ended = True
            break
        if judged:
            before = np.inf
        over = decrement < DECREMENT or (decrement < ROUNDING and decrement > 0.5 * before)
        before = decrement
        longest, reached, tries = 1.0, np.inf, 0
        for i in range(k):
            longest = max(longest, abs(step[i]) / max(LONGEST, abs(x[i])))
        highest = value + (SLACK * abs(value) if decrement < ROUNDING else 0.0)
        other = found
        while not over and not reached <= highest and tries < n_shrink:
            for i in range(k):
                trial[i] = x[i] + SHRINK[tries] / longest * step[i]
            other = evaluate(trial, given, 0.0, True)
            reached = _criterion(*other[:4], given.df, constant, slope, trace[count])
            count += 1
            tries += 1
        if reached <= highest:
            renew = decrement > CLOSE
            exact, judged = renew, False
            for i in range(k):
                moved[i], change[i] = trial[i] - x[i], slope[i] - gradient[i]
                x[i], gradient[i] = trial[i], slope[i]
            found, value = other, reached
            if not renew:
                _secant(H, moved, change)
        elif exact:
            ended = over
            break
        else:
            renew, exact, judged = True, True, True
    return ended, count, value, gradient, H, found
