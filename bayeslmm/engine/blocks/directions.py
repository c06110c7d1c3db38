"""Vectors on a factor's columns, folded into the columns that remain."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.blocks.level import backward, factor_level, forward
from bayeslmm.engine.compiled import kernel


@kernel
def fold_directions(
    T: FloatArray,
    A: FloatArray,
    start: IntArray,
    column: IntArray,
    value: FloatArray,
    dense: FloatArray,
    pushed: FloatArray,
    w: FloatArray,
    remainder: FloatArray,
) -> Any:
    """Fold vectors on a factor's columns into the columns that remain.

    Parameters
    ----------
    T, A, start, column, value, dense
        As in `walk_back`.
    pushed : ndarray, shape (o, J, K)
        Vectors Qw of directions in factors eliminated before.
    w : ndarray, shape (d, J, K)
        Directions in this factor.
    remainder : ndarray, shape (o + d, m)
        Their parts in the remainder's columns; sparse couplings are added.

    Returns
    -------
    square : ndarray, shape (o + d, o + d)
        What this factor adds to w'(Q - Q Lambda M^-1 Lambda'Q)w.
    onward : ndarray, shape (o + d, J, dense columns without the response)
        What each level adds to the vectors on its ancestors' and the fixed columns.
    """
    old, J, K = pushed.shape
    total, columns = old + len(w), dense.shape[1] - 1
    AT, L = np.empty((K, K)), np.zeros((K, K))
    square = np.zeros((total, total))
    r, h, back, moved = np.empty((total, K)), np.empty((total, K)), np.empty((1, K)), np.empty(K)
    onward = np.zeros((total, J, columns))
    for i in range(J):
        if K == 1:
            # the same in scalars: T (T'AT + 1)^-1 T' is X
            t = T[0, 0]
            X = t * t / (1.0 + t * A[i, 0, 0] * t)
            for a in range(total):
                x = w[a - old, i, 0] if a >= old else 0.0
                r[a, 0] = A[i, 0, 0] * x if a >= old else pushed[a, i, 0]
                moved[0] = x - X * r[a, 0]
                for e in range(start[i], start[i + 1]):
                    remainder[a, column[e]] += value[e, 0] * moved[0]
                for b in range(columns):
                    onward[a, i, b] = dense[i, b, 0] * moved[0]
            for a in range(total):
                for b in range(total):
                    s = -X * r[a, 0] * r[b, 0]
                    if b >= old:
                        s += r[a, 0] * w[b - old, i, 0]
                    elif a >= old:
                        s += r[b, 0] * w[a - old, i, 0]
                    square[a, b] += s
            continue
        factor_level(A, i, T, AT, L)
        for a in range(total):
            for c in range(K):
                if a < old:
                    r[a, c] = pushed[a, i, c]
                else:
                    s = 0.0
                    for e in range(K):
                        s += A[i, c, e] * w[a - old, i, e]
                    r[a, c] = s
            forward(L, T, r, a, h, a)
            for c in range(K):
                back[0, c] = h[a, c]
            backward(L, back, 0)
            for c in range(K):
                s = w[a - old, i, c] if a >= old else 0.0
                for e in range(K):
                    s -= T[c, e] * back[0, e]
                moved[c] = s
            for e in range(start[i], start[i + 1]):
                s = 0.0
                for c in range(K):
                    s += value[e, c] * moved[c]
                remainder[a, column[e]] += s
            for b in range(columns):
                s = 0.0
                for c in range(K):
                    s += dense[i, b, c] * moved[c]
                onward[a, i, b] = s
        for a in range(total):
            for b in range(total):
                s = 0.0
                for c in range(K):
                    s -= h[a, c] * h[b, c]
                    if b >= old:
                        s += r[a, c] * w[b - old, i, c]
                    elif a >= old:
                        s += r[b, c] * w[a - old, i, c]
                square[a, b] += s
    return square, onward
