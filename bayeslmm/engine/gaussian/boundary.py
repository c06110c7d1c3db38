"""Optima at which a covariance matrix is singular: exact zeros, and their certificate.

T may change sign column by column without changing the criterion, so a zero on its
diagonal is an interior point of an even function: no bounds are needed, but the
gradient there vanishes whether or not zero is best. The certificate is the form N:
to first order the log likelihood gains tr(N d(TT')), so at a true boundary N is
negative semidefinite on the null space of T'.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayeslmm.arrays import BoolArray, FloatArray
from bayeslmm.engine.gaussian.newton import Criterion, descend
from bayeslmm.engine.gaussian.objective import Point
from bayeslmm.engine.gaussian.parameters import Layout, lower_factor, term_blocks
from bayeslmm.engine.gaussian.search import Search

# Diagonal entries of T (working scale) below this are tried at zero.
_NEAR_ZERO = 2e-2
# A row of T with a pivot of zero and no entry above this is zero.
_TRACE = 1e-7
# What setting one to zero may cost, in units of the deviance.
_FREE_OF_CHARGE = 1e-8


type Walk = Callable[[Criterion, Point, BoolArray], tuple[Point, FloatArray]]
"""From a point to the end of a search over the free entries, and the curvature there."""


def settle_zeros(
    search: Search, point: Point, H: FloatArray, walk: Walk = descend
) -> tuple[Point, BoolArray, FloatArray]:
    """Hold at zero every diagonal entry of T that is next to zero, where that costs nothing.

    Returns
    -------
    Point, free entries, curvature in them
    """
    layout = search.objective.layout
    free = np.ones(len(point.x), dtype=bool)
    if not (np.abs(point.x[layout.diagonal]) < _NEAR_ZERO).any():
        return point, free, H
    canonical = point.x.copy()
    canonical[: layout.size] = layout.pack(
        [
            lower_factor(T) * p
            for T, p in zip(layout.unpack(point.x[: layout.size]), layout.patterns, strict=True)
        ]
    )
    near = [int(i) for i in layout.diagonal if abs(canonical[i]) < _NEAR_ZERO]
    for i in sorted(near, key=lambda i: abs(canonical[i])):
        trial_x, trial_free = canonical.copy(), free.copy()
        for j in (i, *_below(layout, i)):
            trial_x[j], trial_free[j] = 0.0, False
        trial, trial_H = walk(search, search(trial_x), trial_free)
        if trial.value <= point.value + _FREE_OF_CHARGE + 1e-12 * abs(point.value):
            point, free, H, canonical = trial, trial_free, trial_H, trial.x
    tidy = search(_without_traces(layout, point.x))
    if tidy.value <= point.value + _FREE_OF_CHARGE:
        point = tidy
    return point, free, H


def _without_traces(layout: Layout, x: FloatArray) -> FloatArray:
    """The vector with rows of T that are zero but for rounding, pivot included, exactly zero."""
    T = layout.unpack(x[: layout.size])
    for t in T:
        t[(np.diag(t) == 0.0) & (np.abs(t).max(axis=1) < _TRACE)] = 0.0
    return np.append(layout.pack(T), x[layout.size :])


def _below(layout: Layout, position: int) -> list[int]:
    """Positions of the free entries below a diagonal entry, in its column."""
    at = 0
    for p in layout.patterns:
        rows, columns = np.nonzero(p)
        if position < at + len(rows):
            column = columns[position - at]
            return [int(at + i) for i in np.flatnonzero((columns == column) & (rows > column))]
        at += len(rows)
    return []


def false_boundary(search: Search, x: FloatArray, free: BoolArray) -> FloatArray | None:
    """A start off the boundary in a direction that improves, or None at a true boundary."""
    if free.all():
        return None
    objective, joint, layout = search.objective, search.joint, search.objective.layout
    T = layout.unpack(x[: layout.size])
    f = objective.factorise(T, float(np.exp(x[-1])) if joint else 1.0)
    if f is None:
        return None
    sigma = float(np.exp(x[-1])) if joint else objective.best_sigma(f)
    s = objective.solve(f, given_fixed=not objective.reml, curvature=True)
    moved = False
    for k, (t, p) in enumerate(zip(T, layout.patterns, strict=True)):
        N = 0.5 * (s.gg[k] / sigma**2 - s.ZPZ[k])
        for block in term_blocks(p):
            square = np.ix_(block, block)
            if not (np.diag(t)[block] == 0.0).any():
                continue
            direction = _ascent(N[square], t[square], float(np.abs(s.ZPZ[k]).max()))
            if direction is not None:
                T[k][square] = lower_factor(np.hstack([t[square], 0.1 * direction[:, None]]))
                moved = True
    if not moved:
        return None
    start = x.copy()
    start[: layout.size] = layout.pack(T)
    return start


def _ascent(N: FloatArray, t: FloatArray, size: float) -> FloatArray | None:
    """Unit direction in the null space of t' along which the likelihood rises, if any."""
    values, vectors = np.linalg.eigh(t @ t.T)
    null = vectors[:, values <= 1e-10 * max(float(values.max()), 1e-300)]
    gains, directions = np.linalg.eigh(null.T @ N @ null)
    if not len(gains) or gains[-1] <= 1e-8 * max(1.0, size):
        return None
    return np.asarray(null @ directions[:, -1])
