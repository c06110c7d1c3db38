"""Residual structures met with the rows of a table, and what is refused to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import BoolArray, FloatArray, IntArray
from bayeslmm.design.residual_structures import (
    RATIO_DIM,
    CompoundSymmetry,
    ResidualStructure,
    RowOrder,
    VarianceBy,
)
from bayeslmm.errors import ArgumentError, DataError, UnknownColumnError, suggest

if TYPE_CHECKING:
    from bayeslmm.design.design import Design


@dataclass(frozen=True, eq=False)
class ResidualRows:
    """A structure met with the rows of a design.

    Attributes
    ----------
    structure : ResidualStructure
    levels : tuple of str
        Labels of the blocks.
    codes : ndarray of int, shape (n,)
        Block of each row.
    position : ndarray, shape (n,)
        Place of each row in its block.
    values : ndarray, shape (parameters,), or None
        The parameters, where the rows belong to a fit: then cross-products can be computed.
    """

    structure: ResidualStructure
    levels: tuple[str, ...]
    codes: IntArray
    position: FloatArray
    values: FloatArray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self.structure.names(self.levels)

    @property
    def variable(self) -> str:
        """The variable of a posterior that holds them."""
        return self.structure.variable

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of that variable: one for ratios, none for a correlation."""
        return () if self.structure.correlated else (RATIO_DIM,)

    def order(self, used: BoolArray | slice) -> RowOrder:
        """The rows that count, block by block."""
        codes, position = self.codes[used], self.position[used]
        rows = np.lexsort((position, codes))
        level, at = codes[rows], np.arange(len(rows))
        begins = np.append(True, level[1:] != level[:-1])
        first = np.maximum.accumulate(np.where(begins, at, 0))
        previous = np.where(begins, at, at - 1)
        step = np.where(begins, 1.0, position[rows] - position[rows][previous])
        return RowOrder(rows, level, at - first, step, previous, first)


def meet_residual(
    structure: ResidualStructure, table: pd.DataFrame, kept: BoolArray
) -> ResidualRows:
    """Find the blocks of a structure and the place of each row in its block.

    Parameters
    ----------
    structure : ResidualStructure
    table : DataFrame
        The whole table: rows that are not kept have a place too.
    kept : ndarray of bool, shape (rows,)
        Rows of the design.
    """
    codes, levels = _blocks(table, structure.by)
    time = getattr(structure, "time", None)
    if time is None:
        position = np.asarray(pd.Series(codes).groupby(codes).cumcount(), dtype=np.float64)
    else:
        position = _whole_numbers(table[time], kept, time)
    present, own = np.unique(codes[kept], return_inverse=True)
    labels = tuple(levels[k] for k in present)
    rows = ResidualRows(structure, labels, own.astype(np.int64), position[kept])
    if time is not None:
        _refuse_ties(rows, time)
    return rows


def residual_columns(structure: ResidualStructure, columns: Sequence[str]) -> list[str]:
    """Columns of the table that a structure reads.

    Raises
    ------
    UnknownColumnError
        One of them is not there.
    """
    found: list[str] = []
    for argument, given in structure.arguments.items():
        if given is None:
            continue
        parts = [given] if given in columns or argument != "by" else given.split(":")
        for part in parts:
            if part not in columns:
                close = suggest(part, columns)
                raise UnknownColumnError(
                    f"{type(structure).__name__}: {argument}={given!r} is not a column of the "
                    "data.",
                    found=", ".join(map(str, columns)),
                    fix=f"did you mean `{close}`?" if close else None,
                )
            found.append(part)
    return found


def check_residual_rows(design: Design) -> None:
    """Refuse a structure whose parameters these rows cannot tell.

    Raises
    ------
    ArgumentError
        The response has no residual SD, or the structure is that of a random intercept.
    DataError
        No block has two rows, or there is one level only.
    """
    rows = design.residual
    if rows is None:
        return
    structure, by = rows.structure, rows.structure.by
    if design.family.name != "gaussian":
        raise ArgumentError(
            f"residual= belongs to a Gaussian response, and the family is {design.family.name}.",
            fix="a random effect makes responses of a group alike in any family",
        )
    _refuse_namesakes(design, rows)
    order = rows.order(design.used)
    if isinstance(structure, VarianceBy):
        if len(np.unique(order.level)) < len(rows.levels) or len(rows.levels) < 2:
            raise DataError(
                f"{structure!r}: every level of `{by}` needs rows of positive weight, and there "
                "must be two levels or more.",
                found=", ".join(rows.levels),
            )
        return
    if order.largest < 2:
        raise DataError(
            f"{structure!r}: no level of `{by}` has two rows, so nothing tells of a correlation.",
            fix="check that the column groups rows",
        )
    if isinstance(structure, CompoundSymmetry):
        _refuse_random_intercept(design, rows)


