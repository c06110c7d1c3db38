"""Cross-products of [Z X y]: all the Gaussian engine needs of the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayeslmm.design import Design, Factor
from bayeslmm.engine.blocks import FloatArray, IntArray
from bayeslmm.engine.gaussian.working import Coordinates, choose_coordinates, to_working


@dataclass(frozen=True, eq=False)
class CrossProducts:
    """Weighted cross-products, the finest factor apart, the rest dense.

    The remainder's columns are ordered: other factors (level by level), fixed
    columns, response. Sizes: J levels and K columns of the eliminated factor,
    m = q_rest + p + 1.

    Attributes
    ----------
    n : int
        Rows with positive weight.
    p : int
    log_weights : float
        Sum of log w over those rows.
    order : tuple of int
        Positions of the factors in the design, the eliminated one first.
    levels, widths : tuple of int
        J and K of each factor, in that order.
    A : ndarray, shape (J, K, K)
    start, column, value : ndarray
        Coupling of the eliminated factor with the other factors (CSR by level).
    dense : ndarray, shape (J, p + 1, K)
        Its coupling with X and y.
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
    A: FloatArray
    start: IntArray
    column: IntArray
    value: FloatArray
    dense: FloatArray
    S: FloatArray
    coordinates: Coordinates

    @property
    def q_rest(self) -> int:
        """Random effects outside the eliminated factor."""
        return sum(J * K for J, K in zip(self.levels[1:], self.widths[1:], strict=True))


def compute_crossproducts(design: Design) -> CrossProducts:
    """One pass over the rows of a Gaussian design."""
    maps = choose_coordinates(design)
    counted = design.weights > 0
    w = design.weights[counted]
    y = (design.y - design.offset)[counted]
    Xy = np.column_stack(
        [to_working(design.X[counted], maps.X_map), (y - maps.y_shift) / maps.y_scale]
    )
    sizes = [f.n_levels * f.n_columns for f in design.factors]
    order = tuple(sorted(range(len(sizes)), key=lambda k: -sizes[k]))
    factors = [design.factors[k] for k in order]
    codes = [f.codes[counted] for f in factors]
    columns = [
        to_working(f.columns[counted], maps.Z_maps[k]) for k, f in zip(order, factors, strict=True)
    ]

    m_random = sum(f.n_levels * f.n_columns for f in factors[1:])
    m = m_random + Xy.shape[1]
    S = np.zeros((m, m))
    S[m_random:, m_random:] = Xy.T @ (w[:, None] * Xy)
    starts = np.concatenate([[0], np.cumsum([f.n_levels * f.n_columns for f in factors[1:]])])
    for a in range(1, len(factors)):
        at_a = slice(starts[a - 1], starts[a])
        block = _level_sums(codes[a], factors[a].n_levels, w[:, None] * columns[a], Xy)
        S[at_a, m_random:] = block.transpose(0, 2, 1).reshape(at_a.stop - at_a.start, -1)
        S[m_random:, at_a] = S[at_a, m_random:].T
        for b in range(1, a + 1):
            at_b = slice(starts[b - 1], starts[b])
            S[at_a, at_b] = _dense_pairs(
                factors[a], codes[a], w[:, None] * columns[a], factors[b], codes[b], columns[b]
            )
            S[at_b, at_a] = S[at_a, at_b].T
    if factors:
        first, weighted = factors[0], w[:, None] * columns[0]
        J, K = first.n_levels, first.n_columns
        A = _level_sums(codes[0], J, weighted, columns[0]).transpose(0, 2, 1)
        dense = _level_sums(codes[0], J, weighted, Xy)
        start, column, value = _sparse_coupling(
            J, codes[0], weighted, factors[1:], codes[1:], columns[1:], starts
        )
    else:
        J = 0
        A, dense = np.empty((0, 0, 0)), np.empty((0, Xy.shape[1], 0))
        start, column, value = np.zeros(1, np.int64), np.empty(0, np.int64), np.empty((0, 0))
    return CrossProducts(
        n=len(w),
        p=design.p,
        log_weights=float(np.log(w).sum()),
        order=order,
        levels=tuple(f.n_levels for f in factors) or (0,),
        widths=tuple(f.n_columns for f in factors) or (0,),
        A=np.ascontiguousarray(A),
        start=start,
        column=column,
        value=value,
        dense=np.ascontiguousarray(dense),
        S=S,
        coordinates=maps,
    )


def _level_sums(codes: IntArray, J: int, left: FloatArray, right: FloatArray) -> FloatArray:
    """Sums over the rows of each level of right_a * left_b, shape (J, right, left)."""
    out = np.empty((J, right.shape[1], left.shape[1]))
    for a in range(right.shape[1]):
        for b in range(left.shape[1]):
            out[:, a, b] = np.bincount(codes, right[:, a] * left[:, b], minlength=J)
    return out


def _dense_pairs(
    f: Factor, f_codes: IntArray, left: FloatArray, g: Factor, g_codes: IntArray, right: FloatArray
) -> FloatArray:
    """Z_f'WZ_g as a dense block."""
    K, H = f.n_columns, g.n_columns
    pair = f_codes * g.n_levels + g_codes
    sums = _level_sums(pair, f.n_levels * g.n_levels, left, right)
    blocks = sums.reshape(f.n_levels, g.n_levels, H, K)
    return blocks.transpose(0, 3, 1, 2).reshape(f.n_levels * K, g.n_levels * H)


def _sparse_coupling(
    J: int,
    codes: IntArray,
    left: FloatArray,
    others: list[Factor],
    other_codes: list[IntArray],
    others_columns: list[FloatArray],
    starts: IntArray,
) -> tuple[IntArray, IntArray, FloatArray]:
    """Rows of Z'W[other factors] by level: only pairs of levels that meet."""
    level, column, value = [], [], []
    for g, g_codes, right, first in zip(others, other_codes, others_columns, starts, strict=False):
        pair, inverse = np.unique(codes * g.n_levels + g_codes, return_inverse=True)
        sums = _level_sums(inverse.ravel(), len(pair), left, right)
        H = g.n_columns
        level.append(np.repeat(pair // g.n_levels, H))
        column.append((first + (pair % g.n_levels)[:, None] * H + np.arange(H)).ravel())
        value.append(sums.reshape(-1, left.shape[1]))
    if not level:
        return np.zeros(J + 1, np.int64), np.empty(0, np.int64), np.empty((0, left.shape[1]))
    levels, columns, values = np.concatenate(level), np.concatenate(column), np.concatenate(value)
    by_level = np.lexsort((columns, levels))
    start = np.concatenate([[0], np.cumsum(np.bincount(levels, minlength=J))])
    return start.astype(np.int64), columns[by_level].astype(np.int64), values[by_level]
