"""A summary as headed sections, written once and shown as text or as HTML."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass

from bayeslmm.comparison.tables import STYLE, Table
from bayeslmm.design import Design

_WIDTH = 88


@dataclass(frozen=True)
class Section:
    """A heading, a table and lines of words, each of which may be missing."""

    heading: str = ""
    table: Table | None = None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Summary:
    """Summary of a fit: `str` and `repr` are text, notebooks show HTML.

    Attributes
    ----------
    title : str
    sections : tuple of Section
    """

    title: str
    sections: tuple[Section, ...]

    def __str__(self) -> str:
        blocks = [self.title]
        for section in self.sections:
            lines = [section.heading] if section.heading else []
            if section.table is not None:
                lines.append(section.table.text(indent=" " if section.heading else ""))
            for line in section.lines:
                lines += textwrap.wrap(line, _WIDTH, subsequent_indent="  ")
            blocks.append("\n".join(lines))
        # the formula stands right below the title, as in lme4
        return "\n".join(blocks[:2]) + "".join(f"\n\n{b}" for b in blocks[2:])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<style>{STYLE}</style>{self.html()}"

    def html(self) -> str:
        """The summary as a fragment of HTML, without the style sheet."""
        parts = [f"<p><b>{html.escape(self.title)}</b></p>"]
        for section in self.sections:
            if section.heading:
                parts.append(f"<p><b>{html.escape(section.heading)}</b></p>")
            if section.table is not None:
                parts.append(section.table.html())
            if section.lines:
                words = "<br>".join(html.escape(line) for line in section.lines)
                parts.append(f"<p>{words}</p>")
        return f'<div class="bayeslmm">{"".join(parts)}</div>'


def size_lines(design: Design) -> tuple[str, ...]:
    """Rows, levels, rows a level, and what was left out."""
    lines = [f"Number of obs: {design.n}"]
    if design.factors:
        groups = "; ".join(f"{f.name}, {f.n_levels}" for f in design.factors)
        lines[0] += f", groups:  {groups}"
        lines.append(f"Rows per level: {'; '.join(_rows_per_level(design))}")
    left_out = int((~design.rows.kept).sum())
    if left_out:
        missing = ", ".join(f"{k} {v}" for k, v in design.rows.missing.items() if v)
        lines.append(f"Left out: {left_out} rows with missing values ({missing})")
    if (zero := design.n - design.n_effective) > 0:
        lines.append(f"Of these, {zero} rows have weight zero")
    return tuple(lines)


def _rows_per_level(design: Design) -> list[str]:
    import numpy as np

    out = []
    for f in design.factors:
        counts = np.bincount(f.codes, minlength=f.n_levels)
        low, high = int(counts.min()), int(counts.max())
        even = low == high
        out.append(f"{f.name} {low}" if even else f"{f.name} {low} to {high}")
    return out


def aliased_lines(design: Design) -> tuple[str, ...]:
    """Fixed columns that others determine."""
    if not design.aliased:
        return ()
    return (f"Dropped, as other columns determine them: {', '.join(design.aliased)}",)
