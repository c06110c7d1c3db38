"""Cross-products where a block of residuals spans several levels of a factor.

A whitened row then has entries of several levels, and the factor's own cross-products are
no longer block diagonal. Such factors go into the dense remainder; the largest factor that
holds whole blocks, if there is one, is still eliminated a level at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_array, csr_array, hstack

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.gaussian.crossproducts import (
    CrossProducts,
    Eliminated,
    Part,
    full_coupling,
)
from bayeslmm.engine.gaussian.sums import level_sums
from bayeslmm.engine.gaussian.whitening import Whitening
from bayeslmm.engine.gaussian.working import Coordinates
from bayeslmm.errors import DataError

# Random effects in the dense remainder that still fit into memory, 8 bytes a pair.
_MANY = 20_000


def spanning_products(
    parts: Sequence[Part],
    within: Sequence[bool],
    Xy: FloatArray,
    white: Whitening,
    maps: Coordinates,
) -> CrossProducts:
    """Cross-products of [Z X y] by sparse products of whitened columns.

    Parameters
    ----------
    parts : sequence of Part
        Factors, rows as the design has them.
    within : sequence of bool
        Whether each factor's levels hold whole blocks.
    Xy : ndarray, shape (n, p + 1)
    white : Whitening
    maps : Coordinates

    Raises
    ------
    DataError
        The remainder is too large to be dense.
    """
    holding = [k for k in range(len(parts)) if within[k]]
    chain = [max(holding, key=lambda k: parts[k].size)] if holding else []
    rest = [k for k in range(len(parts)) if k not in chain]
    q = sum(parts[k].size for k in rest)
    if q > _MANY:
        raise DataError(
            f"the residual structure couples {q} random effects with each other, too many for "
            "one dense matrix.",
            fix="by= a factor whose levels lie within those of the random factors",
        )
    L, order = sparse_whitening(white), [*chain, *rest]
    Z = csr_array(hstack([csr_array((len(Xy), 0)), *(L @ columns_of(parts[k]) for k in rest)]))
    wXy = white.columns(Xy)
    S = np.zeros((q + Xy.shape[1],) * 2)
    S[:q, :q] = (Z.T @ Z).toarray()
    S[q:, :q] = np.asarray(Z.T @ wXy).T
    S[q:, q:] = wXy.T @ wXy
    return CrossProducts(
        n=len(Xy),
        p=Xy.shape[1] - 1,
        log_weights=white.log_determinant,
        order=tuple(order),
        levels=tuple(parts[k].J for k in order),
        widths=tuple(parts[k].K for k in order),
        chain=tuple(_eliminated(parts[k], white, Z, wXy) for k in chain),
        S=S,
        coordinates=maps,
    )


def sparse_whitening(white: Whitening) -> csr_array:
    """L as a sparse matrix, its columns the design's rows that count."""
    order, n = white.order, len(white.root)
    c, s = (np.broadcast_to(v, n) for v in white.form)
    row, earlier = white.structure.pairs(order)
    values = np.concatenate([np.ones(n), -c[row]]) / s[np.concatenate([np.arange(n), row])]
    at = np.concatenate([np.arange(n), earlier])
    entries = (np.concatenate([np.arange(n), row]), order.rows[at])
    return csr_array(coo_array((values * white.root[at], entries), shape=(n, n)))


def columns_of(part: Part) -> csr_array:
    """The indicator columns of a factor times its own, shape (n, J K)."""
    n, K = part.columns.shape
    at = (part.codes[:, None] * K + np.arange(K)).ravel()
    return csr_array((part.columns.ravel(), at, np.arange(0, n * K + 1, K)), shape=(n, part.size))


def _eliminated(part: Part, white: Whitening, Z: csr_array, wXy: FloatArray) -> Eliminated:
    codes, columns = part.codes[white.order.rows], white.columns(part.columns)
    ones = np.ones(len(codes))
    start, column, value = _coupling(codes, part.J, columns, Z)
    c = Eliminated(
        A=level_sums(codes, part.J, ones, columns, columns),
        start=start,
        column=column,
        value=value,
        dense=level_sums(codes, part.J, ones, columns, wXy),
        parents=np.empty((0, part.J), dtype=np.int64),
        places=np.empty((0, len(column)), dtype=np.int64),
        full=None,
    )
    return replace(c, full=full_coupling(c, Z.shape[1]))


def _coupling(
    codes: IntArray, J: int, columns: FloatArray, Z: csr_array
) -> tuple[IntArray, IntArray, FloatArray]:
    """Rows of the factor's columns times Z by level: only columns that meet."""
    n, q = Z.shape

    def by_level(weights: FloatArray, Z: csr_array) -> csr_array:
        spread = csr_array((weights, codes, np.arange(n + 1)), shape=(n, J))
        found = csr_array(spread.T @ Z)
        found.sort_indices()
        return found

    meets = by_level(np.ones(n), abs(Z))
    keys = np.repeat(np.arange(J), np.diff(meets.indptr)) * q + meets.indices
    value = np.zeros((len(keys), columns.shape[1]))
    for k in range(columns.shape[1]):
        sums = coo_array(by_level(columns[:, k], Z))
        there = sums.data != 0.0
        row, column = (i[there].astype(np.int64) for i in sums.coords)
        value[np.searchsorted(keys, row * q + column), k] = sums.data[there]
    return meets.indptr.astype(np.int64), meets.indices.astype(np.int64), value
