"""Small tables as aligned text and as HTML; numbers rounded as lme4 rounds them."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MOST_DECIMALS = 8

STYLE = (
    "table.bayeslmm{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5em 0}"
    "table.bayeslmm th,table.bayeslmm td{padding:.15em .7em;text-align:right;border:0}"
    "table.bayeslmm thead tr:last-child th{border-bottom:1px solid #888}"
    "table.bayeslmm th.t,table.bayeslmm td.t{text-align:left}"
    "table.bayeslmm th.g{text-align:center;border-bottom:1px solid #ccc}"
    "table.bayeslmm caption{text-align:left;font-weight:600;padding:.2em 0}"
)


@dataclass(frozen=True)
class Table:
    """Cells that are already text.

    Attributes
    ----------
    columns : tuple of str
    rows : tuple of tuple of str
    text_columns : int
        How many leading columns are words, set to the left; numbers stand to the right.
    groups : tuple of (str, int)
        A heading over so many columns each, after the text columns.
    caption : str
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    groups: tuple[tuple[str, int], ...] = ()
    caption: str = ""

    def text(self, gap: str = " ", indent: str = "") -> str:
        """The table as aligned lines."""
        head = [list(self.columns), *(list(r) for r in self.rows)]
        widths = [max(len(r[k]) for r in head) for k in range(len(self.columns))]
        lines = []
        if self.groups:
            first = gap.join(" " * w for w in widths[: self.text_columns])
            parts, at = [first], self.text_columns
            for name, size in self.groups:
                space = sum(widths[at : at + size]) + len(gap) * (size - 1)
                # a long name widens the group's first column
                widths[at] += max(0, len(name) - space)
                parts.append(f" {name} ".center(max(space, len(name)), "-"))
                at += size
            lines.append(gap.join(parts))
        for row in head:
            cells = [
                c.ljust(w) if k < self.text_columns else c.rjust(w)
                for k, (c, w) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append(gap.join(cells))
        return "\n".join((indent + line).rstrip() for line in lines)

    def html(self) -> str:
        """The table as HTML, every cell escaped."""
        parts = ['<table class="bayeslmm">']
        if self.caption:
            parts.append(f"<caption>{html.escape(self.caption)}</caption>")
        parts.append("<thead>")
        if self.groups:
            over = "".join(
                f'<th class="g" colspan="{size}">{html.escape(name)}</th>'
                for name, size in self.groups
            )
            parts.append(f'<tr><th colspan="{self.text_columns}"></th>{over}</tr>')
        parts.append(self._html_row(self.columns, "th") + "</thead><tbody>")
        parts += [self._html_row(row, "td") for row in self.rows]
        return "".join(parts) + "</tbody></table>"

    def _html_row(self, row: Sequence[str], tag: str) -> str:
        cells = []
        for k, cell in enumerate(row):
            kind = ' class="t"' if k < self.text_columns else ""
            cells.append(f"<{tag}{kind}>{html.escape(cell)}</{tag}>")
        return f"<tr>{''.join(cells)}</tr>"


def decimals(values: Iterable[float], digits: int = 4) -> int | None:
    """Decimals that show the smallest magnitude with ``digits`` significant digits.

    Returns
    -------
    int or None
        None where no number of decimals suits all of them.

    Examples
    --------
    >>> decimals([612.1, 35.07, 654.94])
    2
    """
    sizes = [abs(v) for v in values if math.isfinite(v) and v != 0.0]
    if not sizes:
        return 0
    low, high = (math.floor(math.log10(s)) for s in (min(sizes), max(sizes)))
    need = max(0, digits - 1 - low)
    return need if need <= _MOST_DECIMALS and high <= 9 else None


def number(value: float, places: int | None) -> str:
    """A number with fixed decimals, or four significant digits if ``places`` is None.

    NaN is an empty cell.
    """
    if math.isnan(value):
        return ""
    return f"{value:.4g}" if places is None else f"{value:.{places}f}"


def column(values: Iterable[float], digits: int = 4) -> list[str]:
    """Numbers of one unit with common decimals."""
    values = [float(v) for v in values]
    places = decimals(values, digits)
    return [number(v, places) for v in values]


def p_value(p: float) -> str:
    """A p-value with three digits, and none smaller than the arithmetic can tell from zero.

    Examples
    --------
    >>> p_value(1e-40)
    '<2e-16'
    """
    if math.isnan(p):
        return ""
    return "<2e-16" if p < 2e-16 else f"{p:.3g}"


def percent(level: float) -> str:
    """A level as words: ``95 %``."""
    return f"{100 * level:g} %"


def tail_labels(level: float) -> tuple[str, str]:
    """Column headings of the ends of an equal-tailed interval.

    Examples
    --------
    >>> tail_labels(0.95)
    ('2.5 %', '97.5 %')
    """
    low = round(50 * (1 - level), 6)
    return f"{low:g} %", f"{100 - low:g} %"
