"""Elimination of a factor most of whose levels meet most other columns.

The same quantities as `elimination` and `walking_back`, by matrix products over all
levels at once: where couplings are nearly full, LAPACK and BLAS outrun a walk over sparse
entries. The symbols are those of the package; ``B`` has shape (J, K, m), response last.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray


def eliminate_full(T: FloatArray, A: FloatArray, B: FloatArray, S: FloatArray) -> float:
    """Subtract sum_i B_i'T (T'A_iT + I)^-1 T'B_i from S, in place; sum of log-determinants."""
    L = np.linalg.cholesky(_D(T, A))
    V = np.linalg.solve(L, T.T @ B).reshape(-1, B.shape[2])
    S -= V.T @ V
    return 2.0 * float(np.log(np.einsum("jkk->jk", L)).sum())


def walk_back_full(
    T: FloatArray, A: FloatArray, B: FloatArray, C: FloatArray, v: FloatArray
) -> Any:
    """Quantities of each level, once the remainder is solved.

    As `walk_back` but for the last two; B times Lambda of the remainder, C symmetric.
    """
    J, K, m = B.shape[0], B.shape[1], B.shape[2] - 1
    Dinv = np.linalg.inv(_D(T, A))
    columns = np.ascontiguousarray(B[:, :, :m])
    E = T @ Dinv
    X, Y = E @ T.T, np.linalg.inv(A @ (T @ T.T) + np.eye(K))
    W = columns @ (columns.reshape(-1, m) @ C).reshape(J, K, m).transpose(0, 2, 1)
    YW = Y @ W
    rest = B[:, :, m] - columns @ v
    u = (Dinv @ (rest @ T)[:, :, None])[:, :, 0]
    g = (Y @ rest[:, :, None])[:, :, 0]
    G = (A @ E - YW @ E).sum(axis=0)
    ZPZ = (Y @ A - YW @ Y.transpose(0, 2, 1)).sum(axis=0)
    return u, g, X + X @ W @ X, G, ZPZ


def _D(T: FloatArray, A: FloatArray) -> FloatArray:
    return T.T @ A @ T + np.eye(len(T))
