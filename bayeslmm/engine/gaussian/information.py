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
from scipy.linalg import blas, solve_triangular

from bayeslmm.arrays import BoolArray, FloatArray, IntArray
from bayeslmm.engine.blocks import fold_directions
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
    w = [
        _directions(T, u, g, np.argwhere(p))
        for T, u, g, p in zip(f.T, s.u, s.g, patterns, strict=True)
    ]
    cross = np.array([float(np.vdot(x, g)) for ws, g in zip(w, s.g, strict=True) for x in ws])
    total = len(cross)
    form = np.zeros((total, total))
    reach, old = _fold_chain(f, w, form)
    W = np.zeros((q, total - old))
    at_column = 0
    for k, at in cp.remainder:
        W[at, at_column : at_column + len(w[k])] = w[k].reshape(len(w[k]), -1).T
        at_column += len(w[k])
    padded = np.zeros((mm + 1, total - old), order="F")
    padded[:q] = W
    reach[old:] = blas.dsymm(1.0, f.S.T, padded, lower=0)[:mm].T
    form[:old, old:] += reach[:old, :q] @ W
    form[old:, :old] = form[:old, old:].T
    form[old:, old:] += W.T @ reach[old:, :q].T
    scaled = np.asfortranarray(scale_rows(reach.T, cp, tuple(t.T for t in f.T)))
    if s.C is not None and mm:
        folded = scaled.T @ blas.dsymm(1.0, s.C.T, scaled, lower=0)
    else:
        h = solve_triangular(f.L, scaled, lower=True, check_finite=False)
        folded = h.T @ h
    return (form - folded) / (2.0 * sigma2), cross / sigma2


def _fold_chain(f: Factorisation, w: list[FloatArray], form: FloatArray) -> tuple[FloatArray, int]:
    """Fold the directions of the chain into the remainder's columns; their part into ``form``."""
    cp, mm = f.cp, f.cp.q_rest + f.cp.p
    reach = np.zeros((len(form), mm))
    pushed = {e: np.zeros((len(form), cp.levels[e], cp.widths[e])) for e in range(1, len(f.chain))}
    old = 0
    for e, c in enumerate(f.chain):
        seen = old + len(w[e])
        before = pushed[e][:old] if e else np.empty((0, cp.levels[0], cp.widths[0]))
        square, onward = fold_directions(
            f.T[e], c.A, c.start, c.column, c.value, c.dense, before, w[e], reach[:seen]
        )
        form[:seen, :seen] += square
        first = 0
        for n, up in enumerate(range(e + 1, len(f.chain))):
            K = cp.widths[up]
            for d in range(seen):
                for r in range(K):
                    pushed[up][d, :, r] += np.bincount(
                        c.parents[n], onward[d, :, first + r], minlength=cp.levels[up]
                    )
            first += K
        reach[:seen, cp.q_rest :] += onward[:, :, first:].sum(axis=1)
        old = seen
    return reach, old


def _directions(T: FloatArray, u: FloatArray, g: FloatArray, entries: IntArray) -> FloatArray:
    """Directions w of each entry (r, c), shape (entries, J, K)."""
    w = np.empty((len(entries), *u.shape))
    for i, (r, c) in enumerate(entries):
        w[i] = np.outer(g[:, r], T[:, c])
        w[i, :, r] += u[:, c]
    return w