def refuse_residual_structure(design: Design, verb: str, fix: str | None = None) -> None:
    """Refuse what is not there for models with a residual structure.

    Parameters
    ----------
    design : Design
    verb : str
        What was asked for, the subject of the sentence.
    fix : str, optional

    Raises
    ------
    ArgumentError
    """
    if design.residual is not None:
        raise ArgumentError(
            f"{verb} is not there for a model with a residual structure.",
            found=repr(design.residual.structure),
            fix=fix or "the same model without residual= has it",
        )


def residual_spread(design: Design) -> FloatArray:
    """SD of each row's residual over sigma / sqrt(weight): ratios by level, else 1, shape (n,)."""
    rows = design.residual
    if rows is None or rows.structure.correlated or rows.values is None:
        return np.ones(design.n)
    return np.append(1.0, rows.values)[rows.codes]


def with_residual_values(design: Design, values: FloatArray) -> Design:
    """The design with the parameters of its residual structure known."""
    if design.residual is None:
        return design
    return replace(design, residual=replace(design.residual, values=np.asarray(values)))


def _blocks(table: pd.DataFrame, by: str) -> tuple[IntArray, list[str]]:
    names = [by] if by in table.columns else by.split(":")
    parts = [pd.Categorical(table[name]) for name in names]
    code = np.asarray(parts[0].codes, dtype=np.int64)
    labels = [str(v) for v in parts[0].categories]
    for part in parts[1:]:
        other = np.asarray(part.codes, dtype=np.int64)
        wide = len(part.categories)
        code = np.where((code < 0) | (other < 0), -1, code * wide + other)
        labels = [f"{a}:{b}" for a in labels for b in part.categories]
    return code, labels


def row_labels(table: pd.DataFrame, by: str) -> list[str]:
    """The block of each row of a table, as `ResidualRows.levels` spells it."""
    names = [by] if by in table.columns else by.split(":")
    columns = [[str(v) for v in table[name].tolist()] for name in names]
    return [":".join(parts) for parts in zip(*columns, strict=True)]


def _whole_numbers(column: pd.Series[Any], kept: BoolArray, name: str) -> FloatArray:
    numeric = pd.api.types.is_numeric_dtype(column)
    values = pd.to_numeric(column, errors="coerce") if numeric else pd.Series(np.nan, column.index)
    position = values.to_numpy(dtype=float, na_value=np.nan)
    wrong = ~(position == np.round(position)) & kept
    if wrong.any():
        raise DataError(
            f"AR1: time={name!r} has values that are not whole numbers.",
            found=f"{column.to_numpy()[wrong][0]!r}",
            fix="number the steps: 0, 1, 2, ...; numbers may be missing",
        )
    return np.asarray(position)


def _refuse_ties(rows: ResidualRows, time: str) -> None:
    pairs = pd.DataFrame({"level": rows.codes, "at": rows.position})
    again = pairs.duplicated()
    if again.any():
        level, at = pairs[again].iloc[0]
        raise DataError(
            f"AR1: two rows of one level of `{rows.structure.by}` have the same `{time}`.",
            found=f"{time} {at:g} in {rows.levels[int(level)]}",
            fix="one row a step; or by= a finer factor, such as a session",
        )


def _refuse_namesakes(design: Design, rows: ResidualRows) -> None:
    """Variables of a posterior and dimensions, the names of factors, may not be the same."""
    for f in design.factors:
        if f.name in (rows.variable, rows.variable.removeprefix("sd_")):
            raise ArgumentError(
                f"a grouping factor is called `{f.name}`, which {type(rows.structure).__name__} "
                f"needs for its parameter `{rows.variable}`.",
                fix="rename the column",
            )


def _refuse_random_intercept(design: Design, rows: ResidualRows) -> None:
    """A random intercept of the same blocks has the same covariance as equal correlations."""
    w = design.weights[design.used]
    for f in design.factors:
        pairs = len(np.unique(f.codes * len(rows.levels) + rows.codes))
        same = pairs == f.n_levels == len(rows.levels)
        if same and "Intercept" in f.column_names and (w == w[0]).all():
            raise ArgumentError(
                f"a random intercept of `{f.name}` and compound symmetry within it are the same "
                "covariance: the data cannot tell them apart.",
                fix=f"drop (1 | {f.name}), or residual=",
            )
