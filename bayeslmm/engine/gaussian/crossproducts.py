"""Cross-products of [Z X y]: all the Gaussian engine needs of the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.design import Design, Factor
from bayeslmm.engine.gaussian.working import Coordinates, choose_coordinates, to_working

# Share of couplings that are not zero, and number of columns, from which matrix
# products over all of them are faster than a walk over the sparse ones.
_MOSTLY_FULL = 0.2
_WORTH_MATRIX_PRODUCTS = 48


@dataclass(frozen=True, eq=False, slots=True)
class Eliminated:
    """Cross-products of a factor whose blocks are eliminated, J levels of K columns.

    Attributes
    ----------
    A : ndarray, shape (J, K, K)
    start, column, value : ndarray, shapes (J + 1,), (nnz,), (nnz, K)
        Coupling with the remainder's random columns (CSR by level).
    dense : ndarray, shape (J, d, K)
        Coupling with the columns of the ancestors (each level has one level of
        each), with X and with y, in this order.
    parents : ndarray, shape (ancestors, J)
        The ancestors' level that holds each level.
    places : ndarray, shape (ancestors, nnz)
        Where each sparse entry stands among the ancestor's own.
    full : ndarray, shape (J, K, m), or None
        All couplings with the remainder as one array, where most are not zero.
    """

    A: FloatArray
    start: IntArray
    column: IntArray
    value: FloatArray
    dense: FloatArray
    parents: IntArray
    places: IntArray
    full: FloatArray | None


@dataclass(frozen=True, eq=False)
class CrossProducts:
    """Weighted cross-products: a chain of eliminated factors, and the dense remainder.

    The remainder's columns are ordered: other factors (level by level), fixed
    columns, response; m = q_rest + p + 1.

    Attributes
    ----------
    n : int
        Rows with positive weight.
    p : int
    log_weights : float
        Sum of log w over those rows.
    order : tuple of int
        Positions of the factors in the design, the chain first.
    levels, widths : tuple of int
        J and K of each factor, in that order.
    chain : tuple of Eliminated
        The finest factor, then every factor in which all before it are nested.
    S : ndarray, shape (m, m)
        Cross-products of the remainder.
    coordinates : Coordinates
    """

    n: int
    p: int
    log_weights: float
    order: tuple[int, ...]
    levels: tuple[int, ...]
    widths: tuple[int, ...]
    chain: tuple[Eliminated, ...]
    S: FloatArray
    coordinates: Coordinates

    @property
    def q_rest(self) -> int:
        """Random effects outside the chain."""
        return len(self.S) - self.p - 1

    @property
    def remainder(self) -> list[tuple[int, slice]]:
        """Position in ``order`` and columns in ``S`` of each factor outside the chain."""
        out, first = [], 0
        for k in range(len(self.chain), len(self.levels)):
            size = self.levels[k] * self.widths[k]
            out.append((k, slice(first, first + size)))
            first += size
        return out


def compute_crossproducts(design: Design) -> CrossProducts:
    """One pass over the rows of a Gaussian design."""
    maps = choose_coordinates(design)
    counted = design.weights > 0
    w = design.weights[counted]
    y = (design.y - design.offset)[counted]
    Xy = np.column_stack(
        [to_working(design.X[counted], maps.X_map), (y - maps.y_shift) / maps.y_scale]
    )
    chain, rest = _choose_chain([f.codes[counted] for f in design.factors], design.factors)
    order = [*chain, *rest]
    parts = [
        _Part(
            design.factors[k].codes[counted],
            design.factors[k].n_levels,
            to_working(design.factors[k].columns[counted], maps.Z_maps[k]),
        )
        for k in order
    ]
    inner, outer = parts[: len(chain)], parts[len(chain) :]
    starts = np.concatenate([[0], np.cumsum([f.size for f in outer])]).astype(np.int64)
    return CrossProducts(
        n=len(w),
        p=design.p,
        log_weights=float(np.log(w).sum()),
        order=tuple(order),
        levels=tuple(f.J for f in parts),
        widths=tuple(f.K for f in parts),
        chain=_chain_products(inner, outer, starts, w, Xy),
        S=_remainder_products(outer, starts, w, Xy),
        coordinates=maps,
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """Codes and working columns of one factor, rows that count only."""

    codes: IntArray
    J: int
    columns: FloatArray

    @property
    def K(self) -> int:
        return int(self.columns.shape[1])

    @property
    def size(self) -> int:
        return self.J * self.K


def _choose_chain(
    codes: list[IntArray], factors: tuple[Factor, ...]
) -> tuple[list[int], list[int]]:
    """The largest factor, then those in which every chosen one is nested; and the others."""
    by_size = sorted(range(len(factors)), key=lambda k: -factors[k].n_levels * factors[k].n_columns)
    chain, rest = by_size[:1], by_size[:0]
    for k in by_size[1:]:
        nested = all(_nested(codes[c], factors[c].n_levels, codes[k]) for c in chain)
        (chain if nested else rest).append(k)
    return chain, rest


def _nested(inner: IntArray, J: int, outer: IntArray) -> bool:
    """Whether every level of ``inner`` lies in one level of ``outer``."""
    one = np.empty(J, dtype=np.int64)
    one[inner] = outer
    return bool((one[inner] == outer).all())


def _chain_products(
    chain: list[_Part], rest: list[_Part], starts: IntArray, w: FloatArray, Xy: FloatArray
) -> tuple[Eliminated, ...]:
    out: list[Eliminated] = []
    keys: list[IntArray] = []
    for e in reversed(range(len(chain))):
        f = chain[e]
        weighted = w[:, None] * f.columns
        dense = np.hstack([*(g.columns for g in chain[e + 1 :]), Xy])
        start, column, value = _sparse_coupling(f, weighted, rest, starts)
        parents = np.empty((len(chain) - e - 1, f.J), dtype=np.int64)
        places = np.empty((len(chain) - e - 1, len(column)), dtype=np.int64)
        of_level = np.repeat(np.arange(f.J), np.diff(start))
        for a, g in enumerate(chain[e + 1 :]):
            parents[a] = 0
            parents[a][f.codes] = g.codes
            wanted = parents[a][of_level] * (starts[-1] + 1) + column
            places[a] = np.searchsorted(keys[a], wanted)
        keys.insert(0, of_level * (starts[-1] + 1) + column)
        out.insert(
            0,
            Eliminated(
                A=np.ascontiguousarray(_level_sums(f.codes, f.J, weighted, f.columns)),
                start=start,
                column=column,
                value=np.ascontiguousarray(value),
                dense=np.ascontiguousarray(_level_sums(f.codes, f.J, weighted, dense)),
                parents=parents,
                places=places,
                full=None,
            ),
        )
    if len(out) == 1:
        out = [replace(out[0], full=_full_coupling(out[0], int(starts[-1])))]
    return tuple(out)


def _full_coupling(c: Eliminated, q: int) -> FloatArray | None:
    """The sparse and dense couplings as one array, if sparsity would not pay."""
    J, K = c.A.shape[:2]
    if len(c.column) < _MOSTLY_FULL * J * q or q < _WORTH_MATRIX_PRODUCTS:
        return None
    full = np.zeros((J, q + c.dense.shape[1], K))
    full[np.repeat(np.arange(J), np.diff(c.start)), c.column] = c.value
    full[:, q:] = c.dense
    return np.ascontiguousarray(full.transpose(0, 2, 1))


def _remainder_products(
    rest: list[_Part], starts: IntArray, w: FloatArray, Xy: FloatArray
) -> FloatArray:
    m = int(starts[-1])
    S = np.zeros((m + Xy.shape[1],) * 2)
    S[m:, m:] = Xy.T @ (w[:, None] * Xy)
    for a, f in enumerate(rest):
        at_a, weighted = slice(starts[a], starts[a + 1]), w[:, None] * f.columns
        block = _level_sums(f.codes, f.J, weighted, Xy)
        S[at_a, m:] = block.transpose(0, 2, 1).reshape(f.size, -1)
        S[m:, at_a] = S[at_a, m:].T
        for b, g in enumerate(rest[: a + 1]):
            at_b = slice(starts[b], starts[b + 1])
            S[at_a, at_b] = _dense_pairs(f, weighted, g)
            S[at_b, at_a] = S[at_a, at_b].T
    return S


def _level_sums(codes: IntArray, J: int, left: FloatArray, right: FloatArray) -> FloatArray:
    """Sums over the rows of each level of right_a * left_b, shape (J, right, left)."""
    out = np.empty((J, right.shape[1], left.shape[1]))
    for a in range(right.shape[1]):
        for b in range(left.shape[1]):
            out[:, a, b] = np.bincount(codes, right[:, a] * left[:, b], minlength=J)
    return out


def _dense_pairs(f: _Part, weighted: FloatArray, g: _Part) -> FloatArray:
    """Z_f'WZ_g as a dense block."""
    sums = _level_sums(f.codes * g.J + g.codes, f.J * g.J, weighted, g.columns)
    blocks = sums.reshape(f.J, g.J, g.K, f.K)
    return blocks.transpose(0, 3, 1, 2).reshape(f.size, g.size)


def _sparse_coupling(
    f: _Part, weighted: FloatArray, rest: list[_Part], starts: IntArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Rows of Z_f'W[other factors] by level: only pairs of levels that meet."""
    level, column = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    value = [np.empty((0, f.K))]
    for g, first in zip(rest, starts, strict=False):
        pair, inverse = np.unique(f.codes * g.J + g.codes, return_inverse=True)
        sums = _level_sums(inverse.ravel(), len(pair), weighted, g.columns)
        level.append(np.repeat(pair // g.J, g.K))
        column.append((first + (pair % g.J)[:, None] * g.K + np.arange(g.K)).ravel())
        value.append(sums.reshape(-1, f.K))
    levels, columns, values = np.concatenate(level), np.concatenate(column), np.concatenate(value)
    by_level = np.lexsort((columns, levels))
    start = np.concatenate([[0], np.cumsum(np.bincount(levels, minlength=f.J))])
    return start.astype(np.int64), columns[by_level].astype(np.int64), values[by_level]
