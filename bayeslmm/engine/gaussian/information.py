"""Average information: a curvature of the criterion for the price of a few solves.

For entry (r, c) of T_k, dV/dT V^-1(y - X beta) = Z_k w with w_j = e_r u_jc + T e_c g_jr,
g_j = Z_j'We, and the average information is AI = (1/2) w'Z'PZw. With the eliminated
factor folded into S (see `criterion`) the part of Z'PZ between columns of the
remainder is (S - S Lambda M^-1 Lambda' S)/sigma^2, and only the directions of the
eliminated factor itself need its levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import solve_triangular

from bayeslmm.design.design import BoolArray
from bayeslmm.engine.blocks import FloatArray, eliminated_directions
from bayeslmm.engine.gaussian.criterion import Factorisation, Solution, scale_rows


def average_information(
    f: Factorisation, s: Solution, patterns: Sequence[BoolArray], sigma2: float
) -> tuple[FloatArray, FloatArray]:
    """Average information of the free entries of every T, and with log sigma.

    Parameters
    ----------
    f : Factorisation
    s : Solution
        In the order of the cross-products, as are ``patterns``.
    patterns : sequence of ndarray of bool
    sigma2 : float
        Working scale.

    Returns
    -------
    AI : ndarray, shape (k, k)
    cross : ndarray, shape (k,)
        With log sigma at fixed T; its own entry is 2 r^2 / sigma^2.
    """
    cp, q, mm = f.cp, f.cp.q_rest, f.cp.q_rest + f.cp.p
    columns, own, cross = [], [], []
    eliminated = 0
    if cp.levels[0]:
        entries = np.argwhere(patterns[0])
        eliminated = len(entries)
        w = _directions(f.T[0], s.u[0], s.g[0], entries)
        reach, square = eliminated_directions(
            f.T[0], cp.A, cp.start, cp.column, cp.value, cp.dense, w, mm
        )
        columns.append(reach)
        own.append(square)
        cross.append(np.einsum("ijk,jk->i", w, s.g[0]))
    W = np.zeros((q, sum(int(p.sum()) for p in patterns[1:])))
    first, at = 0, 0
    for k in range(1, len(f.T)):
        entries = np.argwhere(patterns[k])
        w = _directions(f.T[k], s.u[k], s.g[k], entries)
        J, K = cp.levels[k], cp.widths[k]
        W[first : first + J * K, at : at + len(entries)] = w.reshape(len(entries), -1).T
        cross.append(np.einsum("ijk,jk->i", w, s.g[k]))
        first, at = first + J * K, at + len(entries)
    SW = f.S[:mm, :q] @ W
    reach = np.hstack([*(c.T for c in columns), SW])
    scaled = scale_rows(reach, cp, tuple(t.T for t in f.T))
    h = solve_triangular(f.L[:mm, :mm], scaled, lower=True, check_finite=False)
    direct = np.zeros((reach.shape[1],) * 2)
    if eliminated:
        direct[:eliminated, :eliminated] = own[0]
        direct[:eliminated, eliminated:] = reach[:q, :eliminated].T @ W
        direct[eliminated:, :eliminated] = direct[:eliminated, eliminated:].T
    direct[eliminated:, eliminated:] = W.T @ SW[:q]
    return (direct - h.T @ h) / (2.0 * sigma2), np.concatenate([*cross, np.empty(0)]) / sigma2


def _directions(T: FloatArray, u: FloatArray, g: FloatArray, entries: FloatArray) -> FloatArray:
    """w of each entry (r, c), shape (entries, J, K)."""
    w = np.empty((len(entries), *u.shape))
    for i, (r, c) in enumerate(entries):
        w[i] = np.outer(g[:, r], T[:, c])
        w[i, :, r] += u[:, c]
    return w
