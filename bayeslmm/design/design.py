"""The waist of the hourglass: what was asked, met with data, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.arrays import BoolArray, FloatArray
from bayeslmm.design.encoding import Encoding
from bayeslmm.design.residual import ResidualRows
from bayeslmm.design.residual_structures import RATIO_DIM
from bayeslmm.design.rows import Factor, NewRows, Rows, rows_that_count
from bayeslmm.families import Family
from bayeslmm.formula.spec import FormulaSpec

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Design:
    """A formula met with data.

    Every engine, the PyMC model, prediction and criticism read this object and
    nothing else, so what a model has (weights, offset, a family) reaches them all.

    Attributes
    ----------
    spec : FormulaSpec
        What was asked.
    family : Family
        Distribution of the response.
    response_name : str
    y : ndarray, shape (n,)
    trials : ndarray, shape (n,), or None
        Number of trials of a binomial response.
    X : ndarray, shape (n, p)
        Fixed columns, aliased ones left out.
    fixed_names : tuple of str, length p
    fixed_terms : mapping of str to tuple of int
        Columns of X that belong to each term of the formula.
    aliased : tuple of str
        Columns that others determine, left out of X.
    factors : tuple of Factor
    offset, weights : ndarray, shape (n,)
        In units of the linear predictor; relative precisions, 1 by default.
    rows : Rows
    encoding : Encoding
        How columns became numbers; reused, never re-derived, by `for_new`.
    residual : ResidualRows, optional
        How residuals depend on each other; None if they are independent.
    """

    spec: FormulaSpec
    family: Family
    response_name: str
    y: FloatArray
    trials: FloatArray | None
    X: FloatArray
    fixed_names: tuple[str, ...]
    fixed_terms: Mapping[str, tuple[int, ...]]
    aliased: tuple[str, ...]
    factors: tuple[Factor, ...]
    offset: FloatArray
    weights: FloatArray
    rows: Rows
    encoding: Encoding
    residual: ResidualRows | None = None

    @property
    def n(self) -> int:
        """Number of rows used."""
        return int(self.X.shape[0])

    @property
    def p(self) -> int:
        """Number of fixed columns."""
        return int(self.X.shape[1])

    @property
    def q(self) -> int:
        """Number of random effects, over all factors."""
        return sum(f.n_levels * f.n_columns for f in self.factors)

    @cached_property
    def used(self) -> BoolArray | slice:
        """Index of the rows with positive weight; a slice if that is all of them."""
        return rows_that_count(self.weights)

    @cached_property
    def n_effective(self) -> int:
        """Rows with positive weight: those that carry information."""
        return int(np.count_nonzero(self.weights))

    @property
    def has_intercept(self) -> bool:
        """Whether X has an explicit intercept column."""
        return "Intercept" in self.fixed_names

    @cached_property
    def coords(self) -> dict[str, list[Any]]:
        """Labels of every named dimension: ``obs``, ``fixed``, each factor and its terms."""
        labels: dict[str, list[Any]] = {
            "obs": self.rows.index[self.rows.kept].tolist(),
            "fixed": list(self.fixed_names),
        }
        for f in self.factors:
            # samplers take no other labels
            labels[f.name] = [v if isinstance(v, int | str) else str(v) for v in f.levels.tolist()]
            labels[f"{f.name}_term"] = list(f.column_names)
        if self.residual is not None and self.residual.dims:
            labels[RATIO_DIM] = list(self.residual.levels[1:])
        return labels

    def Z(self) -> csr_array:
        """Sparse random-effects matrix, shape (n, q); columns by factor, then level, then term."""
        from scipy.sparse import csr_array, hstack

        blocks = []
        for f in self.factors:
            K = f.n_columns
            cols = (f.codes[:, None] * K + np.arange(K)).ravel()
            ptr = np.arange(0, self.n * K + 1, K)
            shape = (self.n, f.n_levels * K)
            blocks.append(csr_array((f.columns.ravel(), cols, ptr), shape=shape))
        if not blocks:
            return csr_array((self.n, 0), dtype=np.float64)
        return csr_array(hstack(blocks, format="csr"))

    def for_new(self, data: Any) -> NewRows:
        """Encode new data exactly as the training data were encoded.

        Parameters
        ----------
        data : table
            Anything `bayeslmm.Model` accepts. The response need not be there.

        Returns
        -------
        NewRows
            Grouping levels the fit never saw have code -1.

        Raises
        ------
        UnknownColumnError
            A column the formula uses is not there.
        UnseenLevelError
            A level of a *fixed* factor was not in the training data.
        """
        return self.encoding.encode(data)
