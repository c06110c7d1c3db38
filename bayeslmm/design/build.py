"""A formula and a table become a Design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from bayeslmm.arrays import BoolArray, FloatArray, IntArray
from bayeslmm.data.table import to_frame
from bayeslmm.design.arguments import check_weights, with_arguments
from bayeslmm.design.basis import Basis
from bayeslmm.design.checks import (
    check_factors,
    check_names,
    check_response,
    predictor_names,
)
from bayeslmm.design.columns import ColumnKind, read_predictors
from bayeslmm.design.design import Design
from bayeslmm.design.encoding import Encoding, LevelCoding
from bayeslmm.design.rank import check_random_columns, independent_columns
from bayeslmm.design.residual import check_residual_rows, meet_residual, residual_columns
from bayeslmm.design.residual_structures import ResidualStructure
from bayeslmm.design.response import read_response
from bayeslmm.design.rows import Rows, rows_that_count
from bayeslmm.errors import (
    ArgumentError,
    DataError,
    DataWarning,
    MissingDataWarning,
    MissingValuesError,
    RankDeficiencyWarning,
    RankDeficientError,
    warn,
)
from bayeslmm.families import Family
from bayeslmm.formula.allowed import extra_name, formula_namespace
from bayeslmm.formula.spec import Expression, FormulaSpec

NaAction = Literal["drop", "exclude", "error"]


def build_design(
    spec: FormulaSpec,
    data: Any,
    *,
    family: Family,
    weights: str | Sequence[float] | None = None,
    offset: str | Sequence[float] | None = None,
    residual: ResidualStructure | None = None,
    na_action: NaAction = "drop",
    rank_deficient: Literal["drop", "error"] = "drop",
    extra_namespace: Mapping[str, Any] | None = None,
) -> Design:
    """Meet a parsed formula with data.

    Parameters
    ----------
    spec : FormulaSpec
    data : table
        pandas, polars, pyarrow, or a mapping of columns; n_total rows.
    family : Family
    weights : str or array, shape (n_total,), optional
        Precision weights, zero allowed: Var(y_i) = sigma^2 / w_i.
    offset : str or array, shape (n_total,), optional
        Added to the linear predictor, beside every ``offset()`` of the formula.
    residual : ResidualStructure, optional
        None for independent residuals.
    na_action : {"drop", "exclude", "error"}
    rank_deficient : {"drop", "error"}
        What to do with fixed columns that others determine.
    extra_namespace : mapping, optional
        Functions and constants the formula may use beyond the allow-list.

    Returns
    -------
    Design

    Raises
    ------
    UnknownColumnError, DataError, MissingValuesError, RankDeficientError, FormulaError
    """
    if rank_deficient not in ("drop", "error"):
        raise ArgumentError(
            f"rank_deficient={rank_deficient!r} is not known.", fix='one of "drop", "error"'
        )
    table = to_frame(data)
    check_names(spec, table)
    frame, extra = with_arguments(table, weights=weights, offset=offset)
    structured = [] if residual is None else residual_columns(residual, list(table.columns))
    names = [n.name for n in spec.names] + list(extra.values()) + structured
    rows = _complete_rows(frame, names, na_action)
    frame = _without_namesakes(spec, frame, extra_namespace or {})
    blocks = None if residual is None else meet_residual(residual, table, rows.kept)
    frame = frame.loc[rows.kept] if not rows.kept.all() else frame

    namespace = formula_namespace(extra_namespace or {})
    y, trials, response_name = read_response(spec, frame, family, namespace)
    read = _read_predictors(spec, frame, namespace)
    coding, codes = _code_factors(spec, frame)
    w, total_offset = _weights_and_offset(frame, extra, read.offsets, family)
    used = rows_that_count(w)
    family.check_response(y, trials, response_name)
    check_response(y[used], family, response_name)

    fixed = _independent_part(read.fixed, used)
    _announce_aliased(fixed.aliased, rank_deficient)
    encoding = Encoding(
        kinds=read.kinds,
        fixed=read.fixed,
        kept_columns=fixed.kept,
        bases=read.bases,
        random=spec.random,
        coding=coding,
        offsets=read.offsets,
        offset_argument=extra.get("offset"),
    )
    factors = encoding.factors(codes, [b.values for b in read.bases])
    check_factors(spec, factors, n=int(np.count_nonzero(w)), family=family)
    check_random_columns(spec.random, read.bases, used)
    design = Design(
        spec=spec,
        family=family,
        response_name=response_name,
        y=y,
        trials=trials,
        X=fixed.X,
        fixed_names=tuple(read.fixed.names[i] for i in fixed.kept),
        fixed_terms=fixed.terms,
        aliased=fixed.aliased,
        factors=factors,
        offset=total_offset,
        weights=w,
        rows=rows,
        encoding=encoding,
        residual=blocks,
    )
    check_residual_rows(design)
    return design


class _Predictors(NamedTuple):
    """Columns of the right-hand side, and how the table's were read for them."""

    fixed: Basis
    bases: tuple[Basis, ...]
    offsets: tuple[Basis, ...]
    kinds: dict[str, ColumnKind]


def _read_predictors(
    spec: FormulaSpec, frame: pd.DataFrame, namespace: Mapping[str, Any]
) -> _Predictors:
    places = {name.name: name.place for name in reversed(predictor_names(spec))}
    read, kinds = read_predictors(frame, dict(reversed(places.items())))
    made: dict[str, Basis] = {}

    def basis(expression: Expression) -> Basis:
        if expression.text not in made:
            made[expression.text] = Basis(expression, read, namespace)
        return made[expression.text]

    fixed = basis(spec.fixed)
    bases = tuple(basis(t.basis) for t in spec.random)
    _check_offsets(spec, kinds)
    offsets = tuple(basis(o) for o in spec.offsets)
    _announce_independent_levels(spec, bases)
    return _Predictors(fixed, bases, offsets, kinds)


