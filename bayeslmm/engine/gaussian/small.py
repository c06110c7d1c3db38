"""The profiled criterion of a small model in one compiled call.

The same arithmetic as `criterion`, `information` and `objective`, for one
eliminated factor and a remainder of a few columns, where calls from Python cost
more than the numbers. Used for single refits and for batches of them; every
figure is tested against the general path.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.blocks import (
    eliminate,
    fold_directions,
    mirror,
    walk_back,
)
from bayeslmm.engine.gaussian.newton import CLOSE, DECREMENT, ROUNDING, SLACK


@njit(cache=True, nogil=True)
def _cholesky(M: FloatArray) -> bool:
    """Lower factor in place; False if a pivot is not positive."""
    n = len(M)
    for i in range(n):
        for j in range(i + 1):
            s = M[i, j]
            for k in range(j):
                s -= M[i, k] * M[j, k]
            if i == j:
                if not s > 0.0:
                    return False
                M[i, i] = np.sqrt(s)
            else:
                M[i, j] = s / M[j, j]
    return True


@njit(cache=True, nogil=True)
def _solve_lower(L: FloatArray, n: int, B: FloatArray) -> None:
    """Solve L X = B in place, with the leading n x n block of L."""
    for c in range(B.shape[1]):
        for i in range(n):
            s = B[i, c]
            for k in range(i):
                s -= L[i, k] * B[k, c]
            B[i, c] = s / L[i, i]


@njit(cache=True, nogil=True)
def _inverse(L: FloatArray, first: int, last: int) -> FloatArray:
    """Inverse of the matrix whose lower factor is rows and columns first to last of L."""
    n = last - first
    X = np.eye(n)
    _solve_lower(np.ascontiguousarray(L[first:last, first:last]), n, X)
    return X.T @ X


@njit(cache=True, nogil=True)
def _bend(T: FloatArray, gradient: FloatArray, labels: IntArray) -> FloatArray:
    """Positive semidefinite part of dev' T^-1, term by term, where T has an inverse."""
    K = len(T)
    out = np.zeros((K, K))
    first = 0
    while first < K:
        last = first + 1
        while last < K and labels[last] == labels[first]:
            last += 1
        pivot = np.inf
        for k in range(first, last):
            pivot = min(pivot, abs(T[k, k]))
        if pivot > 1e-8:
            t = np.ascontiguousarray(T[first:last, first:last])
            g = np.ascontiguousarray(gradient[first:last, first:last])
            x = g @ np.linalg.inv(t)
            values, vectors = np.linalg.eigh((x + x.T) / 2.0)
            out[first:last, first:last] = (vectors * np.maximum(values, 0.0)) @ vectors.T
        first = last
    return out


