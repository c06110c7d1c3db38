"""Free variance parameters: vectors for the optimiser, matrices for the criterion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayeslmm.arrays import BoolArray, FloatArray, IntArray
from bayeslmm.design import Design
from bayeslmm.engine.gaussian.working import Coordinates

# Entries of T this far below the others are rounding of an exact zero.
_ROUNDING = 1e-11


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each free entry of each T stands; factors in the order of the design.

    Attributes
    ----------
    patterns : tuple of ndarray of bool
    maps : tuple of ndarray
        R of each factor, T_w = R T.
    """

    patterns: tuple[BoolArray, ...]
    maps: tuple[FloatArray, ...]

    @classmethod
    def of(cls, design: Design, coordinates: Coordinates) -> Layout:
        """The layout of a design."""
        return cls(tuple(f.pattern for f in design.factors), coordinates.Z_maps)

    @cached_property
    def size(self) -> int:
        """Number of free entries."""
        return int(sum(p.sum() for p in self.patterns))

    @cached_property
    def entries(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Factor, row and column of each free entry, and the first column of its term."""
        found = []
        for k, p in enumerate(self.patterns):
            first = np.empty(len(p), dtype=np.int64)
            for block in term_blocks(p):
                first[block] = block[0]
            rows, columns = np.nonzero(p)
            found.append(np.stack([np.full(len(rows), k), rows, columns, first[columns]]))
        factor, row, column, first = np.hstack([np.empty((4, 0)), *found]).astype(np.int64)
        return factor, row, column, first

    def pack(self, matrices: Sequence[FloatArray]) -> FloatArray:
        """Free entries of each matrix, row by row."""
        if not matrices:
            return np.empty(0)
        return np.concatenate([m[p] for m, p in zip(matrices, self.patterns, strict=True)])

    def unpack(self, x: FloatArray) -> list[FloatArray]:
        """Matrices with the free entries of a vector, zero elsewhere."""
        out, at = [], 0
        for p in self.patterns:
            T = np.zeros(p.shape)
            k = int(p.sum())
            T[p] = x[at : at + k]
            out.append(T)
            at += k
        return out

    def start(self) -> FloatArray:
        """Every SD equal to the residual's, no correlation, in working coordinates."""
        return self.pack([np.eye(len(p)) for p in self.patterns])

    @cached_property
    def diagonal(self) -> IntArray:
        """Positions of diagonal entries in the vector."""
        return np.flatnonzero(self.start()).astype(np.int64)

    def to_raw(self, working: Sequence[FloatArray]) -> list[FloatArray]:
        """T on the user's scale from T in working coordinates."""
        return [
            lower_factor(np.linalg.solve(R, T)) * p
            for T, R, p in zip(working, self.maps, self.patterns, strict=True)
        ]

    def to_working(self, raw: Sequence[FloatArray]) -> list[FloatArray]:
        """T in working coordinates from T on the user's scale."""
        return [
            lower_factor(R @ T) * p for T, R, p in zip(raw, self.maps, self.patterns, strict=True)
        ]


def lower_factor(T: FloatArray) -> FloatArray:
    """Lower triangular L with non-negative diagonal and L L' = T T'.

    T may have more columns than rows; singular T gives exact zeros on the diagonal.
    """
    if len(T) == 1:
        return np.sqrt((T**2).sum(axis=1, keepdims=True))
    if T.shape == (2, 2) and (L := _lower_factor_of_two(*T.ravel().tolist())) is not None:
        return L
    scales = np.sqrt((T**2).sum(axis=1))
    safe = np.where(scales > 0, scales, 1.0)
    upper = np.linalg.qr((T / safe[:, None]).T, mode="r")
    L = upper.T * np.where(np.diag(upper) < 0, -1.0, 1.0)
    L[np.abs(L) < _ROUNDING] = 0.0
    # a zero pivot leaves its column free of meaning: rotate it into the next ones
    for j in range(len(L) - 1):
        if L[j, j] == 0.0 and L[j:, j].any():
            rest = np.linalg.qr(L[j + 1 :, j:].T, mode="r").T
            L[j + 1 :, j:] = 0.0
            rest = rest * np.where(np.diag(rest) < 0, -1.0, 1.0)
            rest[np.abs(rest) < _ROUNDING] = 0.0
            L[j + 1 :, j + 1 : j + 1 + rest.shape[1]] = rest
    return np.asarray(L * safe[:, None])


def _lower_factor_of_two(a: float, b: float, c: float, d: float) -> FloatArray | None:
    """`lower_factor` of [[a, b], [c, d]], the usual case; None where a pivot is zero."""
    first, second = math.hypot(a, b), math.hypot(c, d)
    if first == 0.0:
        return None
    below, pivot = (a * c + b * d) / first, abs(a * d - b * c) / first
    if not pivot > _ROUNDING * second:
        return None
    return np.array([[first, 0.0], [below if abs(below) > _ROUNDING * second else 0.0, pivot]])


def term_blocks(pattern: BoolArray) -> list[IntArray]:
    """Columns of each term of a factor: runs joined by correlations."""
    groups: list[list[int]] = []
    for j in range(len(pattern)):
        if groups and pattern[j, groups[-1][0]]:
            groups[-1].append(j)
        else:
            groups.append([j])
    return [np.array(g, dtype=np.int64) for g in groups]
