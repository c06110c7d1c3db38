"""Curvature that the slope in T T' adds to the average information."""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.compiled import kernel

# A pivot of T at most this large has no inverse worth having.
_NO_INVERSE = 1e-8


@kernel
def add_bend(
    x: FloatArray,
    gradient: FloatArray,
    factor: IntArray,
    row: IntArray,
    column: IntArray,
    first: IntArray,
    H: FloatArray,
) -> None:
    """Add the positive semidefinite part of -4 N = dev' T^-1, term by term, to H.

    Parameters
    ----------
    x, gradient : ndarray, shape (k,)
        Free entries of every T, and the derivative of the criterion in them.
    factor, row, column, first : ndarray, shape (k,)
        See `Layout.entries`.
    H : ndarray, shape (k, k)
        Changed.
    """
    k, start = len(x), 0
    while start < k:
        # entries of one term need not stand together, but its first pivot comes first
        n = 0
        for e in range(k):
            if factor[e] == factor[start] and first[e] == first[start]:
                n = max(n, row[e] - first[e] + 1)
        seen = False
        for e in range(start):
            seen = seen or (factor[e] == factor[start] and first[e] == first[start])
        if not seen:
            _add_term(x, gradient, factor, row, column, first, start, n, H)
        start += 1


@kernel
def _add_term(
    x: FloatArray,
    gradient: FloatArray,
    factor: IntArray,
    row: IntArray,
    column: IntArray,
    first: IntArray,
    start: int,
    n: int,
    H: FloatArray,
) -> None:
    k, at = len(x), first[start]
    T, g = np.zeros((n, n)), np.zeros((n, n))
    for e in range(k):
        if factor[e] == factor[start] and first[e] == at:
            T[row[e] - at, column[e] - at] = x[e]
            g[row[e] - at, column[e] - at] = gradient[e]
    for a in range(n):
        if not abs(T[a, a]) > _NO_INVERSE:
            return
    # X T = gradient: X is symmetric, so what is below the diagonal determines it
    X = np.empty((n, n))
    for a in range(n - 1, -1, -1):
        for c in range(a, -1, -1):
            s = g[a, c]
            for e in range(c + 1, n):
                s -= X[a, e] * T[e, c]
            X[a, c] = s / T[c, c]
            X[c, a] = X[a, c]
    V = np.empty((n, n))
    _eigen(X, V)
    for a in range(k):
        if factor[a] != factor[start] or first[a] != at:
            continue
        for b in range(k):
            if factor[b] == factor[start] and first[b] == at and column[a] == column[b]:
                s = 0.0
                for e in range(n):
                    s += V[row[a] - at, e] * max(X[e, e], 0.0) * V[row[b] - at, e]
                H[a, b] += s


@kernel
def _eigen(M: FloatArray, V: FloatArray) -> None:
    """Jacobi rotations: eigenvalues onto the diagonal of M, eigenvectors into columns of V."""
    n = len(M)
    for a in range(n):
        for b in range(n):
            V[a, b] = 1.0 if a == b else 0.0
    for _ in range(60):
        off, size = 0.0, 0.0
        for a in range(n):
            size += M[a, a] * M[a, a]
            for b in range(a):
                off += M[a, b] * M[a, b]
        if off <= 1e-32 * size:
            return
        for a in range(n):
            for b in range(a):
                if M[a, b] == 0.0:
                    continue
                turn = 0.5 * (M[b, b] - M[a, a]) / M[a, b]
                t = 1.0 / (abs(turn) + np.sqrt(turn * turn + 1.0))
                if turn < 0.0:
                    t = -t
                c = 1.0 / np.sqrt(t * t + 1.0)
                s = t * c
                for i in range(n):
                    x, y = M[i, a], M[i, b]
                    M[i, a], M[i, b] = c * x - s * y, s * x + c * y
                for i in range(n):
                    x, y = M[a, i], M[b, i]
                    M[a, i], M[b, i] = c * x - s * y, s * x + c * y
                for i in range(n):
                    x, y = V[i, a], V[i, b]
                    V[i, a], V[i, b] = c * x - s * y, s * x + c * y
