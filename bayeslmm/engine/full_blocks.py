"""Elimination of a factor most of whose levels meet most other columns.

The same quantities as `blocks`, by matrix products over all levels at once: where
couplings are nearly full, LAPACK and BLAS outrun a walk over sparse entries. The
symbols are those of `blocks`; ``B`` has shape (J, K, m), response last.
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
    T: FloatArray,
    A: FloatArray,
    B: FloatArray,
    P: FloatArray,
    coefficients: FloatArray,
    curvature: bool,
) -> Any:
    """Quantities of each level, once the remainder is solved; as `blocks.walk_back`."""
    J, K, m = B.shape[0], B.shape[1], B.shape[2] - 1
    Dinv = np.linalg.inv(_D(T, A))
    columns = np.ascontiguousarray(B[:, :, :m])
    F = Dinv @ (T.T @ columns)
    H = (F.reshape(-1, m) @ P).reshape(J, K, m)
    rest = B[:, :, m] - columns @ coefficients
    AT = A @ T
    u = (Dinv @ (rest @ T)[:, :, None])[:, :, 0]
    g = rest - (AT @ u[:, :, None])[:, :, 0]
    C = Dinv + F @ H.transpose(0, 2, 1)
    G = (AT @ C).sum(axis=0) - np.tensordot(columns, H, axes=([0, 2], [0, 2]))
    N = np.zeros((2, K, K))
    N[0] = g.T @ g
    if curvature:
        BP = (columns.reshape(-1, m) @ P).reshape(J, K, m)
        cross = AT @ H @ columns.transpose(0, 2, 1)
        N[1] = (A - AT @ C @ AT.transpose(0, 2, 1) + cross + cross.transpose(0, 2, 1)).sum(axis=0)
        N[1] -= np.tensordot(BP, columns, axes=([0, 2], [0, 2]))
    return u, g, C, G, g.T @ u, N


def _D(T: FloatArray, A: FloatArray) -> FloatArray:
    return T.T @ A @ T + np.eye(len(T))
