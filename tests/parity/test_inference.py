"""Degrees of freedom and tests against lmerTest's and pbkrtest's (numbers in inference/)."""

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.inference.contrasts import joint_test

HERE = Path(__file__).parent / "inference"
REFERENCE = json.loads((HERE / "inference.json").read_text())
FITS, PAIRS = REFERENCE["fits"], REFERENCE["pairs"]
METHODS = ("satterthwaite", "kenward-roger")
TYPES = ("I", "II", "III")
# R's derivatives are differences, and its optimum is as good as their steps allow
PRECISION = 4e-6


@cache
def table(name):
    if name == "sleepstudy":
        data = bl.load_dataset(name)
        return data.assign(w=1 + (np.arange(1, 181) % 3) / 2)
    if name == "insteval":
        data = bl.load_dataset("InstEval")
        return data[data["d"].astype(str).astype(int) <= 30]
    if name == "machines_unbalanced":
        left_out = np.array([2, 3, 6, 7, 11, 18, 19, 25, 40, 41, 52]) - 1
        return table("machines").drop(index=left_out)
    if name == "missing_cell":
        data = table("unbalanced")
        return data[~((data["a"] == "a3") & (data["b"] == "b2"))]
    if name in ("Penicillin", "Pastes", "cake", "Dyestuff2"):
        return bl.load_dataset(name)
    return pd.read_csv(HERE / f"{name}.csv")


@cache
def fitted(name):
    ref = FITS[name]
    weights = "w" if name.endswith("_weights") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        method = "REML" if ref["reml"] else "ML"
        return bl.fit(ref["formula"], table(ref["data"]), method=method, weights=weights)


def our_name(r_name, data):
    """``recipeB:temperature185`` as we write it, ``recipe[B]:temperature[185]``."""
    parts = []
    for part in r_name.split(":"):
        factor = [c for c in data.columns if part.startswith(c) and part != c]
        factor = [c for c in factor if not pd.api.types.is_numeric_dtype(data[c])]
        factor.sort(key=len, reverse=True)
        if part == "(Intercept)":
            parts.append("Intercept")
        else:
            parts.append(f"{factor[0]}[{part.removeprefix(factor[0])}]" if factor else part)
    return ":".join(parts)


def cases():
    return [(n, m) for n in FITS for m in METHODS if m in FITS[n]]


@pytest.mark.parametrize("name", FITS)
def test_the_same_optimum(name):
    fit = fitted(name)
    assert fit.nobs == FITS[name]["n"]
    assert -2 * fit.llf <= FITS[name]["criterion"] + 1e-7
    assert fit.sigma == pytest.approx(FITS[name]["sigma"], rel=PRECISION)


@pytest.mark.parametrize(("name", "method"), cases())
def test_coefficients(name, method):
    fit = fitted(name).with_df(method)
    names = [our_name(n, table(FITS[name]["data"])) for n in FITS[name]["names"]]
    ref = FITS[name][method]["coefficients"]
    frame = fit.to_frame().set_index("parameter").loc[names]
    np.testing.assert_allclose(frame["se"], ref["se"], rtol=PRECISION)
    np.testing.assert_allclose(frame["df"], ref["df"], rtol=PRECISION)
    np.testing.assert_allclose(frame["estimate"], ref["estimate"], rtol=PRECISION, atol=1e-7)
    # a p-value multiplies the error of its t by the size of that t squared
    size = np.maximum(1.0, frame["t"] ** 2)
    assert (np.abs(frame["p"] / ref["p"] - 1) <= PRECISION * size).all()


@pytest.mark.parametrize(("name", "method"), cases())
def test_all_coefficients_at_once(name, method):
    fit = fitted(name).with_df(method)
    p, ref = fit.design.p, FITS[name][method]["joint"]
    test = joint_test(fit, np.eye(p)[min(1, p - 1) :])
    assert test.df_num == ref["df_num"]
    np.testing.assert_allclose((test.df_den, test.F), (ref["df_den"], ref["F"]), rtol=PRECISION)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(("name", "method"), [c for c in cases() if "III" in FITS[c[0]][c[1]]])
def test_tables(name, method, kind):
    ref = FITS[name][method][kind]
    found = fitted(name).anova(kind, df_method=method).table.set_index("term")
    assert set(found.index) == set(ref["term"])
    found = found.loc[ref["term"]]
    np.testing.assert_array_equal(found["df_num"], ref["df_num"])
    for column in ("df_den", "F", "sumsq", "meansq"):
        np.testing.assert_allclose(found[column], ref[column], rtol=PRECISION, err_msg=column)
    size = np.maximum(1.0, found["F"] * found["df_num"])
    assert (np.abs(found["p"] / ref["p"] - 1) <= PRECISION * size).all()


@pytest.mark.parametrize("name", [n for n in FITS if "ranova" in FITS[n]])
def test_random_terms_dropped(name):
    ref = FITS[name]["ranova"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fitted(name).ranova().table
    assert len(found) == len(ref["term"])
    order = np.lexsort((found["llf"], found["npar"]))
    expected = np.lexsort((ref["llf"], ref["npar"]))
    np.testing.assert_array_equal(found["npar"].to_numpy()[order], np.array(ref["npar"])[expected])
    np.testing.assert_allclose(
        found["llf"].to_numpy()[order], np.array(ref["llf"])[expected], atol=1e-6
    )
    for ours, theirs in (("lrt", "lrt"), ("df", "df"), ("p_chi2", "p")):
        a = found[ours].to_numpy(dtype=float)[order]
        b = np.array(ref[theirs], dtype=float)[expected]
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_likelihood_ratios(name):
    ref = PAIRS[name]
    method = "REML" if ref["reml"] else "ML"
    fits = [bl.fit(ref[k], table(ref["data"]), method=method) for k in ("small", "large")]
    found = bl.anova(*fits).table
    for column in ("npar", "aic", "bic", "llf"):
        np.testing.assert_allclose(found[column], ref[column], rtol=1e-9)
    last = found.iloc[-1]
    assert last["df"] == ref["df"]
    assert last["lrt"] == pytest.approx(ref["lrt"], abs=1e-6)
    assert last["p_chi2"] == pytest.approx(ref["p"], rel=1e-5)
