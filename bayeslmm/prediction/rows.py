"""The rows of a prediction: which effects count, which levels are new, how much a row weighs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayeslmm.arrays import BoolArray, FloatArray, IntArray
from bayeslmm.data.table import to_frame
from bayeslmm.design import Design, Factor, NewRows
from bayeslmm.errors import ArgumentError
from bayeslmm.families import Family
from bayeslmm.prediction.terms import chosen_columns

IncludeRe = bool | Literal["average"]
Interval = Literal["none", "confidence", "prediction"]


@dataclass(frozen=True, eq=False)
class PredictionRows:
    """n complete rows in the encoding of a design.

    Attributes
    ----------
    family : Family
    X : ndarray, shape (n, p)
    offset, weights : ndarray, shape (n,)
        A weight is 1 where new rows have none, NaN where it is missing.
    trials : ndarray, shape (n,), or None
        Of a binomial response; None where they are not known.
    factors : tuple of Factor
        Effects that count, those of the design in its order, with zeros in the columns of
        terms that do not; empty if none does. A code of -1 is a level the fit never saw.
    new_levels : tuple of ndarray of int, each (n,)
        Which new level: 0, 1, ... in order of appearance, -1 where the level is known.
    left_out : tuple of Factor
        Effects that do not count, likewise, all codes -1: what a new group has of its own.
    complete : ndarray of bool
        Which rows of the table these are.
    index : pandas.Index
        Of the whole table.
    """

    family: Family
    X: FloatArray
    offset: FloatArray
    weights: FloatArray
    trials: FloatArray | None
    factors: tuple[Factor, ...]
    new_levels: tuple[IntArray, ...]
    left_out: tuple[Factor, ...]
    complete: BoolArray
    index: pd.Index[Any]

    @property
    def n(self) -> int:
        """Number of complete rows."""
        return len(self.X)

    def placed(self, values: FloatArray) -> FloatArray:
        """Values of the complete rows at their places in the table, NaN elsewhere."""
        if self.complete.all():
            return values
        out = np.full((len(self.complete), *values.shape[1:]), np.nan)
        out[self.complete] = values
        return out

    def with_new_effects(self) -> PredictionRows:
        """The same rows and levels, every level one with effects yet to be drawn."""
        levels = tuple(
            np.where(new >= 0, f.n_levels + new, f.codes)
            for f, new in zip(self.factors, self.new_levels, strict=True)
        )
        unseen = np.full(self.n, -1)
        factors = tuple(replace(f, codes=unseen) for f in self.factors)
        return replace(self, factors=factors, new_levels=levels)

    def part(self, at: slice) -> PredictionRows:
        """Some of the rows."""
        return replace(
            self,
            X=self.X[at],
            offset=self.offset[at],
            weights=self.weights[at],
            trials=None if self.trials is None else self.trials[at],
            factors=tuple(_rows_of(f, at) for f in self.factors),
            new_levels=tuple(new[at] for new in self.new_levels),
            left_out=tuple(_rows_of(f, at) for f in self.left_out),
            complete=np.ones(len(self.X[at]), dtype=bool),
        )


def _rows_of(factor: Factor, at: slice) -> Factor:
    return replace(factor, codes=factor.codes[at], columns=factor.columns[at])


def training_rows(
    design: Design,
    *,
    include_re: IncludeRe = True,
    terms: Sequence[str] | str | None = None,
    left_out: bool = False,
) -> PredictionRows:
    """The rows of a design; with ``na_action="exclude"`` their places in the whole table.

    Parameters
    ----------
    design : Design
    include_re : bool or "average"
    terms : sequence of str, optional
    left_out : bool
        Whether the effects that do not count are needed as well.
    """
    kept = design.rows.kept
    if design.rows.na_action == "exclude":
        complete, index = kept, design.rows.index
    else:
        complete, index = np.ones(design.n, dtype=bool), design.rows.index[kept]
    chosen = chosen_columns(design, include_re, terms)
    known = [np.full(design.n, -1)] * len(design.factors)
    return PredictionRows(
        design.family, design.X, design.offset, design.weights, design.trials,
        *_split(design.factors, chosen, known, left_out=left_out),
        complete=complete,
        index=index,
    )  # fmt: skip


def rows_to_predict(
    design: Design,
    newdata: Any,
    *,
    include_re: IncludeRe = True,
    terms: Sequence[str] | str | None = None,
    left_out: bool = False,
    weights: str | None = None,
) -> PredictionRows:
    """The training rows, or a new table in their encoding.

    Parameters
    ----------
    design : Design
    newdata : table, or None for the training rows
    include_re : bool or "average"
    terms : sequence of str, optional
    left_out : bool
        Whether the effects that do not count are needed as well: slopes must then be
        among the columns, grouping columns need not.
    weights : str, optional
        Column of weights; where new data have none, weights are 1.

    Raises
    ------
    UnknownColumnError, UnseenLevelError, ArgumentError
    """
    if newdata is None:
        return training_rows(design, include_re=include_re, terms=terms, left_out=left_out)
    chosen = chosen_columns(design, include_re, terms)
    frame = to_frame(newdata)
    counts = any(columns.any() for columns in chosen)
    rows = _encoded(design, frame, chosen, factors=counts or left_out)
    complete = frame.loc[rows.complete]
    factors = [
        f if columns.any() else replace(f, codes=np.full(rows.n, -1))
        for f, columns in zip(rows.factors, chosen, strict=False)
    ]
    new = [_new_levels(f, complete) if c.any() else np.full(rows.n, -1)
           for f, c in zip(factors, chosen, strict=False)]  # fmt: skip
    return PredictionRows(
        design.family, rows.X, rows.offset, _weights(complete, weights), _trials(design, complete),
        *_split(factors, chosen, new, left_out=left_out),
        complete=rows.complete,
        index=rows.index,
    )  # fmt: skip


def _encoded(
    design: Design, frame: pd.DataFrame, chosen: Sequence[BoolArray], *, factors: bool
) -> NewRows:
    """Encode a table; grouping columns of effects that do not count need not be there."""
    if factors:
        counting = {c for f, k in zip(design.factors, chosen, strict=True) if k.any()
                    for c in f.source}  # fmt: skip
        idle = {c for f in design.factors for c in f.source}
        idle -= counting | set(design.encoding.kinds)
        frame = frame.assign(**dict.fromkeys(sorted(idle), ""))
    return design.encoding.encode(frame, factors=factors)


def _split(
    factors: Sequence[Factor],
    chosen: Sequence[BoolArray],
    new: Sequence[IntArray],
    *,
    left_out: bool,
) -> tuple[tuple[Factor, ...], tuple[IntArray, ...], tuple[Factor, ...]]:
    """Effects that count, their new levels, and effects that do not."""
    kept, rest = [], []
    for f, columns in zip(factors, chosen, strict=False):
        kept.append(f if columns.all() else replace(f, columns=np.where(columns, f.columns, 0.0)))
        others = np.where(columns, 0.0, f.columns)
        rest.append(replace(f, columns=others, codes=np.full(len(f.codes), -1)))
    any_counts = any(columns.any() for columns in chosen)
    any_left = left_out and not all(columns.all() for columns in chosen)
    return (
        tuple(kept) if any_counts else (),
        tuple(new) if any_counts else (),
        tuple(rest) if any_left else (),
    )


def _new_levels(factor: Factor, frame: pd.DataFrame) -> IntArray:
    """A number for each level the fit never saw: a combination of values is one level."""
    out = np.full(len(factor.codes), -1)
    unseen = factor.codes < 0
    if unseen.any():
        keys = [frame[name][unseen] for name in factor.source]
        out[unseen] = keys[0].groupby(keys, sort=False, observed=True).ngroup()
    return out


def _weights(frame: pd.DataFrame, name: str | None) -> FloatArray:
    if name is None or name not in frame.columns:
        return np.ones(len(frame))
    given = frame[name]
    values = pd.to_numeric(given, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = (np.isnan(values) & given.notna().to_numpy()) | (values < 0) | np.isinf(values)
    if wrong.any():
        raise ArgumentError(
            f"column `{name}` of the new data holds weights that are no precisions.",
            found=f"{given.to_numpy()[wrong][0]!r}",
            fix="weights are finite and not negative; without the column they are 1",
        )
    return values


def _trials(design: Design, frame: pd.DataFrame) -> FloatArray | None:
    """Trials of new binomial rows: their column, or the one number that all rows had."""
    if design.trials is None:
        return None
    if (design.trials == design.trials[0]).all() and len(design.spec.response.names) == 1:
        return np.full(len(frame), design.trials[0])
    name = trials_name(design)
    return frame[name].to_numpy(dtype=float, na_value=np.nan) if name in frame.columns else None


def trials_name(design: Design) -> str:
    """What the formula gives as the trials of a binomial response, a column as a rule."""
    return design.spec.response.text.rpartition(",")[2].strip().rstrip(")").strip(" `")
