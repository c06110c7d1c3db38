"""Unconstrained coordinates of the marginal posterior, to T and back to the gradient.

The coordinates are those of `marginal`; its prior with the Jacobian is computed on the way.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.compiled import kernel
from bayeslmm.engine.gaussian.densities import log_density


class Spec(NamedTuple):
    """Where each coordinate belongs, for the compiled functions.

    ``sd_start``: first SD of each factor, then their number. ``codes``, ``arguments``,
    ``bounds``: densities of the SDs and of sigma (see `densities`). ``first``, ``row``,
    ``column``: factor and place of each partial correlation; ``block``: first column of
    its term. ``shape``: of its Beta prior. ``maps``: R of each factor, padded.
    ``entry_*``: see `Layout.entries`. ``scale``: sigma over that on the working scale.
    """

    sd_start: IntArray
    codes: IntArray
    arguments: FloatArray
    bounds: FloatArray
    of: IntArray
    row: IntArray
    column: IntArray
    block: IntArray
    shape: FloatArray
    maps: FloatArray
    entry_factor: IntArray
    entry_row: IntArray
    entry_column: IntArray
    scale: float


@kernel
def expand(x: FloatArray, spec: Spec) -> Any:
    """Free entries of T at coordinates x, and what `collect` needs to come back.

    Returns
    -------
    theta : ndarray, shape (k,)
        Free entries of the working T, lower triangular.
    Ts, Ls : ndarray, shape (factors, K, K)
        diag(sd) L / sigma, and L of the correlations, both on the user's scale.
    sds : ndarray
    sigma : float
        On the working scale.
    log_prior : float
        With the Jacobian, without constants.
    slope : ndarray, shape (size,)
        Its derivative in the coordinates.
    """
    n_sd, n_partial = len(spec.codes) - 1, len(spec.of)
    n_factors, K_max = spec.maps.shape[0], spec.maps.shape[1]
    log_prior, slope = 0.0, np.zeros(len(x))
    values = np.empty(n_sd + 1)
    for i in range(n_sd + 1):
        at = i if i < n_sd else n_sd + n_partial
        low, high = spec.bounds[i, 0], spec.bounds[i, 1]
        if high < np.inf:
            share = 1.0 / (1.0 + np.exp(-x[at]))
            value = low + (high - low) * share
            by_x = (high - low) * share * (1.0 - share)
            log_prior += np.log(by_x)
            slope[at] = 1.0 - 2.0 * share
        else:
            by_x = np.exp(x[at])
            value = low + by_x
            log_prior += x[at]
            slope[at] = 1.0
        moving, derivative = log_density(
            spec.codes[i], spec.arguments[i, 0], spec.arguments[i, 1], value
        )
        log_prior += moving
        slope[at] += derivative * by_x
        values[i] = value
    Ls = np.zeros((n_factors, K_max, K_max))
    left = np.ones((n_factors, K_max))
    for i in range(n_partial):
        f, r, c, y = spec.of[i], spec.row[i], spec.column[i], x[n_sd + i]
        z = np.tanh(y)
        # log(1 - z^2), exact in the tails
        shrink = 2.0 * (np.log(2.0) - abs(y) - np.log1p(np.exp(-2.0 * abs(y))))
        log_prior += spec.shape[i] * shrink
        slope[n_sd + i] = -2.0 * spec.shape[i] * z
        Ls[f, r, c] = z * left[f, r]
        left[f, r] *= np.exp(0.5 * shrink)
    sigma = values[n_sd]
    Ts = np.zeros((n_factors, K_max, K_max))
    lower = np.zeros((n_factors, K_max, K_max))
    mapped, square = np.zeros((K_max, K_max)), np.zeros((K_max, K_max))
    # its square must be a number too
    square_w = (sigma / spec.scale) ** 2
    inside = square_w > 0.0 and square_w < np.inf
    for f in range(n_factors):
        K = spec.sd_start[f + 1] - spec.sd_start[f]
        for a in range(K):
            Ls[f, a, a] = left[f, a]
            sd = values[spec.sd_start[f] + a]
            inside = inside and sd > 0.0 and sd < np.inf
            for b in range(a + 1):
                Ts[f, a, b] = sd / sigma * Ls[f, a, b]
        for a in range(K):
            for b in range(K):
                s = 0.0
                for c in range(b, K):
                    s += spec.maps[f, a, c] * Ts[f, c, b]
                mapped[a, b] = s
        for a in range(K):
            for b in range(a + 1):
                s = 0.0
                for c in range(K):
                    s += mapped[a, c] * mapped[b, c]
                square[a, b] = s
        for a in range(K):
            for b in range(a + 1):
                s = square[a, b]
                for c in range(b):
                    s -= lower[f, a, c] * lower[f, b, c]
                if a == b:
                    inside = inside and s > 0.0
                    lower[f, a, a] = np.sqrt(max(s, 0.0))
                else:
                    lower[f, a, b] = s / lower[f, b, b] if lower[f, b, b] > 0.0 else 0.0
    theta = np.empty(len(spec.entry_factor))
    for e in range(len(theta)):
        theta[e] = lower[spec.entry_factor[e], spec.entry_row[e], spec.entry_column[e]]
        inside = inside and np.isfinite(theta[e])
    if not inside:
        log_prior = -np.inf
    return theta, Ts, Ls, values, sigma / spec.scale, log_prior, slope


@kernel
def collect(
    x: FloatArray,
    theta: FloatArray,
    gradient: FloatArray,
    by_sigma: float,
    Ts: FloatArray,
    Ls: FloatArray,
    values: FloatArray,
    sigma: float,
    spec: Spec,
    slope: FloatArray,
) -> None:
    """Add a derivative in the free entries of T and in log sigma to that in the coordinates.

    With X symmetric and X T_w = gradient, d/d(T T') on the user's scale is R'XR / 2, so
    d/dT = R'XR T.
    """
    n_sd, n_partial = len(values) - 1, len(spec.of)
    n_factors, K_max = spec.maps.shape[0], spec.maps.shape[1]
    lower, g = np.zeros((K_max, K_max)), np.zeros((K_max, K_max))
    X, XR, D = np.zeros((K_max, K_max)), np.zeros((K_max, K_max)), np.zeros((K_max, K_max))
    total = 0.0
    by_value = np.zeros(n_sd + 1)
    at = 0
    for f in range(n_factors):
        K = spec.sd_start[f + 1] - spec.sd_start[f]
        for a in range(K):
            for b in range(K):
                lower[a, b], g[a, b], X[a, b] = 0.0, 0.0, 0.0
        for e in range(len(theta)):
            if spec.entry_factor[e] == f:
                lower[spec.entry_row[e], spec.entry_column[e]] = theta[e]
                g[spec.entry_row[e], spec.entry_column[e]] = gradient[e]
        # entries between terms are zero in T and stay unknown, and unused, in X
        for a in range(K - 1, -1, -1):
            for c in range(a, -1, -1):
                s = g[a, c]
                for e in range(c + 1, K):
                    s -= X[a, e] * lower[e, c]
                X[a, c] = s / lower[c, c]
                X[c, a] = X[a, c]
        for a in range(K):
            for b in range(K):
                s = 0.0
                for c in range(K):
                    s += X[a, c] * spec.maps[f, c, b]
                XR[a, b] = s
        for a in range(K):
            for b in range(K):
                s = 0.0
                for c in range(K):
                    s += spec.maps[f, c, a] * XR[c, b]
                X[a, b] = s
        for a in range(K):
            for b in range(a + 1):
                s = 0.0
                for c in range(b, K):
                    s += X[a, c] * Ts[f, c, b]
                D[a, b] = s
                by_value[spec.sd_start[f] + a] += s * Ts[f, a, b]
                total += s * Ts[f, a, b]
        while at < n_partial and spec.of[at] == f:
            # the partial correlations of one row stand together
            r, first, start = spec.row[at], at, spec.block[at]
            scale = values[spec.sd_start[f] + r] / values[n_sd]
            last = first + r - start
            for i in range(first, last):
                c, z = spec.column[i], np.tanh(x[n_sd + i])
                left = 1.0
                for j in range(first, i):
                    left /= np.cosh(x[n_sd + j])
                s = D[r, c] * left * (1.0 - z * z)
                for j in range(c + 1, r + 1):
                    s -= z * D[r, j] * Ls[f, r, j]
                slope[n_sd + i] += scale * s
            at = last
    for i in range(n_sd + 1):
        where = i if i < n_sd else n_sd + n_partial
        low, high = spec.bounds[i, 0], spec.bounds[i, 1]
        s = by_value[i] if i < n_sd else by_sigma - total
        # d log value / dx
        if high < np.inf:
            share = 1.0 / (1.0 + np.exp(-x[where]))
            s *= (high - low) * share * (1.0 - share) / values[i]
        else:
            s *= (values[i] - low) / values[i]
        slope[where] += s
