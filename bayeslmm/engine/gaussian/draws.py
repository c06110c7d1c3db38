"""Exact draws of fixed and random effects given the variance parameters."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from bayeslmm.arrays import FloatArray
from bayeslmm.engine.blocks import draw_levels
from bayeslmm.engine.gaussian.criterion import Factorisation, scale_rows


def draw_effects(
    f: Factorisation, sigma: float, rng: np.random.Generator
) -> tuple[FloatArray, list[FloatArray]]:
    """One draw of (beta, u) ~ N(v, sigma^2 M^-1), as coefficients of the working columns.

    Parameters
    ----------
    f : Factorisation
    sigma : float
        On the working scale.
    rng : numpy.random.Generator

    Returns
    -------
    beta : ndarray, shape (p,)
    b : list of ndarray, each (J, K)
        In the order of the cross-products.
    """
    cp, q, mm = f.cp, f.cp.q_rest, f.cp.q_rest + f.cp.p
    right = f.Ly + sigma * rng.standard_normal(mm)
    v = solve_triangular(f.L, right, lower=True, trans="T", check_finite=False)
    coefficients = scale_rows(v[:, None], cp, f.T)[:, 0]
    drawn: list[FloatArray] = []
    for e in reversed(range(len(f.chain))):
        c, T = f.chain[e], f.T[e]
        noise = sigma * rng.standard_normal((cp.levels[e], cp.widths[e]))
        rest = c.dense[:, -1] - np.einsum("jdk,d->jk", c.dense[:, -1 - cp.p : -1], v[q:])
        first = 0
        for n, above in enumerate(drawn):
            width = above.shape[1]
            part = c.dense[:, first : first + width]
            rest -= np.einsum("jdk,jd->jk", part, above[c.parents[n]])
            first += width
        b = draw_levels(T, c.A, c.start, c.column, c.value, rest, coefficients, noise)
        drawn.insert(0, b)
    outside = [coefficients[at].reshape(cp.levels[k], cp.widths[k]) for k, at in cp.remainder]
    return v[q:], [*drawn, *outside]