@njit(cache=True, nogil=True)
def small_point(x: FloatArray, problem: Any) -> Any:
    """Criterion, gradient and expected curvature at the free entries ``x``.

    Parameters
    ----------
    x : ndarray, shape (k,)
        Entries of T, factor by factor in the order of the cross-products.
    problem : tuple
        - A, start, column, value, dense, S: cross-products (see `CrossProducts`);
        - levels, widths: ndarray, shape (factors,);
        - factor, row, col: ndarray, shape (k,), where each entry stands;
        - labels: ndarray, shape (factors, largest K), number of the block of
          correlated columns each column belongs to;
        - p; df, which is n - p for REML and n for ML; whether REML;
        - the empty ``up`` of `walk_back`.

    Returns
    -------
    value : float
        log |M| + df log r^2, the deviance but for constants; infinite outside.
    gradient : ndarray, shape (k,)
    H : ndarray, shape (k, k)
    r2 : float
    v : ndarray, shape (q + p,)
        Spherical effects of the remainder, then the working fixed effects.
    """
    A, start, column, value, dense, S0 = problem[:6]
    levels, widths, factor, row, col = problem[6:11]
    labels, p, df, reml, no_ancestors = problem[11:]
    k, m = len(x), len(S0)
    q = m - p - 1
    mm = q + p
    gradient, H = np.zeros(k), np.zeros((k, k))
    outside = (np.inf, gradient, H, 0.0, np.zeros(mm))
    K0 = widths[0]
    T0 = np.zeros((K0, K0))
    Lam = np.eye(m)
    for e in range(k):
        if factor[e] == 0:
            T0[row[e], col[e]] = x[e]
    first = 0
    for f in range(1, len(levels)):
        K = widths[f]
        for j in range(levels[f]):
            for r in range(K):
                Lam[first + j * K + r, first + j * K + r] = 0.0
        for e in range(k):
            if factor[e] == f:
                for j in range(levels[f]):
                    Lam[first + j * K + row[e], first + j * K + col[e]] = x[e]
        first += levels[f] * K
    S = S0.copy()
    logdet = eliminate(T0, A, start, column, value, dense, 0, S)
    mirror(S)
    L = Lam.T @ S @ Lam
    for i in range(q):
        L[i, i] += 1.0
    if not np.isfinite(logdet) or not _cholesky(L):
        return outside
    r2 = L[m - 1, m - 1] ** 2
    if not r2 > 0.0:
        return outside
    sigma2 = r2 / df
    for i in range(mm if reml else q):
        logdet += 2.0 * np.log(L[i, i])

    full = _inverse(L, 0, mm)
    c = np.ascontiguousarray(Lam[:mm, :mm].T) @ np.ascontiguousarray(S[:mm, m - 1])
    v = full @ c
    C = np.zeros((mm, mm))
    if reml:
        C[:] = full
    else:
        C[:q, :q] = _inverse(L, 0, q)
    Lam = np.ascontiguousarray(Lam[:mm, :mm])
    half = C @ Lam.T
    P = Lam @ half
    coefficients = Lam @ v
    u0, g0, _, G0, R0, _, _, _ = walk_back(
        T0, A, start, column, value, dense, P, coefficients, no_ancestors, False, False
    )
    inner = np.ascontiguousarray(S[:mm, :mm])
    flow = inner @ half.T
    g = np.ascontiguousarray(S[:mm, m - 1]) - inner @ coefficients

    # directions w, slopes, and the full gradient of every factor
    n_first = 0
    for e in range(k):
        n_first += factor[e] == 0
    w = np.zeros((n_first, levels[0], K0))
    W = np.zeros((mm, k - n_first))
    cross = np.zeros(k)
    slopes = np.zeros((len(levels), labels.shape[1], labels.shape[1]))
    slopes[0, :K0, :K0] = 2.0 * G0 - 2.0 * R0 / sigma2
    first = 0
    for f in range(1, len(levels)):
        K = widths[f]
        for j in range(levels[f]):
            at = first + j * K
            for r in range(K):
                for s in range(K):
                    slopes[f, r, s] += 2.0 * flow[at + r, at + s]
                    slopes[f, r, s] -= 2.0 * g[at + r] * v[at + s] / sigma2
        first += levels[f] * K
    for e in range(k):
        f, r, s = factor[e], row[e], col[e]
        gradient[e] = slopes[f, r, s]
        if f == 0:
            for j in range(levels[0]):
                for t in range(K0):
                    w[e, j, t] = T0[t, s] * g0[j, r]
                w[e, j, r] += u0[j, s]
                for t in range(K0):
                    cross[e] += w[e, j, t] * g0[j, t]
            continue
        first = 0
        for h in range(1, f):
            first += levels[h] * widths[h]
        for j in range(levels[f]):
            at = first + j * widths[f]
            for t in range(widths[f]):
                W[at + t, e - n_first] = Lam[at + t, at + s] * g[at + r]
            W[at + r, e - n_first] += v[at + s]
            for t in range(widths[f]):
                cross[e] += W[at + t, e - n_first] * g[at + t]

    reach = np.zeros((k, mm))
    before = np.empty((0, levels[0], K0))
    square, onward = fold_directions(T0, A, start, column, value, dense, before, w, reach[:n_first])
    for e in range(n_first):
        for j in range(levels[0]):
            for b in range(p):
                reach[e, q + b] += onward[e, j, b]
    reach[n_first:] = (inner @ W).T
    form = np.zeros((k, k))
    form[:n_first, :n_first] = square
    head = np.ascontiguousarray(reach[:n_first]) @ W
    form[:n_first, n_first:] = head
    form[n_first:, :n_first] = head.T
    form[n_first:, n_first:] = W.T @ np.ascontiguousarray(reach[n_first:].T)
    onto = Lam.T @ np.ascontiguousarray(reach.T)
    H[:] = (form - onto.T @ (full @ onto)) / sigma2
    for a in range(k):
        for b in range(k):
            H[a, b] -= cross[a] * cross[b] / (sigma2 * r2)
    for f in range(len(levels)):
        K = widths[f]
        T = T0.copy() if f == 0 else np.zeros((K, K))
        if f > 0:
            for e in range(k):
                if factor[e] == f:
                    T[row[e], col[e]] = x[e]
        bend = _bend(T, np.ascontiguousarray(slopes[f, :K, :K]), labels[f, :K])
        for a in range(k):
            for b in range(k):
                if factor[a] == f and factor[b] == f and col[a] == col[b]:
                    H[a, b] += bend[row[a], row[b]]
    return logdet + df * np.log(r2), gradient, H, r2, v


