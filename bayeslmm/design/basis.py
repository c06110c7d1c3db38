"""A piece of a formula evaluated by formulae, with its encoding kept for new data."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from formulae import design_matrices
from formulae.environment import Environment

from bayeslmm.design.design import FloatArray
from bayeslmm.errors import BayeslmmError, DataError, FormulaError, UnseenLevelError
from bayeslmm.formula.allowed import display
from bayeslmm.formula.spec import Expression


class Basis:
    """Columns of an expression: values, names, terms, and the same for new data.

    Parameters
    ----------
    expression : Expression
        Right-hand side with the intercept explicit, such as ``1 + poly(Days, 2)``.
    frame : pandas.DataFrame
        Predictor columns, read by `bayeslmm.design.columns`.
    namespace : mapping
        The functions the expression may call.

    Attributes
    ----------
    values : ndarray, shape (n, k)
    names : tuple of str, length k
    terms : dict of str to tuple of int
        Columns of each term.
    """

    def __init__(
        self, expression: Expression, frame: pd.DataFrame, namespace: Mapping[str, Any]
    ) -> None:
        self.expression = expression
        self._matrix: Any = None
        if expression.text.strip() == "0":
            self.values, self.names, self.terms = np.empty((len(frame), 0)), (), {}
            return
        self._matrix = evaluate(expression, frame, namespace).common
        self.values = _as_columns(self._matrix.design_matrix, self.expression)
        labels = [
            label
            for term in self._matrix.terms.values()
            for label in (term.labels if isinstance(term.labels, list) else [term.labels])
        ]
        self.names = tuple(display(str(label)) for label in labels)
        self.terms = {
            display(name): tuple(range(s.start, s.stop)) for name, s in self._matrix.slices.items()
        }

    def at(self, frame: pd.DataFrame) -> FloatArray:
        """Evaluate on new rows with the encoding of the training rows."""
        if self._matrix is None:
            return np.empty((len(frame), 0))
        if len(frame) == 0:
            return np.empty((0, len(self.names)))
        for term in self._matrix.terms.values():
            for component in getattr(term, "components", ()):
                _check_levels(component, frame)
        with contextlib.redirect_stdout(io.StringIO()):
            new = self._matrix.evaluate_new_data(frame).design_matrix
        return _as_columns(new, self.expression)


def evaluate(expression: Expression, frame: pd.DataFrame, namespace: Mapping[str, Any]) -> Any:
    """Let formulae evaluate an expression, its complaints turned into ours."""
    environment = Environment([dict(namespace)])
    try:
        # formulae prints to standard output before it raises
        with contextlib.redirect_stdout(io.StringIO()):
            return design_matrices(expression.text, frame, na_action="error", env=environment)
    except BayeslmmError:
        raise
    except Exception as error:
        raise FormulaError(
            f"this part of the formula cannot be evaluated: {error}",
            place=expression.place,
            found=f"{type(error).__name__} from formulae",
        ) from error


def _as_columns(matrix: Any, expression: Expression) -> FloatArray:
    values = np.asarray(matrix, dtype=np.float64)
    values = np.ascontiguousarray(values.reshape(len(values), -1))
    if not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values).all(axis=1)))
        raise DataError(
            f"`{display(expression.text)}` is not finite in {bad} row{'s' if bad > 1 else ''}.",
            place=expression.place,
            fix="a transformation may not suit some values, such as log(0)",
        )
    return values


def _check_levels(component: Any, frame: pd.DataFrame) -> None:
    """Refuse levels formulae would fold into the reference, whatever its settings."""
    if getattr(component, "kind", None) != "categoric" or not hasattr(component, "call"):
        return
    values = component.call.eval(frame, component.env)
    values = getattr(values, "data", values) if hasattr(values, "contrast") else values
    unseen = [v for v in pd.unique(pd.Series(values)) if v not in set(component.levels)]
    if unseen:
        raise UnseenLevelError(
            f"new data have levels of `{display(component.name)}` that the model never saw: "
            f"{', '.join(map(str, unseen))}.",
            found=f"levels in the fit: {', '.join(map(str, component.levels))}",
            fix="a fixed factor has no estimate for a new level: drop these rows",
        )
