"""Random effects of several fits in one tidy frame."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bayeslmm.comparison.kinds import Fit, is_posterior

_KEYS = ["factor", "level", "term"]


def random_effects_frame(fits: Mapping[str, Fit], level: float) -> pd.DataFrame:
    """BLUPs and posterior means with their spread: factor, level, term, columns a fit."""
    frames = {name: fit.to_frame("random", level) for name, fit in fits.items()}
    out = next(iter(frames.values()))[_KEYS].copy()
    for name, frame in frames.items():
        if is_posterior(fits[name]):
            columns = {"mean": "mean", "sd": "posterior_sd", "lower": "lower", "upper": "upper"}
        else:
            columns = {"estimate": "estimate", "se": "se"}
        for label, source in columns.items():
            out[f"{name}_{label}"] = frame[source]
    return out
