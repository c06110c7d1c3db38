"""A design with the columns of one random term in another order, T triangular in that order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.design.rows import TermColumns
from bayeslmm.engine.gaussian.crossproducts import CrossProducts, compute_crossproducts
from bayeslmm.engine.gaussian.ml_deviance import Deviance
from bayeslmm.engine.gaussian.parameters import Layout, lower_factor


@dataclass(frozen=True, eq=False, slots=True)
class Placed:
    """z at x; its derivatives J (k + 1, x); d^2 z/dx_i^2, ``bend``; ``by_value`` dz/dvalue."""

    z: FloatArray
    J: FloatArray
    bend: FloatArray
    by_value: FloatArray


@dataclass(frozen=True, eq=False)
class Reordered:
    """A design with the columns of one term in another order, and T as it is there.

    ``B`` takes entries t of T, with the rows of that term on the user's scale but for
    their units, to those of the working T_w. ``units`` are the units of its rows.
    """

    design: Design
    factor: int
    term: TermColumns
    order: tuple[int, ...]
    cp: CrossProducts
    layout: Layout
    deviance: Deviance
    B: FloatArray
    units: FloatArray
    centre: FloatArray

    @classmethod
    def of(
        cls, design: Design, factor: int, term: TermColumns, order: tuple[int, ...]
    ) -> Reordered:
        """Put the columns ``order`` of a term, counted within it, in this order."""
        f = design.factors[factor]
        at = [term.start + i for i in order]
        names, columns = list(f.column_names), f.columns.copy()
        block = np.ascontiguousarray(f.columns[:, at])
        centre = np.eye(len(order))
        last = names.index("Intercept") if "Intercept" in names else -1
        if last in at:
            # columns before the intercept may be centred: T stays triangular
            here, w = at.index(last), design.weights
            means = w @ block[:, :here] / w.sum()
            block[:, :here] -= means
            centre[here, :here] = means
        columns[:, term.start : term.stop] = block
        if len(order) > 1:
            # `choose_coordinates` is not to centre them again
            names[term.start : term.stop] = [f"#{i}" for i in order]
        factors = list(design.factors)
        factors[factor] = replace(f, columns=columns, column_names=tuple(names))
        changed = replace(design, factors=tuple(factors))
        cp = compute_crossproducts(changed)
        layout = Layout.of(changed, cp.coordinates)
        units = cp.coordinates.Z_maps[factor].diagonal()[term.start : term.stop]
        B = _block_map(layout, factor, term, units[:, None] * centre / units)
        return cls(design, factor, term, order, cp, layout, Deviance(cp, layout), B, units, centre)

    @property
    def columns(self) -> tuple[int, ...]:
        """The term's columns of the factor, in the order they stand here."""
        return tuple(self.term.start + i for i in self.order)

    def position(self, row: int, column: int) -> int:
        """Where an entry of the term's T stands in the vector."""
        factor, rows, columns, _ = self.layout.entries
        first = self.term.start
        here = (factor == self.factor) & (rows == first + row) & (columns == first + column)
        return int(np.flatnonzero(here)[0])

    def entries(self, T: Sequence[FloatArray]) -> FloatArray:
        """Entries t of T of each factor in the design's order."""
        first, stop = self.term.start, self.term.stop
        matrices = [np.array(t) for t in T]
        own = matrices[self.factor]
        block = lower_factor(own[first:stop, first:stop][list(self.order)])
        own[first:stop, first:stop] = self.centre @ block
        theta = self.layout.pack(self.layout.to_working(matrices))
        return np.linalg.solve(self.B, theta)

    def placed(
        self, t: FloatArray, log_sigma: float, J: FloatArray, bend: FloatArray, by: FloatArray
    ) -> Placed:
        """Everything in the working entries of T."""

        def working(a: FloatArray) -> FloatArray:
            return np.concatenate([self.B @ a[:-1], a[-1:]])

        z = np.append(self.B @ t, log_sigma)
        return Placed(z, working(J), working(bend), working(by))


def _block_map(layout: Layout, factor: int, term: TermColumns, C: FloatArray) -> FloatArray:
    """The linear map of free entries that multiplies one term's T by C from the left."""
    B = np.eye(layout.size)
    at = slice(term.start, term.stop)
    owner, _, columns, _ = layout.entries
    for e in np.flatnonzero((owner == factor) & (columns >= term.start) & (columns < term.stop)):
        unit = layout.unpack(np.eye(layout.size)[e])
        unit[factor][at, at] = C @ unit[factor][at, at]
        B[:, e] = layout.pack(unit)
    return B
