"""Weights and offset of a model, given as columns of its table or as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.errors import ArgumentError, UnknownColumnError, suggest
from bayeslmm.families import Family


def with_arguments(
    frame: pd.DataFrame, **arguments: str | Sequence[float] | None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Put weights and offset beside the data under the names they are then read by."""
    columns: dict[str, str] = {}
    added: dict[str, Any] = {}
    for argument, given in arguments.items():
        if given is None:
            continue
        if isinstance(given, str):
            if given not in frame.columns:
                close = suggest(given, frame.columns)
                raise UnknownColumnError(
                    f"{argument}={given!r} is not a column of the data.",
                    found=", ".join(frame.columns),
                    fix=f"did you mean `{close}`?" if close else "pass a column name or an array",
                )
            columns[argument] = given
            values = frame[given]
        else:
            values = in_row_order(argument, given, frame)
            if len(values) != len(frame):
                raise ArgumentError(
                    f"{argument}= has {len(values)} value{'s' if len(values) != 1 else ''}, "
                    f"and the data have {len(frame)} rows.",
                    fix=f'one value a row; or pass the name of a column, {argument}="column"',
                )
            columns[argument] = f"{argument}="
            added[f"{argument}="] = values.to_numpy()
        if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_complex_dtype(values):
            first = values.dropna().iloc[:1].tolist()
            named = repr(given) if isinstance(given, str) else ""
            raise ArgumentError(
                f"{argument}={named} is not numeric.",
                found=f"values such as {first[0]!r}" if first else None,
                fix="one real number a row",
            )
        if np.isinf(values.to_numpy(dtype=float, na_value=np.nan)).any():
            raise ArgumentError(
                f"{argument}= has infinite values.",
                fix="replace them, or set them missing (NaN) so that na_action decides",
            )
    return (frame.assign(**added) if added else frame), columns


def in_row_order(argument: str, given: Any, frame: pd.DataFrame) -> pd.Series[Any]:
    """Numbers given as an argument; a pandas Series goes by its index, as in pandas.

    Raises
    ------
    ArgumentError
        The index of a Series is not that of the data.
    """
    if isinstance(given, pd.Series) and not given.index.equals(frame.index):
        alike = len(given) == len(frame) and not given.index.has_duplicates
        if not alike or not frame.index.isin(given.index).all():
            raise ArgumentError(
                f"{argument}= is a Series whose index is not that of the data.",
                fix=f"put it into the data and pass its name, or {argument}=values.to_numpy()",
            )
        given = given.reindex(frame.index)
    return pd.Series(np.asarray(given).ravel())


def check_weights(weights: FloatArray, family: Family) -> None:
    """Refuse negative weights, none that count, and any where the family has no scale."""
    if (weights < 0).any():
        negative = np.count_nonzero(weights < 0)
        raise ArgumentError(
            f"weights= has {negative} negative value{'s' if negative > 1 else ''}.",
            fix="weights are precisions: zero leaves a row out, larger counts more",
        )
    if not (weights > 0).any():
        raise ArgumentError("weights= are all zero.", fix="at least one row must count")
    if not family.has_scale and (weights != 1).any():
        raise ArgumentError(
            f"weights= are precisions of a Gaussian response, and the family is {family.name}.",
            fix='for counts out of a total: family="binomial", proportion(successes, trials) ~ ...',
        )
