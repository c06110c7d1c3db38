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

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.compiled import kernel


@kernel
def _factor_level(A: FloatArray, i: int, T: FloatArray, AT: FloatArray, L: FloatArray) -> float:
    """Cholesky factor of T'A_iT + I into L, A_iT beside it; log-determinant returned."""
    K = T.shape[0]
    for a in range(K):
        for b in range(K):
            s = 0.0
            for c in range(K):
                s += A[i, a, c] * T[c, b]
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


@kernel
def _forward(L: FloatArray, T: FloatArray, x: FloatArray, r: int, out: FloatArray, o: int) -> None:
    """Solve L out = T'x, row r of x into row o of out (a view of a row would cost more)."""
    K = L.shape[0]
    for a in range(K):
        s = 0.0
        for c in range(K):
            s += T[c, a] * x[r, c]
        for c in range(a):
            s -= L[a, c] * out[o, c]
        out[o, a] = s / L[a, a]


@kernel
def _backward(L: FloatArray, x: FloatArray, r: int) -> None:
    """Solve L'x = x in place, for row r of x."""
    K = L.shape[0]
    for a in range(K - 1, -1, -1):
        s = x[r, a]
        for c in range(a + 1, K):
            s -= L[c, a] * x[r, c]
        x[r, a] = s / L[a, a]


@kernel
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
    width = dense.shape[1]
    d, m = width - skip, S.shape[0]
    flat = dense.reshape(J * width, K)
    AT, L = np.empty((K, K)), np.zeros((K, K))
    widest = 0
    for i in range(J):
        widest = max(widest, start[i + 1] - start[i])
    V, at = np.empty((widest + d, K)), np.empty(widest + d, np.int64)
    logdet = 0.0
    for i in range(J):
        k = start[i + 1] - start[i]
        if K == 1:
            D = 1.0 + T[0, 0] * A[i, 0, 0] * T[0, 0]
            logdet += np.log(D)
            scale = T[0, 0] / np.sqrt(D)
            for a in range(k):
                row, x = column[start[i] + a], scale * value[start[i] + a, 0]
                at[a], V[a, 0] = row, x
                for b in range(a + 1):
                    S[row, at[b]] -= x * V[b, 0]
            for a in range(k, k + d):
                row, x = m - d - k + a, scale * dense[i, skip + a - k, 0]
                at[a], V[a, 0] = row, x
                for b in range(a + 1):
                    S[row, at[b]] -= x * V[b, 0]
            continue
        logdet += _factor_level(A, i, T, AT, L)
        for a in range(k):
            at[a] = column[start[i] + a]
            _forward(L, T, value, start[i] + a, V, a)
        for a in range(d):
            at[k + a] = m - d + a
            _forward(L, T, flat, i * width + skip + a, V, k + a)
        for a in range(k + d):
            row = at[a]
            for b in range(a + 1):
                s = 0.0
                for c in range(K):
                    s += V[a, c] * V[b, c]
                S[row, at[b]] -= s
    return logdet


@kernel
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
    V, v = np.empty((K_up, K)), np.empty((1, K))
    width = dense.shape[1]
    flat = dense.reshape(J * width, K)
    for i in range(J):
        _factor_level(A, i, T, AT, L)
        j = parent[i]
        for a in range(K_up):
            _forward(L, T, flat, i * width + first + a, V, a)
        for a in range(K_up):
            for b in range(K_up):
                s = 0.0
                for c in range(K):
                    s += V[a, c] * V[b, c]
                A_up[j, a, b] -= s
        for e in range(start[i], start[i + 1]):
            _forward(L, T, value, e, v, 0)
            for a in range(K_up):
                s = 0.0
                for c in range(K):
                    s += V[a, c] * v[0, c]
                value_up[place[e], a] -= s
        for t in range(dense_up.shape[1]):
            _forward(L, T, flat, i * width + first + K_up + t, v, 0)
            for a in range(K_up):
                s = 0.0
                for c in range(K):
                    s += V[a, c] * v[0, c]
                dense_up[j, t, a] -= s


