"""The left-hand side of a formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from bayeslmm.arrays import FloatArray
from bayeslmm.design.basis import evaluate
from bayeslmm.design.columns import (
    coded_levels,
    holds_times,
    read_predictors,
    reads_as_numbers,
    unboxed,
)
from bayeslmm.design.design import Design
from bayeslmm.errors import ArgumentError, DataError
from bayeslmm.families import Family
from bayeslmm.formula.allowed import display
from bayeslmm.formula.spec import Expression, FormulaSpec


def read_response(
    spec: FormulaSpec, frame: pd.DataFrame, family: Family, namespace: Mapping[str, Any]
) -> tuple[FloatArray, FloatArray | None, str]:
    """Values of the response, its trials if it is binomial, and its name."""
    response = spec.response
    name = display(response.text).strip("`")
    if name in frame.columns:
        return _read_column(frame[name], response, family), _one_trial(family, frame), name
    kinds = {n.name: n.place for n in response.names}
    read, _ = read_predictors(frame, kinds)
    left = Expression(f"{response.text} ~ 1", response.place, response.names)
    matrix = evaluate(left, read, namespace).response
    values = np.asarray(matrix.design_matrix, dtype=np.float64)
    if matrix.kind == "proportion":
        if not family.needs_trials:
            raise DataError(
                f"`{name}` counts successes out of trials, and the family is {family.name}.",
                place=response.place,
                fix="family='binomial'",
            )
        return values[:, 0], values[:, 1], response.names[0].name
    values = values.reshape(len(frame), -1)
    if values.shape[1] != 1:
        raise DataError(
            f"`{name}` is not one column of numbers.",
            place=response.place,
            fix="a response is one number a row",
        )
    if not np.isfinite(values).all():
        raise DataError(
            f"the response `{name}` is not finite in "
            f"{np.count_nonzero(~np.isfinite(values))} rows.",
            place=response.place,
            fix="the transformation may not suit some values, such as log(0)",
        )
    return values[:, 0], _one_trial(family, frame), name


def _one_trial(family: Family, frame: pd.DataFrame) -> FloatArray | None:
    return np.ones(len(frame)) if family.needs_trials else None


def _read_column(values: pd.Series[Any], response: Expression, family: Family) -> FloatArray:
    values = unboxed(values)
    for found, words in (
        (types.is_complex_dtype(values), "complex numbers"),
        (holds_times(values), "dates or times"),
    ):
        if found:
            raise DataError(
                f"the response `{values.name}` holds {words}.",
                place=response.place,
                fix="a response is a column of real numbers",
            )
    if types.is_bool_dtype(values) or types.is_numeric_dtype(values):
        numbers = values.to_numpy(dtype=np.float64)
        if not np.isfinite(numbers).all():
            infinite = ~np.isfinite(numbers)
            raise DataError(
                f"the response `{values.name}` has {infinite.sum()} infinite "
                f"value{'s' if infinite.sum() > 1 else ''}.",
                place=response.place,
                found=f"first in row {values.index[int(infinite.argmax())]!r}",
                fix="replace them, or set them missing (NaN) so that na_action decides",
            )
        return numbers
    levels, _ = coded_levels(values, response.place)
    if family.name in ("bernoulli", "binomial") and len(levels) == 2:
        # As in R: the first level is failure, the second success.
        return np.asarray(values == levels[1], dtype=np.float64)
    fix = "a response is a column of real numbers; is this the column you meant?"
    if reads_as_numbers(levels):
        fix = f'data["{values.name}"] = pd.to_numeric(data["{values.name}"])'
    elif len(levels) == 2:
        fix = 'family="bernoulli" takes a response of two categories'
    raise DataError(
        f"the response `{values.name}` is not numeric.",
        place=response.place,
        found=f"{len(levels)} different values such as {str(levels[0])!r}",
        fix=fix,
    )


def checked_response(design: Design, y: Any) -> FloatArray:
    """Another response for the rows of a design, shape (n,) or (n, batch).

    It may be given for all rows of the table: what it has for those left out does not count.

    Raises
    ------
    ArgumentError
        Another length, or a value that is missing, infinite or not a number.
    """
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError("the new response is not numeric.") from None
    kept = design.rows.kept
    if values.ndim in (1, 2) and len(values) == len(kept):
        values = values[kept]
    if values.ndim not in (1, 2) or len(values) != design.n:
        left_out = "" if kept.all() else f" of the {len(kept)} of the table"
        raise ArgumentError(
            f"the new response has shape {values.shape}, and the model uses {design.n} rows"
            f"{left_out}.",
            fix="one value a row, or one column a response: shape (nobs,) or (nobs, batch)",
        )
    if not np.isfinite(values).all():
        raise ArgumentError("the new response has missing or infinite values.")
    return values
