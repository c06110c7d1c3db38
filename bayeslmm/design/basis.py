"""A piece of a formula evaluated by formulae, with its encoding kept for new data."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from formulae import model_description
from formulae.environment import Environment
from formulae.matrices import DesignMatrices

from bayeslmm.arrays import FloatArray
from bayeslmm.design.failures import explained, place_of
from bayeslmm.errors import DataError, UnseenLevelError
from bayeslmm.formula.allowed import display
from bayeslmm.formula.spec import Expression

# Squares of columns whose largest entry lies outside overflow or vanish.
_SMALLEST, _LARGEST = 1e-100, 1e100


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
        self._witnesses: pd.DataFrame | None = None
        self.values: FloatArray
        self.names: tuple[str, ...]
        self.terms: dict[str, tuple[int, ...]]
        if expression.text.strip() == "0":
            self.values, self.names, self.terms = np.empty((len(frame), 0)), (), {}
            return
        self._matrix = evaluate(expression, frame, namespace).common
        # a design is kept and sent to other processes; the table is not part of it
        self._matrix.data = None
        if shown := _rows_with_every_level(self._matrix):
            self._witnesses = frame.iloc[shown][[n.name for n in expression.names]]
        labels = [
            label
            for term in self._matrix.terms.values()
            for label in (term.labels if isinstance(term.labels, list) else [term.labels])
        ]
        self.names = tuple(display(str(label)) for label in labels)
        self.values = self._checked(self._matrix.design_matrix)
        self.terms = {
            display(name): tuple(range(s.start, s.stop)) for name, s in self._matrix.slices.items()
        }
        for term, positions in self.terms.items():
            if not positions:
                raise DataError(
                    f"`{term}` has one level only.",
                    place=place_of(term, expression),
                    fix="there is nothing to compare; leave it out",
                )

    def at(self, frame: pd.DataFrame) -> FloatArray:
        """Evaluate on new rows with the encoding of the training rows."""
        if self._matrix is None:
            return np.empty((len(frame), 0))
        if len(frame) == 0:
            return np.empty((0, len(self.names)))
        try:
            with _quiet():
                rows = frame if self._witnesses is None else pd.concat([frame, self._witnesses])
                for component in _components(self._matrix):
                    _check_levels(component, rows)
                new = self._matrix.evaluate_new_data(rows).design_matrix[: len(frame)]
        except Exception as error:
            raise explained(error, self.expression, frame, None) from error
        return self._checked(new)

    def _checked(self, matrix: Any) -> FloatArray:
        """The columns as an array, every entry finite and of a size that can be squared."""
        values = np.asarray(matrix, dtype=np.float64)
        values = np.ascontiguousarray(values.reshape(len(values), -1))
        # the largest is NaN where any is
        largest = [max(x.max(initial=0.0), -x.min(initial=0.0)) for x in values.T]
        for name, column, size in zip(self.names, values.T, largest, strict=True):
            if np.isfinite(size):
                continue
            bad = int(np.count_nonzero(~np.isfinite(column)))
            raise DataError(
                f"`{name}` is not finite in {bad} row{'s' if bad > 1 else ''}.",
                place=place_of(name, self.expression),
                fix="a transformation may not suit some values, such as log(0)"
                if "(" in name
                else "replace these values, or set them missing (NaN)",
            )
        for name, size in zip(self.names, largest, strict=True):
            if size > _LARGEST or 0.0 < size < _SMALLEST:
                raise DataError(
                    f"`{name}` cannot be computed with: its values reach {size:.0e}.",
                    place=place_of(name, self.expression),
                    fix="use another unit, so that they are not astronomically large or small",
                )
        return values


def evaluate(expression: Expression, frame: pd.DataFrame, namespace: Mapping[str, Any]) -> Any:
    """Let formulae evaluate an expression, its complaints turned into ours."""
    environment = Environment([dict(namespace)])

    def run(text: str) -> Any:
        with _quiet():
            # formulae's own door would look for missing values again, in a copy of the frame
            return DesignMatrices(model_description(text), frame, environment)

    try:
        return run(expression.text)
    except Exception as error:
        raise explained(error, expression, frame, run) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what formulae prints before it raises, and numpy's warnings of what we refuse."""
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        yield


def _components(matrix: Any) -> list[Any]:
    return [c for term in matrix.terms.values() for c in getattr(term, "components", ())]


def _rows_with_every_level(matrix: Any) -> list[int]:
    """Training rows that show all levels of each `C(x)` with an order of its own.

    formulae refuses such a call where a level is missing, so these rows are evaluated
    with new data, which may lack levels.
    """
    rows: set[int] = set()
    for component in _components(matrix):
        box: Any = getattr(component, "_intermediate_data", None)
        if hasattr(box, "contrast") and box.levels is not None:
            first = pd.Series(box.data).drop_duplicates().index
            rows |= set(first.tolist())
    return sorted(rows)


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
