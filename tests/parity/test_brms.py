"""Posteriors against brms under the same priors (numbers, script and versions in brms/).

Two Monte Carlo samples never agree exactly: the difference of each statistic is
divided by the standard error of that difference. With z standard normal under
agreement, one value beyond ``FAIL`` fails, and so does a share beyond ``ALERT``
that chance does not explain.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arviz_stats.base import array_stats

import bayeslmm as bl

HERE = Path(__file__).parent / "brms"
ALERT, FAIL = 3.0, 4.5
MOST_ALERTS = 0.05

HALF_T_60 = bl.HalfStudentT(3, 60)
HALF_T_25 = bl.HalfStudentT(3, 2.5)
MODELS: dict[str, dict[str, Any]] = {
    "sleepstudy": {
        "formula": "Reaction ~ Days + (Days | Subject)",
        "data": "sleepstudy",
        "priors": {
            "beta[Intercept]": bl.Normal(300, 200),
            "beta": bl.Normal(0, 50),
            "sd_Subject": HALF_T_60,
            "sigma": HALF_T_60,
            "corr_Subject": bl.LKJ(1),
        },
        "sample": {"draws": 2000, "tune": 1000, "target_accept": 0.95},
    },
    "penicillin": {
        "formula": "diameter ~ 1 + (1 | plate) + (1 | sample)",
        "data": "Penicillin",
        "priors": {
            "beta[Intercept]": bl.Normal(23, 10),
            "sd_plate": HALF_T_25,
            "sd_sample": HALF_T_25,
            "sigma": HALF_T_25,
        },
        "sample": {"draws": 4000, "tune": 2000, "target_accept": 0.97},
    },
}


@cache
def posterior(name: str) -> bl.PosteriorFit:
    m = MODELS[name]
    model = bl.Model(m["formula"], bl.load_dataset(m["data"]), priors=m["priors"])
    return model.sample(random_seed=7, progressbar=False, **m["sample"])


def draws(name: str) -> dict[str, np.ndarray]:
    """Draws by brms's name of the parameter, each (chain, draw)."""
    fit = posterior(name)
    group = fit.datatree["posterior"]

    def of(variable: str, **at: Any) -> np.ndarray:
        return group[variable].sel(at).transpose("chain", "draw").to_numpy()

    out = {"sigma": of("sigma")}
    out |= {f"b_{c}": of("beta", fixed=c) for c in fit.design.fixed_names}
    for f in fit.design.factors:
        term = f"{f.name}_term"
        for c in f.column_names:
            out[f"sd_{f.name}__{c}"] = of(f"sd_{f.name}", **{term: c})
            for level in f.levels:
                key = f"r_{f.name}[{level},{c}]"
                out[key] = of(f"b_{f.name}", **{f.name: level, term: c})
        if f.has_correlations:
            a, b = f.column_names
            at = {term: a, f"{term}_bis": b}
            out[f"cor_{f.name}__{a}__{b}"] = of(f"corr_{f.name}", **at)
    return out


def statistics(values: np.ndarray) -> dict[str, tuple[float, float]]:
    """Each statistic with its Monte Carlo standard error."""
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


@pytest.mark.parametrize("name", sorted(MODELS))
def test_posterior_agrees_with_brms(name: str) -> None:
    reference = json.loads((HERE / f"{name}.json").read_text())["parameters"]
    ours = draws(name)
    assert set(ours) == set(reference)
    z = {
        (parameter, statistic): (value - reference[parameter][statistic])
        / np.hypot(error, reference[parameter][f"mcse_{statistic}"])
        for parameter, values in ours.items()
        for statistic, (value, error) in statistics(values).items()
    }
    worst = max(z, key=lambda k: abs(z[k]))
    assert abs(z[worst]) < FAIL, (worst, z[worst])
    beyond = [k for k, v in z.items() if abs(v) > ALERT]
    assert len(beyond) <= MOST_ALERTS * len(z), beyond


@pytest.mark.parametrize("name", sorted(MODELS))
def test_chains_converged(name: str) -> None:
    assert posterior(name).converged, posterior(name).diagnostics.words()
