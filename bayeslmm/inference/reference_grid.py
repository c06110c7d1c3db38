"""The reference grid of a model, and the averages over it that are marginal means."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.linalg import null_space
from scipy.sparse import csr_array

from bayeslmm.arrays import BoolArray, FloatArray
from bayeslmm.design import Design
from bayeslmm.design.columns import ColumnKind, apply_kinds, level_codes
from bayeslmm.errors import ArgumentError, UnknownColumnError, suggest
from bayeslmm.formula.spec import Expression
from bayeslmm.formula.tokens import tokenize

Weights = Literal["equal", "proportional"]

# Functions whose value is a category even where their argument is a number.
_CATEGORICAL = ("C", "T", "S", "binary")
# emmeans keeps both values of a covariate that has two, such as 0 and 1.
_MOST_KEPT = 2
_LARGEST_GRID = 200_000
_ESTIMABLE = 1e-8


@dataclass(frozen=True, eq=False, slots=True)
class Predictor:
    """The values one column of the data has in the grid.

    ``counted`` says that the data have these values, so that they have frequencies.
    """

    name: str
    values: tuple[Any, ...]
    counted: bool


@dataclass(frozen=True, eq=False, slots=True)
class LinearFunctions:
    """Linear functions of the fixed effects: ``rows @ beta + offset``.

    Attributes
    ----------
    rows : ndarray, shape (m, p)
    offset : ndarray, shape (m,)
    undetermined : ndarray, shape (m, d)
        What a function has in the directions in which the d columns left out of a rank-deficient
        fixed part are free. Not zero: the data do not determine the function.
    """

    rows: FloatArray
    offset: FloatArray
    undetermined: FloatArray

    def combined(self, coefficients: FloatArray | csr_array) -> LinearFunctions:
        """Functions that are sums of these, coefficients of shape (k, m)."""
        return LinearFunctions(
            coefficients @ self.rows, coefficients @ self.offset, coefficients @ self.undetermined
        )

    @property
    def estimable(self) -> BoolArray:
        """Whether the data determine each function, shape (m,)."""
        return np.asarray((np.abs(self.undetermined) < _ESTIMABLE).all(axis=1))


@dataclass(frozen=True, eq=False, slots=True)
class ReferenceGrid:
    """All combinations of the predictors' values; the first predictor changes fastest.

    Attributes
    ----------
    predictors : tuple of Predictor
    functions : LinearFunctions
        Linear predictor of each point with the random effects at zero, g rows.
    frequencies : ndarray, shape (g,)
        Rows of the data, of positive weight, with the point's counted values.
    """

    predictors: tuple[Predictor, ...]
    functions: LinearFunctions
    frequencies: FloatArray

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each predictor."""
        return tuple(len(p.values) for p in self.predictors)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the data the grid is made of."""
        return tuple(p.name for p in self.predictors)

    def averages(
        self, over: Sequence[str], weights: Weights
    ) -> tuple[list[dict[str, Any]], csr_array]:
        """Weights that average the grid for each combination of some predictors' values.

        Parameters
        ----------
        over : sequence of str
            The predictors that keep their values; the first changes fastest.
        weights : {"equal", "proportional"}
            Of the combinations of all other predictors: equal, or in proportion to
            their frequencies in the data, those of all rows together.

        Returns
        -------
        list of dict
            The m combinations.
        csr_array, shape (m, g)
            Each row sums to one.
        """
        kept = [self.names.index(name) for name in over]
        rest = [k for k in range(len(self.shape)) if k not in kept]
        points = np.arange(math.prod(self.shape)).reshape(self.shape, order="F")
        points = points.transpose([*kept, *rest])
        sizes = points.shape[: len(kept)]
        points = points.reshape(math.prod(sizes), -1, order="F")
        if weights == "equal":
            share = np.full(points.shape[1], 1.0 / points.shape[1])
        else:
            share = self.frequencies[points].sum(axis=0)
            if share.sum() == 0.0:
                raise ArgumentError(
                    "no row of the data has the values that are averaged over.",
                    fix='weights="equal", or other values in at=',
                )
            share = share / share.sum()
        starts = np.arange(0, points.size + 1, points.shape[1])
        W = csr_array((np.tile(share, len(points)), points.ravel(), starts))
        values = [self.predictors[k].values for k in kept]
        # product changes its last fastest
        cells = [c[::-1] for c in itertools.product(*values[::-1])]
        return [dict(zip(over, c, strict=True)) for c in cells], W


def reference_grid(
    design: Design,
    data: pd.DataFrame,
    at: Mapping[str, Any] | None = None,
    shift: Mapping[str, float] | None = None,
) -> ReferenceGrid:
    """The combinations of predictor values at which marginal means are taken.

    Factors have all their levels, numeric covariates their mean over the rows of positive
    weight, before any transformation: ``log(x)`` and ``poly(x, 2)`` are evaluated at the
    mean of x, as R's emmeans does. A covariate with two values, such as 0 and 1, keeps both,
    and so does a truth value; a number inside ``C()`` is a factor. The offset is its mean
    over the same rows, at every point.

    Parameters
    ----------
    design : Design
    data : pandas.DataFrame
        The table of the model, one row for each of ``design.rows``.
    at : mapping of str to value or sequence, optional
        Values of some predictors: numbers for a covariate, levels for a factor.
    shift : mapping of str to float, optional
        Added to all values of a covariate, for slopes.

    Returns
    -------
    ReferenceGrid

    Raises
    ------
    UnknownColumnError
        A name in ``at`` that the fixed part does not have.
    ArgumentError
        A level that is not in the data, or a grid of more than 200,000 points.
    """
    encoding = design.encoding
    names = [n.name for n in encoding.fixed.expression.names]
    kinds = {name: encoding.kinds[name] for name in names if name in encoding.kinds}
    at = dict(at or {})
    for name in at:
        check_predictor(name, tuple(kinds))
    used = data.loc[design.rows.kept].iloc[np.flatnonzero(design.weights > 0)]
    read = apply_kinds(used, kinds)
    as_factor = made_categorical(encoding.fixed.expression)
    predictors = tuple(
        _predictor(kind, read[name], name in as_factor, at.get(name))
        for name, kind in kinds.items()
    )
    size = math.prod(len(p.values) for p in predictors)
    if size > _LARGEST_GRID:
        raise ArgumentError(
            f"the reference grid has {size:,} points.",
            found=", ".join(f"{len(p.values)} values of {p.name}" for p in predictors),
            fix="choose values of some predictors by at=",
        )
    points = _expanded(predictors)
    frequencies = _frequencies(points, read, [p.name for p in predictors if p.counted])
    for name, step in (shift or {}).items():
        points[name] = points[name] + step
    return ReferenceGrid(predictors, _functions(design, apply_kinds(points, kinds)), frequencies)


def check_predictor(name: Any, known: Sequence[str]) -> None:
    """Refuse a name that is not a predictor of the fixed part."""
    if name in known:
        return
    close = suggest(str(name), known)
    raise UnknownColumnError(
        f"`{name}` is not a predictor of the fixed part.",
        found=", ".join(known) or "no predictor",
        fix=f"did you mean `{close}`?" if close else "marginal means are of fixed effects",
    )


def made_categorical(expression: Expression) -> set[str]:
    """Columns that stand inside `C()` and its kin."""
    found: set[str] = set()
    inside: list[bool] = []
    for before, token in itertools.pairwise(tokenize(expression.text)):
        if token.is_operator("("):
            inside.append(any(inside) or before.text in _CATEGORICAL)
        elif token.is_operator(")"):
            inside.pop()
        elif token.kind in ("name", "quoted") and any(inside):
            found.add(token.text)
    return found


def _predictor(kind: ColumnKind, values: pd.Series[Any], as_factor: bool, at: Any) -> Predictor:
    """The values of one predictor in the grid."""
    name = kind.name
    asked = None if at is None else _as_list(at)
    if asked is not None and not asked:
        raise ArgumentError(f"at= has no value of `{name}`.", fix=f"at={{{name!r}: ...}}")
    if kind.categories is not None:
        levels = pd.Index(list(kind.categories))
        return Predictor(name, _chosen(name, levels, asked), True)
    distinct = pd.Index(np.unique(values.to_numpy()))
    if as_factor:
        return Predictor(name, _chosen(name, distinct, asked), True)
    if asked is not None:
        return Predictor(name, tuple(_numbers(name, asked)), False)
    if len(distinct) <= _MOST_KEPT:
        return Predictor(name, tuple(distinct.tolist()), True)
    return Predictor(name, (float(values.mean()),), False)


def _as_list(values: Any) -> list[Any]:
    alone = isinstance(values, str) or not np.iterable(values)
    return [values] if alone else list(values)


def _chosen(name: str, levels: pd.Index[Any], asked: list[Any] | None) -> tuple[Any, ...]:
    if asked is None:
        return tuple(levels.tolist())
    codes = level_codes(levels, pd.Series(asked))
    if (codes < 0).any():
        unknown = [v for v, c in zip(asked, codes, strict=True) if c < 0]
        raise ArgumentError(
            f"`{name}` has no level {unknown[0]!r}.",
            found=", ".join(map(str, levels)),
            fix=f"take levels of the data in at={{{name!r}: ...}}",
        )
    return tuple(levels[list(dict.fromkeys(codes))].tolist())


def _numbers(name: str, asked: list[Any]) -> list[float]:
    try:
        numbers = [float(v) for v in asked]
    except (TypeError, ValueError):
        numbers = [math.nan]
    if not np.isfinite(numbers).all():
        raise ArgumentError(
            f"`{name}` is a number, and at= has a value that is none.",
            found=", ".join(map(repr, asked)),
            fix=f"at={{{name!r}: 0.0}}",
        )
    return list(dict.fromkeys(numbers))


def _expanded(predictors: Sequence[Predictor]) -> pd.DataFrame:
    """All combinations as a table, the first column changing fastest."""
    size = math.prod(len(p.values) for p in predictors)
    columns, repeat = {}, 1
    for p in predictors:
        values = np.array(p.values, dtype=object)
        column = np.tile(np.repeat(values, repeat), size // (repeat * len(values)))
        columns[p.name] = pd.Series(column).infer_objects()
        repeat *= len(values)
    return pd.DataFrame(columns, index=range(size))


def _frequencies(points: pd.DataFrame, read: pd.DataFrame, counted: list[str]) -> FloatArray:
    """Rows of the data that share the counted values of each point."""
    if not counted:
        return np.full(len(points), float(len(read)))
    there, here = (pd.MultiIndex.from_frame(t[counted].astype(object)) for t in (read, points))
    return np.asarray(there.value_counts().reindex(here, fill_value=0), dtype=np.float64)


def _functions(design: Design, points: pd.DataFrame) -> LinearFunctions:
    encoding = design.encoding
    full = encoding.fixed.at(points)
    offset = np.full(len(points), design.offset[design.used].mean())
    free = np.empty((full.shape[1], 0))
    if design.aliased:
        X = encoding.fixed.values[design.used]
        scale = np.linalg.norm(X, axis=0)
        scale[scale == 0.0] = 1.0
        triangle = np.linalg.qr(X / scale, mode="r")
        free = null_space(triangle, rcond=1e-7) / scale[:, None]
    return LinearFunctions(full[:, encoding.kept_columns], offset, full @ free)
