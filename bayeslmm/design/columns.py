"""Columns of a table made fit for formulae, and remembered for new data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from bayeslmm.arrays import IntArray
from bayeslmm.errors import DataError, Place, UnseenLevelError

# Text columns with more distinct values than this, all of them numbers, are
# taken for numbers that were read as text, not for categories.
_MOST_NUMERIC_LABELS = 10

_NOTHING_AFTER_THE_WHOLE = re.compile(r"(?<=\d)\.0+$| 00:00:00$")


@dataclass(frozen=True, slots=True)
class ColumnKind:
    """How one predictor column was read: as numbers, or as categories in this order."""

    name: str
    categories: tuple[Any, ...] | None

    def read(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Read new values of the column in the same way."""
        values = unboxed(values)
        if self.categories is None:
            if not (types.is_numeric_dtype(values) or types.is_bool_dtype(values)):
                raise DataError(
                    f"column `{self.name}` was numeric when the model was made, and is not now.",
                    found=f"{values.dtype}, for instance {values.iloc[0]!r}",
                    fix=f'data["{self.name}"] = pd.to_numeric(data["{self.name}"])',
                )
            return _plain_numbers(values)
        index = pd.Index(list(self.categories))
        codes = level_codes(index, values)
        unseen = pd.unique(values[(codes < 0) & values.notna().to_numpy()])
        if len(unseen):
            raise UnseenLevelError(
                f"new data have levels of `{self.name}` that the model never saw: "
                f"{_listed(unseen)}.",
                found=f"levels in the fit: {_listed(self.categories)}",
                fix="a fixed factor has no estimate for a new level: drop these rows, "
                "or make the factor random, (1 | factor)",
            )
        return _ordered(codes, index, values.index)


def read_predictors(
    frame: pd.DataFrame, places: Mapping[str, Place]
) -> tuple[pd.DataFrame, dict[str, ColumnKind]]:
    """Turn predictor columns into numbers or ordered categories.

    Categories keep the order of a pandas categorical (levels that do not occur
    are dropped, as in R) and are sorted otherwise.

    Parameters
    ----------
    frame : pandas.DataFrame
        Complete rows only.
    places : mapping
        Where each column stands in the formula; its keys are the columns to read.

    Returns
    -------
    tuple of DataFrame and dict
        The table with these columns as they were read, and how.
    """
    kinds: dict[str, ColumnKind] = {}
    changed: dict[str, pd.Series[Any]] = {}
    for name, place in places.items():
        values = frame[name]
        kinds[name], read = _read_column(values, place)
        if read is not values:
            changed[name] = read
    return frame.assign(**changed) if changed else frame, kinds


def apply_kinds(frame: pd.DataFrame, kinds: Mapping[str, ColumnKind]) -> pd.DataFrame:
    """Read the columns of a table by kinds that are already known."""
    read = {name: kind.read(frame[name]) for name, kind in kinds.items()}
    return pd.DataFrame(read, index=frame.index, copy=False)


