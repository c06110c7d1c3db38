"""Prediction error variance of linear combinations of fixed and random effects.

Given the variance parameters, (u - u^, beta - beta^) ~ N(0, sigma^2 M^-1) (Henderson 1975), so
a row h of [Z Lambda, X] has error variance sigma^2 h'M^-1 h. Elimination of a factor splits it.
With D = T'AT + I of a level, X = T D^-1 T', B its coupling with the other columns and z, a the
row's entries for the level and for the others,

    h'M^-1 h = z'Xz + d'(M_rest)^-1 d,   d = a - B X z

and so on along the chain; the inverse of the dense remainder ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import coo_array, csr_array, hstack

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.design import Design, Factor
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.engine.estimate import Estimate
from bayeslmm.engine.gaussian.criterion import (
    Factorisation,
    factorise,
    scale_columns,
    scale_rows,
)
from bayeslmm.engine.gaussian.crossproducts import CrossProducts, compute_crossproducts
from bayeslmm.engine.gaussian.map_prior import fixed_prior
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.gaussian.working import Coordinates, to_working
from bayeslmm.engine.remainder import mirror
from bayeslmm.errors import FitError
from bayeslmm.priors import PriorSet

# Numbers in one array of rows by columns of the remainder: 16 MB.
_CHUNK = 2_000_000
# Share of entries that are not zero from which a dense product is the faster one.
_MOSTLY_FULL = 0.1


@one_blas_thread
def prediction_variance(
    design: Design,
    estimate: Estimate,
    X: FloatArray,
    factors: Sequence[Factor],
    priors: PriorSet | None = None,
) -> FloatArray:
    """Var(x'(beta^ - beta) + z'(b^ - b)) of each row, given the variance parameters.

    Parameters
    ----------
    design : Design
        The training rows.
    estimate : Estimate
    X : ndarray, shape (rows, p)
    factors : sequence of Factor
        Those of the design, with the codes and columns of the new rows. A level the fit
        never saw, code -1, adds nothing: the variance of its effects is the caller's.
    priors : PriorSet
        Needed for MAP.

    Returns
    -------
    ndarray, shape (rows,)
        In squared units of the response.

    Notes
    -----
    The cost is a factorisation, and for each row a product of the remainder's columns with
    those its levels meet. No matrix of rows by random effects is made.
    """
    cp = compute_crossproducts(design)
    layout = Layout.of(design, cp.coordinates)
    working = layout.to_working(estimate.T)
    f = factorise(
        cp,
        [working[k] for k in cp.order],
        prior=None if estimate.method != "MAP" or priors is None
        else fixed_prior(design, priors, cp.coordinates),
        sigma=estimate.sigma / cp.coordinates.y_scale,
    )  # fmt: skip
    if f is None:
        raise FitError("nothing can be computed at these variance parameters.")
    steps = [_step(f, e) for e in range(len(f.chain))]
    inverse = _inverse_of_remainder(f)
    out = np.empty(len(X))
    size = max(1, _CHUNK // max(1, len(inverse)))
    for start in range(0, len(X), size):
        part = slice(start, start + size)
        rows = _coefficients(cp, cp.coordinates, X[part], factors, part)
        out[part] = _quadratic(rows, steps, inverse)
    return estimate.sigma**2 * out


def _coefficients(
    cp: CrossProducts,
    maps: Coordinates,
    X: FloatArray,
    factors: Sequence[Factor],
    part: slice,
) -> csr_array:
    """Rows of [Z, X] in working coordinates, factors in the order of the cross-products."""
    blocks: list[csr_array] = []
    for position, J, K in zip(cp.order, cp.levels, cp.widths, strict=True):
        f = factors[position]
        columns = to_working(np.ascontiguousarray(f.columns[part]), maps.Z_maps[position])
        known = f.codes[part] >= 0
        at = (f.codes[part][known, None] * K + np.arange(K)).ravel()
        starts = np.concatenate([[0], np.cumsum(K * known)])
        shape = (len(known), J * K)
        blocks.append(csr_array((columns[known].ravel(), at, starts), shape=shape))
    fixed = to_working(np.ascontiguousarray(X), maps.X_map)
    return csr_array(hstack([*blocks, csr_array(fixed)], format="csr"))


@dataclass(frozen=True, eq=False, slots=True)
class _Step:
    """What one eliminated factor does to a row: X of its levels, and B'."""

    X: csr_array
    B: csr_array


