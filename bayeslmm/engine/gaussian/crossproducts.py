"""Cross-products of [Z X y]: all the Gaussian engine needs of the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.design import Design
from bayeslmm.engine.gaussian.sums import add_pairs, level_sums, pair_sums
from bayeslmm.engine.gaussian.whitening import holds_blocks, whitening
from bayeslmm.engine.gaussian.working import Coordinates, choose_coordinates, to_working

# Share of couplings that are not zero, and number of columns, from which matrix
# products over all of them are faster than a walk over the sparse ones.
_MOSTLY_FULL = 0.2
_WORTH_MATRIX_PRODUCTS = 48
# Columns of a remainder that is small: evaluated in one compiled call (see `small`), in
# which one eliminated factor is enough.
SMALL = 40


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
        Cross-products of the remainder, lower triangle; those of the fixed columns and
        the response in full.
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
    """Sums over the rows of a Gaussian design."""
    maps = choose_coordinates(design)
    used, p = design.used, design.p
    w = design.weights[used]
    Xy = np.empty((len(w), p + 1))
    Xy[:, :p] = to_working(design.X[used], maps.X_map)
    Xy[:, p] = ((design.y - design.offset)[used] - maps.y_shift) / maps.y_scale
    parts = [
        Part(f.codes[used], f.n_levels, to_working(f.columns[used], R))
        for f, R in zip(design.factors, maps.Z_maps, strict=True)
    ]
    if design.residual is not None:
        return _whitened_crossproducts(design, parts, Xy, maps)
    return _of_rows(parts, Xy, w, maps)


def _whitened_crossproducts(
    design: Design, parts: list[Part], Xy: FloatArray, maps: Coordinates
) -> CrossProducts:
    """Those of rows with a residual structure: plain sums over whitened rows."""
    white = whitening(design)
    within = [holds_blocks(design, f) for f in design.factors]
    if not all(within):
        from bayeslmm.engine.gaussian.spanning import spanning_products

        return spanning_products(parts, within, Xy, white, maps)
    rows = white.order.rows
    parts = [Part(f.codes[rows], f.J, white.columns(f.columns)) for f in parts]
    plain = _of_rows(parts, white.columns(Xy), np.ones(len(rows)), maps)
    return replace(plain, log_weights=white.log_determinant)


def _of_rows(parts: list[Part], Xy: FloatArray, w: FloatArray, maps: Coordinates) -> CrossProducts:
    p = Xy.shape[1] - 1
    chain, rest = _choose_chain(parts, p)
    order = [*chain, *rest]
    inner, outer = [parts[k] for k in chain], [parts[k] for k in rest]
    starts = np.concatenate([[0], np.cumsum([f.size for f in outer])]).astype(np.int64)
    return CrossProducts(
        n=len(w),
        p=p,
        log_weights=float(np.log(w).sum()),
        order=tuple(order),
        levels=tuple(parts[k].J for k in order),
        widths=tuple(parts[k].K for k in order),
        chain=_chain_products(inner, outer, starts, w, Xy),
        S=_remainder_products(outer, starts, w, Xy),
        coordinates=maps,
    )


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """Codes and working columns of one factor, rows that count only."""

    codes: IntArray
    J: int
    columns: FloatArray

    @property
    def K(self) -> int:
        """Effects a level."""
        return int(self.columns.shape[1])

    @property
    def size(self) -> int:
        """Effects of all levels."""
        return self.J * self.K


def _choose_chain(parts: list[Part], p: int) -> tuple[list[int], list[int]]:
    """The largest factor, then those in which every chosen one is nested; and the others."""
    by_size = sorted(range(len(parts)), key=lambda k: -parts[k].size)
    chain, rest = by_size[:1], by_size[1:]
    if sum(parts[k].size for k in rest) + p + 1 <= SMALL:
        return chain, rest
    rest = []
    for k in by_size[1:]:
        nested = all(_nested(parts[c].codes, parts[c].J, parts[k].codes) for c in chain)
        (chain if nested else rest).append(k)
    return chain, rest


def _nested(inner: IntArray, J: int, outer: IntArray) -> bool:
    """Whether every level of ``inner`` lies in one level of ``outer``."""
    one = np.empty(J, dtype=np.int64)
    one[inner] = outer
    return bool((one[inner] == outer).all())


def _chain_products(
    chain: list[Part], rest: list[Part], starts: IntArray, w: FloatArray, Xy: FloatArray
) -> tuple[Eliminated, ...]:
    out: list[Eliminated] = []
    keys: list[IntArray] = []
    for e in reversed(range(len(chain))):
        f = chain[e]
        dense = np.hstack([*(g.columns for g in chain[e + 1 :]), Xy]) if e + 1 < len(chain) else Xy
        start, column, value = _sparse_coupling(f, w, rest, starts)
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
                A=level_sums(f.codes, f.J, w, f.columns, f.columns),
                start=start,
                column=column,
                value=value,
                dense=level_sums(f.codes, f.J, w, f.columns, dense),
                parents=parents,
                places=places,
                full=None,
            ),
        )
    if len(out) == 1:
        out = [replace(out[0], full=full_coupling(out[0], int(starts[-1])))]
    return tuple(out)


def full_coupling(c: Eliminated, q: int) -> FloatArray | None:
    """The sparse and dense couplings as one array, if sparsity would not pay."""
    J, K = c.A.shape[:2]
    if len(c.column) < _MOSTLY_FULL * J * q or q < _WORTH_MATRIX_PRODUCTS:
        return None
    full = np.zeros((J, q + c.dense.shape[1], K))
    full[np.repeat(np.arange(J), np.diff(c.start)), c.column] = c.value
    full[:, q:] = c.dense
    return np.ascontiguousarray(full.transpose(0, 2, 1))


def _remainder_products(
    rest: list[Part], starts: IntArray, w: FloatArray, Xy: FloatArray
) -> FloatArray:
    m = int(starts[-1])
    S = np.zeros((m + Xy.shape[1],) * 2)
    S[m:, m:] = Xy.T @ (Xy if (w == 1.0).all() else w[:, None] * Xy)
    for a, f in enumerate(rest):
        block = level_sums(f.codes, f.J, w, f.columns, Xy)
        S[m:, starts[a] : starts[a + 1]] = block.transpose(1, 0, 2).reshape(-1, f.size)
        for b, g in enumerate(rest[: a + 1]):
            add_pairs(S, starts[a], f.codes, f.columns, w, starts[b], g.codes, g.columns)
    return S


def _sparse_coupling(
    f: Part, w: FloatArray, rest: list[Part], starts: IntArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Rows of Z_f'W[other factors] by level: only pairs of levels that meet."""
    found = [pair_sums(f.codes, f.J, w, f.columns, g.codes, g.J, g.columns) for g in rest]
    counts = np.zeros(f.J, dtype=np.int64)
    for (start, _, _), g in zip(found, rest, strict=True):
        counts += g.K * np.diff(start)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    column, value = np.empty(bounds[-1], dtype=np.int64), np.empty((bounds[-1], f.K))
    free = bounds[:-1].copy()
    for (start, level, sums), g, first in zip(found, rest, starts, strict=False):
        # entries of one level of f stand together, factor after factor
        within = np.arange(len(level)) - np.repeat(start[:-1], np.diff(start))
        at = np.repeat(free, np.diff(start)) + g.K * within
        for a in range(g.K):
            column[at + a] = first + level * g.K + a
            value[at + a] = sums[:, a]
        free += g.K * np.diff(start)
    return bounds.astype(np.int64), column, value