@kernel
def _invert(M: FloatArray, out: FloatArray) -> None:
    """Inverse of a small square matrix, which is overwritten."""
    K = M.shape[0]
    for a in range(K):
        for b in range(K):
            out[a, b] = 1.0 if a == b else 0.0
    for c in range(K):
        best = c
        for a in range(c + 1, K):
            if abs(M[a, c]) > abs(M[best, c]):
                best = a
        for b in range(K):
            M[c, b], M[best, b] = M[best, b], M[c, b]
            out[c, b], out[best, b] = out[best, b], out[c, b]
        pivot = M[c, c]
        for b in range(K):
            M[c, b] /= pivot
            out[c, b] /= pivot
        for a in range(K):
            x = M[a, c]
            if a != c and x != 0.0:
                for b in range(K):
                    M[a, b] -= x * M[c, b]
                    out[a, b] -= x * out[c, b]


@kernel
def _marginal_pieces(
    L: FloatArray,
    T: FloatArray,
    AT: FloatArray,
    E: FloatArray,
    X: FloatArray,
    Y: FloatArray,
    M: FloatArray,
) -> None:
    """E = T D^-1, X = T D^-1 T' and Y = (I + A T T')^-1 of one level, from D = L L'.

    Y is I - A X as well, which would cancel where the data outweigh the residual.
    """
    K = L.shape[0]
    for b in range(K):
        for a in range(K):
            s = T[b, a]
            for c in range(a):
                s -= L[a, c] * E[b, c]
            E[b, a] = s / L[a, a]
    for a in range(K):
        for b in range(a + 1):
            s = 0.0
            for c in range(K):
                s += E[a, c] * E[b, c]
            X[a, b] = s
            X[b, a] = s
    for b in range(K):
        _backward(L, E, b)
    for a in range(K):
        for b in range(K):
            s = 1.0 if a == b else 0.0
            for c in range(K):
                s += AT[a, c] * T[b, c]
            M[a, b] = s
    _invert(M, Y)


@kernel
def _own_product(
    C: FloatArray, at: IntArray, k: int, B: FloatArray, Q: FloatArray, W: FloatArray
) -> None:
    """W = B'CB for the k columns ``at``, from the lower triangle of C; rows ascend."""
    K = B.shape[1]
    for c in range(K):
        for e in range(K):
            W[c, e] = 0.0
    for a in range(k):
        row = at[a]
        for c in range(K):
            Q[0, c] = 0.5 * C[row, row] * B[a, c]
        for b in range(a):
            x = C[row, at[b]]
            for c in range(K):
                Q[0, c] += x * B[b, c]
        for c in range(K):
            for e in range(K):
                W[c, e] += B[a, c] * Q[0, e] + Q[0, c] * B[a, e]


@kernel
def _apply_inverse(
    C: FloatArray,
    at: IntArray,
    k: int,
    B: FloatArray,
    Q: FloatArray,
    sparse: int,
    first: int,
    i: int,
    up: Any,
) -> None:
    """Q = (inverse among a level's columns: sparse, ancestors, fixed) B.

    The blocks of ancestors lie in flat arrays (see `walk_back`), since each has its own shape.
    """
    parents, places, widths, own, own_base = up[:5]
    by_value, value_base, by_dense, dense_base, dense_width = up[5:10]
    K = B.shape[1]
    reach = 0
    for n in range(len(widths)):
        reach += widths[n]
    for a in range(k):
        for c in range(K):
            Q[a, c] = 0.0
    for a in range(k):
        if sparse <= a < sparse + reach:
            continue
        row = at[a]
        for b in range(a + 1):
            if sparse <= b < sparse + reach:
                continue
            x = C[row, at[b]]
            for c in range(K):
                Q[a, c] += x * B[b, c]
            if b < a:
                for c in range(K):
                    Q[b, c] += x * B[a, c]
    local = sparse
    for n in range(len(widths)):
        j, width = parents[n, i], widths[n]
        for r in range(width):
            here = local + r
            for b in range(width):
                x = own[own_base[n] + (j * width + r) * width + b]
                for c in range(K):
                    Q[here, c] += x * B[local + b, c]
            for b in range(sparse):
                x = by_value[value_base[n] + places[n, first + b] * width + r]
                for c in range(K):
                    Q[here, c] += x * B[b, c]
                    Q[b, c] += x * B[here, c]
            for b in range(local + width, k):
                t = b - local - width
                x = by_dense[dense_base[n] + (j * dense_width[n] + t) * width + r]
                for c in range(K):
                    Q[here, c] += x * B[b, c]
                    Q[b, c] += x * B[here, c]
        local += width


