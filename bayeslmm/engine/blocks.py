"""Elimination of block-diagonal factors, and what they give back.

For one grouping factor the matrix M = Lambda' Z'WZ Lambda + I has one small
block a level. This module eliminates those blocks from the cross-products of
everything else and, after the dense remainder has been factorised, walks back
to the quantities of each level. A factor in which every eliminated one is
nested (an *ancestor*: pupil, then class, then school) keeps its blocks, so
elimination goes up the chain. Nothing here knows of likelihoods.

Symbols, for level i with K effects: A_i = Z_i'WZ_i; B_i = Z_i'W[other columns];
c_i = Z_i'Wy; D_i = T'A_iT + I = L_i L_i'; V_i = L_i^-1 T'B_i.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from bayeslmm.arrays import FloatArray, IntArray


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
    skip: int,
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
        Dense columns of every B_i, ending with the last columns of S.
    skip : int
        Leading dense columns that are not columns of S (those of ancestors).
    S : ndarray, shape (m, m)
        Cross-products of the remainder; changed.

    Returns
    -------
    float
        sum_i log |T'A_iT + I|.
    """
    J, K = A.shape[0], T.shape[0]
    d, m = dense.shape[1] - skip, S.shape[0]
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
            _forward(L, T, dense[i, skip + a], V[k + a])
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
def update_ancestor(
    T: FloatArray,
    A: FloatArray,
    start: IntArray,
    value: FloatArray,
    dense: FloatArray,
    parent: IntArray,
    place: IntArray,
    first: int,
    A_up: FloatArray,
    value_up: FloatArray,
    dense_up: FloatArray,
) -> None:
    """What `eliminate` does to the cross-products of one ancestor, in place.

    Parameters
    ----------
    T, A, start, value, dense
        Of the eliminated factor.
    parent : ndarray, shape (J,)
        The ancestor's level that holds each level.
    place : ndarray, shape (nnz,)
        Where each sparse entry stands in the ancestor's own.
    first : int
        First of the ancestor's columns in ``dense``; those after them are the
        ancestor's own dense columns.
    A_up, value_up, dense_up : ndarray
        The ancestor's cross-products; changed.
    """
    J, K, K_up = A.shape[0], T.shape[0], A_up.shape[1]
    AT, L = np.empty((K, K)), np.zeros((K, K))
    V, v = np.empty((K_up, K)), np.empty(K)
    for i in range(J):
        _factor_level(A[i], T, AT, L)
        j = parent[i]
        for a in range(K_up):
            _forward(L, T, dense[i, first + a], V[a])
        for a in range(K_up):
            for b in range(K_up):
                s = 0.0
                for c in range(K):
                    s += V[a, c] * V[b, c]
                A_up[j, a, b] -= s
        for e in range(start[i], start[i + 1]):
            _forward(L, T, value[e], v)
            for a in range(K_up):
                s = 0.0
                for c in range(K):
                    s += V[a, c] * v[c]
                value_up[place[e], a] -= s
        for t in range(dense_up.shape[1]):
            _forward(L, T, dense[i, first + K_up + t], v)
            for a in range(K_up):
                s = 0.0
                for c in range(K):
                    s += V[a, c] * v[c]
                dense_up[j, t, a] -= s


