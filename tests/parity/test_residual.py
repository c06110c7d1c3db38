"""Residual structures against nlme, by value (numbers, script and versions in residual/)."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl

HERE = Path(__file__).parent / "residual"
CASES: dict[str, Any] = json.loads((HERE / "reference.json").read_text())["cases"]
# nlme's parameters at the end of its search; its criterion is flat there to 1e-10
RTOL = 5e-6


@cache
def data(name: str) -> pd.DataFrame:
    if name in ("orthodont", "ovary"):
        return pd.read_csv(HERE / f"{name}.csv")
    if name == "gaps":  # as the script takes rows out
        ovary = data("ovary")
        return ovary[(np.arange(len(ovary)) + 1) % 5 != 2]
    return data("orthodont").assign(w=np.tile([1.0, 2.0, 0.5, 4.0], 27))


@cache
def fitted(name: str) -> Any:
    case = CASES[name]
    arguments = dict(case["structure"])
    structure = getattr(bl, arguments.pop("kind"))(**arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return bl.fit(
            case["formula"],
            data(case["data"]),
            method="REML" if case["reml"] else "ML",
            weights=case["weights"] or None,
            residual=structure,
        )


@pytest.mark.parametrize("name", CASES)
def test_criteria(name: str) -> None:
    case, fit = CASES[name], fitted(name)
    assert fit.llf == pytest.approx(case["loglik"], abs=1e-8)
    assert fit.aic == pytest.approx(case["aic"], abs=1e-7)
    assert fit.n_params == case["npar"]


@pytest.mark.parametrize("name", CASES)
def test_parameters_of_the_structure(name: str) -> None:
    expected = np.atleast_1d(CASES[name]["residual"])
    np.testing.assert_allclose(fitted(name).residual_parameters, expected, rtol=RTOL)


@pytest.mark.parametrize("name", CASES)
def test_variances(name: str) -> None:
    case, fit = CASES[name], fitted(name)
    assert fit.sigma == pytest.approx(case["sigma"], rel=RTOL)
    values = dict(zip(fit.estimate.variance_names, fit.estimate.variance_values, strict=True))
    for term, sd in case.get("sd", {}).items():
        column = "Intercept" if term == "(Intercept)" else term
        (own,) = (v for k, v in values.items() if k.startswith("sd_") and f"[{column}]" in k)
        assert own == pytest.approx(sd, rel=2e-5)
    if "corr" in case and "||" not in case["formula"]:
        (corr,) = (v for k, v in values.items() if k.startswith("corr_"))
        assert corr == pytest.approx(case["corr"], rel=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_fixed_effects(name: str) -> None:
    case, fit = CASES[name], fitted(name)
    np.testing.assert_allclose(fit.fe_params, list(case["beta"].values()), rtol=RTOL)
    se = np.array(list(case["se"].values()))
    if name.startswith("gls") and not case["reml"]:
        # nlme::gls by ML takes n - p for n in these alone
        se = se * np.sqrt((fit.nobs - fit.design.p) / fit.nobs)
    np.testing.assert_allclose(fit.fe_bse, se, rtol=RTOL)


@pytest.mark.parametrize("name", [k for k, c in CASES.items() if "blups" in c])
def test_blups(name: str) -> None:
    expected = CASES[name]["blups"]
    (ours,) = fitted(name).random_effects.values()
    column = ours if isinstance(ours, pd.Series) else ours.iloc[:, 0]
    theirs = pd.Series(expected).reindex([str(k) for k in column.index]).to_numpy()
    np.testing.assert_allclose(column, theirs, rtol=1e-4, atol=2e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_series_across_items(method: str) -> None:
    """AR(1) residuals of subjects, items crossed with them, against glmmTMB.

    There the series are a random effect beside a residual of SD 1e-4, the search ends short of
    its tolerance, and standard errors include the uncertainty of the variances.
    """
    case = json.loads((HERE / "crossed.json").read_text())["cases"][method.lower()]
    data = pd.read_csv(HERE / "crossed.csv")
    fit = bl.fit("y ~ x + (1 | s) + (1 | item)", data, method=method, residual=bl.AR1("s", "t"))
    assert fit.llf == pytest.approx(case["loglik"], abs=1e-6)
    assert fit.n_params == case["npar"]
    expected = [case["sd"]["s"], case["sd"]["item"], case["sigma"]]
    np.testing.assert_allclose(fit.estimate.variance_values, expected, rtol=1e-4)
    assert fit.residual_parameters["ar1"] == pytest.approx(case["ar1"], rel=2e-5)
    away = np.abs(fit.fe_params - list(case["beta"].values())) / fit.fe_bse
    assert away.max() < 1e-3
