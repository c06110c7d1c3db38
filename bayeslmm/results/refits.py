"""Estimates of many responses of one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True, eq=False)
class Refits:
    """Tables with a row a response.

    Attributes
    ----------
    fe_params : DataFrame
        Fixed effects.
    variances : DataFrame
        SDs, correlations (NaN where an SD is zero), sigma, and the parameters of a residual
        structure.
    llf : Series
        Log likelihood, restricted for REML.
    status : Series
        Names of `FitStatus`; a row that FAILED is NaN in the other tables.
    """

    fe_params: pd.DataFrame
    variances: pd.DataFrame
    llf: pd.Series[Any]
    status: pd.Series[Any]

    def __len__(self) -> int:
        return len(self.llf)

    def __repr__(self) -> str:
        return f"Refits of {len(self)} responses: .fe_params, .variances, .llf, .status"
