"""A formula and a table become a Design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayeslmm.arrays import BoolArray, FloatArray, IntArray
from bayeslmm.data.table import to_frame
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
    UnknownColumnError,
    suggest,
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
    frame, extra = _with_arguments(table, weights=weights, offset=offset)
    structured = [] if residual is None else residual_columns(residual, list(table.columns))
    names = [n.name for n in spec.names] + list(extra.values()) + structured
    rows = _complete_rows(frame, names, na_action)
    frame = _without_namesakes(spec, frame, extra_namespace or {})
    blocks = None if residual is None else meet_residual(residual, table, rows.kept)
    frame = frame.loc[rows.kept] if not rows.kept.all() else frame

    namespace = formula_namespace(extra_namespace or {})
    y, trials, response_name = read_response(spec, frame, family, namespace)
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
    coding, codes = _code_factors(spec, frame)

    if "weights" in extra:
        w = frame[extra["weights"]].to_numpy(dtype=float)
        _check_weights(w, family)
    else:
        w = np.ones(len(frame))
    used = rows_that_count(w)
    total_offset = sum((o.values[:, 0] for o in offsets), np.zeros(len(frame)))
    if "offset" in extra:
        total_offset = total_offset + frame[extra["offset"]].to_numpy(dtype=float)
    family.check_response(y, trials, response_name)
    check_response(y[used], family, response_name)

    X = fixed.values
    kept_columns = independent_columns(X[used])
    if len(kept_columns) < len(fixed.names):
        X = np.ascontiguousarray(X[:, kept_columns])
    aliased = tuple(name for i, name in enumerate(fixed.names) if i not in set(kept_columns))
    _announce_aliased(aliased, rank_deficient)
    position = {int(old): new for new, old in enumerate(kept_columns)}
    encoding = Encoding(
        kinds=kinds,
        fixed=fixed,
        kept_columns=kept_columns,
        bases=bases,
        random=spec.random,
        coding=coding,
        offsets=offsets,
        offset_argument=extra.get("offset"),
    )
    factors = encoding.factors(codes, [b.values for b in bases])
    check_factors(spec, factors, n=int(np.count_nonzero(w)), family=family)
    check_random_columns(spec.random, bases, used)
    design = Design(
        spec=spec,
        family=family,
        response_name=response_name,
        y=y,
        trials=trials,
        X=X,
        fixed_names=tuple(fixed.names[i] for i in kept_columns),
        fixed_terms={
            t: kept
            for t, at in fixed.terms.items()
            if (kept := tuple(position[i] for i in at if i in position))
        },
        aliased=aliased,
        factors=factors,
        offset=total_offset,
        weights=w,
        rows=rows,
        encoding=encoding,
        residual=blocks,
    )
    check_residual_rows(design)
    return design


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


def _with_arguments(
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
            values = _in_row_order(argument, given, frame)
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


def _in_row_order(argument: str, given: Any, frame: pd.DataFrame) -> pd.Series[Any]:
    """Numbers given as an argument; a pandas Series goes by its index, as in pandas."""
    if isinstance(given, pd.Series) and not given.index.equals(frame.index):
        alike = len(given) == len(frame) and not given.index.has_duplicates
        if not alike or not frame.index.isin(given.index).all():
            raise ArgumentError(
                f"{argument}= is a Series whose index is not that of the data.",
                fix=f"put it into the data and pass its name, or {argument}=values.to_numpy()",
            )
        given = given.reindex(frame.index)
    return pd.Series(np.asarray(given).ravel())


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


def _check_weights(weights: FloatArray, family: Family) -> None:
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
