"""The left-hand side of a formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from bayeslmm.design.basis import evaluate
from bayeslmm.design.columns import read_predictors, sorted_levels
from bayeslmm.design.design import FloatArray
from bayeslmm.errors import DataError
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
        raise DataError(f"`{name}` is not one column.", place=response.place)
    if not np.isfinite(values).all():
        raise DataError(
            f"the response `{name}` is not finite in {np.count_nonzero(~np.isfinite(values))} rows.",
            place=response.place,
            fix="the transformation may not suit some values, such as log(0)",
        )
    return values[:, 0], _one_trial(family, frame), name


def _one_trial(family: Family, frame: pd.DataFrame) -> FloatArray | None:
    return np.ones(len(frame)) if family.needs_trials else None


def _read_column(values: pd.Series[Any], response: Expression, family: Family) -> FloatArray:
    if types.is_bool_dtype(values) or types.is_numeric_dtype(values):
        numbers = values.to_numpy(dtype=np.float64)
        if not np.isfinite(numbers).all():
            raise DataError(
                f"the response `{values.name}` has infinite values.",
                place=response.place,
                fix="replace them, or set them missing (NaN) so that na_action decides",
            )
        return numbers
    levels = sorted_levels(values)
    if family.name in ("bernoulli", "binomial") and len(levels) == 2:
        # As in R: the first level is failure, the second success.
        return (values == levels[1]).to_numpy(dtype=np.float64)
    raise DataError(
        f"the response `{values.name}` is not numeric.",
        place=response.place,
        found=f"{values.dtype} with {len(levels)} different values",
        fix="family='bernoulli' takes a response of two categories"
        if len(levels) == 2
        else f'data["{values.name}"] = pd.to_numeric(data["{values.name}"])',
    )
