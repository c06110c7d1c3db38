"""The way back: from the solved remainder to the quantities of each level."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.blocks.level import backward, factor_level, forward, invert
from bayeslmm.engine.compiled import kernel


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
        backward(L, E, b)
    for a in range(K):
        for b in range(K):
            s = 1.0 if a == b else 0.0
            for c in range(K):
                s += AT[a, c] * T[b, c]
            M[a, b] = s
    invert(M, Y)


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
        factor_level(A, i, T, AT, L)
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
        forward(L, T, rest, 0, u, i)
        backward(L, u, i)
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
