"""Effective sample sizes and R-hat, by one implementation for all contestants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from arviz_stats.base import array_stats


def read_draws(path: Path, shape: Sequence[int]) -> np.ndarray:
    """Draws as parameters x chains x draws, from the raw doubles that a runner wrote."""
    return np.fromfile(path).reshape(tuple(shape))


def judge(draws: np.ndarray, names: Sequence[str], main: int) -> dict[str, Any]:
    """The worst of each diagnostic, and the posterior of the main parameters.

    Parameters
    ----------
    draws : array of parameters x chains x draws
    names : of the parameters
    main : how many of them, from the first, are fixed effects, SDs, correlations or sigma;
        the rest are random effects.

    Returns
    -------
    dict
        `ess`, `rhat` over the main parameters and `ess_all`, `rhat_all` over all, each with
        the name of the parameter (`ess_of`, ...); `posterior`: median and SD by name.
    """
    ess = _each(draws, lambda x: array_stats.ess(x, method="bulk"), unknown=0.0)
    rhat = _each(draws, lambda x: array_stats.rhat(x, method="rank"), unknown=np.inf)
    found: dict[str, Any] = {}
    for suffix, count in (("", main), ("_all", len(names))):
        least, most = int(ess[:count].argmin()), int(rhat[:count].argmax())
        found[f"ess{suffix}"] = float(ess[least])
        found[f"ess{suffix}_of"] = names[least]
        found[f"rhat{suffix}"] = float(rhat[most])
        found[f"rhat{suffix}_of"] = names[most]
    found["posterior"] = {
        name: [float(np.median(x)), float(x.std(ddof=1))]
        for name, x in zip(names[:main], draws, strict=False)
    }
    return found


def _each(
    draws: np.ndarray, diagnostic: Callable[[np.ndarray], Any], *, unknown: float
) -> np.ndarray:
    """A diagnostic of each parameter; draws that never moved have none, which is the worst."""
    with np.errstate(all="ignore"):
        values = np.array([float(diagnostic(x)) for x in draws])
    return np.where(np.isfinite(values), values, unknown)
