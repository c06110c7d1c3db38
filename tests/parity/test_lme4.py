"""Estimates against lme4's, by value (numbers, script and versions in lme4/)."""

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
from bayeslmm.engine.gaussian import conditional_covariances, estimate_at

HERE = Path(__file__).parent / "lme4"
NAMES = sorted(p.stem for p in HERE.glob("*.json"))
LARGE = {n for n in NAMES if n.startswith("insteval")}
SINGULAR = {"dyestuff2", "classroom_slope"}


@cache
def reference(name: str) -> dict[str, Any]:
    return json.loads((HERE / f"{name}.json").read_text())


@cache
def model(name: str) -> bl.Model:
    ref = reference(name)
    data = bl.load_dataset(ref["dataset"])
    weights = ref["weights"]["values"] if ref["weights"] else None
    return bl.Model(ref["formula"], data, weights=weights)


@cache
def fitted(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error" if name not in SINGULAR else "ignore")
        return model(name).fit("REML" if reference(name)["reml"] else "ML")


def our_name(r_name: str, data: pd.DataFrame) -> str:
    """``recipeB:temperature185`` as we write it, ``recipe[B]:temperature[185]``."""
    parts = []
    for part in r_name.split(":"):
        factor = [c for c in data.columns if part.startswith(c) and part != c]
        factor = [c for c in factor if not pd.api.types.is_numeric_dtype(data[c])]
        factor.sort(key=len, reverse=True)
        if part == "(Intercept)":
            parts.append("Intercept")
        elif factor:
            parts.append(f"{factor[0]}[{part.removeprefix(factor[0])}]")
        else:
            parts.append(part)
    return ":".join(parts)


def our_factor(group: str, m: bl.Model) -> tuple[str, bool]:
    """Our name of a grouping factor, and whether its parts stand in the other order."""
    names = [f.name for f in m.design.factors]
    if group in names:
        return group, False
    flipped = ":".join(reversed(group.split(":")))
    assert flipped in names
    return flipped, True


def fixed_order(name: str) -> np.ndarray:
    """Positions of lme4's fixed effects among ours."""
    m = model(name)
    data = bl.load_dataset(reference(name)["dataset"])
    ours = [our_name(r, data) for r in reference(name)["fixef_names"]]
    assert sorted(ours) == sorted(m.design.fixed_names)
    return np.array([m.design.fixed_names.index(o) for o in ours])


def theta_of(name: str, values: list[float]) -> list[np.ndarray]:
    """lme4's theta as our matrices."""
    m = model(name)
    T = {f.name: np.zeros((f.n_columns, f.n_columns)) for f in m.design.factors}
    data = bl.load_dataset(reference(name)["dataset"])
    for at, value in zip(reference(name)["theta_names"], values, strict=True):
        factor, _ = our_factor(at["group"], m)
        columns = next(f for f in m.design.factors if f.name == factor).column_names
        i, j = (columns.index(our_name(at[k], data)) for k in ("row", "col"))
        T[factor][i, j] = value
    return [T[f.name] for f in m.design.factors]


def effects(name: str, evaluation: dict[str, Any], key: str) -> dict[str, pd.DataFrame]:
    """lme4's random effects (or their SDs), labelled as ours."""
    m = model(name)
    data = bl.load_dataset(reference(name)["dataset"])
    if evaluation["ranef"] is None:
        table = pd.read_parquet(HERE / evaluation["ranef_file"])
        column = "value" if key == "values" else "sd"
        members = [
            {"group": g, "columns": ["(Intercept)"], "levels": t["level"], "v": t[[column]]}
            for g, t in table.groupby("group", observed=True)
        ]
    else:
        members = [{**r, "v": r[key]} for r in evaluation["ranef"]]
    out = {}
    for r in members:
        factor, flipped = our_factor(r["group"], m)
        levels = [str(v) for v in r["levels"]]
        if flipped:
            levels = [":".join(reversed(v.split(":"))) for v in levels]
        columns = [our_name(c, data) for c in r["columns"]]
        out[factor] = pd.DataFrame(np.asarray(r["v"]), index=levels, columns=columns)
    return out


def compare_effects(name: str, ours: Any, evaluation: dict[str, Any], rtol: float) -> None:
    """BLUPs and conditional SDs agree to ``rtol`` of the factor's SD."""
    for key, arrays in (
        ("values", ours.b),
        ("cond_sd", [_sd(c) for c in conditional_covariances(model(name).design, ours)]),
    ):
        theirs = effects(name, evaluation, key)
        for f, array, cov in zip(model(name).design.factors, arrays, ours.covariances, strict=True):
            mine = pd.DataFrame(array, index=f.levels.astype(str), columns=f.column_names)
            expected = theirs[f.name][list(f.column_names)]
            scale = np.sqrt(np.diag(cov))
            gap = np.abs(mine.loc[expected.index] - expected).max().to_numpy()
            assert (gap <= rtol * np.maximum(scale, ours.sigma * 1e-3)).all(), (key, f.name, gap)


def _sd(cov: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(np.einsum("jkk->jk", cov), 0.0))


def relative(ours: Any, theirs: Any) -> float:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    return float(np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1e-300)))


