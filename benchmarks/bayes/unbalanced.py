"""A simulated design of two crossed factors whose levels have very unequal counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from simulate import as_factor


def unbalanced(n: int, levels: tuple[int, int]) -> pd.DataFrame:
    """Two crossed factors f and g with random intercepts, one covariate.

    The k-th level of a factor is drawn in proportion to 1/k, so that half of the levels have
    few rows; each occurs at least once. SDs are 0.6, 0.4 and, of the residuals, 1.
    """
    rng = np.random.default_rng(8)
    x = rng.normal(size=n)
    y = 1.0 + 0.5 * x + rng.normal(size=n)
    columns = {}
    for name, J, sd in zip("fg", levels, (0.6, 0.4), strict=True):
        weights = 1.0 / np.arange(1, J + 1)
        drawn = rng.choice(J, size=n - J, p=weights / weights.sum())
        codes = rng.permutation(np.concatenate([np.arange(J), drawn]))
        y += rng.normal(0.0, sd, J)[codes]
        columns[name] = as_factor(codes, name)
    return pd.DataFrame({"y": y, "x": x, **columns})
