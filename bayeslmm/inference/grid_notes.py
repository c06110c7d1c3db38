"""What marginal means were averaged over, and held at, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from bayeslmm.inference.reference_grid import ReferenceGrid, Weights

Scale = Literal["link", "response"]


def averaged_over(grid: ReferenceGrid, over: Sequence[str]) -> list[str]:
    """Predictors of several values that are not among those the means are for."""
    return [p.name for p in grid.predictors if p.name not in over and len(p.values) > 1]


def grid_note(
    grid: ReferenceGrid,
    over: Sequence[str],
    weights: Weights,
    link: str,
    scale: Scale,
) -> str:
    """What was averaged over, what was held, and on which scale."""
    parts = ["Random effects at zero"]
    if averaged := averaged_over(grid, over):
        how = "equally" if weights == "equal" else "in proportion to the data"
        parts.append(f"averaged {how} over {', '.join(averaged)}")
    held = [p for p in grid.predictors if p.name not in over and len(p.values) == 1]
    if held:
        parts.append("at " + ", ".join(f"{p.name} = {value_text(p.values[0])}" for p in held))
    if link:
        parts.append("on the response scale" if scale == "response" else f"on the {link} scale")
    return "; ".join(parts) + "."


def interactions_note(terms: Iterable[str], met: Sequence[str], averaged: Sequence[str]) -> str:
    """The terms in which some predictors meet those averaged over; empty if there are none."""
    hidden = [t for t in terms if _mentioned(t, met) and _mentioned(t, averaged)]
    if not hidden:
        return ""
    one = len(hidden) == 1
    names = [f'"{n}"' for n in averaged if any(_mentioned(t, [n]) for t in hidden)]
    by = names[0] if len(names) == 1 else f"[{', '.join(names)}]"
    return (
        f" Averaged over the interaction{'' if one else 's'} {', '.join(hidden)}, which such "
        f"averages can hide; by={by} shows {'it' if one else 'them'}."
    )


def _mentioned(term: str, names: Sequence[str]) -> bool:
    return any(re.search(rf"(?<![\w.]){re.escape(n)}(?![\w.(])", term) for n in names)


def value_text(value: Any) -> str:
    """A value of a predictor, as labels and notes show it."""
    return f"{value:g}" if isinstance(value, float) else str(value)