@njit(cache=True)
def _apply_inverse(
    P: FloatArray,
    at: IntArray,
    F: FloatArray,
    out: FloatArray,
    sparse: int,
    first: int,
    i: int,
    up: Any,
) -> None:
    """Multiply F by the unscaled inverse among a level's columns: sparse, ancestors, fixed.

    The blocks of ancestors lie in flat arrays (see `walk_back`), since each has its own shape.
    """
    parents, places, widths, own, own_base = up[:5]
    by_value, value_base, by_dense, dense_base, dense_width = up[5:10]
    k, K = at.shape[0], F.shape[1]
    reach = 0
    for a in range(len(widths)):
        reach += widths[a]
    for a in range(k):
        for c in range(K):
            out[a, c] = 0.0
        if sparse <= a < sparse + reach:
            continue
        row = P[at[a]]
        for b in range(sparse):
            x = row[at[b]]
            for c in range(K):
                out[a, c] += x * F[b, c]
        for b in range(sparse + reach, k):
            x = row[at[b]]
            for c in range(K):
                out[a, c] += x * F[b, c]
    local = sparse
    for n in range(len(widths)):
        j, width = parents[n, i], widths[n]
        for r in range(width):
            here = local + r
            for b in range(width):
                x = own[own_base[n] + (j * width + r) * width + b]
                for c in range(K):
                    out[here, c] += x * F[local + b, c]
            for b in range(sparse):
                x = by_value[value_base[n] + places[n, first + b] * width + r]
                for c in range(K):
                    out[here, c] += x * F[b, c]
                    out[b, c] += x * F[here, c]
            for b in range(local + width, k):
                t = b - local - width
                x = by_dense[dense_base[n] + (j * dense_width[n] + t) * width + r]
                for c in range(K):
                    out[here, c] += x * F[b, c]
                    out[b, c] += x * F[here, c]
        local += width


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
    up: Any,
    curvature: bool,
    keep: bool,
) -> Any:
    """Quantities of each level, once the remainder and its ancestors are solved.

    Parameters
    ----------
    T, A, start, column, value, dense
        As `eliminate` found them; the last dense column is c_i, the response.
    P : ndarray, shape (m, m)
        Lambda C Lambda' of the remainder without the response: its inverse on
        the scale of the columns. Rows of columns to condition on are zero.
    coefficients : ndarray, shape (m,)
        Coefficients of those columns.
    up : tuple
        Of the ancestors, each flattened one after the other: parents (n, J),
        places (n, nnz), widths, own blocks of P and their offsets, P by sparse
        entry and offsets, P by dense column and offsets, number of dense columns,
        coefficients and offsets.
    curvature : bool
        Whether the second part of N is needed.
    keep : bool
        Whether descendants will need this factor's part of P.

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
    by_value, by_dense : ndarray, shapes (nnz, K), (J, d, K)
        P between the level's columns and its others (empty unless ``keep``).
    """
    parents, _, widths = up[:3]
    coef, coef_base = up[10:]
    J, K = A.shape[0], T.shape[0]
    d, m = dense.shape[1] - 1, P.shape[0]
    reach = 0
    for n in range(len(widths)):
        reach += widths[n]
    AT, L = np.empty((K, K)), np.zeros((K, K))
    widest = 0
    for i in range(J):
        widest = max(widest, start[i + 1] - start[i])
    B, F = np.empty((widest + d, K)), np.empty((widest + d, K))
    H, HB = np.empty((widest + d, K)), np.zeros((widest + d, K))
    at = np.zeros(widest + d, np.int64)
    u, g, C = np.zeros((J, K)), np.zeros((J, K)), np.zeros((J, K, K))
    G, R, N = np.zeros((K, K)), np.zeros((K, K)), np.zeros((2, K, K))
    by_value = np.zeros((len(value) if keep else 0, K))
    by_dense = np.zeros((J if keep else 0, d, K))
    rest, ATC = np.empty(K), np.empty((K, K))
    for i in range(J):
        _factor_level(A[i], T, AT, L)
        sparse = start[i + 1] - start[i]
        k = sparse + d
        rest[:] = dense[i, d]
        for a in range(sparse):
            at[a] = column[start[i] + a]
            B[a] = value[start[i] + a]
            x = coefficients[at[a]]
            for c in range(K):
                rest[c] -= B[a, c] * x
        local = sparse
        for n in range(len(widths)):
            for r in range(widths[n]):
                x = coef[coef_base[n] + parents[n, i] * widths[n] + r]
                B[local] = dense[i, local - sparse]
                for c in range(K):
                    rest[c] -= B[local, c] * x
                local += 1
        for a in range(local - sparse, d):
            at[sparse + a] = m - d + a
            B[sparse + a] = dense[i, a]
            x = coefficients[at[sparse + a]]
            for c in range(K):
                rest[c] -= B[sparse + a, c] * x
        for a in range(k):
            _forward(L, T, B[a], F[a])
            _backward(L, F[a])
        _forward(L, T, rest, u[i])
        _backward(L, u[i])
        for a in range(K):
            s = rest[a]
            for c in range(K):
                s -= AT[a, c] * u[i, c]
            g[i, a] = s
        _apply_inverse(P, at[:k], F, H, sparse, start[i], i, up)
        if curvature:
            _apply_inverse(P, at[:k], B, HB, sparse, start[i], i, up)
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
        if keep:
            for a in range(k):
                for c in range(K):
                    s = 0.0
                    for e in range(K):
                        s -= T[c, e] * H[a, e]
                    if a < sparse:
                        by_value[start[i] + a, c] = s
                    else:
                        by_dense[i, a - sparse, c] = s
    return u, g, C, G, R, N, by_value, by_dense


@njit(cache=True)
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
    r, h, back, moved = np.empty((total, K)), np.empty((total, K)), np.empty(K), np.empty(K)
    onward = np.zeros((total, J, columns))
    for i in range(J):
        _factor_level(A[i], T, AT, L)
        for a in range(total):
            for c in range(K):
                if a < old:
                    r[a, c] = pushed[a, i, c]
                else:
                    s = 0.0
                    for e in range(K):
                        s += A[i, c, e] * w[a - old, i, e]
                    r[a, c] = s
            _forward(L, T, r[a], h[a])
            back[:] = h[a]
            _backward(L, back)
            for c in range(K):
                s = w[a - old, i, c] if a >= old else 0.0
                for e in range(K):
                    s -= T[c, e] * back[e]
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
