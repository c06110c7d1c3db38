"""Whether fits may stand beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayeslmm.comparison.kinds import Fit
from bayeslmm.design import Design
from bayeslmm.errors import ArgumentError


def check_same_model(fits: Mapping[str, Fit]) -> None:
    """Refuse fits of different models or data.

    Raises
    ------
    ArgumentError
        Says what differs first: family, response, rows, fixed part or random part.
    """
    (first, reference), *others = fits.items()
    for name, fit in others:
        if differs := difference(reference.design, fit.design):
            raise ArgumentError(
                f"{first!r} and {name!r} are not fits of the same model: {differs}.",
                found=f"{reference.formula}  and  {fit.formula}",
                fix="compare_models compares different models of the same data",
            )


def check_same_data(fits: Mapping[str, Fit], *, weights: bool = False) -> None:
    """Refuse fits of different responses, and of different weights where these must agree.

    Raises
    ------
    ArgumentError
    """
    (first, reference), *others = fits.items()
    for name, fit in others:
        differs = data_difference(reference.design, fit.design)
        if weights and not differs:
            same = np.allclose(reference.design.weights, fit.design.weights)
            differs = "" if same else "their weights differ"
        if differs:
            raise ArgumentError(
                f"{first!r} and {name!r} are not models of the same data: {differs}.",
                fix="fit both to the same rows and the same response; rows with missing values in "
                "any predictor must be left out of both",
            )


def difference(a: Design, b: Design) -> str:
    """What sets two designs apart first, in words; empty if nothing does."""
    if a is b:
        return ""
    if a.family != b.family:
        return f"families {a.family!r} and {b.family!r}"
    if data := data_difference(a, b):
        return data
    if a.fixed_names != b.fixed_names:
        return f"fixed effects {', '.join(a.fixed_names)} and {', '.join(b.fixed_names)}"
    if _random(a) != _random(b):
        return "their random terms differ"
    if _structure(a) != _structure(b):
        return "their residual structures differ"
    if not all(
        np.array_equal(f.levels, g.levels) for f, g in zip(a.factors, b.factors, strict=True)
    ):
        return "the levels of their grouping factors differ"
    for name in ("X", "weights", "offset"):
        if not np.allclose(getattr(a, name), getattr(b, name), rtol=1e-10):
            return {"X": "the values of their predictors differ"}.get(name, f"their {name} differ")
    return ""


def data_difference(a: Design, b: Design) -> str:
    """What sets the responses of two designs apart, in words; empty if nothing does."""
    if a.n != b.n:
        return f"{a.n} and {b.n} rows"
    if a.response_name != b.response_name:
        return f"responses {a.response_name} and {b.response_name}"
    if not np.allclose(a.y, b.y, rtol=1e-10):
        return "the values of their response differ"
    if not np.array_equal(a.weights > 0, b.weights > 0):
        return "their weights are zero in different rows"
    return ""


def _random(design: Design) -> list[tuple[Any, ...]]:
    return [(f.name, f.column_names, f.pattern.tobytes()) for f in design.factors]


def _structure(design: Design) -> Any:
    return None if design.residual is None else design.residual.structure
