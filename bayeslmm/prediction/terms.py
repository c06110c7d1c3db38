"""Which random terms a prediction counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayeslmm.arrays import BoolArray
from bayeslmm.design import Design
from bayeslmm.errors import ArgumentError, FormulaError
from bayeslmm.formula.parse import parse_formula


def chosen_columns(
    design: Design, include_re: Any, terms: Sequence[str] | str | None
) -> list[BoolArray]:
    """Columns that count, for each factor of the design, each of shape (K,).

    Parameters
    ----------
    design : Design
    include_re : bool or "average"
        False and "average" count none.
    terms : sequence of str or str, optional
        Names of factors, ``"Subject"``, which stand for all terms on them, or terms of the
        formula, ``"(1 | Subject)"``.

    Raises
    ------
    ArgumentError
        A name that is neither, or terms beside ``include_re=False``.
    """
    if not (isinstance(include_re, bool | np.bool_) or include_re == "average"):
        raise ArgumentError(
            f"include_re={include_re!r} is not known.",
            fix='True (BLUPs), False (effects at zero), or "average" (over their distribution); '
            "some terms only: terms=[...]",
        )
    counted = include_re if isinstance(include_re, bool | np.bool_) else False
    if terms is None:
        return [np.full(f.n_columns, bool(counted)) for f in design.factors]
    if not counted:
        raise ArgumentError(
            f"terms= chooses among the random effects, and include_re={include_re!r} has none.",
            fix="include_re=True with terms=[...]",
        )
    chosen = [np.zeros(f.n_columns, dtype=bool) for f in design.factors]
    for name in [terms] if isinstance(terms, str) else terms:
        _choose(design, name, chosen)
    return chosen


def _choose(design: Design, name: str, chosen: list[BoolArray]) -> None:
    wanted = _as_written(name)
    found = False
    for f, columns in zip(design.factors, chosen, strict=True):
        for t in f.terms:
            if name == f.name or t.text in wanted:
                columns[t.start : t.stop] = found = True
    if not found:
        texts = [t.text for f in design.factors for t in f.terms]
        raise ArgumentError(
            f"terms= names {name!r}, which is no random term of the model.",
            found=", ".join(texts) or "no random term",
            fix="a term as it stands there, or the name of its factor",
        )


def _as_written(name: str) -> list[str]:
    """Terms in the form the design keeps them in; nothing for the name of a factor."""
    if not isinstance(name, str) or "|" not in name:
        return []
    text = name if name.strip().startswith("(") else f"({name})"
    try:
        return [t.text for t in parse_formula(f"y ~ 1 + {text}").random]
    except FormulaError:
        return []
