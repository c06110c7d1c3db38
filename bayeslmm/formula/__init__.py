"""Formulas: text to what was asked, before any data are seen.

`tokens` cuts the text, `grammar` reads it into the nodes of `tree`, `check` refuses
what may not be called (`allowed`, `refusals`), `terms` expands the sums and products,
`bars` writes the random terms out, `render` writes canonical text for formulae,
`parse` puts them in a row, `update` changes one formula by another.
"""

from __future__ import annotations

from bayeslmm.formula.parse import parse_formula
from bayeslmm.formula.spec import FormulaSpec, RandomTerm
from bayeslmm.formula.update import update_formula

__all__ = ["FormulaSpec", "RandomTerm", "parse_formula", "update_formula"]
