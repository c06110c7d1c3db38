"""Where the search starts: variances by moments, from cross-products alone."""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.engine.gaussian.crossproducts import CrossProducts
from bayeslmm.engine.gaussian.parameters import Layout

# SDs over the residual's outside this range are poor places to start from.
_RANGE = (0.05, 10.0)
# Share of the variance about the fixed part that the residual keeps at least.
_RESIDUAL = 0.1


def moment_start(cp: CrossProducts, layout: Layout) -> FloatArray:
    """Diagonal T by analysis of variance, a column of Z at a time.

    With r_j = Z_j'W(y - X b), b by least squares, and v the variance about X b,
    E sum_j r_j^2 / A_j = J v + tau^2 sum_j A_j but for other effects, which adds to v.

    Returns
    -------
    ndarray
        Free entries of T, in the order of the layout.
    """
    q, p = cp.q_rest, cp.p
    X, y = cp.S[q:-1, q:-1], cp.S[q:-1, -1]
    beta = np.linalg.solve(X, y) if p else np.empty(0)
    rss = float(cp.S[-1, -1] - y @ beta)
    v = rss / max(cp.n - p, 1)
    contrast = np.append(-beta, 1.0)
    variances, left = [], rss
    for k in range(len(cp.levels)):
        if k < len(cp.chain):
            c = cp.chain[k]
            A = np.einsum("jkk->jk", c.A)
            r = np.einsum("jdk,d->jk", c.dense[:, -p - 1 :], contrast)
        else:
            at = dict(cp.remainder)[k]
            A = np.diag(cp.S)[at].reshape(cp.levels[k], cp.widths[k])
            r = (contrast @ cp.S[q:, at]).reshape(A.shape)
        total = A.sum(axis=0)
        squares = np.divide(r**2, A, out=np.full_like(A, v), where=A > 0).sum(axis=0)
        tau2 = np.maximum(squares - len(A) * v, 0.0) / np.where(total > 0, total, 1.0)
        left -= float(tau2 @ total)
        variances.append(tau2)
    residual = max(left, _RESIDUAL * rss) / max(cp.n - p, 1)
    T = [np.empty((0, 0))] * len(variances)
    for k, tau2 in zip(cp.order, variances, strict=True):
        T[k] = np.diag(np.clip(np.sqrt(tau2 / residual), *_RANGE))
    return layout.pack(T)
