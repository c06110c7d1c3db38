"""Sums over rows: the kernels of the cross-products, and of the working coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.compiled import kernel


@kernel
def moments(columns: FloatArray, w: FloatArray, centre: bool) -> Any:
    """Weighted means (zero unless ``centre``) and root mean squares about them."""
    n, k = columns.shape
    means, scales, total = np.zeros(k), np.zeros(k), 0.0
    for i in range(n):
        total += w[i]
    if centre:
        for i in range(n):
            for a in range(k):
                means[a] += w[i] * columns[i, a]
        for a in range(k):
            means[a] /= total
    for i in range(n):
        for a in range(k):
            d = columns[i, a] - means[a]
            scales[a] += w[i] * d * d
    for a in range(k):
        scales[a] = np.sqrt(scales[a] / total)
    return means, scales


@kernel
def centre_and_scale(
    columns: FloatArray, row: int, means: FloatArray, scales: FloatArray, out: FloatArray
) -> None:
    """Write (columns - column ``row`` times means) / scales into out."""
    for i in range(columns.shape[0]):
        x = columns[i, row]
        for a in range(columns.shape[1]):
            out[i, a] = (columns[i, a] - x * means[a]) / scales[a]


@kernel
def level_sums(
    codes: IntArray, J: int, w: FloatArray, left: FloatArray, right: FloatArray
) -> FloatArray:
    """Sums over the rows of each level of w * right_a * left_b, shape (J, right, left)."""
    n, a_max, b_max = len(codes), right.shape[1], left.shape[1]
    out = np.zeros((J, a_max, b_max))
    for i in range(n):
        j = codes[i]
        for a in range(a_max):
            x = w[i] * right[i, a]
            for b in range(b_max):
                out[j, a, b] += x * left[i, b]
    return out


@kernel
def add_pairs(
    S: FloatArray,
    first: int,
    codes: IntArray,
    columns: FloatArray,
    w: FloatArray,
    other_first: int,
    other_codes: IntArray,
    other_columns: FloatArray,
) -> None:
    """Add Z_f'WZ_g to the lower triangle of S; f stands at ``first`` and g not after it."""
    K, other_K = columns.shape[1], other_columns.shape[1]
    for i in range(len(codes)):
        row, column = first + codes[i] * K, other_first + other_codes[i] * other_K
        for a in range(K):
            x = w[i] * columns[i, a]
            for b in range(other_K):
                if column + b <= row + a:
                    S[row + a, column + b] += x * other_columns[i, b]


@kernel
def rows_by_level(codes: IntArray, J: int, rows: IntArray) -> Any:
    """``rows`` sorted by level, kept in their order within one, and where each level starts."""
    start = np.zeros(J + 1, np.int64)
    for i in range(len(rows)):
        start[codes[rows[i]] + 1] += 1
    for j in range(J):
        start[j + 1] += start[j]
    at, out = start.copy(), np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        j = codes[rows[i]]
        out[at[j]] = rows[i]
        at[j] += 1
    return out, start


@kernel
def pair_sums(
    codes: IntArray,
    J: int,
    w: FloatArray,
    columns: FloatArray,
    other_codes: IntArray,
    other_J: int,
    other_columns: FloatArray,
) -> Any:
    """Z_f'WZ_g by level of f, only pairs of levels that meet.

    Returns
    -------
    start : ndarray, shape (J + 1,)
    level : ndarray, shape (pairs,)
        Levels of g, ascending within one of f.
    value : ndarray, shape (pairs, K_g, K_f)
    """
    n, K, other_K = len(codes), columns.shape[1], other_columns.shape[1]
    order, _ = rows_by_level(other_codes, other_J, np.arange(n))
    order, bounds = rows_by_level(codes, J, order)
    start = np.zeros(J + 1, np.int64)
    for j in range(J):
        found, last = 0, -1
        for r in range(bounds[j], bounds[j + 1]):
            if other_codes[order[r]] != last:
                last = other_codes[order[r]]
                found += 1
        start[j + 1] = start[j] + found
    level, value = np.empty(start[J], np.int64), np.zeros((start[J], other_K, K))
    for j in range(J):
        at, last = start[j] - 1, -1
        for r in range(bounds[j], bounds[j + 1]):
            i = order[r]
            if other_codes[i] != last:
                last = other_codes[i]
                at += 1
                level[at] = last
            for a in range(other_K):
                x = w[i] * other_columns[i, a]
                for b in range(K):
                    value[at, a, b] += x * columns[i, b]
    return start, level, value
