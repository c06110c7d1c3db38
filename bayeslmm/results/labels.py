"""Arrays by factor become labelled Series and frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design, Factor


def effects_by_factor(
    design: Design, arrays: Sequence[FloatArray]
) -> dict[str, pd.Series[Any] | pd.DataFrame]:
    """One entry a factor: a Series over levels for one column, else a frame.

    Parameters
    ----------
    design : Design
    arrays : sequence of ndarray, each (J, K)
    """
    return {f.name: _labelled(f, a) for f, a in zip(design.factors, arrays, strict=True)}


def covariances_by_factor(
    design: Design, matrices: Sequence[FloatArray]
) -> dict[str, float | pd.DataFrame]:
    """One entry a factor: a variance for one column, else a labelled covariance matrix."""
    out: dict[str, float | pd.DataFrame] = {}
    for f, m in zip(design.factors, matrices, strict=True):
        names = list(f.column_names)
        out[f.name] = float(m[0, 0]) if len(names) == 1 else pd.DataFrame(m, names, names)
    return out


def _labelled(factor: Factor, array: FloatArray) -> pd.Series[Any] | pd.DataFrame:
    levels = factor.levels.rename(factor.name)
    if factor.n_columns == 1:
        return pd.Series(array[:, 0], index=levels, name=factor.column_names[0])
    return pd.DataFrame(array, index=levels, columns=list(factor.column_names))


def padded(design: Design, values: FloatArray) -> FloatArray:
    """One value a row of the table: NaN where `na_action="exclude"` left a row out."""
    if design.rows.na_action != "exclude" or design.rows.kept.all():
        return values
    out = np.full(len(design.rows.kept), np.nan)
    out[design.rows.kept] = values
    return out
