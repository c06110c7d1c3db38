"""What the grouping factors of a design look like, and how they relate."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bayeslmm.design.design import Design
from bayeslmm.design.rows import Factor
from bayeslmm.design.scales import scale_notes


@dataclass(frozen=True, eq=False)
class Description:
    """Structure of a model's data; prints itself.

    Attributes
    ----------
    rows : int
        Rows used; ``rows_left_out`` had missing values.
    factors : pandas.DataFrame
        A row a factor: levels, and rows a level (min, mean, max).
    pairs : pandas.DataFrame
        A row a pair of factors: nested or crossed, share of level pairs that
        occur, and the number of connected pieces.
    notes : tuple of str
        What is worth a second look.
    """

    rows: int
    rows_left_out: int
    factors: pd.DataFrame
    pairs: pd.DataFrame
    notes: tuple[str, ...]

    def __str__(self) -> str:
        left_out = f", {self.rows_left_out} left out" if self.rows_left_out else ""
        parts = [f"{self.rows} rows{left_out}"]
        if len(self.factors):
            parts.append(self.factors.to_string(index=False, float_format="{:.4g}".format))
        if len(self.pairs):
            parts.append(self.pairs.to_string(index=False, float_format="{:.3g}".format))
        parts += [f"note: {n}" for n in self.notes]
        return "\n\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{html.escape(n)}</p>" for n in self.notes)
        tables = "".join(t.to_html(index=False) for t in (self.factors, self.pairs) if len(t))
        return f"<p>{self.rows} rows</p>{tables}{notes}"


def describe(design: Design) -> Description:
    """Describe the grouping structure of a design."""
    counts = {f.name: np.bincount(f.codes, minlength=f.n_levels) for f in design.factors}
    factors = pd.DataFrame(
        [
            {
                "factor": f.name,
                "levels": f.n_levels,
                "rows_min": int(counts[f.name].min()),
                "rows_mean": float(counts[f.name].mean()),
                "rows_max": int(counts[f.name].max()),
                "columns": ", ".join(f.column_names),
            }
            for f in design.factors
        ]
    )
    pairs, notes = [], []
    for i, a in enumerate(design.factors):
        for b in design.factors[i + 1 :]:
            row, note = _relate(a, b)
            pairs.append(row)
            notes += note
    for f in design.factors:
        single = int((counts[f.name] == 1).sum())
        if single:
            notes.append(f"{single} of {f.n_levels} levels of `{f.name}` have one row only")
        if f.n_levels < 5:
            notes.append(
                f"`{f.name}` has {f.n_levels} levels: its variance is poorly determined, "
                "and its interval is wide"
            )
    notes += scale_notes(design)
    return Description(
        rows=design.n,
        rows_left_out=int((~design.rows.kept).sum()),
        factors=factors,
        pairs=pd.DataFrame(pairs),
        notes=tuple(notes),
    )


def _relate(a: Factor, b: Factor) -> tuple[dict[str, object], list[str]]:
    """Nested or crossed, and whether labels of one seem to be reused across the other."""
    pairs = np.unique(a.codes * b.n_levels + b.codes)
    at_a, at_b = pairs // b.n_levels, pairs % b.n_levels
    per_a = np.bincount(at_a, minlength=a.n_levels)
    per_b = np.bincount(at_b, minlength=b.n_levels)
    size = a.n_levels + b.n_levels
    both = coo_array((np.ones(len(pairs)), (at_a, a.n_levels + at_b)), shape=(size, size))
    pieces = int(connected_components(both, directed=False, return_labels=False))
    if per_a.max() == 1 and per_b.max() == 1:
        relation = f"{a.name} and {b.name} are the same grouping"
    elif per_a.max() == 1:
        relation = f"{a.name} nested in {b.name}"
    elif per_b.max() == 1:
        relation = f"{b.name} nested in {a.name}"
    else:
        relation = f"{a.name} crossed with {b.name}"
    row: dict[str, object] = {
        "pair": f"{a.name}, {b.name}",
        "relation": relation,
        "pairs_seen": len(pairs) / (a.n_levels * b.n_levels),
        "connected_pieces": pieces,
    }
    notes = []
    crossed = per_a.max() > 1 and per_b.max() > 1
    if crossed and pieces > 1:
        notes.append(
            f"`{a.name}` and `{b.name}` fall into {pieces} pieces that share no level: "
            "differences between pieces rest on the model alone"
        )
    for inner, outer, spread in ((a, b, per_a), (b, a, per_b)):
        every_outer = spread.min() == outer.n_levels and inner.n_levels < 0.5 * outer.n_levels
        if crossed and every_outer and len(inner.codes) == inner.n_levels * outer.n_levels:
            notes.append(
                f"every level of `{inner.name}` occurs in every level of `{outer.name}`, once: "
                f"if its labels are reused (the first of each `{outer.name}`), they are nested: "
                f"write (1 | {outer.name}/{inner.name})"
            )
    return row, notes