def unboxed(values: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers or truth values held as Python objects, as an array of numbers."""
    boxed = ("integer", "floating", "mixed-integer-float", "decimal", "boolean")
    if types.is_object_dtype(values) and types.infer_dtype(values, skipna=True) in boxed:
        return pd.to_numeric(values)
    return values


def level_codes(levels: pd.Index[Any], values: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Position of each value among the levels; -1 where it is not one of them.

    Labels that differ only in being text or numbers (``"308"``, ``308``, ``308.0``)
    match, each by itself.
    """
    if _is_categorical(values):
        of_categories = level_codes(levels, pd.Series(values.cat.categories, name=values.name))
        return np.append(of_categories, -1)[values.cat.codes.to_numpy()]
    try:
        codes = np.array(levels.get_indexer(pd.Index(values)))
        missed = np.flatnonzero((codes < 0) & values.notna().to_numpy())
        if len(missed):
            which, distinct = pd.factorize(values.iloc[missed])
            codes[missed] = _codes_by_key(levels, distinct)[which]
    except TypeError:
        raise _not_labels(values, None) from None
    return codes


def _codes_by_key(levels: pd.Index[Any], values: Iterable[Any]) -> np.ndarray[Any, Any]:
    known = {_label_key(level): at for at, level in enumerate(levels)}
    # of the levels "1" and "1.0", the number 1 is the first
    known |= {str(level): at for at, level in enumerate(levels)}
    return np.array([known.get(_label_key(v), -1) for v in values], dtype=np.intp)


def _label_key(value: Any) -> str:
    """What a label is, whether held as text or as a number; True is not 1."""
    if isinstance(value, float | np.floating) and value.is_integer():
        return str(int(value))
    return _NOTHING_AFTER_THE_WHOLE.sub("", str(value))


def coded_labels(
    values: pd.Series[Any], place: Place | None = None
) -> tuple[pd.Index[Any], IntArray]:
    """`coded_levels`, intervals as text, as files hold them."""
    levels, codes = coded_levels(values, place)
    if levels.inferred_type == "interval":
        levels = pd.Index([str(v) for v in levels])
    return levels, codes


def coded_levels(
    values: pd.Series[Any], place: Place | None = None
) -> tuple[pd.Index[Any], IntArray]:
    """Levels that occur, and the position of each value among them; -1 for a missing one.

    They are in categorical order if there is one, sorted otherwise.
    """
    if isinstance(values.array, pd.Categorical):
        levels, codes = values.array.categories, values.array.codes.astype(np.int64)
        occurs = np.zeros(len(levels) + 1, dtype=bool)
        occurs[codes] = True
        order = np.flatnonzero(occurs[:-1])
        if len(order) == len(levels):
            return levels, codes
        return levels.take(order), _positions(order, len(levels))[codes]
    try:
        codes, levels = pd.factorize(values)
    except TypeError:
        raise _not_labels(values, place) from None
    if types.is_object_dtype(levels):
        levels = pd.Index(levels.to_numpy())
    try:
        in_order, order = levels.sort_values(return_indexer=True)
        return in_order, _positions(np.asarray(order), len(levels))[codes]
    except TypeError:
        raise DataError(
            f"column `{values.name}` mixes values of different types.",
            place=place,
            found=_listed(sorted({type(v).__name__ for v in levels})),
            fix=f'data["{values.name}"] = data["{values.name}"].astype(str)',
        ) from None


def _positions(order: IntArray, n: int) -> IntArray:
    """New position of each of ``n`` levels, and -1, which the code of a missing value reads."""
    positions = np.full(n + 1, -1, dtype=np.int64)
    positions[order] = np.arange(len(order))
    return positions


def _ordered(codes: IntArray, levels: pd.Index[Any], index: pd.Index[Any]) -> pd.Series[Any]:
    return pd.Series(pd.Categorical.from_codes(codes, categories=levels, ordered=True), index=index)


def _read_column(values: pd.Series[Any], place: Place) -> tuple[ColumnKind, pd.Series[Any]]:
    name, values = str(values.name), unboxed(values)
    if types.is_bool_dtype(values) or types.is_numeric_dtype(values):
        if types.is_complex_dtype(values):
            raise DataError(
                f"column `{name}` holds complex numbers.",
                place=place,
                fix="its real and its imaginary part can be columns",
            )
        _refuse_infinite(values, place)
        return ColumnKind(name, None), _plain_numbers(values)
    if holds_times(values):
        raise DataError(
            f"column `{name}` holds dates or times, which a formula cannot use.",
            place=place,
            fix=f'a number of days: (data["{name}"] - data["{name}"].min()) / pd.Timedelta("1D")',
        )
    levels, codes = coded_labels(values, place)
    if len(levels) == 1:
        raise DataError(
            f"column `{name}` has one level only, {str(levels[0])!r}.",
            place=place,
            fix="there is nothing to compare; leave it out",
        )
    if (
        not _is_categorical(values)
        and len(levels) > _MOST_NUMERIC_LABELS
        and reads_as_numbers(levels)
    ):
        raise DataError(
            f"column `{name}` holds numbers as text, where numbers are needed.",
            place=place,
            found=f"{len(levels)} different values such as {levels[0]!r}",
            fix=f'data["{name}"] = pd.to_numeric(data["{name}"]); '
            f'for categories: data["{name}"].astype("category")',
        )
    kind = ColumnKind(name, tuple(levels))
    return kind, _ordered(codes, pd.Index(list(levels)), values.index)


def _refuse_infinite(values: pd.Series[Any], place: Place) -> None:
    if values.dtype.kind != "f":
        return
    infinite = np.isinf(values.to_numpy(dtype=float))
    if infinite.any():
        raise DataError(
            f"column `{values.name}` has {infinite.sum()} infinite "
            f"value{'s' if infinite.sum() > 1 else ''}.",
            place=place,
            found=f"first in row {values.index[int(infinite.argmax())]!r}",
            fix="replace them, or set them missing (NaN) so that na_action decides",
        )


def holds_times(values: pd.Series[Any]) -> bool:
    """Whether a column holds dates, times or durations."""
    if types.is_datetime64_any_dtype(values) or types.is_timedelta64_dtype(values):
        return True
    if isinstance(values.dtype, pd.PeriodDtype):
        return True
    kinds = ("date", "datetime", "datetime64", "timedelta", "timedelta64", "time", "period")
    return types.is_object_dtype(values) and types.infer_dtype(values, skipna=True) in kinds


def _not_labels(values: pd.Series[Any], place: Place | None) -> DataError:
    kinds = sorted({type(v).__name__ for v in values.dropna()})
    return DataError(
        f"column `{values.name}` holds values that cannot be labels of levels.",
        place=place,
        found=_listed(kinds),
        fix="one number or one piece of text a row",
    )


def _plain_numbers(values: pd.Series[Any]) -> pd.Series[Any]:
    if types.is_extension_array_dtype(values.dtype):
        boolean = types.is_bool_dtype(values) and not values.isna().any()
        integer = types.is_integer_dtype(values) and not values.isna().any()
        kind = np.bool_ if boolean else np.int64 if integer else np.float64
        return pd.Series(values.to_numpy(dtype=kind, na_value=np.nan), index=values.index)
    return values


def reads_as_numbers(levels: pd.Index[Any]) -> bool:
    """Whether every label is text that stands for a number."""
    try:
        pd.to_numeric(levels.to_series())
    except (ValueError, TypeError):
        return False
    return True


def _is_categorical(values: pd.Series[Any]) -> bool:
    return isinstance(values.dtype, pd.CategoricalDtype)


def _listed(values: Iterable[Any], most: int = 8) -> str:
    shown = [str(v) for v in values]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more