@pytest.mark.parametrize("label", ["optimum", "ones", "random"])
@pytest.mark.parametrize("name", NAMES)
def test_at_fixed_theta(name: str, label: str) -> None:
    ref = reference(name)
    at = next(e for e in ref["fixed_theta"] if e["label"] == label)
    ours = estimate_at(
        model(name).design, theta_of(name, at["theta"]), "REML" if ref["reml"] else "ML"
    )
    order = fixed_order(name)
    assert relative(-2 * ours.loglik, at["criterion"]) < 1e-10
    assert relative(ours.sigma, at["sigma"]) < 1e-8
    se = np.sqrt(np.diag(ours.cov_beta))[order]
    assert np.max(np.abs(ours.beta[order] - at["fixef"]) / se) < 1e-8
    assert relative(se, at["se"]) < 1e-8
    vcov = ours.cov_beta[np.ix_(order, order)]
    assert np.max(np.abs(vcov - at["vcov"]) / np.outer(se, se)) < 1e-8
    compare_effects(name, ours, at, 1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_at_the_optimum(name: str) -> None:
    ref, fit = reference(name), fitted(name)
    large = name in LARGE
    ours, order = fit.estimate, fixed_order(name)
    optimum = ref["optimum"]
    assert fit.converged
    assert fit.llf >= optimum["logLik"] - 1e-6
    # no better either: both are the same optimum
    assert fit.llf <= optimum["logLik"] + 1e-6
    near = ref["refined"] or optimum
    se = np.array(near["se"])
    assert np.max(np.abs(ours.beta[order] - near["fixef"]) / se) < (1e-5 if large else 1e-6)
    assert relative(np.sqrt(np.diag(ours.cov_beta))[order], se) < (5e-5 if large else 1e-6)
    assert relative(ours.sigma**2, near["sigma"] ** 2) < (1e-4 if large else 1e-5)
    compare_variances(name, near, 1e-4 if large else 1e-5)
    compare_effects(name, ours, optimum if near["ranef"] is None else near, 2e-5 if large else 1e-6)
    assert fit.aic == pytest.approx(optimum["AIC"], abs=3e-6)
    assert fit.bic == pytest.approx(optimum["BIC"], abs=3e-6)
    assert fit.n_params == optimum["df"]
    assert fit.singular == optimum["singular"]
    assert fit.nobs == ref["nobs"]
    assert fit.ngroups == {our_factor(g, model(name))[0]: n for g, n in ref["ngroups"].items()}


def compare_variances(name: str, near: dict[str, Any], rtol: float) -> None:
    """Covariance matrices term by term, relative to the product of the SDs."""
    m, fit = model(name), fitted(name)
    data = bl.load_dataset(reference(name)["dataset"])
    for term in near["varcorr"]:
        factor, _ = our_factor(term["group"], m)
        k = next(i for i, f in enumerate(m.design.factors) if f.name == factor)
        names = m.design.factors[k].column_names
        at = [names.index(our_name(c, data)) for c in term["columns"]]
        ours = fit.estimate.covariances[k][np.ix_(at, at)]
        sd = np.sqrt(np.diag(term["cov"]))
        scale = np.maximum(np.outer(sd, sd), 1e-12 * fit.scale)
        assert np.max(np.abs(ours - term["cov"]) / scale) < rtol


@pytest.mark.parametrize("name", NAMES)
def test_predictions(name: str) -> None:
    optimum, fit = reference(name)["optimum"], fitted(name)
    rows = optimum["rows"]
    scale = fit.sigma * (1e-5 if name in LARGE else 1e-6)
    np.testing.assert_allclose(fit.fittedvalues[rows], optimum["fitted"], rtol=0, atol=scale)
    np.testing.assert_allclose(fit.predict()[rows], optimum["predict"], rtol=0, atol=scale)
    population = fit.predict(include_re=False)[rows]
    np.testing.assert_allclose(population, optimum["predict_fixed"], rtol=0, atol=scale)


def test_known_figures() -> None:
    """Figures published with the tutorial, and for InstEval."""
    fit = fitted("classroom_intercept")
    assert fit.llf == pytest.approx(-88.8676, abs=5e-5)
    assert fit.variance_components["classroom"] == pytest.approx(9.428, abs=5e-4)
    assert fit.scale == pytest.approx(0.8693, abs=5e-5)
    assert -2 * fitted("insteval_service").llf == pytest.approx(237733.8341, abs=1e-4)
