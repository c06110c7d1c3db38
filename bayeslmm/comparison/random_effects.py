"""Random effects of several fits in one tidy frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayeslmm.comparison.kinds import Fit


def random_effects_frame(fits: Mapping[str, Fit]) -> pd.DataFrame:
    """BLUPs and posterior means: factor, level, term, a column a fit."""
    design = next(iter(fits.values())).design
    frames = []
    for f in design.factors:
        columns: dict[str, Any] = {
            "factor": f.name,
            "level": np.repeat(f.levels.to_numpy(dtype=object), f.n_columns),
            "term": np.tile(np.array(f.column_names, dtype=object), f.n_levels),
        }
        for name, fit in fits.items():
            columns[name] = fit.random_effects[f.name].to_numpy(dtype=float).ravel()
        frames.append(pd.DataFrame(columns))
    if not frames:
        return pd.DataFrame(columns=["factor", "level", "term", *fits])
    return pd.concat(frames, ignore_index=True)
