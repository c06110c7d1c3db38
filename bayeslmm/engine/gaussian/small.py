"""The criterion of a model with a small remainder, an evaluation in one compiled call.

The same arithmetic as `criterion` and `information`, for one eliminated factor and a
remainder of a few columns, where calls from Python cost more than the numbers. Every
figure is tested against the general path.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.engine.blocks import draw_levels, eliminate, fold_directions, walk_back
from bayeslmm.engine.compiled import Pointer, kernel
from bayeslmm.engine.gaussian.small_problem import SmallProblem
from bayeslmm.engine.remainder import scale_entries, scale_square, trace_products


@kernel
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


@kernel
def _inverse(L: FloatArray, n: int, C: FloatArray) -> None:
    """Inverse, lower triangle in C, of the matrix with the first n rows and columns of L."""
    half = np.zeros((n, n))
    for c in range(n):
        half[c, c] = 1.0 / L[c, c]
        for i in range(c + 1, n):
            s = 0.0
            for k in range(c, i):
                s -= L[i, k] * half[k, c]
            half[i, c] = s / L[i, i]
    for i in range(n):
        for j in range(i + 1):
            s = 0.0
            for k in range(i, n):
                s += half[k, i] * half[k, j]
            C[i, j] = s


@kernel
def _solve_back(L: FloatArray, v: FloatArray) -> None:
    """Solve L'v = v in place, by the leading part of L."""
    n = len(v)
    for i in range(n - 1, -1, -1):
        s = v[i]
        for j in range(i + 1, n):
            s -= L[j, i] * v[j]
        v[i] = s / L[i, i]


@kernel
def _scale(Ts: FloatArray, given: SmallProblem, v: FloatArray, b: FloatArray) -> None:
    """Coefficients b of the remainder's columns: T v for each level, fixed effects as they are."""
    bounds, widths = given.bounds, given.widths
    for i in range(len(v)):
        b[i] = v[i]
    for f in range(len(widths) - 1):
        for base in range(bounds[f], bounds[f + 1], widths[f]):
            for r in range(widths[f]):
                s = 0.0
                for c in range(r + 1):
                    s += Ts[f, r, c] * v[base + c]
                b[base + r] = s


@kernel
def small_factorise(x: FloatArray, given: SmallProblem, prior: float) -> Any:
    """Factorise M at the free entries ``x`` of every T; see `small_evaluate`.

    Returns
    -------
    inside : bool
        Whether M is positive definite.
    logdet, r2 : float
    T0, Ts : ndarray
        T of the eliminated factor; of the others, then 1 for the fixed columns.
    S, L : ndarray
        Lower triangles: the remainder, and the Cholesky factor of its part of M.
    """
    factor, row, col, widths = given.factor, given.row, given.col, given.widths
    K0, m, n_rest = given.A.shape[1], len(given.S), len(widths) - 1
    mm, q, wide = m - 1, m - 1 - given.p, 1
    for f in range(n_rest):
        wide = max(wide, widths[f])
    T0, Ts = np.zeros((K0, K0)), np.zeros((n_rest + 1, wide, wide))
    Ts[n_rest, 0, 0] = 1.0
    for e in range(len(x)):
        if factor[e] == 0:
            T0[row[e], col[e]] = x[e]
        else:
            Ts[factor[e] - 1, row[e], col[e]] = x[e]
    S, L = given.S.copy(), np.empty((m, m))
    logdet = eliminate(T0, given.A, given.start, given.column, given.value, given.dense, 0, S)
    if prior > 0.0:
        for i in range(given.p):
            for j in range(given.p):
                S[q + i, q + j] += prior * given.precision[i, j]
            S[mm, q + i] += prior * given.pull[i]
        S[mm, mm] += prior * given.pull[given.p]
    scale_square(S, given.bounds[:-1], widths[:-1], Ts, L)
    inside = np.isfinite(logdet) and _cholesky(L)
    r2 = L[mm, mm] ** 2 if inside else 0.0
    if inside:
        for i in range(mm if given.reml else q):
            logdet += 2.0 * np.log(L[i, i])
    return inside, logdet, r2, T0, Ts, S, L