@kernel
def _walk_scalars(
    t: float,
    A: FloatArray,
    start: IntArray,
    column: IntArray,
    value: FloatArray,
    dense: FloatArray,
    C: FloatArray,
    v: FloatArray,
    up: Any,
    keep: bool,
) -> Any:
    """`walk_back` of a factor with one effect a level, in scalars."""
    parents, places, widths, own_up, own_base = up[:5]
    value_up, value_base, dense_up, dense_base, dense_width, coef, coef_base = up[5:]
    J, d, m = A.shape[0], dense.shape[1] - 1, C.shape[0]
    n_up = len(widths)
    widest = 0
    for i in range(J):
        widest = max(widest, start[i + 1] - start[i])
    B, Q, at = np.empty(widest + d), np.empty(widest + d), np.zeros(widest + d, np.int64)
    u, g, own = np.empty((J, 1)), np.empty((J, 1)), np.empty((J, 1, 1))
    G, ZPZ = np.zeros((1, 1)), np.zeros((1, 1))
    by_value = np.zeros((len(value) if keep else 0, 1))
    by_dense = np.zeros((J if keep else 0, d, 1))
    ZPZ_sum = 0.0
    for i in range(J):
        first, sparse = start[i], start[i + 1] - start[i]
        k = sparse + d
        rest = dense[i, d, 0]
        for a in range(sparse):
            j, x = column[first + a], value[first + a, 0]
            at[a], B[a] = j, x
            rest -= x * v[j]
        local = sparse
        for n in range(n_up):
            base = coef_base[n] + parents[n, i] * widths[n]
            for r in range(widths[n]):
                x = dense[i, local - sparse, 0]
                B[local] = x
                rest -= x * coef[base + r]
                local += 1
        reach = local
        for a in range(local, k):
            j, x = m - k + a, dense[i, a - sparse, 0]
            at[a], B[a] = j, x
            rest -= x * v[j]
        weight = 1.0 / (1.0 + t * A[i, 0, 0] * t)
        g[i, 0], u[i, 0] = weight * rest, t * weight * rest
        W = 0.0
        if n_up == 0 and not keep:
            for a in range(k):
                row, s = at[a], 0.0
                for b in range(a):
                    s += C[row, at[b]] * B[b]
                W += B[a] * (2.0 * s + C[row, row] * B[a])
        else:
            for a in range(k):
                Q[a] = 0.0
            for a in range(k):
                if sparse <= a < reach:
                    continue
                row, s = at[a], C[at[a], at[a]] * B[a]
                for b in range(a):
                    if b < sparse or b >= reach:
                        s += C[row, at[b]] * B[b]
                        Q[b] += C[row, at[b]] * B[a]
                Q[a] += s
            here = sparse
            for n in range(n_up):
                j, width = parents[n, i], widths[n]
                for r in range(width):
                    s, x = 0.0, B[here + r]
                    for b in range(width):
                        s += own_up[own_base[n] + (j * width + r) * width + b] * B[here + b]
                    for b in range(sparse):
                        y = value_up[value_base[n] + places[n, first + b] * width + r]
                        s += y * B[b]
                        Q[b] += y * x
                    for b in range(here + width, k):
                        q = b - here - width
                        y = dense_up[dense_base[n] + (j * dense_width[n] + q) * width + r]
                        s += y * B[b]
                        Q[b] += y * x
                    Q[here + r] += s
                here += width
            for a in range(k):
                W += B[a] * Q[a]
        X = t * t * weight
        own[i, 0, 0] = X + X * X * W
        ZPZ_sum += weight * A[i, 0, 0] - weight * weight * W
        if keep:
            for a in range(sparse):
                by_value[first + a, 0] = -X * Q[a]
            for a in range(sparse, k):
                by_dense[i, a - sparse, 0] = -X * Q[a]
    ZPZ[0, 0], G[0, 0] = ZPZ_sum, ZPZ_sum * t
    return u, g, own, G, ZPZ, by_value, by_dense


