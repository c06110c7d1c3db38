"""Draws of the fixed effects, and the columns that describe draws of anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray


def describe_draws(draws: FloatArray, level: float) -> pd.DataFrame:
    """Mean, SD, median, equal-tailed interval and share above zero of each column."""
    low = (1.0 - level) / 2.0
    q = np.quantile(draws, [low, 0.5, 1.0 - low], axis=0)
    above = np.where(np.isnan(draws).any(axis=0), np.nan, (draws > 0.0).mean(axis=0))
    return pd.DataFrame(
        {
            "mean": draws.mean(axis=0),
            "posterior_sd": draws.std(axis=0, ddof=1),
            "median": q[1],
            "lower": q[0],
            "upper": q[2],
            "prob_positive": above,
        }
    )


def beta_draws(fit: Any) -> FloatArray | None:
    """Draws of the fixed effects, shape (draws, p); None for a point fit."""
    from bayeslmm.results.posterior import draws_of

    if getattr(fit, "datatree", None) is None:
        return None
    if fit.design.p == 0:
        sizes = fit.datatree["posterior"].sizes
        return np.empty((sizes["chain"] * sizes["draw"], 0))
    return draws_of(fit.datatree, "beta")
