"""Elimination of a factor's blocks from the cross-products of all that remains."""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.blocks.level import factor_level, forward
from bayeslmm.engine.compiled import kernel


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
        logdet += factor_level(A, i, T, AT, L)
        for a in range(k):
            at[a] = column[start[i] + a]
            forward(L, T, value, start[i] + a, V, a)
        for a in range(d):
            at[k + a] = m - d + a
            forward(L, T, flat, i * width + skip + a, V, k + a)
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
        factor_level(A, i, T, AT, L)
        j = parent[i]
        for a in range(K_up):
            forward(L, T, flat, i * width + first + a, V, a)
        for a in range(K_up):
            for b in range(K_up):
                s = 0.0
                for c in range(K):
                    s += V[a, c] * V[b, c]
                A_up[j, a, b] -= s
        for e in range(start[i], start[i + 1]):
            forward(L, T, value, e, v, 0)
            for a in range(K_up):
                s = 0.0
                for c in range(K):
                    s += V[a, c] * v[0, c]
                value_up[place[e], a] -= s
        for t in range(dense_up.shape[1]):
            forward(L, T, flat, i * width + first + K_up + t, v, 0)
            for a in range(K_up):
                s = 0.0
                for c in range(K):
                    s += V[a, c] * v[0, c]
                dense_up[j, t, a] -= s