@kernel
def _information(
    given: SmallProblem,
    r2: float,
    T0: FloatArray,
    Ts: FloatArray,
    S: FloatArray,
    L: FloatArray,
    u: FloatArray,
    g: FloatArray,
    v: FloatArray,
    rest: FloatArray,
    H: FloatArray,
) -> None:
    """Twice the average information into H, along one direction for each entry of every T.

    ``g`` and ``rest`` are Z'We of the eliminated factor and of the remainder's columns; other
    symbols are those of `small_evaluate`, and the directions those of `information`.
    """
    A, bounds, widths = given.A, given.bounds, given.widths
    factor, row, col = given.factor, given.row, given.col
    k, J, K0, mm = len(H), A.shape[0], A.shape[1], len(v)
    q, n_rest = mm - given.p, len(widths) - 1
    # those of the eliminated factor come first
    sigma2, n_first, sequence = r2 / given.df, given.n_first, given.sequence
    w, W, cross = np.zeros((n_first, J, K0)), np.zeros((mm, k)), np.zeros(k)
    for a in range(k):
        e = sequence[a]
        f, r, c = factor[e] - 1, row[e], col[e]
        if f < 0:
            for j in range(J):
                w[a, j, r] = u[j, c]
                for t in range(K0):
                    w[a, j, t] += T0[t, c] * g[j, r]
                    cross[a] += w[a, j, t] * g[j, t]
            continue
        for base in range(bounds[f], bounds[f + 1], widths[f]):
            W[base + r, a] = v[base + c]
            for t in range(widths[f]):
                W[base + t, a] += Ts[f, t, c] * rest[base + r]
                cross[a] += W[base + t, a] * rest[base + t]
    reach, form = np.zeros((k, mm)), np.zeros((k, k))
    none = np.empty((0, J, K0))
    square, onward = fold_directions(
        T0, A, given.start, given.column, given.value, given.dense, none, w, reach
    )
    for a in range(n_first):
        for d in range(n_first):
            form[a, d] = square[a, d]
        for j in range(J):
            for i in range(given.p):
                reach[a, q + i] += onward[a, j, i]
    for a in range(k):
        if a >= n_first:
            for i in range(mm):
                s = 0.0
                for j in range(q):
                    s += (S[i, j] if j <= i else S[j, i]) * W[j, a]
                reach[a, i] = s
        for d in range(n_first, k):
            s = 0.0
            for i in range(q):
                s += reach[a, i] * W[i, d]
            form[a, d] = s
            form[d, a] = s
    for a in range(k):
        for f in range(n_rest):
            for base in range(bounds[f], bounds[f + 1], widths[f]):
                for c in range(widths[f]):
                    s = 0.0
                    for r in range(c, widths[f]):
                        s += Ts[f, r, c] * reach[a, base + r]
                    reach[a, base + c] = s
        for i in range(mm):
            s = reach[a, i]
            for j in range(i):
                s -= L[i, j] * reach[a, j]
            reach[a, i] = s / L[i, i]
    for a in range(k):
        for d in range(k):
            s = form[a, d]
            for i in range(mm):
                s -= reach[a, i] * reach[d, i]
            s = s / sigma2 - cross[a] * cross[d] / (sigma2 * r2)
            H[sequence[a], sequence[d]] = s


