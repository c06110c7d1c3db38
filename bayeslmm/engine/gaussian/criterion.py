"""The Gaussian marginal likelihood at given variance parameters, and its gradient.

Everything here is in working coordinates (see `working`) and in the order of
factors of the cross-products. The formulas are those of docs/mathematics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import blas, lapack, solve_triangular

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.blocks import (
    eliminate,
    eliminate_full,
    update_ancestor,
    walk_back,
    walk_back_full,
)
from bayeslmm.engine.gaussian.crossproducts import CrossProducts, Eliminated
from bayeslmm.engine.lapack import cholesky_in_place
from bayeslmm.engine.remainder import mirror, scale_entries, scale_square, trace_products


@dataclass(frozen=True, eq=False, slots=True)
class FixedPrior:
    """Normal prior of the working fixed effects: precision (singular where flat) and mean."""

    precision: FloatArray
    mean: FloatArray
    log_pseudo_determinant: float
    n_flat: int


@dataclass(frozen=True, eq=False, slots=True)
class Factorisation:
    """M = [[Lambda'Z'WZ Lambda + I, .], [., X'WX (+ sigma^2 B^-1)]] factorised.

    Attributes
    ----------
    T : tuple of ndarray
        Relative covariance factors, in the order of the cross-products.
    S : ndarray, shape (m, m)
        Cross-products of the remainder after elimination, lower triangle.
    L : ndarray, shape (m - 1, m - 1)
        Lower Cholesky factor of the remainder of M.
    Ly : ndarray, shape (m - 1,)
        L^-1 times its right-hand side.
    chain : tuple of Eliminated
        The chain's cross-products, each after elimination of those before it.
    logdet_u, logdet_x : float
        log |M_uu| and log of the determinant of the Schur complement of X.
    r2 : float
        Penalised residual sum of squares.
    scales : tuple of ndarray
        The remainder's factors as the compiled kernels take them (see `scale_square`).
    """

    cp: CrossProducts
    T: tuple[FloatArray, ...]
    S: FloatArray
    L: FloatArray
    Ly: FloatArray
    chain: tuple[Eliminated, ...]
    logdet_u: float
    logdet_x: float
    r2: float
    scales: tuple[IntArray, IntArray, FloatArray]


@dataclass(frozen=True, eq=False, slots=True)
class Solution:
    """What the factorisation says of each factor; lists in the order of the cross-products.

    ``u`` (J, K) spherical effects; ``g`` (J, K) Z_j'We; ``own`` (J, K, K) blocks of
    Lambda M^-1 Lambda'; ``G``, ``R``: d log|M|/dT = 2 G and d r^2/dT = -2 R; ``gg``,
    ``ZPZ``: the two parts of the boundary form N (``ZPZ`` of the remainder is NaN unless
    asked for); ``beta`` (p,), ``C_beta`` (p, p); ``C`` inverse of the remainder, lower
    triangle, where the fixed effects are integrated over.
    """

    u: list[FloatArray]
    g: list[FloatArray]
    own: list[FloatArray]
    G: list[FloatArray]
    R: list[FloatArray]
    gg: list[FloatArray]
    ZPZ: list[FloatArray]
    beta: FloatArray
    C_beta: FloatArray
    C: FloatArray | None


def factorise(
    cp: CrossProducts,
    T: Sequence[FloatArray],
    *,
    prior: FixedPrior | None = None,
    sigma: float = 1.0,
) -> Factorisation | None:
    """Factorise M at T; None where it is not positive definite to working precision."""
    S = cp.S.copy()
    # one memory layout, or numba compiles a version for each
    T = tuple(np.ascontiguousarray(t) for t in T)
    chain, logdet = _eliminate_chain(cp, T, S)
    if prior is not None:
        x, y = slice(cp.q_rest, -1), -1
        pull = sigma**2 * prior.precision @ prior.mean
        S[x, x] += sigma**2 * prior.precision
        S[y, x] += pull
        S[y, y] += pull @ prior.mean
    scales = _scales(cp, T)
    q, mm = cp.q_rest, cp.q_rest + cp.p
    M = np.empty((mm, mm))
    scale_square(S, *scales, M)
    if not cholesky_in_place(M) or not np.isfinite(logdet):
        return None
    L = M
    right = scale_rows(S[mm, :mm, None], cp, tuple(t.T for t in T))[:, 0]
    Ly = solve_triangular(L, right, lower=True, check_finite=False)
    diagonal = np.log(np.diag(L))
    return Factorisation(
        cp=cp,
        T=T,
        S=S,
        L=L,
        Ly=Ly,
        chain=chain,
        logdet_u=logdet + 2.0 * float(diagonal[:q].sum()),
        logdet_x=2.0 * float(diagonal[q:].sum()),
        r2=float(S[mm, mm] - Ly @ Ly),
        scales=scales,
    )


def solve(
    f: Factorisation, *, given_fixed: bool, curvature: bool = False, spend: bool = False
) -> Solution:
    """Effects, blocks of the inverse and gradient pieces.

    Parameters
    ----------
    f : Factorisation
    given_fixed : bool
        True conditions the inverse on the fixed effects (ML, and conditional
        variances as lme4 gives them); False integrates over them (REML).
    curvature : bool
        Whether ``ZPZ`` of the remainder is wanted.
    spend : bool
        Whether L may be overwritten by the inverse, which saves the memory of one.
    """
    cp, q, mm = f.cp, f.cp.q_rest, f.cp.q_rest + f.cp.p
    v = solve_triangular(f.L, f.Ly, lower=True, trans="T", check_finite=False)
    if given_fixed:
        C = np.zeros((mm, mm))
        C[:q, :q] = _inverse(f.L[:q, :q].copy())
        C_beta = _inverse(f.L[q:, q:].copy())
    else:
        C = _inverse(f.L if spend else f.L.copy())
        C_beta = C[q:, q:].copy()
    mirror(C_beta)

    out = Solution([], [], [], [], [], [], [], v[q:], C_beta, None if given_fixed else C)
    stores = (out.u, out.g, out.own, out.G, out.R, out.gg, out.ZPZ)
    for u, g, own, G, ZPZ in _walk_chain(f, C, v):
        for store, item in zip(stores, (u, g, own, G, g.T @ u, g.T @ g, ZPZ), strict=True):
            store.append(item)
    if cp.remainder:
        _solve_remainder(f, C, v, stores, curvature=curvature)
    return out


def _solve_remainder(
    f: Factorisation,
    C: FloatArray,
    v: FloatArray,
    stores: tuple[list[FloatArray], ...],
    *,
    curvature: bool,
) -> None:
    """Append what the inverse says of the factors outside the chain."""
    cp, mm = f.cp, f.cp.q_rest + f.cp.p
    coefficients = np.append(scale_rows(v[:, None], cp, f.T)[:, 0], -1.0)
    rest = -blas.dsymv(1.0, f.S.T, coefficients, lower=0)
    bounds, widths, Ts = f.scales
    fixed = np.zeros((1, *Ts.shape[1:]))
    fixed[0, 0, 0] = 1.0
    traces = trace_products(
        f.S, C, np.append(bounds, mm), np.append(widths, 1), np.concatenate([Ts, fixed])
    )
    P, S = np.empty((0, 0)), f.S
    if curvature:
        S, P = f.S.copy(), C.copy()
        mirror(S)
        mirror(P)
        P = scale_rows(scale_columns(P, cp, f.T), cp, f.T)
    for i, (k, at) in enumerate(cp.remainder):
        J, K = cp.levels[k], cp.widths[k]
        u, g = v[at].reshape(J, K), rest[at].reshape(J, K)
        own = f.T[k] @ _diagonal_blocks(C, at.start, J, K) @ f.T[k].T
        G, ZPZ = traces[i, :K, :K], np.full((K, K), np.nan)
        if curvature:
            rows = S[at, :mm]
            ZPZ = _diagonal_blocks(S, at.start, J, K).sum(axis=0)
            ZPZ = ZPZ - _block_traces(rows, rows @ P, J, K)
        for store, item in zip(stores, (u, g, own, G, g.T @ u, g.T @ g, ZPZ), strict=True):
            store.append(item)


def _scales(cp: CrossProducts, T: Sequence[FloatArray]) -> tuple[IntArray, IntArray, FloatArray]:
    """First column, columns a level and T of each factor of the remainder."""
    where = cp.remainder
    bounds = np.array([0, *(at.stop for _, at in where)], dtype=np.int64)
    widths = np.array([cp.widths[k] for k, _ in where], dtype=np.int64)
    Ts = np.zeros((len(where), *(widths.max(initial=1),) * 2))
    for i, (k, _) in enumerate(where):
        Ts[i, : widths[i], : widths[i]] = T[k]
    return bounds, widths, Ts


def _eliminate_chain(
    cp: CrossProducts, T: Sequence[FloatArray], S: FloatArray
) -> tuple[tuple[Eliminated, ...], float]:
    """Fold the chain into S, in place; its cross-products as they stood, and log-determinants."""
    # the first factor's never change, the others' are worked on in copies
    chain = [
        c if e == 0 else replace(c, A=c.A.copy(), value=c.value.copy(), dense=c.dense.copy())
        for e, c in enumerate(cp.chain)
    ]
    logdet = 0.0
    for e, c in enumerate(chain):
        if c.full is not None:
            logdet += eliminate_full(T[e], c.A, c.full, S)
            continue
        skip = sum(cp.widths[e + 1 : len(chain)])
        logdet += eliminate(T[e], c.A, c.start, c.column, c.value, c.dense, skip, S)
        first = 0
        for n, up in enumerate(chain[e + 1 :]):
            update_ancestor(
                T[e], c.A, c.start, c.value, c.dense, c.parents[n], c.places[n], first,
                up.A, up.value, up.dense,
            )  # fmt: skip
            first += up.A.shape[1]
    return tuple(chain), logdet


def _walk_chain(f: Factorisation, C: FloatArray, v: FloatArray) -> list[tuple[Any, ...]]:
    """Quantities of the chain's factors, from the last eliminated back to the first."""
    found: list[tuple[Any, ...]] = []
    above: list[_Above] = []
    for e in reversed(range(len(f.chain))):
        c = f.chain[e]
        if c.full is not None:
            J, K, m = c.full.shape
            transposed = tuple(t.T for t in f.T)
            B = scale_columns(c.full.reshape(J * K, m), f.cp, transposed).reshape(J, K, m)
            mirror(C)
            return [walk_back_full(f.T[e], c.A, B, C, v)]
        value = scale_entries(c.start, c.column, c.value, *f.scales)
        u, g, own, G, ZPZ, by_value, by_dense = walk_back(
            f.T[e], c.A, c.start, c.column, value, c.dense, C, v, flatten_above(above, c), e > 0
        )
        found.insert(0, (u, g, own, G, ZPZ))
        if e > 0:
            above.insert(0, _Above(own, by_value, by_dense, u @ f.T[e].T))
    return found


class _Above(NamedTuple):
    """What descendants need of an ancestor: its part of P, and its coefficients."""

    own: FloatArray
    by_value: FloatArray
    by_dense: FloatArray
    coefficients: FloatArray


def flatten_above(above: list[_Above], c: Eliminated) -> tuple[Any, ...]:
    """Ancestors one after the other in flat arrays, with the offset of each."""

    def joined(arrays: list[FloatArray]) -> tuple[FloatArray, IntArray]:
        offsets = np.cumsum([0, *(a.size for a in arrays)])[:-1].astype(np.int64)
        return np.concatenate([*(a.ravel() for a in arrays), np.empty(0)]), offsets

    widths = np.array([a.own.shape[1] for a in above], dtype=np.int64)
    columns = np.array([a.by_dense.shape[1] for a in above], dtype=np.int64)
    own = joined([a.own for a in above])
    by_value = joined([a.by_value for a in above])
    by_dense = joined([a.by_dense for a in above])
    coefficients = joined([a.coefficients for a in above])
    return (c.parents, c.places, widths, *own, *by_value, *by_dense, columns, *coefficients)


def _inverse(L: FloatArray) -> FloatArray:
    """Inverse, lower triangle, of the matrix with lower factor L, which it overwrites."""
    if len(L) == 0:
        return L
    inverse, _ = lapack.dpotri(L.T, lower=0, overwrite_c=1)
    return np.asarray(inverse.T)


def scale_rows(matrix: FloatArray, cp: CrossProducts, T: Sequence[FloatArray]) -> FloatArray:
    """Lambda times a matrix whose rows are the remainder's columns."""
    out = np.array(matrix)
    for k, at in cp.remainder:
        J, K = cp.levels[k], cp.widths[k]
        if K == 1:
            out[at] *= T[k][0, 0]
        else:
            out[at] = np.matmul(T[k], out[at].reshape(J, K, -1)).reshape(J * K, -1)
    return out


def scale_columns(matrix: FloatArray, cp: CrossProducts, T: Sequence[FloatArray]) -> FloatArray:
    """A matrix whose columns are the remainder's, times Lambda'."""
    out = np.array(matrix)
    for k, at in cp.remainder:
        J, K = cp.levels[k], cp.widths[k]
        if K == 1:
            out[:, at] *= T[k][0, 0]
        else:
            out[:, at] = (out[:, at].reshape(len(out), J, K) @ T[k].T).reshape(len(out), J * K)
    return out


def _diagonal_blocks(lower: FloatArray, first: int, J: int, K: int) -> FloatArray:
    """Blocks of K on the diagonal of a matrix given by its lower triangle, (J, K, K)."""
    at = first + np.arange(J * K).reshape(J, K, 1)
    rows, columns = np.broadcast_arrays(at, at.transpose(0, 2, 1))
    return np.asarray(lower[np.maximum(rows, columns), np.minimum(rows, columns)])


def _block_traces(left: FloatArray, right: FloatArray, J: int, K: int) -> FloatArray:
    """sum_j left_j right_j', for matrices of J blocks of K rows."""
    if K == 1:
        return np.array([[float(np.vdot(left, right))]])
    traces: FloatArray = np.einsum(
        "jam,jbm->ab", left.reshape(J, K, -1), right.reshape(J, K, -1), optimize=True
    )
    return traces
