"""Elimination of a block-diagonal factor, and what it gives back.

For one grouping factor the matrix M = Lambda' Z'WZ Lambda + I has one small
block a level. This module eliminates those blocks from the cross-products of
everything else (other factors, fixed columns, response) and, after the dense
remainder has been factorised, walks back to the quantities of each level. It
knows nothing of likelihoods.

Symbols, for level i with K effects: A_i = Z_i'WZ_i; B_i = Z_i'W[other columns];
c_i = Z_i'Wy; D_i = T'A_iT + I = L_i L_i'; V_i = L_i^-1 T'B_i.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

type FloatArray = NDArray[np.float64]
type IntArray = NDArray[np.int64]


@njit(cache=True)
def _factor_level(A: FloatArray, T: FloatArray, AT: FloatArray, L: FloatArray) -> float:
    """Cholesky factor of T'AT + I into L, AT beside it; log-determinant returned."""
    K = T.shape[0]
    for a in range(K):
        for b in range(K):
            s = 0.0
            for c in range(K):
                s += A[a, c] * T[c, b]
            AT[a, b] = s
    logdet = 0.0
    for a in range(K):
        for b in range(a + 1):
            s = 1.0 if a == b else 0.0
            for c in range(K):
                s += T[c, a] * AT[c, b]
            for c in range(b):
                s -= L[a, c] * L[b, c]
            if a == b:
                L[a, a] = np.sqrt(s)
                logdet += np.log(s)
            else:
                L[a, b] = s / L[b, b]
    return logdet


@njit(cache=True)
def _forward(L: FloatArray, T: FloatArray, x: FloatArray, out: FloatArray) -> None:
    """Solve L out = T'x for one vector."""
    K = L.shape[0]
    for a in range(K):
        s = 0.0
        for c in range(K):
            s += T[c, a] * x[c]
        for c in range(a):
            s -= L[a, c] * out[c]
        out[a] = s / L[a, a]


@njit(cache=True)
def _backward(L: FloatArray, x: FloatArray) -> None:
    """Solve L' x = x in place."""
    K = L.shape[0]
    for a in range(K - 1, -1, -1):
        s = x[a]
        for c in range(a + 1, K):
            s -= L[c, a] * x[c]
        x[a] = s / L[a, a]


@njit(cache=True)
def mirror(S: FloatArray) -> None:
    """Copy the lower triangle of a square matrix onto its upper one, in place, tile by tile."""
    n, tile = len(S), 32
    for first in range(0, n, tile):
        last = min(first + tile, n)
        for start in range(0, first + 1, tile):
            for i in range(first, last):
                for j in range(start, min(start + tile, i)):
                    S[j, i] = S[i, j]


@njit(cache=True)
def eliminate(
    T: FloatArray,
    A: FloatArray,
    start: IntArray,
    column: IntArray,
    value: FloatArray,
    dense: FloatArray,
    S: FloatArray,
) -> float:
    """Subtract sum_i B_i'T (T'A_iT + I)^-1 T'B_i from the lower triangle of S, in place.

    Parameters
    ----------
    T : ndarray, shape (K, K)
    A : ndarray, shape (J, K, K)
    start, column, value : ndarray, shapes (J + 1,), (nnz,), (nnz, K)
        Sparse part of B_i: its columns, ascending within a level, and their values.
    dense : ndarray, shape (J, d, K)
        The last d columns of every B_i.
    S : ndarray, shape (m, m)
        Cross-products of the remainder; changed.

    Returns
    -------
    float
        sum_i log |T'A_iT + I|.
    """
    J, K = A.shape[0], T.shape[0]
    d, m = dense.shape[1], S.shape[0]
    AT, L = np.empty((K, K)), np.zeros((K, K))
    widest = 0
    for i in range(J):
        widest = max(widest, start[i + 1] - start[i])
    V, at = np.empty((widest + d, K)), np.empty(widest + d, np.int64)
    logdet = 0.0
    for i in range(J):
        logdet += _factor_level(A[i], T, AT, L)
        k = start[i + 1] - start[i]
        for a in range(k):
            at[a] = column[start[i] + a]
            _forward(L, T, value[start[i] + a], V[a])
        for a in range(d):
            at[k + a] = m - d + a
            _forward(L, T, dense[i, a], V[k + a])
        for a in range(k + d):
            row = S[at[a]]
            if K == 1:
                x = V[a, 0]
                for b in range(a + 1):
                    row[at[b]] -= x * V[b, 0]
            else:
                for b in range(a + 1):
                    s = 0.0
                    for c in range(K):
                        s += V[a, c] * V[b, c]
                    row[at[b]] -= s
    return logdet