@njit(cache=True, nogil=True)
def _step(H: FloatArray, gradient: FloatArray) -> Any:
    """As `newton.newton_step`."""
    values, vectors = np.linalg.eigh(H)
    floor = 1e-10 * max(np.max(np.abs(values)), 1e-300)
    along = vectors.T @ gradient
    damped = np.maximum(np.abs(values), floor)
    return -vectors @ (along / damped), 0.5 * np.sum(along**2 / damped)


@njit(cache=True, nogil=True)
def _secant(H: FloatArray, s: FloatArray, y: FloatArray) -> FloatArray:
    """As `newton._secant`."""
    Hs = H @ s
    curved, expected = s @ y, s @ Hs
    if expected <= 0.0:
        return H
    if curved < 0.2 * expected:
        mix = 0.8 * expected / (expected - curved)
        y = mix * y + (1.0 - mix) * Hs
        curved = s @ y
    return H - np.outer(Hs, Hs) / expected + np.outer(y, y) / curved


@njit(cache=True, nogil=True)
def small_descend(x: FloatArray, problem: Any) -> Any:
    """As `newton.descend`, every entry free.

    Returns
    -------
    x, value, decrement, r2, v
    """
    value, gradient, H, r2, v = small_point(x, problem)
    decrement, before = np.inf, np.inf
    for _ in range(200):
        step, decrement = _step(H, gradient)
        if not decrement >= DECREMENT or (decrement < ROUNDING and decrement > 0.5 * before):
            break
        before = decrement
        longest = 1.0
        for e in range(len(x)):
            longest = max(longest, abs(step[e]) / max(2.0, abs(x[e])))
        slack = SLACK * abs(value) if decrement < ROUNDING else 0.0
        found = False
        for shrink in (1.0, 0.5, 0.2, 0.05, 0.01, 1e-3):
            trial = x + shrink * step / longest
            t_value, t_gradient, t_H, t_r2, t_v = small_point(trial, problem)
            if t_value <= value + slack:
                found = True
                break
        if not found:
            break
        H = t_H if decrement > CLOSE else _secant(H, trial - x, t_gradient - gradient)
        x, value, gradient, r2, v = trial, t_value, t_gradient, t_r2, t_v
    return x, value, decrement, r2, v


@njit(cache=True, nogil=True)
def small_batch(
    x: FloatArray,
    problem: Any,
    dense_y: FloatArray,
    S_y: FloatArray,
) -> Any:
    """Fit a batch of responses, each from the same start.

    Parameters
    ----------
    x : ndarray, shape (k,)
    problem : tuple
        As `small_point` takes it; the response in it is overwritten.
    dense_y : ndarray, shape (batch, J, K)
        Z'Wy of the eliminated factor.
    S_y : ndarray, shape (batch, m)
        The remainder's cross-products with y, y'Wy last.

    Returns
    -------
    x, value, decrement, r2, v
        Each with the batch as its first dimension.
    """
    dense, S = problem[4], problem[5]
    batch, m = S_y.shape
    xs, vs = np.empty((batch, len(x))), np.empty((batch, m - 1))
    values, decrements, r2s = np.empty(batch), np.empty(batch), np.empty(batch)
    for b in range(batch):
        dense[:, -1, :] = dense_y[b]
        S[:, m - 1] = S_y[b]
        S[m - 1, :] = S_y[b]
        xs[b], values[b], decrements[b], r2s[b], vs[b] = small_descend(x, problem)
    return xs, values, decrements, r2s, vs