@kernel
def walk_back(
    T: FloatArray,
    A: FloatArray,
    start: IntArray,
    column: IntArray,
    value: FloatArray,
    dense: FloatArray,
    C: FloatArray,
    v: FloatArray,
    up: Any,
    keep: bool,
) -> Any:
    """Quantities of each level, once the remainder and its ancestors are solved.

    Parameters
    ----------
    T, A, start, column, dense
        As `eliminate` found them; the last dense column is c_i, the response.
    value : ndarray, shape (nnz, K)
        As `eliminate` found it, times Lambda of the remainder (`scale_entries`).
    C : ndarray, shape (m, m)
        Inverse of the remainder of M without the response, lower triangle. Rows of
        columns to condition on are zero.
    v : ndarray, shape (m,)
        Solution of the remainder: spherical effects, then fixed effects.
    up : tuple
        Of the ancestors, each flattened one after the other: parents (n, J),
        places (n, nnz), widths, ``own`` and its offsets, ``by_value`` and offsets,
        ``by_dense``, offsets and number of dense columns, coefficients and offsets.
    keep : bool
        Whether ``by_value`` and ``by_dense`` are wanted, which descendants need.

    Returns
    -------
    u, g : ndarray, shape (J, K)
        Spherical effects, and g_i = Z_i'We; u_i = T'g_i.
    own : ndarray, shape (J, K, K)
        The level's block of Lambda M^-1 Lambda'.
    G, ZPZ : ndarray, shape (K, K)
        sum_i Z_i'(W - WHM^-1H'W)Z_i T, so that d log|M|/dT = 2 G; the same without T.
    by_value, by_dense : ndarray, shapes (nnz, K), (J, d, K)
        Lambda M^-1 Lambda' between the level's columns and its others, the random
        ones of the remainder without their Lambda (empty unless ``keep``).

    Notes
    -----
    With E = T D^-1, X = E T', Y = (I + A T T')^-1 and W_i = B_i' C B_i, where C is the
    inverse among the level's other columns: g = Y (c - B'v), own = X + X W X,
    G_i = A E - Y W E, ZPZ_i = Y A - Y W Y'.
    """
    J, K = A.shape[0], T.shape[0]
    if K == 1:
        return _walk_scalars(T[0, 0], A, start, column, value, dense, C, v, up, keep)
    parents, _, widths = up[:3]
    coef, coef_base = up[10:]
    d, m = dense.shape[1] - 1, C.shape[0]
    AT, L = np.empty((K, K)), np.zeros((K, K))
    E, X, Y, M = np.empty((K, K)), np.empty((K, K)), np.empty((K, K)), np.empty((K, K))
    YW, XW = np.empty((K, K)), np.empty((K, K))
    widest = 0
    for i in range(J):
        widest = max(widest, start[i + 1] - start[i])
    B, Q, W = np.empty((widest + d, K)), np.empty((widest + d + 1, K)), np.empty((K, K))
    at = np.zeros(widest + d, np.int64)
    u, g, own = np.empty((J, K)), np.empty((J, K)), np.empty((J, K, K))
    G, ZPZ = np.zeros((K, K)), np.zeros((K, K))
    by_value = np.zeros((len(value) if keep else 0, K))
    by_dense = np.zeros((J if keep else 0, d, K))
    rest = np.empty((1, K))
    for i in range(J):
        _factor_level(A, i, T, AT, L)
        _marginal_pieces(L, T, AT, E, X, Y, M)
        sparse = start[i + 1] - start[i]
        k = sparse + d
        for c in range(K):
            rest[0, c] = dense[i, d, c]
        for a in range(sparse):
            at[a] = column[start[i] + a]
            x = v[at[a]]
            for c in range(K):
                B[a, c] = value[start[i] + a, c]
                rest[0, c] -= B[a, c] * x
        local = sparse
        for n in range(len(widths)):
            for r in range(widths[n]):
                x = coef[coef_base[n] + parents[n, i] * widths[n] + r]
                for c in range(K):
                    B[local, c] = dense[i, local - sparse, c]
                    rest[0, c] -= B[local, c] * x
                local += 1
        for a in range(local - sparse, d):
            at[sparse + a] = m - d + a
            x = v[at[sparse + a]]
            for c in range(K):
                B[sparse + a, c] = dense[i, a, c]
                rest[0, c] -= B[sparse + a, c] * x
        for a in range(K):
            s = 0.0
            for c in range(K):
                s += Y[a, c] * rest[0, c]
            g[i, a] = s
        _forward(L, T, rest, 0, u, i)
        _backward(L, u, i)
        if keep or len(widths) > 0:
            _apply_inverse(C, at, k, B, Q, sparse, start[i], i, up)
            for a in range(K):
                for c in range(K):
                    s = 0.0
                    for b in range(k):
                        s += B[b, a] * Q[b, c]
                    W[a, c] = s
        else:
            _own_product(C, at, k, B, Q, W)
        for a in range(K):
            for c in range(K):
                s, t = 0.0, 0.0
                for e in range(K):
                    s += Y[a, e] * W[e, c]
                    t += X[a, e] * W[e, c]
                YW[a, c], XW[a, c] = s, t
        for a in range(K):
            for c in range(K):
                s, t, z = X[a, c], 0.0, 0.0
                for e in range(K):
                    s += XW[a, e] * X[e, c]
                    t += Y[a, e] * A[i, e, c] - YW[a, e] * Y[c, e]
                    z += A[i, a, e] * E[e, c] - YW[a, e] * E[e, c]
                own[i, a, c] = s
                ZPZ[a, c] += t
                G[a, c] += z
        if keep:
            for a in range(k):
                for c in range(K):
                    s = 0.0
                    for e in range(K):
                        s -= X[c, e] * Q[a, e]
                    if a < sparse:
                        by_value[start[i] + a, c] = s
                    else:
                        by_dense[i, a - sparse, c] = s
    return u, g, own, G, ZPZ, by_value, by_dense


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
        _factor_level(A, i, T, AT, L)
        for a in range(total):
            for c in range(K):
                if a < old:
                    r[a, c] = pushed[a, i, c]
                else:
                    s = 0.0
                    for e in range(K):
                        s += A[i, c, e] * w[a - old, i, e]
                    r[a, c] = s
            _forward(L, T, r, a, h, a)
            for c in range(K):
                back[0, c] = h[a, c]
            _backward(L, back, 0)
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
        _factor_level(A, i, T, AT, L)
        for e in range(start[i], start[i + 1]):
            x = coefficients[column[e]]
            for c in range(K):
                rest[i, c] -= value[e, c] * x
        _forward(L, T, rest, i, u, 0)
        for c in range(K):
            u[0, c] += noise[i, c]
        _backward(L, u, 0)
        for a in range(K):
            s = 0.0
            for c in range(a + 1):
                s += T[a, c] * u[0, c]
            out[i, a] = s
    return out
