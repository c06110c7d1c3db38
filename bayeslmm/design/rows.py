"""Rows in numbers: grouping factors, which rows are used, and new rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False, slots=True)
class TermColumns:
    """The columns of one random term within its factor's stack."""

    text: str
    start: int
    stop: int
    correlated: bool


@dataclass(frozen=True, eq=False)
class Factor:
    """A grouping factor with every random term that stands on it, stacked.

    Attributes
    ----------
    name : str
        ``Subject``, ``batch:cask``.
    levels : pandas.Index
        Labels of the J levels that occur; strings ``A:a`` for an interaction.
    codes : ndarray of int, shape (n,)
        Level of each row; -1 where new data have a level the fit never saw.
    columns : ndarray, shape (n, K)
        Values that multiply the random effects: ones for an intercept.
    column_names : tuple of str, length K
    terms : tuple of TermColumns
        Which columns belong to which term of the formula.
    source : tuple of str
        Columns of the data whose combinations are the levels.
    """

    name: str
    levels: pd.Index[Any]
    codes: IntArray
    columns: FloatArray
    column_names: tuple[str, ...]
    terms: tuple[TermColumns, ...]
    source: tuple[str, ...]

    @property
    def n_levels(self) -> int:
        """Number of levels, J."""
        return len(self.levels)

    @property
    def n_columns(self) -> int:
        """Number of random effects a level, K."""
        return int(self.columns.shape[1])

    @cached_property
    def pattern(self) -> BoolArray:
        """Free entries of the relative covariance factor T, shape (K, K), lower triangular."""
        free = np.zeros((self.n_columns, self.n_columns), dtype=bool)
        for t in self.terms:
            block = np.ones((t.stop - t.start,) * 2, dtype=bool)
            free[t.start : t.stop, t.start : t.stop] = (
                np.tril(block) if t.correlated else np.eye(t.stop - t.start, dtype=bool)
            )
        return free

    @property
    def has_correlations(self) -> bool:
        """Whether any term on the factor estimates a correlation."""
        return any(t.correlated and t.stop - t.start > 1 for t in self.terms)


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """Which rows of the data the model uses, and what was left out.

    Attributes
    ----------
    index : pandas.Index, length n_total
        Index of the table as it was given.
    kept : ndarray of bool, shape (n_total,)
        Rows without missing values.
    na_action : str
        ``"drop"``, ``"exclude"`` or ``"error"``.
    missing : dict of str to int
        Missing values by column.
    """

    index: pd.Index[Any]
    kept: BoolArray
    na_action: str
    missing: Mapping[str, int]


def rows_that_count(weights: FloatArray) -> BoolArray | slice:
    """Index of the rows of positive weight; where all count, a slice, which copies nothing."""
    positive: BoolArray = weights > 0
    return slice(None) if positive.all() else positive


@dataclass(frozen=True, eq=False)
class NewRows:
    """New data in the encoding of a design: all a prediction needs."""

    X: FloatArray
    factors: tuple[Factor, ...]
    offset: FloatArray
    complete: BoolArray
    index: pd.Index[Any]

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])
