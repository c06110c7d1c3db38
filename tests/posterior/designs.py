"""Small designs made by hand, so that these tests need no formula and no table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayeslmm.design.design import Design
from bayeslmm.design.rows import Factor, Rows, TermColumns
from bayeslmm.errors import Place
from bayeslmm.families import resolve_family
from bayeslmm.formula.spec import Expression, FormulaSpec

type Term = tuple[str, Sequence[str], bool]
"""Factor, columns, correlated."""


def make_design(
    y: Any,
    fixed: Mapping[str, Any],
    codes: Mapping[str, Any],
    terms: Sequence[Term],
    *,
    columns: Mapping[str, Any] | None = None,
    family: Any = "gaussian",
    weights: Any = None,
    offset: Any = None,
    trials: Any = None,
    response_name: str = "y",
) -> Design:
    """A design; ``columns`` holds what ``terms`` name beside Intercept."""
    y = np.asarray(y, dtype=float)
    n = len(y)
    values = {"Intercept": np.ones(n), **(columns or {})}
    factors = []
    for name, code in codes.items():
        mine = [t for t in terms if t[0] == name]
        names = tuple(c for t in mine for c in t[1])
        stops = np.cumsum([len(t[1]) for t in mine])
        factors.append(
            Factor(
                name=name,
                levels=pd.Index([f"{name}{j}" for j in range(int(np.max(code)) + 1)]),
                codes=np.asarray(code, dtype=np.int64),
                columns=np.column_stack([values[c] for c in names]).astype(float),
                column_names=names,
                terms=tuple(
                    TermColumns(f"({' + '.join(t[1])} | {name})", int(s) - len(t[1]), int(s), t[2])
                    for t, s in zip(mine, stops, strict=True)
                ),
                source=(name,),
            )
        )
    place = Place("y ~ x", 0, 1)
    spec = FormulaSpec("y ~ x", Expression(response_name, place), Expression("1", place))
    return Design(
        spec=spec,
        family=resolve_family(family),
        response_name=response_name,
        y=y,
        trials=None if trials is None else np.asarray(trials, dtype=float),
        X=np.column_stack([np.asarray(v, dtype=float) for v in fixed.values()])
        if fixed
        else np.zeros((n, 0)),
        fixed_names=tuple(fixed),
        fixed_terms={name: (j,) for j, name in enumerate(fixed)},
        aliased=(),
        factors=tuple(factors),
        offset=np.zeros(n) if offset is None else np.asarray(offset, dtype=float),
        weights=np.ones(n) if weights is None else np.asarray(weights, dtype=float),
        rows=Rows(pd.RangeIndex(n), np.ones(n, dtype=bool), "drop", {}),
        encoding=None,  # type: ignore[arg-type]
    )


def slopes(n_levels: int = 6, per_level: int = 5, *, correlated: bool = True, **kw: Any) -> Design:
    """Repeated measures like sleepstudy: ``y ~ 1 + x + (1 + x | g)``."""
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(n_levels), per_level)
    x = np.tile(np.arange(per_level, dtype=float), n_levels)
    b = rng.multivariate_normal([0, 0], [[4.0, 0.6], [0.6, 1.0]], n_levels)
    y = 50 + 3 * x + b[g, 0] + b[g, 1] * x + rng.normal(0, 1.5, len(g))
    kw.setdefault("columns", {"x": x})
    return make_design(
        kw.pop("y", y),
        {"Intercept": np.ones(len(g)), "x": x},
        {"g": g},
        kw.pop("terms", [("g", ("Intercept", "x"), correlated)]),
        **kw,
    )


def crossed(**kw: Any) -> Design:
    """Two crossed factors, like Penicillin: ``y ~ 1 + (1 | plate) + (1 | sample)``."""
    rng = np.random.default_rng(8)
    plate, sample = (a.ravel() for a in np.meshgrid(np.arange(8), np.arange(4), indexing="ij"))
    y = 23 + rng.normal(0, 0.8, 8)[plate] + rng.normal(0, 2, 4)[sample] + rng.normal(0, 0.5, 32)
    return make_design(
        kw.pop("y", y),
        {"Intercept": np.ones(32)},
        {"plate": plate, "sample": sample},
        [("plate", ("Intercept",), True), ("sample", ("Intercept",), True)],
        **kw,
    )
