"""The Gaussian marginal likelihood at given variance parameters, and its gradient.

Everything here is in working coordinates (see `working`) and in the order of
factors of the cross-products. The formulas are those of docs/mathematics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import lapack, solve_triangular

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.blocks import (
    eliminate,
    mirror,
    update_ancestor,
    walk_back,
)
from bayeslmm.engine.full_blocks import eliminate_full, walk_back_full
from bayeslmm.engine.gaussian.crossproducts import CrossProducts, Eliminated


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
        Cross-products of the remainder after elimination, symmetric.
    L : ndarray, shape (m, m)
        Lower Cholesky factor of the remainder of M, response last.
    chain : tuple of Eliminated
        The chain's cross-products, each after elimination of those before it.
    logdet_u, logdet_x : float
        log |M_uu| and log of the determinant of the Schur complement of X.
    r2 : float
        Penalised residual sum of squares.
    """

    cp: CrossProducts
    T: tuple[FloatArray, ...]
    S: FloatArray
    L: FloatArray
    chain: tuple[Eliminated, ...]
    logdet_u: float
    logdet_x: float
    r2: float


@dataclass(frozen=True, eq=False, slots=True)
class Solution:
    """What the factorisation says of each factor; lists in the order of the cross-products.

    ``u`` (J, K) spherical effects; ``g`` (J, K) Z_j'We; ``C`` (J, K, K) blocks of M^-1;
    ``G``, ``R``: d log|M|/dT = 2 G and d r^2/dT = -2 R; ``gg``, ``ZPZ``: the two parts
    of the boundary form N; ``beta`` (p,), ``C_beta`` (p, p).
    """

    u: list[FloatArray]
    g: list[FloatArray]
    C: list[FloatArray]
    G: list[FloatArray]
    R: list[FloatArray]
    gg: list[FloatArray]
    ZPZ: list[FloatArray]
    beta: FloatArray
    C_beta: FloatArray


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
    mirror(S)
    if prior is not None:
        x, y = slice(cp.q_rest, -1), -1
        pull = sigma**2 * prior.precision @ prior.mean
        S[x, x] += sigma**2 * prior.precision
        S[x, y] += pull
        S[y, x] += pull
        S[y, y] += pull @ prior.mean
    transposed = tuple(t.T for t in T)
    M = scale_rows(_scale_columns(S, cp, transposed), cp, transposed)
    q = cp.q_rest
    M[np.arange(q), np.arange(q)] += 1.0
    U, info = lapack.dpotrf(M.T, lower=0, clean=1, overwrite_a=1)
    L = U.T
    if info != 0 or not np.isfinite(logdet):
        return None
    diagonal = np.log(np.diag(L))
    return Factorisation(
        cp=cp,
        T=T,
        S=S,
        L=L,
        chain=chain,
        logdet_u=logdet + 2.0 * float(diagonal[:q].sum()),
        logdet_x=2.0 * float(diagonal[q:-1].sum()),
        r2=float(L[-1, -1] ** 2),
    )


def solve(f: Factorisation, *, given_fixed: bool, curvature: bool = False) -> Solution:
    """Effects, blocks of the inverse and gradient pieces.

    Parameters
    ----------
    f : Factorisation
    given_fixed : bool
        True conditions the inverse on the fixed effects (ML, and conditional
        variances as lme4 gives them); False integrates over them (REML).
    curvature : bool
        Whether the boundary form is wanted.
    """
    cp, q, mm = f.cp, f.cp.q_rest, f.cp.q_rest + f.cp.p
    v = solve_triangular(f.L[:mm, :mm], f.L[mm, :mm], lower=True, trans="T", check_finite=False)
    C = np.zeros((mm, mm))
    kept = q if given_fixed else mm
    C[:kept, :kept] = _inverse(f.L[:kept, :kept])
    C_beta = _inverse(f.L[q:mm, q:mm]) if given_fixed else C[q:, q:]
    half = _scale_columns(C, cp, f.T)
    P = scale_rows(half, cp, f.T)
    coefficients = scale_rows(v[:, None], cp, f.T)[:, 0]

    out = Solution([], [], [], [], [], [], [], v[q:], C_beta)
    stores = (out.u, out.g, out.C, out.G, out.R, out.gg, out.ZPZ)
    walked = _walk_chain(f, P, coefficients, curvature=curvature)
    for u, g, Cu, G, R, N in walked:
        for store, item in zip(stores, (u, g, Cu, G, R, *N), strict=True):
            store.append(item)
    for k, at in cp.remainder:
        J, K = cp.levels[k], cp.widths[k]
        rows = f.S[at, :mm]
        u = v[at].reshape(J, K)
        g = (f.S[at, mm] - rows @ coefficients).reshape(J, K)
        own = np.zeros((K, K))
        if curvature:
            own = _diagonal_blocks(f.S[at, at], J, K).sum(axis=0)
            own = own - _block_traces(rows, rows @ P, J, K)
        blocks = _diagonal_blocks(C[at, at], J, K)
        traces = _block_traces(rows, half[at], J, K)
        for store, item in zip(stores, (u, g, blocks, traces, g.T @ u, g.T @ g, own), strict=True):
            store.append(item)
    return out


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


def _walk_chain(
    f: Factorisation, P: FloatArray, coefficients: FloatArray, *, curvature: bool
) -> list[tuple[Any, ...]]:
    """Quantities of the chain's factors, from the last eliminated back to the first."""
    found: list[tuple[Any, ...]] = []
    above: list[_Above] = []
    for e in reversed(range(len(f.chain))):
        c = f.chain[e]
        if c.full is not None:
            return [walk_back_full(f.T[e], c.A, c.full, P, coefficients, curvature)]
        u, g, C, G, R, N, by_value, by_dense = walk_back(
            f.T[e], c.A, c.start, c.column, c.value, c.dense, P, coefficients,
            flatten_above(above, c), curvature, e > 0,
        )  # fmt: skip
        found.insert(0, (u, g, C, G, R, N))
        if e > 0:
            own = f.T[e] @ C @ f.T[e].T
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
    if len(L) == 0:
        return np.empty((0, 0))
    inverse, _ = lapack.dpotri(L.T, lower=0)
    out = np.asarray(inverse.T)
    mirror(out)
    return out


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


def _scale_columns(matrix: FloatArray, cp: CrossProducts, T: Sequence[FloatArray]) -> FloatArray:
    """A matrix whose columns are the remainder's, times Lambda'."""
    out = np.array(matrix)
    for k, at in cp.remainder:
        J, K = cp.levels[k], cp.widths[k]
        if K == 1:
            out[:, at] *= T[k][0, 0]
        else:
            out[:, at] = (out[:, at].reshape(len(out), J, K) @ T[k].T).reshape(len(out), J * K)
    return out


def _diagonal_blocks(square: FloatArray, J: int, K: int) -> FloatArray:
    if K == 1:
        return np.diag(square).reshape(J, 1, 1).copy()
    at = np.arange(J)
    return np.asarray(square.reshape(J, K, J, K)[at, :, at, :])


def _block_traces(left: FloatArray, right: FloatArray, J: int, K: int) -> FloatArray:
    """sum_j left_j right_j', for matrices of J blocks of K rows."""
    if K == 1:
        return np.array([[float(np.vdot(left, right))]])
    traces: FloatArray = np.einsum(
        "jam,jbm->ab", left.reshape(J, K, -1), right.reshape(J, K, -1), optimize=True
    )
    return traces
