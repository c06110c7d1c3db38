"""Draws of the fixed effects, and of linear functions of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.results.posterior import describe_draws, draws_of


def describe_with_sign(draws: FloatArray, level: float) -> pd.DataFrame:
    """The columns of `describe_draws`, and the share of draws above zero."""
    above = np.where(np.isnan(draws).any(axis=0), np.nan, (draws > 0.0).mean(axis=0))
    return describe_draws(draws, level).assign(prob_positive=above)


def beta_draws(fit: Any) -> FloatArray | None:
    """Draws of the fixed effects, shape (draws, p); None for a point fit."""
    if getattr(fit, "datatree", None) is None:
        return None
    if fit.design.p == 0:
        sizes = fit.datatree["posterior"].sizes
        return np.empty((sizes["chain"] * sizes["draw"], 0))
    return draws_of(fit.datatree, "beta")