@kernel
def small_evaluate(x: FloatArray, given: SmallProblem, prior: float, curvature: bool) -> Any:
    """Factorise and solve at the free entries ``x`` of every T, in the layout's order.

    Parameters
    ----------
    x : ndarray, shape (k,)
    given : SmallProblem
    prior : float
        sigma^2, by which a prior of the fixed effects is weighted; 0 for none.
    curvature : bool
        Whether H is wanted.

    Returns
    -------
    logdet, r2 : float
        log |M| (of the random part for ML) and the penalised residual sum of squares;
        r2 is 0 where M is not positive definite, and nothing else counts.
    G, R : ndarray, shape (k,)
        d logdet/dx = 2 G, d r2/dx = -2 R.
    H : ndarray, shape (k, k)
        Twice the average information with sigma at its best, profiled out; zero unless
        asked for.
    u : ndarray, shape (J, K)
        Spherical effects of the eliminated factor.
    v : ndarray, shape (q + p,)
        Those of the remainder, then the working fixed effects.
    C, L : ndarray, shapes (q + p, q + p), (q + p + 1, q + p + 1)
        Lower triangles: the inverse of the remainder (its random part for ML), and its
        Cholesky factor.
    """
    A, start, column, value = given.A, given.start, given.column, given.value
    dense, bounds, widths = given.dense, given.bounds, given.widths
    factor, row, col = given.factor, given.row, given.col
    k, J, K0, m = len(x), A.shape[0], A.shape[1], len(given.S)
    mm = m - 1
    q = mm - given.p
    inside, logdet, r2, T0, Ts, S, L = small_factorise(x, given, prior)
    C, v = np.zeros((mm, mm)), np.zeros(mm)
    G, R, H = np.zeros(k), np.zeros(k), np.zeros((k, k))
    if not inside:
        return np.inf, 0.0, G, R, H, np.empty((J, K0)), v, C, L
    _inverse(L, mm if given.reml else q, C)
    for i in range(mm):
        v[i] = L[mm, i]
    _solve_back(L, v)
    scaled = scale_entries(start, column, value, bounds[:-1], widths[:-1], Ts)
    # no ancestors
    where, at, values = np.empty((0, J), np.int64), np.empty(0, np.int64), np.empty(0)
    up = (where, where, at, values, at, values, at, values, at, at, values, at)
    u, g, _, G0, _, _, _ = walk_back(T0, A, start, column, scaled, dense, C, v, up, False)
    traces = trace_products(S, C, bounds, widths, Ts)
    b, rest = np.empty(mm), np.empty(mm)
    _scale(Ts, given, v, b)
    for i in range(mm):
        s = S[mm, i]
        for j in range(mm):
            s -= (S[i, j] if j <= i else S[j, i]) * b[j]
        rest[i] = s
    for e in range(k):
        f, r, c, s = factor[e] - 1, row[e], col[e], 0.0
        if f < 0:
            G[e] = G0[r, c]
            for j in range(J):
                s += g[j, r] * u[j, c]
        else:
            G[e] = traces[f, r, c]
            for base in range(bounds[f], bounds[f + 1], widths[f]):
                s += rest[base + r] * v[base + c]
        R[e] = s
    if curvature:
        _information(given, r2, T0, Ts, S, L, u, g, v, rest, H)
    return logdet, r2, G, R, H, u, v, C, L


_pointers: dict[str, Pointer] = {}


def evaluator(given: SmallProblem) -> Pointer:
    """`small_evaluate`, to hand to another kernel."""
    return _pointer("evaluate", small_evaluate, (np.zeros(len(given.factor)), given, 0.0, True))


def factoriser(given: SmallProblem) -> Pointer:
    """`small_factorise`, to hand to another kernel."""
    return _pointer("factorise", small_factorise, (np.zeros(len(given.factor)), given, 0.0))


def _pointer(name: str, function: Any, arguments: tuple[Any, ...]) -> Pointer:
    if name not in _pointers:
        _pointers[name] = Pointer(function, arguments)
    return _pointers[name]


@kernel
def small_draws(
    thetas: FloatArray,
    sigmas: FloatArray,
    given: SmallProblem,
    noise_rest: FloatArray,
    noise: FloatArray,
) -> Any:
    """One draw of all effects given each row of variance parameters; as `draw_effects`.

    Parameters
    ----------
    thetas, sigmas : ndarray, shapes (S, k), (S,)
    given : SmallProblem
    noise_rest, noise : ndarray, shapes (S, q + p), (S, J, K)
        Independent N(0, 1).

    Returns
    -------
    rest : ndarray, shape (S, q + p)
        Coefficients of the remainder's columns, then the working fixed effects.
    own : ndarray, shape (S, J, K)
        Coefficients of the eliminated factor.
    """
    n_draws, mm = noise_rest.shape
    J, K0, p = given.A.shape[0], given.A.shape[1], given.p
    q = mm - p
    rest, own = np.empty((n_draws, mm)), np.empty((n_draws, J, K0))
    v, b, left, eps = np.empty(mm), np.empty(mm), np.empty((J, K0)), np.empty((J, K0))
    for s in range(n_draws):
        sigma = sigmas[s]
        _, _, _, T0, Ts, _, L = small_factorise(thetas[s], given, sigma * sigma)
        for i in range(mm):
            v[i] = L[mm, i] + sigma * noise_rest[s, i]
        _solve_back(L, v)
        _scale(Ts, given, v, b)
        for j in range(J):
            for c in range(K0):
                total = given.dense[j, p, c]
                for a in range(p):
                    total -= given.dense[j, a, c] * v[q + a]
                left[j, c] = total
                eps[j, c] = sigma * noise[s, j, c]
        drawn = draw_levels(T0, given.A, given.start, given.column, given.value, left, b, eps)
        for i in range(mm):
            rest[s, i] = b[i]
        for j in range(J):
            for c in range(K0):
                own[s, j, c] = drawn[j, c]
    return rest, own