def _step(f: Factorisation, e: int) -> _Step:
    cp, c, T = f.cp, f.chain[e], f.T[e]
    J, K = cp.levels[e], cp.widths[e]
    D = T.T @ c.A @ T + np.eye(K)
    X = T @ np.linalg.solve(D, np.broadcast_to(T.T, D.shape))
    index = np.arange(J)[:, None, None] * K
    row, column = np.broadcast_arrays(index + np.arange(K)[:, None], index + np.arange(K)[None, :])
    blocks = coo_array((X.ravel(), (row.ravel(), column.ravel())), shape=(J * K,) * 2)
    return _Step(csr_array(blocks), _coupling(f, e))


def _coupling(f: Factorisation, e: int) -> csr_array:
    """Coupling of a factor's columns with those after it, in their order: B', (JK, rest)."""
    cp, c = f.cp, f.chain[e]
    J, K, chain = cp.levels[e], cp.widths[e], len(f.chain)
    sizes = [cp.levels[a] * cp.widths[a] for a in range(e + 1, chain)]
    before = int(sum(sizes))
    rows: list[IntArray] = []
    columns: list[IntArray] = []
    values: list[FloatArray] = []

    def add(level: IntArray, column: IntArray, value: FloatArray) -> None:
        """Entries (level, column, value[K])."""
        rows.append((level[:, None] * K + np.arange(K)).ravel())
        columns.append(np.repeat(column, K))
        values.append(value.ravel())

    levels = np.arange(J)
    first = place = 0
    for a, size in zip(range(e + 1, chain), sizes, strict=True):
        for k in range(cp.widths[a]):
            up = first + c.parents[a - e - 1] * cp.widths[a] + k
            add(levels, up, c.dense[:, place + k])
        first += size
        place += cp.widths[a]
    add(np.repeat(levels, np.diff(c.start)), before + c.column, c.value)
    for k in range(cp.p):
        add(levels, np.full(J, before + cp.q_rest + k), c.dense[:, place + k])
    shape = (J * K, before + cp.q_rest + cp.p)
    entries = (np.concatenate(rows), np.concatenate(columns))
    return csr_array(coo_array((np.concatenate(values), entries), shape=shape))


def _inverse_of_remainder(f: Factorisation) -> FloatArray:
    """Lambda (M_rest)^-1 Lambda' of the remainder, symmetric."""
    if len(f.L) == 0:
        return np.empty((0, 0))
    lower, _ = lapack.dpotri(f.L.T, lower=0)
    inverse = np.ascontiguousarray(lower.T)
    mirror(inverse)
    return scale_columns(scale_rows(inverse, f.cp, f.T), f.cp, f.T)


def _quadratic(rows: csr_array, steps: Sequence[_Step], inverse: FloatArray) -> FloatArray:
    total = np.zeros(rows.shape[0])
    for step in steps:
        own = rows[:, : step.X.shape[0]]
        weighted = own @ step.X
        total += np.asarray((weighted * own).sum(axis=1)).ravel()
        rows = csr_array(rows[:, step.X.shape[0] :] - weighted @ step.B)
    if rows.nnz > _MOSTLY_FULL * max(1, rows.shape[0] * rows.shape[1]):
        dense = rows.toarray()
        return np.asarray(total + np.einsum("ij,ij->i", dense @ inverse, dense))
    return total + np.asarray((rows * (rows @ inverse)).sum(axis=1)).ravel()
