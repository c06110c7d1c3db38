"""What data must have to carry a model; each check says what to do when they lack it."""

from __future__ import annotations

import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.design.rows import Factor
from bayeslmm.errors import ArgumentError, DataError, UnknownColumnError, suggest
from bayeslmm.families import Family
from bayeslmm.formula.spec import FormulaSpec, Name

# Names of variables and dimensions of every model; a factor cannot take them.
RESERVED = frozenset({"beta", "sigma", "alpha", "obs", "fixed", "chain", "draw"})


def check_names(spec: FormulaSpec, frame: pd.DataFrame) -> None:
    """Every name of the formula is a column, and no factor bears a reserved name."""
    factors = {c.name for t in spec.random for c in t.columns}
    for name in spec.names:
        if name.name not in frame.columns:
            close = suggest(name.name, frame.columns)
            role = "grouping factor " if name.name in factors else ""
            raise UnknownColumnError(
                f"{role}`{name.name}` is not a column of the data.",
                place=name.place,
                found=", ".join(frame.columns[:20]) + (", ..." if len(frame.columns) > 20 else ""),
                fix=f"did you mean `{close}`?" if close else "check the name, or add the column",
            )
    for name in predictor_names(spec):
        if name.name == "Intercept":
            raise ArgumentError(
                "a predictor cannot be called `Intercept`: that is the column of ones.",
                place=name.place,
                fix="rename the column: data.rename(columns={'Intercept': 'intercept_x'})",
            )
    for term in spec.random:
        if term.factor in RESERVED or term.factor.endswith("_term"):
            raise ArgumentError(
                f"a grouping factor cannot be called `{term.factor}`: the model uses that name.",
                place=term.columns[0].place,
                fix=f"rename the column: data.rename(columns={{'{term.factor}': "
                f"'{term.factor}_group'}})",
            )


def predictor_names(spec: FormulaSpec) -> list[Name]:
    """Names in the fixed part, the offsets and the bases of random terms."""
    parts = [spec.fixed, *spec.offsets, *(t.basis for t in spec.random)]
    return [name for part in parts for name in part.names]


def check_response(y: FloatArray, family: Family, name: str) -> None:
    """The response of the rows that count varies, where a scale must be estimated from it."""
    if len(y) == 1:
        raise DataError(
            "one row cannot carry a model.", fix="check what was left out, and the weights"
        )
    low, high = float(y.min()), float(y.max())
    if (largest := max(high, -low)) > 1e100:
        raise DataError(
            f"the response `{name}` cannot be computed with: its values reach {largest:.0e}.",
            fix="use another unit, so that they are not astronomically large",
        )
    if family.has_scale and 0 < high - low < 1e-100:
        raise DataError(
            f"the response `{name}` cannot be computed with: its range is {high - low:.0e}.",
            fix="use another unit, so that it is not astronomically small",
        )
    if family.has_scale and high == low:
        raise DataError(
            f"the response `{name}` is constant: every value is {y[0]:g}.",
            fix="there is nothing to model; check that this is the column you meant",
        )


def check_factors(
    spec: FormulaSpec, factors: tuple[Factor, ...], *, n: int, family: Family
) -> None:
    """Each factor has levels enough to estimate a variance, and rows enough for its effects."""
    places = {t.factor: t.columns[0].place for t in spec.random}
    for f in factors:
        if f.n_levels < 2:
            raise DataError(
                f"grouping factor `{f.name}` has one level only, {str(f.levels[0])!r}.",
                place=places[f.name],
                fix="a variance between levels needs at least two; leave this term out",
            )
        for term in f.terms:
            width = term.stop - term.start
            if width == 0:
                raise DataError(
                    f"the random term {term.text} has no columns.",
                    place=places[f.name],
                    fix=f"write (1 | {f.name}) for a random intercept",
                )
            if family.has_scale and f.n_levels * width >= n:
                raise DataError(
                    f"{term.text} has {f.n_levels * width} random effects "
                    f"({f.n_levels} levels of `{f.name}` x {width}) for {n} rows.",
                    place=places[f.name],
                    found="as many effects as rows, or more: they cannot be told from the residual",
                    fix="drop the term or its slopes; or check that the column groups rows",
                )
