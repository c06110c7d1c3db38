"""Columns whose scale makes a correct fit hard to read."""

from __future__ import annotations

from typing import NamedTuple

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design

# A predictor whose mean is so many SDs from zero has intercepts far outside the data.
FAR_FROM_ZERO = 10.0
# Coefficients whose columns differ by more cannot be read side by side.
_ORDERS_OF_MAGNITUDE = 1e4


class FarSlope(NamedTuple):
    """A random slope, correlated with intercepts, whose column is far from zero."""

    column: str
    factor: str
    mean: float
    sd: float


def far_slopes(design: Design) -> list[FarSlope]:
    """Random slopes whose zero is far outside the data, beside correlated intercepts."""
    out = []
    for f in design.factors:
        for t in f.terms:
            names = f.column_names[t.start : t.stop]
            if not t.correlated or "Intercept" not in names:
                continue
            columns = f.columns[:, t.start : t.stop]
            mean, sd = columns.mean(axis=0), columns.std(axis=0)
            for name, m, s in zip(names, mean.tolist(), sd.tolist(), strict=True):
                if s > 0 and abs(m) > FAR_FROM_ZERO * s:
                    out.append(FarSlope(name, f.name, m, s))
    return out


def scale_notes(design: Design) -> list[str]:
    """What to do for coefficients and SDs that can be read; the estimates are right anyway."""
    notes = [
        f"`{s.column}` is around {s.mean:.4g} with an SD of {s.sd:.3g}: intercepts of "
        f"`{s.factor}`, their SD and their correlation with the slopes are those at "
        f"`{s.column}` = 0, far outside the data; center({s.column}) puts them inside"
        for s in far_slopes(design)
    ]
    sds = _spreads(design)
    if sds:
        wide, narrow = max(sds, key=lambda k: sds[k]), min(sds, key=lambda k: sds[k])
        if sds[wide] > _ORDERS_OF_MAGNITUDE * sds[narrow]:
            notes.append(
                f"the SD of `{wide}` is {sds[wide]:.2g} and that of `{narrow}` {sds[narrow]:.2g}: "
                "the engine scales columns itself, so estimates are right, but coefficients are "
                "as far apart; another unit, or scale(), makes them readable"
            )
    return notes


def _spreads(design: Design) -> dict[str, float]:
    """SDs of the columns that vary, fixed and random, over rows of positive weight."""
    parts: list[tuple[tuple[str, ...], FloatArray]] = [(design.fixed_names, design.X)]
    parts += [(f.column_names, f.columns) for f in design.factors]
    out: dict[str, float] = {}
    for names, columns in parts:
        spread = columns[design.used].std(axis=0)
        out |= {n: s for n, s in zip(names, spread.tolist(), strict=True) if s > 0.0}
    return out
