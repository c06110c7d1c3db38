"""A table with a caption, which prints itself."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

_WIDTH = 100


@dataclass(frozen=True, eq=False, repr=False)
class PrintedTable:
    """A tidy table that prints itself with its caption; without rows, its caption alone.

    Attributes
    ----------
    table : pandas.DataFrame
    caption : str
        How the numbers were made and how to read them.
    """

    table: pd.DataFrame
    caption: str

    def __repr__(self) -> str:
        if self.table.empty:
            return textwrap.fill(self.caption, _WIDTH)
        text = self.table.to_string(index=False, formatters=self._formatters(), na_rep="")
        return "\n".join([text, "", *textwrap.wrap(self.caption, _WIDTH)])

    def _repr_html_(self) -> str:
        if self.table.empty:
            return f"<p>{html.escape(self.caption)}</p>"
        table = self.table.to_html(index=False, formatters=self._formatters(), na_rep="", border=0)
        return f"{table}<p>{html.escape(self.caption)}</p>"

    def _formatters(self) -> dict[Any, Callable[[Any], str]]:
        columns = self.table.select_dtypes("float").columns
        return {c: _p_value if c == "p" else _four_digits for c in columns}


def _four_digits(value: float) -> str:
    return f"{value:.4g}"


def _p_value(value: float) -> str:
    # a smaller one is lost in the rounding of its distribution function
    return "<2e-16" if value < 2e-16 else f"{value:.3g}"
