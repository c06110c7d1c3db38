"""Limits of residual structures' parameters against nlme, degrees of freedom against emmeans."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl

HERE = Path(__file__).parent / "residual"
CASES: dict[str, Any] = json.loads((HERE / "inference.json").read_text())["cases"]
# nlme takes its Hessian by differences of the criterion: limits are off by what these are; the
# coarsest are those of the ratio in gls, whose SD the Hessian of n x n matrices gives as ours
DIFFERENCES = 1e-4
COARSE = {"gls_ratios_REML": 2e-3, "gls_ratios_ML": 2e-3}


@cache
def fitted(name: str) -> bl.PointFit:
    case = CASES[name]
    arguments = {k: case[k] for k in ("by", "time") if case[k]}
    structure = getattr(bl, case["kind"])(**arguments)
    data = pd.read_csv(HERE / f"{case['data']}.csv")
    return bl.fit(case["formula"], data, method=case["method"], residual=structure)


@pytest.mark.parametrize("name", CASES)
def test_wald_limits_are_those_of_nlme(name: str) -> None:
    case, fit = CASES[name], fitted(name)
    limits = fit.confint("wald", parm=list(fit.estimate.residual_names))
    expected = np.column_stack([case["lower"], case["upper"]])
    np.testing.assert_allclose(limits, expected, rtol=COARSE.get(name, DIFFERENCES))


@pytest.mark.parametrize("name", [k for k, c in CASES.items() if "df" in c])
def test_degrees_of_freedom_are_near_those_of_emmeans(name: str) -> None:
    """It works from the same Hessian as `intervals`, and from gradients by differences."""
    case, table = CASES[name], fitted(name).emmeans("Sex").table
    expected = [case["df"][k] for k in table["Sex"]]
    np.testing.assert_allclose(table["df"], expected, rtol=6e-3 if name in COARSE else 3e-4)
