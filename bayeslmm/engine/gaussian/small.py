"""The criterion of a model with a small remainder, an evaluation in one compiled call.

The same arithmetic as `criterion` and `information`, for one eliminated factor and a
remainder of a few columns, where calls from Python cost more than the numbers. Every
figure is tested against the general path.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.blocks import draw_levels, eliminate, fold_directions, walk_back
from bayeslmm.engine.compiled import Pointer, kernel
from bayeslmm.engine.gaussian.criterion import FixedPrior
from bayeslmm.engine.gaussian.crossproducts import SMALL, CrossProducts
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.remainder import scale_entries, scale_square, trace_products


class SmallProblem(NamedTuple):
    """Arguments of the compiled functions; factors in the order of the cross-products.

    ``A`` to ``S``: see `CrossProducts`. ``bounds``, ``widths``: first column and columns
    a level of the remainder's factors, then of the fixed columns. ``factor``, ``row``,
    ``col``: where each free entry stands; ``sequence``: entries of the eliminated factor
    first, ``n_first`` of them. ``precision`` and ``pull``: those of a normal prior of the
    fixed effects, P, and (P m, m'P m); zero where it is flat.
    """

    A: FloatArray
    start: IntArray
    column: IntArray
    value: FloatArray
    dense: FloatArray
    S: FloatArray
    bounds: IntArray
    widths: IntArray
    factor: IntArray
    row: IntArray
    col: IntArray
    sequence: IntArray
    n_first: int
    p: int
    df: float
    reml: bool
    precision: FloatArray
    pull: FloatArray


def is_small(cp: CrossProducts) -> bool:
    """Whether the compiled path takes these cross-products."""
    return len(cp.chain) == 1 and cp.chain[0].full is None and len(cp.S) <= SMALL


def small_problem(
    cp: CrossProducts, layout: Layout, *, reml: bool, prior: FixedPrior | None = None
) -> SmallProblem:
    """Pack cross-products for the compiled functions."""
    precision, pull = np.zeros((cp.p, cp.p)), np.zeros(cp.p + 1)
    if prior is not None:
        precision[:] = prior.precision
        pull[:-1] = prior.precision @ prior.mean
        pull[-1] = pull[:-1] @ prior.mean
    c = cp.chain[0]
    position = np.argsort(cp.order)
    entries = [np.empty((0, 3), dtype=np.int64)]
    for k, pattern in enumerate(layout.patterns):
        rows, columns = np.nonzero(pattern)
        entries.append(np.column_stack([np.full(len(rows), position[k]), rows, columns]))
    where = np.ascontiguousarray(np.vstack(entries).T.astype(np.int64))
    stops = [at.stop for _, at in cp.remainder]
    return SmallProblem(
        c.A, c.start, c.column, c.value, c.dense, cp.S,
        np.array([0, *stops, cp.q_rest + cp.p], dtype=np.int64),
        np.array([*cp.widths[1:], 1], dtype=np.int64),
        where[0], where[1], where[2],
        np.argsort(where[0] > 0, kind="stable").astype(np.int64),
        int((where[0] == 0).sum()),
        cp.p, float(cp.n - (cp.p if reml else 0)), reml,
        precision, pull,
    )  # fmt: skip


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
    mm, n_rest = m - 1, len(widths) - 1
    q = mm - given.p
    inside, logdet, r2, T0, Ts, S, L = small_factorise(x, given, prior)
    C, v = np.zeros((mm, mm)), np.zeros(mm)
    G, R, H = np.zeros(k), np.zeros(k), np.zeros((k, k))
    if not inside:
        return np.inf, 0.0, G, R, H, np.empty((J, K0)), v, C, L
    _inverse(L, mm if given.reml else q, C)
    for i in range(mm - 1, -1, -1):
        s = L[mm, i]
        for j in range(i + 1, mm):
            s -= L[j, i] * v[j]
        v[i] = s / L[i, i]
    scaled = scale_entries(start, column, value, bounds[:-1], widths[:-1], Ts)
    # no ancestors
    where, at, values = np.empty((0, J), np.int64), np.empty(0, np.int64), np.empty(0)
    up = (where, where, at, values, at, values, at, values, at, at, values, at)
    u, g, _, G0, _, _, _ = walk_back(T0, A, start, column, scaled, dense, C, v, up, False)
    traces = trace_products(S, C, bounds, widths, Ts)
    b, rest = v.copy(), np.empty(mm)
    for f in range(n_rest):
        K = widths[f]
        for base in range(bounds[f], bounds[f + 1], K):
            for r in range(K):
                s = 0.0
                for c in range(r + 1):
                    s += Ts[f, r, c] * v[base + c]
                b[base + r] = s
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
    if not curvature:
        return logdet, r2, G, R, H, u, v, C, L

    # directions w of each entry, those of the eliminated factor first (see `information`)
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
    square, onward = fold_directions(T0, A, start, column, value, dense, none, w, reach)
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
    q, n_rest = mm - p, len(given.widths) - 1
    rest, own = np.empty((n_draws, mm)), np.empty((n_draws, J, K0))
    v, b, left, eps = np.empty(mm), np.empty(mm), np.empty((J, K0)), np.empty((J, K0))
    for s in range(n_draws):
        sigma = sigmas[s]
        _, _, _, T0, Ts, _, L = small_factorise(thetas[s], given, sigma * sigma)
        for i in range(mm - 1, -1, -1):
            total = L[mm, i] + sigma * noise_rest[s, i]
            for j in range(i + 1, mm):
                total -= L[j, i] * v[j]
            v[i] = total / L[i, i]
            b[i] = v[i]
        for f in range(n_rest):
            K = given.widths[f]
            for base in range(given.bounds[f], given.bounds[f + 1], K):
                for r in range(K):
                    total = 0.0
                    for c in range(r + 1):
                        total += Ts[f, r, c] * v[base + c]
                    b[base + r] = total
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
