"""No REML optimum is worse than the best one lme4 finds (models, script and numbers in optima/)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bayeslmm as bl
from tests.parity.optima.generate import FAMILIES, Simulated, design

HERE = Path(__file__).parent / "optima"
FITS: dict[str, dict[str, Any]] = {
    fit["id"]: fit for fit in json.loads((HERE / "optima.json").read_text())["fits"]
}
SIMULATED = [name for name, fit in FITS.items() if fit["family"] in FAMILIES]
NATURAL = [name for name in FITS if name not in SIMULATED]

# Units of the deviance, -2 log restricted likelihood.
NO_WORSE = 1e-6
# Rounding of a criterion, as a share of its size.
ROUNDING = 1e-12


@cache
def natural_data(name: str) -> pd.DataFrame:
    file = HERE / "natural" / f"{name}.csv"
    return pd.read_csv(file) if file.exists() else bl.load_dataset(name)


def simulated(name: str) -> Simulated:
    family, number = name.rsplit("-", 1)
    return design(family, int(number))


def check(fit: bl.PointFit, ref: Mapping[str, Any]) -> None:
    excess = -2 * fit.llf - ref["criterion"]
    assert fit.converged
    assert excess <= max(NO_WORSE, ROUNDING * abs(ref["criterion"])), (
        f"worse by {excess:.3g}: {ref['formula']}, {fit.status}, theta {fit.theta} "
        f"against {ref['theta']}"
    )


def fitted(formula: str, data: pd.DataFrame, weights: Any = None) -> bl.PointFit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.SingularFitWarning)
        return bl.Model(formula, data, weights=weights).fit()


@pytest.mark.parametrize("name", NATURAL)
def test_natural_models(name: str) -> None:
    ref = FITS[name]
    check(fitted(ref["formula"], natural_data(ref["data"])), ref)


@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_designs(name: str) -> None:
    ref, made = FITS[name], simulated(name)
    assert (made.formula, made.seed, len(made.data)) == (ref["formula"], ref["seed"], ref["n"])
    assert float(made.checksum) == pytest.approx(ref["checksum"], rel=1e-6)
    check(fitted(made.formula, made.data, made.weights), ref)


def test_nothing_is_left_out() -> None:
    listed = pd.read_csv(HERE / "natural.csv")
    assert [FITS[n]["formula"] for n in NATURAL] == list(listed["formula"])
    expected = [f"{family}-{i:02d}" for family, (_, many) in FAMILIES.items() for i in range(many)]
    assert expected == SIMULATED
    assert len(SIMULATED) >= 300
