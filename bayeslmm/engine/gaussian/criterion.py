"""The Gaussian marginal likelihood at given variance parameters, and its gradient.

Everything here is in working coordinates (see `working`) and in the order of
factors of the cross-products. The formulas are those of docs/mathematics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, solve_triangular

from bayeslmm.engine.blocks import FloatArray, eliminate, mirror, walk_back
from bayeslmm.engine.gaussian.crossproducts import CrossProducts


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
    logdet_u, logdet_x : float
        log |M_uu| and log of the determinant of the Schur complement of X.
    r2 : float
        Penalised residual sum of squares.
    """

    cp: CrossProducts
    T: tuple[FloatArray, ...]
    S: FloatArray
    L: FloatArray
    logdet_u: float
    logdet_x: float
    r2: float


@dataclass(frozen=True, eq=False, slots=True)
class Solution:
    """What the factorisation says of each factor; lists in the order of the cross-products.

    ``u`` (J, K) spherical effects; ``g`` (J, K) Z_j'We; ``C`` (J, K, K) their blocks of M^-1; ``G``,
    ``R``: d log|M|/dT = 2 G and d r^2/dT = -2 R; ``gg``, ``ZPZ``: the two parts
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
    logdet = 0.0
    if cp.levels[0]:
        logdet = eliminate(T[0], cp.A, cp.start, cp.column, cp.value, cp.dense, S)
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
    if cp.levels[0]:
        u, g, Cu, G, R, N = walk_back(
            f.T[0], cp.A, cp.start, cp.column, cp.value, cp.dense, P, coefficients, curvature
        )
        stores = (out.u, out.g, out.C, out.G, out.R, out.gg, out.ZPZ)
        for store, item in zip(stores, (u, g, Cu, G, R, *N), strict=True):
            store.append(item)
    first = 0
    for J, K in zip(cp.levels[1:], cp.widths[1:], strict=True):
        at = slice(first, first + J * K)
        first += J * K
        rows = f.S[at, :mm]
        u = v[at].reshape(J, K)
        g = (f.S[at, mm] - rows @ coefficients).reshape(J, K)
        out.u.append(u)
        out.g.append(g)
        out.C.append(_diagonal_blocks(C[at, at], J, K))
        out.G.append(_block_traces(rows, half[at], J, K))
        out.R.append(g.T @ u)
        out.gg.append(g.T @ g)
        if curvature:
            own = _diagonal_blocks(f.S[at, at], J, K).sum(axis=0)
            out.ZPZ.append(own - _block_traces(rows, rows @ P, J, K))
        else:
            out.ZPZ.append(np.zeros((K, K)))
    return out


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
    first = 0
    for t, J, K in zip(T[1:], cp.levels[1:], cp.widths[1:], strict=True):
        at = slice(first, first + J * K)
        first += J * K
        if K == 1:
            out[at] *= t[0, 0]
        else:
            out[at] = np.matmul(t, out[at].reshape(J, K, -1)).reshape(J * K, -1)
    return out


def _scale_columns(matrix: FloatArray, cp: CrossProducts, T: Sequence[FloatArray]) -> FloatArray:
    """A matrix whose columns are the remainder's, times Lambda'."""
    out = np.array(matrix)
    first = 0
    for t, J, K in zip(T[1:], cp.levels[1:], cp.widths[1:], strict=True):
        at = slice(first, first + J * K)
        first += J * K
        if K == 1:
            out[:, at] *= t[0, 0]
        else:
            out[:, at] = (out[:, at].reshape(len(out), J, K) @ t.T).reshape(len(out), J * K)
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
