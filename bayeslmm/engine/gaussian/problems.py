"""Which parameters of a design can be held, and the problem of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

from bayeslmm.design import Design
from bayeslmm.engine.gaussian.crossproducts import CrossProducts, compute_crossproducts
from bayeslmm.engine.gaussian.held import (
    Held,
    HeldCorrelation,
    HeldFixed,
    HeldSD,
    HeldSigma,
    Unheld,
)
from bayeslmm.engine.gaussian.reordered import Reordered
from bayeslmm.engine.gaussian.variances import correlated_pairs


class Problems:
    """The held parameters of a design; cross-products that some share are made once."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self._makers: list[Callable[[], Held]] = [
            lambda j=j: HeldFixed(design, self.cp, j)  # type: ignore[misc]
            for j in range(design.p)
        ]
        self._pairs: dict[int, tuple[int, tuple[int, int]]] = {}
        for k, f in enumerate(design.factors):
            for c in range(f.n_columns):
                self._makers.append(lambda k=k, c=c: self._sd(k, c))  # type: ignore[misc]
            for i, j in correlated_pairs(f):
                label = f"corr_{f.name}[{f.column_names[j]}, {f.column_names[i]}]"
                self._pairs[len(self._makers)] = k, (j, i)
                self._makers.append(
                    lambda k=k, i=i, j=j, n=label: HeldCorrelation(n, self._first(k, (j, i)))  # type: ignore[misc]
                )
        self._makers.append(lambda: HeldSigma(design, self.cp))
        self._made: dict[tuple[int, int, tuple[int, ...]], Reordered] = {}

    @cached_property
    def cp(self) -> CrossProducts:
        """Cross-products of the design as it is."""
        return compute_crossproducts(self.design)

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return len(self._makers)

    def held(self, position: int) -> Held:
        """The problem of one of `parameter_names`."""
        return self._makers[position]()

    def escapes(self, position: int) -> list[Held]:
        """The SDs of a correlation, either of which may be zero instead; none of the others."""
        if position not in self._pairs:
            return []
        factor, columns = self._pairs[position]
        return [self._sd(factor, c) for c in columns]

    def nothing(self) -> Held:
        """The problem in which no parameter is held."""
        return Unheld(self.design, self.cp)

    def _sd(self, factor: int, column: int) -> HeldSD:
        f = self.design.factors[factor]
        name = f"sd_{f.name}[{f.column_names[column]}]"
        return HeldSD(name, self._first(factor, (column,)))

    def _first(self, factor: int, columns: tuple[int, ...]) -> Reordered:
        """The design with these columns first in their term, the intercept late."""
        f = self.design.factors[factor]
        term = next(t for t in f.terms if t.start <= columns[0] < t.stop)
        if not term.correlated:
            term = replace(term, start=columns[0], stop=columns[0] + 1)
        local = [c - term.start for c in columns]
        names = f.column_names[term.start : term.stop]
        late = [i for i, n in enumerate(names) if n == "Intercept"]
        local.sort(key=lambda i: i in late)
        others = [i for i in range(len(names)) if i not in local]
        others.sort(key=lambda i: i in late)
        order = (*local, *others)
        key = (factor, term.start, order)
        if key not in self._made:
            self._made[key] = Reordered.of(self.design, factor, term, order)
        return self._made[key]