@njit(cache=True)
def walk_back(
    T: FloatArray,
    A: FloatArray,
    start: IntArray,
    column: IntArray,
    value: FloatArray,
    dense: FloatArray,
    P: FloatArray,
    coefficients: FloatArray,
    curvature: bool,
) -> Any:
    """Quantities of each level, once the remainder is solved.

    Parameters
    ----------
    T, A, start, column, value, dense
        As in `eliminate`; the last column of ``dense`` is c_i, the response.
    P : ndarray, shape (m, m)
        Lambda C Lambda' of the remainder without the response: its inverse on
        the scale of the columns. Rows of columns to condition on are zero.
    coefficients : ndarray, shape (m,)
        Coefficients of those columns.
    curvature : bool
        Whether Y is needed.

    Returns
    -------
    u, g : ndarray, shape (J, K)
        Spherical effects, and g_i = Z_i'We.
    C : ndarray, shape (J, K, K)
        Their block of the inverse.
    G : ndarray, shape (K, K)
        sum_i of the level's diagonal block of Z'WH C, so that d log|M|/dT = 2 G.
    R : ndarray, shape (K, K)
        sum_i g_i u_i', so that d r^2/dT = -2 R.
    N : ndarray, shape (2, K, K)
        sum_i g_i g_i', and sum_i Z_i'(W - WHM^-1H'W)Z_i (zero unless ``curvature``).
    """
    J, K = A.shape[0], T.shape[0]
    d, m = dense.shape[1] - 1, P.shape[0]
    AT, L = np.empty((K, K)), np.zeros((K, K))
    widest = 0
    for i in range(J):
        widest = max(widest, start[i + 1] - start[i])
    B, F = np.empty((widest + d, K)), np.empty((widest + d, K))
    H, HB = np.empty((widest + d, K)), np.zeros((widest + d, K))
    at = np.empty(widest + d, np.int64)
    u, g, C = np.zeros((J, K)), np.zeros((J, K)), np.zeros((J, K, K))
    G, R, N = np.zeros((K, K)), np.zeros((K, K)), np.zeros((2, K, K))
    rest, ATC = np.empty(K), np.empty((K, K))
    for i in range(J):
        _factor_level(A[i], T, AT, L)
        k = start[i + 1] - start[i]
        for a in range(k):
            at[a] = column[start[i] + a]
            B[a] = value[start[i] + a]
        for a in range(d):
            at[k + a] = m - d + a
            B[k + a] = dense[i, a]
        k += d
        rest[:] = dense[i, d]
        for a in range(k):
            _forward(L, T, B[a], F[a])
            _backward(L, F[a])
            x = coefficients[at[a]]
            for c in range(K):
                rest[c] -= B[a, c] * x
        _forward(L, T, rest, u[i])
        _backward(L, u[i])
        for a in range(K):
            s = rest[a]
            for c in range(K):
                s -= AT[a, c] * u[i, c]
            g[i, a] = s
        for a in range(k):
            row = P[at[a]]
            for c in range(K):
                H[a, c] = 0.0
                HB[a, c] = 0.0
            for b in range(k):
                x = row[at[b]]
                for c in range(K):
                    H[a, c] += x * F[b, c]
                if curvature:
                    for c in range(K):
                        HB[a, c] += x * B[b, c]
        for c in range(K):
            for e in range(K):
                rest[e] = 1.0 if e == c else 0.0
            for e in range(K):
                s = rest[e]
                for f in range(e):
                    s -= L[e, f] * rest[f]
                rest[e] = s / L[e, e]
            _backward(L, rest)
            for e in range(K):
                s = rest[e]
                for a in range(k):
                    s += F[a, e] * H[a, c]
                C[i, e, c] = s
        for a in range(K):
            for c in range(K):
                s = 0.0
                for e in range(K):
                    s += AT[a, e] * C[i, e, c]
                ATC[a, c] = s
                t = 0.0
                for b in range(k):
                    t += B[b, a] * H[b, c]
                G[a, c] += s - t
                R[a, c] += g[i, a] * u[i, c]
                N[0, a, c] += g[i, a] * g[i, c]
        if curvature:
            for a in range(K):
                for c in range(K):
                    s = A[i, a, c]
                    for e in range(K):
                        s -= ATC[a, e] * AT[c, e]
                    for b in range(k):
                        bh_a, bh_c = 0.0, 0.0
                        for e in range(K):
                            bh_a += AT[a, e] * H[b, e]
                            bh_c += AT[c, e] * H[b, e]
                        s += bh_a * B[b, c] + bh_c * B[b, a] - B[b, a] * HB[b, c]
                    N[1, a, c] += s
    return u, g, C, G, R, N


@njit(cache=True)
def eliminated_directions(
    T: FloatArray,
    A: FloatArray,
    start: IntArray,
    column: IntArray,
    value: FloatArray,
    dense: FloatArray,
    w: FloatArray,
    m: int,
) -> Any:
    """Where directions in the eliminated factor lead once its levels are folded away.

    Parameters
    ----------
    T, A, start, column, value, dense
        As in `walk_back`.
    w : ndarray, shape (d, J, K)
        Directions.
    m : int
        Columns of the remainder, without the response.

    Returns
    -------
    reach : ndarray, shape (d, m)
        sum_i B_i'(I - T D_i^-1 T'A_i) w_i.
    square : ndarray, shape (d, d)
        sum_i w_i'(A_i - A_iT D_i^-1 T'A_i) w_i.
    """
    d, J, K = w.shape
    fixed = dense.shape[1] - 1
    AT, L = np.empty((K, K)), np.zeros((K, K))
    reach, square = np.zeros((d, m)), np.zeros((d, d))
    x, y, moved, Aw = np.empty(K), np.empty(K), np.empty((d, K)), np.empty((d, K))
    for i in range(J):
        _factor_level(A[i], T, AT, L)
        for a in range(d):
            for r in range(K):
                s = 0.0
                for c in range(K):
                    s += A[i, r, c] * w[a, i, c]
                Aw[a, r] = s
            _forward(L, T, Aw[a], x)
            _backward(L, x)
            for r in range(K):
                s = w[a, i, r]
                for c in range(K):
                    s -= T[r, c] * x[c]
                moved[a, r] = s
            for b in range(start[i], start[i + 1]):
                s = 0.0
                for c in range(K):
                    s += value[b, c] * moved[a, c]
                reach[a, column[b]] += s
            for b in range(fixed):
                s = 0.0
                for c in range(K):
                    s += dense[i, b, c] * moved[a, c]
                reach[a, m - fixed + b] += s
        for a in range(d):
            for b in range(d):
                s = 0.0
                for c in range(K):
                    s += Aw[a, c] * moved[b, c]
                square[a, b] += s
    return reach, square
