"""Why a piece of a formula could not be evaluated, in words that point at it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pandas as pd

from bayeslmm.errors import BayeslmmError, DataError, FormulaError, Place
from bayeslmm.formula.allowed import display
from bayeslmm.formula.spec import Expression, Name


def explained(
    error: Exception, expression: Expression, frame: pd.DataFrame, run: Callable[[str], Any] | None
) -> BayeslmmError:
    """Our error in place of one raised in an evaluation: which term, which column, why."""
    term = _culprit(expression, run)
    place, names = place_of(term, expression), _names_in(term, expression)
    levels = {n.name: found for n in names if (found := _levels(frame[n.name]))}
    held = "; ".join(f"levels of `{k}`: {v}" for k, v in levels.items())
    if isinstance(error, BayeslmmError):
        if error.place is not None:
            return error
        return type(error)(
            error.what, place=place, found=error.found or held or None, fix=error.fix
        )
    if isinstance(error, TypeError) and levels:
        first = next(iter(levels))
        return DataError(
            f"`{display(term)}` needs numbers, and column `{first}` holds categories.",
            place=next(n.place for n in names if n.name == first),
            found=levels[first],
            fix=f"use `{first}` as it is, or make a numeric column of it",
        )
    return FormulaError(
        f"`{display(term)}` cannot be evaluated.",
        place=place,
        found="; ".join(filter(None, [f"{type(error).__name__}: {error}", held])),
    )


def _levels(column: pd.Series[Any]) -> str | None:
    """Levels of a categorical column, the first of many; None of a numeric one."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return None
    labels = list(map(str, column.cat.categories))
    return ", ".join([*labels[:8], *(["..."] if len(labels) > 8 else [])])


def _culprit(expression: Expression, run: Callable[[str], Any] | None) -> str:
    """The first term of an expression that cannot be evaluated alone; all of it if each can."""
    left, tilde, right = expression.text.partition(" ~ ")
    if tilde:
        return left
    terms = [t for t in _split(right or left) if t not in ("0", "1")]
    if len(terms) == 1:
        return terms[0]
    if run is not None:
        for term in terms:
            try:
                run(f"0 + {term}")
            except Exception:
                return term
    return " + ".join(terms)


def _split(text: str) -> list[str]:
    """Terms of canonical text: its pieces between the plus signs outside of everything."""
    pieces, depth, quoted = [""], 0, ""
    for c in text:
        if quoted:
            quoted = "" if c == quoted else quoted
        elif c in "`'\"":
            quoted = c
        depth += (c in "([{") - (c in ")]}") if not quoted else 0
        if c == "+" and depth == 0 and not quoted:
            pieces.append("")
        else:
            pieces[-1] += c
    return [p.strip() for p in pieces]


def _names_in(text: str, expression: Expression) -> list[Name]:
    """Columns of the expression that a piece of its text or a label mentions."""
    return [
        n for n in expression.names if re.search(rf"(?<![\w.]){re.escape(n.name)}(?![\w.(])", text)
    ]


def place_of(text: str, expression: Expression) -> Place:
    """Where the first column of a piece of an expression stands."""
    names = _names_in(text, expression)
    return names[0].place if names else expression.place
