"""Whether two Monte Carlo samples are of one distribution.

Two samples never agree exactly: the difference of each statistic is divided by the
standard error of that difference. With z standard normal under agreement, one value
beyond ``FAIL`` fails, and so does a share beyond ``ALERT`` that chance does not explain.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from arviz_stats.base import array_stats

ALERT, FAIL = 3.0, 4.5
MOST_ALERTS = 0.05

type Statistics = Mapping[str, tuple[float, float]]


def statistics(values: np.ndarray) -> dict[str, tuple[float, float]]:
    """Mean, SD and quantiles of draws (chain, draw), each with its Monte Carlo standard error."""
    mcse = array_stats.mcse
    axes = {"chain_axis": 0, "draw_axis": 1}
    out = {
        "mean": (values.mean(), float(mcse(values, method="mean", **axes))),
        "sd": (values.std(ddof=1), float(mcse(values, method="sd", **axes))),
    }
    for q in (5, 25, 50, 75, 95):
        error = float(mcse(values, method="quantile", prob=q / 100, **axes))
        out[f"q{q}"] = (float(np.quantile(values, q / 100)), error)
    return out


def check_agreement(ours: Mapping[str, Statistics], theirs: Mapping[str, Statistics]) -> None:
    """Fail where statistics of the same parameters differ by more than chance allows."""
    assert set(ours) == set(theirs)
    z = {
        (name, key): (value - theirs[name][key][0]) / np.hypot(error, theirs[name][key][1])
        for name, found in ours.items()
        for key, (value, error) in found.items()
    }
    worst = max(z, key=lambda k: abs(z[k]))
    assert abs(z[worst]) < FAIL, (worst, z[worst])
    beyond = [k for k, v in z.items() if abs(v) > ALERT]
    # the seven statistics of one parameter go together, so those of one are no share
    assert len(beyond) <= max(7, MOST_ALERTS * len(z)), beyond
