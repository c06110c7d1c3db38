"""Draws of the effects of eliminated levels, given all other columns."""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.blocks.level import backward, factor_level, forward
from bayeslmm.engine.compiled import kernel


@kernel
def draw_levels(
    T: FloatArray,
    A: FloatArray,
    start: IntArray,
    column: IntArray,
    value: FloatArray,
    rest: FloatArray,
    coefficients: FloatArray,
    noise: FloatArray,
) -> FloatArray:
    """Draw every level's effects T u, u ~ N(D^-1 T'r, s^2 D^-1), given all other columns.

    Parameters
    ----------
    T, A, start, column, value
        As `eliminate` found them.
    rest : ndarray, shape (J, K)
        Z_i'Wy less the part of ancestors and fixed columns; changed.
    coefficients : ndarray
        Of the remainder's columns.
    noise : ndarray, shape (J, K)
        Independent N(0, s^2).
    """
    J, K = A.shape[0], T.shape[0]
    AT, L, u = np.empty((K, K)), np.zeros((K, K)), np.empty((1, K))
    out = np.empty((J, K))
    for i in range(J):
        factor_level(A, i, T, AT, L)
        for e in range(start[i], start[i + 1]):
            x = coefficients[column[e]]
            for c in range(K):
                rest[i, c] -= value[e, c] * x
        forward(L, T, rest, i, u, 0)
        for c in range(K):
            u[0, c] += noise[i, c]
        backward(L, u, 0)
        for a in range(K):
            s = 0.0
            for c in range(a + 1):
                s += T[a, c] * u[0, c]
            out[i, a] = s
    return out
