"""Posteriors against brms under the same priors (numbers, script and versions in brms/)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bayeslmm as bl
from tests.posterior.agreement import check_agreement, statistics

HERE = Path(__file__).parent / "brms"
WAYS = ("marginal", "noncentered")

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
def posterior(name: str, parameterization: Any) -> bl.PosteriorFit:
    m = MODELS[name]
    model = bl.Model(m["formula"], bl.load_dataset(m["data"]), priors=m["priors"])
    return model.sample(
        random_seed=7, progressbar=False, parameterization=parameterization, **m["sample"]
    )


def draws(name: str, parameterization: str) -> dict[str, np.ndarray]:
    """Draws by brms's name of the parameter, each (chain, draw)."""
    fit = posterior(name, parameterization)
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


@pytest.mark.parametrize("parameterization", WAYS)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_posterior_agrees_with_brms(name: str, parameterization: str) -> None:
    parameters = json.loads((HERE / f"{name}.json").read_text())["parameters"]
    ours = {k: statistics(v) for k, v in draws(name, parameterization).items()}
    theirs = {
        k: {key: (v[key], v[f"mcse_{key}"]) for key in next(iter(ours.values()))}
        for k, v in parameters.items()
    }
    check_agreement(ours, theirs)


@pytest.mark.parametrize("parameterization", WAYS)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_chains_converged(name: str, parameterization: str) -> None:
    found = posterior(name, parameterization)
    assert found.converged, found.diagnostics.words()