def _weights_and_offset(
    frame: pd.DataFrame, extra: Mapping[str, str], offsets: Sequence[Basis], family: Family
) -> tuple[FloatArray, FloatArray]:
    """Weights, 1 where there are none, and the sum of all offsets."""
    weights = np.ones(len(frame))
    if "weights" in extra:
        weights = frame[extra["weights"]].to_numpy(dtype=float)
        check_weights(weights, family)
    total = sum((o.values[:, 0] for o in offsets), np.zeros(len(frame)))
    if "offset" in extra:
        total = total + frame[extra["offset"]].to_numpy(dtype=float)
    return weights, total


class _FixedPart(NamedTuple):
    """Fixed columns that no others determine: which, of which terms, and who is left out."""

    X: FloatArray
    kept: IntArray
    terms: dict[str, tuple[int, ...]]
    aliased: tuple[str, ...]


def _independent_part(fixed: Basis, used: BoolArray | slice) -> _FixedPart:
    X = fixed.values
    kept = independent_columns(X[used])
    if len(kept) < len(fixed.names):
        X = np.ascontiguousarray(X[:, kept])
    position = {int(old): new for new, old in enumerate(kept)}
    terms = {
        term: at
        for term, columns in fixed.terms.items()
        if (at := tuple(position[i] for i in columns if i in position))
    }
    aliased = tuple(name for i, name in enumerate(fixed.names) if i not in position)
    return _FixedPart(X, kept, terms, aliased)


def _code_factors(
    spec: FormulaSpec, frame: pd.DataFrame
) -> tuple[dict[str, LevelCoding], dict[str, IntArray]]:
    coding, codes = {}, {}
    for term in spec.random:
        if term.factor not in coding:
            coding[term.factor], codes[term.factor] = LevelCoding.learn(term, frame)
    return coding, codes


def _without_namesakes(
    spec: FormulaSpec, frame: pd.DataFrame, extra_namespace: Mapping[str, Any]
) -> pd.DataFrame:
    """Leave out columns that formulae would read in place of the user's constants."""
    names = {extra_name(k) for k in extra_namespace if extra_name(k) in frame.columns}
    hidden = names - {n.name for n in spec.names}
    return frame.drop(columns=list(hidden)) if hidden else frame


def _complete_rows(frame: pd.DataFrame, used: list[str], na_action: NaAction) -> Rows:
    if na_action not in ("drop", "exclude", "error"):
        raise ArgumentError(
            f"na_action={na_action!r} is not known.", fix='one of "drop", "exclude", "error"'
        )
    kept: BoolArray = np.ones(len(frame), dtype=bool)
    counts: dict[str, int] = {}
    for name in dict.fromkeys(used):
        missing = np.asarray(pd.isna(frame[name].array))
        if missing.any():
            counts[name] = int(missing.sum())
            kept &= ~missing
    if counts:
        by_column = ", ".join(f"{k}: {v}" for k, v in counts.items())
        lost = f"{np.count_nonzero(~kept)} of {len(kept)} rows have missing values"
        if na_action == "error":
            raise MissingValuesError(
                f"{lost}.", found=by_column, fix='na_action="drop" leaves these rows out'
            )
        if empty := [k for k, v in counts.items() if v == len(kept)]:
            raise DataError(
                f"column{'s' if len(empty) > 1 else ''} {', '.join(f'`{k}`' for k in empty)} "
                f"{'have' if len(empty) > 1 else 'has'} no value at all: every row is missing.",
                fix="fill it, or leave it out of the model",
            )
        if not kept.any():
            raise DataError(
                "no row is complete: every row has a missing value.",
                found=by_column,
                fix="look at the column with the most missing values; is it needed?",
            )
        warn(f"{lost} and are left out ({by_column}).", MissingDataWarning)
    return Rows(frame.index, kept, na_action, counts)


def _check_offsets(spec: FormulaSpec, kinds: Mapping[str, ColumnKind]) -> None:
    for offset in spec.offsets:
        for name in offset.names:
            if kinds[name.name].categories is not None:
                raise DataError(
                    f"an offset is numeric, and column `{name.name}` holds categories.",
                    place=name.place,
                    fix="an offset is added to the linear predictor as it is",
                )


def _announce_independent_levels(spec: FormulaSpec, bases: tuple[Basis, ...]) -> None:
    for term, basis in zip(spec.random, bases, strict=True):
        wide = [name for name, at in basis.terms.items() if len(at) > 1]
        if not term.correlated and wide:
            warn(
                f"{term.text}: each column of `{wide[0]}` has a variance of its own and no "
                f"correlation with the others; lme4 would keep the columns of a factor correlated, "
                f"as (1 | {term.factor}) + (0 + {wide[0]} | {term.factor}) does.",
                DataWarning,
            )


def _announce_aliased(aliased: tuple[str, ...], rank_deficient: str) -> None:
    if not aliased:
        return
    many = len(aliased) > 1
    words = f"column{'s' if many else ''} {', '.join(f'`{a}`' for a in aliased)}"
    if rank_deficient == "error":
        raise RankDeficientError(
            f"the fixed part is rank deficient: other columns determine {words}.",
            fix=f'take {"them" if many else "it"} out of the formula; or rank_deficient="drop"',
        )
    warn(
        f"fixed part is rank deficient: {words} dropped, since other columns determine "
        f"{'them' if many else 'it'}.",
        RankDeficiencyWarning,
    )
