"""The standard error of a statistic of the response, by resampling rows or levels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.errors import ArgumentError, DataWarning, warn
from bayeslmm.inference.resampling import rows_by_level, top_factor

Statistic = Literal["median", "mean", "std", "var", "min", "max"] | Callable[[FloatArray], float]
ResampleLevel = Literal["group", "observation"]

_STATISTICS: dict[str, Callable[[FloatArray], Any]] = {
    "median": np.median,
    "mean": np.mean,
    "std": lambda y: np.std(y, ddof=1),
    "var": lambda y: np.var(y, ddof=1),
    "min": np.min,
    "max": np.max,
}


def bootstrap_response(
    design: Design,
    statistic: Statistic,
    n_bootstrap: int,
    resample_level: ResampleLevel,
    by: str | None,
    seed: int | None,
) -> float:
    """Standard error of a statistic of the response; see ``PointFit.bootstrap_se``."""
    f: Callable[[FloatArray], Any]
    if callable(statistic):
        f = statistic
    elif statistic in _STATISTICS:
        f = _STATISTICS[statistic]
    else:
        raise ArgumentError(
            f"statistic={statistic!r} is not known.",
            fix=f"a function of an array, or one of {', '.join(map(repr, _STATISTICS))}",
        )
    if n_bootstrap < 2:
        raise ArgumentError(f"n_bootstrap={n_bootstrap!r} is too few.", fix="n_bootstrap=1000")
    rng = np.random.default_rng(seed)
    used = design.weights > 0
    y = design.y
    if resample_level == "observation":
        if by is not None:
            raise ArgumentError(
                f"by={by!r} names levels, and rows are resampled.", fix='resample_level="group"'
            )
        rows = np.flatnonzero(used)
        values = [f(y[rng.choice(rows, len(rows))]) for _ in range(n_bootstrap)]
    elif resample_level == "group":
        factor, choice = top_factor(design, by, 'resample_level="observation"')
        if choice:
            warn(
                f"the grouping factors are crossed: the levels of `{factor.name}` are resampled.\n"
                "  fix: by= chooses another",
                DataWarning,
            )
        groups = [y[rows[used[rows]]] for rows in rows_by_level(factor)]
        J = len(groups)
        values = [
            f(np.concatenate([groups[j] for j in rng.integers(0, J, J)]))
            for _ in range(n_bootstrap)
        ]
    else:
        raise ArgumentError(
            f"resample_level={resample_level!r} is not known.", fix='"group" or "observation"'
        )
    return float(np.std(np.array(values, dtype=float), ddof=1))
