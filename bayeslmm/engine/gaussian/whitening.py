"""Rows with a residual structure as rows with independent residuals of one SD.

W = D^1/2 R^-1 D^1/2 = L'L with L = S^-1 (I - C) D^1/2 block by block, in the notation of
`bayeslmm.design.residual_structures`: cross-products with W are plain sums over the rows of L H.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.design import Design, Factor
from bayeslmm.design.residual_structures import ResidualStructure, RowOrder


@dataclass(frozen=True, eq=False)
class Whitening:
    """L of the rows that count, at given parameters of the structure.

    Attributes
    ----------
    structure : ResidualStructure
    order : RowOrder
    root : ndarray, shape (n,)
        Square roots of the precision weights, in order.
    values : sequence
        The parameters: numbers, or arrays (S, 1) for S draws at once.
    """

    structure: ResidualStructure
    order: RowOrder
    root: FloatArray
    values: Any

    @cached_property
    def form(self) -> tuple[Any, Any]:
        """The factors c and s of each row."""
        return self.structure.form(self.order, self.values)

    @property
    def log_determinant(self) -> float:
        """Log |W|."""
        spread = np.broadcast_to(self.form[1], self.root.shape)
        return float(2.0 * np.log(self.root).sum() - 2.0 * np.log(spread).sum())

    def columns(self, H: FloatArray) -> FloatArray:
        """L H, rows block by block; H (n, k) in the order of the design's rows that count."""
        h = np.ascontiguousarray((self.root[:, None] * H[self.order.rows]).T)
        c, s = self.form
        return np.ascontiguousarray(((h - c * self.structure.past(self.order, h)) / s).T)

    def conditional(self, e: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What the rows before say of each residual: its mean, and its SD over sigma.

        Parameters
        ----------
        e : ndarray, shape (..., n)
            Residuals y - eta in the order of the design's rows that count; so are the results.
        """
        c, s = self.form
        past = self.structure.past(self.order, self.root * e[..., self.order.rows])
        back = np.argsort(self.order.rows)
        mean = np.broadcast_to(c * past / self.root, e.shape)
        spread = np.broadcast_to(s / self.root, np.broadcast_shapes(np.shape(s), e.shape[-1:]))
        return mean[..., back], spread[..., back]

    def residuals(self, z: FloatArray) -> FloatArray:
        """L^-1 z: residuals over sigma from standard normal numbers, both (..., n), by row."""
        c, s = (np.broadcast_to(v, np.broadcast_shapes(np.shape(v), self.root.shape))
                for v in self.form)  # fmt: skip
        independent = s * z[..., self.order.rows]
        h = independent.copy()
        for rank in range(1, self.order.largest if self.structure.correlated else 1):
            at = np.flatnonzero(self.order.rank == rank)
            past = self.structure.past(self.order, h)
            h[..., at] = c[..., at] * past[..., at] + independent[..., at]
        out = np.empty_like(h)
        out[..., self.order.rows] = h / self.root
        return out


def whitening(design: Design, values: Any = None) -> Whitening:
    """L of a design, at its own parameters or others.

    Raises
    ------
    ValueError
        The design has no structure, or neither has parameters.
    """
    rows = design.residual
    values = rows.values if values is None and rows is not None else values
    if rows is None or values is None:
        raise ValueError("a residual structure, and its parameters, are needed")
    order = rows.order(design.used)
    root = np.sqrt(design.weights[design.used])[order.rows]
    return Whitening(rows.structure, order, root, values)


def blocks_within(level: IntArray, codes: IntArray) -> bool:
    """Whether every block lies in one level of a factor."""
    one = np.empty(int(level.max(initial=0)) + 1, dtype=np.int64)
    one[level] = codes
    return bool((one[level] == codes).all())


def holds_blocks(design: Design, factor: Factor) -> bool:
    """Whether whitened rows have entries of one level of a factor only."""
    assert design.residual is not None
    if not design.residual.structure.correlated:
        return True
    order = design.residual.order(design.used)
    return blocks_within(order.level, factor.codes[design.used][order.rows])
