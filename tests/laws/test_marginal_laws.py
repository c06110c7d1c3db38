"""Marginal means and shares of variance of every kind of model, with all that data can have."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayeslmm as bl
from tests.laws.tables import FORMULAS, base, few, fit, formulas, near, seeds, table
from tests.unit.comparison.fake_posterior import fake_posterior

methods = st.sampled_from(["REML", "ML", "MAP"])


def full(formula, seed, method):
    """Zero weights, an offset, rows with missing values that stay in their place."""
    data = table(seed).assign(o=np.sin(np.arange(len(table(seed)))))
    data.loc[data.index[::9], "w"] = 0.0
    data.loc[data.index[4], "x"] = np.nan
    data.loc[data.index[10], "y"] = np.nan
    options = {"weights": "w", "offset": "o", "na_action": "exclude"}
    return data, fit(formula, data, method, **options)


def cell(design, data):
    """One row at the reference values of every predictor, and the mean offset."""
    used = data.loc[design.rows.kept][design.weights > 0]
    row = pd.DataFrame({"x": [used["x"].mean()], "o": [used["o"].mean()], "w": [1.0]})
    return pd.concat([row] * 3, ignore_index=True).assign(c=["lo", "mid", "top"])


@few
@given(formulas, seeds, methods)
def test_means_are_predictions(formula, seed, method):
    data, ours = full(formula, seed, method)
    predicted = ours.predict(cell(ours.design, data), include_re=False)
    if "c" in formula:
        means = ours.emmeans("c", at={"c": ["lo", "mid", "top"]}).table
        near(means["emmean"], predicted, means["se"], 1e-9)
    else:
        means = ours.emmeans(()).table
        near(means["emmean"], predicted[0], means["se"], 1e-9)
    if "x" in ours.design.fixed_names and "c" not in formula:
        trend = ours.emtrends((), var="x").table.iloc[0]
        test = ours.hypothesis("x = 0").table.iloc[0]
        for name, column in (("trend", "estimate"), ("se", "se"), ("df", "df")):
            assert trend[name] == pytest.approx(test[column], rel=1e-8)


@few
@given(formulas, seeds, methods)
def test_rows_add_up_to_the_shares(formula, seed, method):
    """The mean of the diagonals of all levels' covariances is the denominator of the ICC."""
    _, ours = full(formula, seed, method)
    counted = ours.design.n_effective
    icc = ours.icc().table
    adjusted = icc[icc["icc"] == "adjusted"]["estimate"].to_numpy()
    w = ours.design.weights[ours.design.weights > 0]
    residual = np.mean(ours.scale / w)
    for f in ours.design.factors:
        blocks = [ours.marginal_cov(level, f.name) for level in f.levels]
        total = sum(np.trace(block) for block in blocks) / counted
        assert adjusted[-1] == pytest.approx(1 - residual / total, abs=1e-10)
    marginal, conditional = ours.r2().table["estimate"]
    assert conditional == pytest.approx(marginal + (1 - marginal) * adjusted[-1], abs=1e-10)
    reliability = ours.reliability()["reliability"]
    assert ((reliability > -1e-9) & (reliability <= 1.0)).all()
    if method != "MAP":
        caic = ours.conditional_aic()
        d = ours.design
        assert d.p + 1 - 1e-9 <= caic.df_given_variances <= d.p + d.q + 1
        assert caic.df >= caic.df_given_variances - 1e-6


@few
@given(formulas, seeds, st.sampled_from([1e-3, 7.0]))
def test_units_of_the_response(formula, seed, a):
    one, other = base(formula, seed), fit(formula, table(seed).assign(y=a * table(seed)["y"]))
    ours, theirs = one.emmeans(()).table, other.emmeans(()).table
    near(theirs["emmean"] / a, ours["emmean"], ours["se"], 1e-6)
    near(theirs["se"] / a, ours["se"], ours["se"], 1e-6)
    near(other.icc().table["estimate"], one.icc().table["estimate"], 1.0, 1e-6)
    near(other.r2().table["estimate"], one.r2().table["estimate"], 1.0, 1e-6)
    near(other.reliability()["reliability"], one.reliability()["reliability"], 1.0, 1e-5)


@pytest.mark.parametrize("formula", FORMULAS)
def test_other_tables_and_posteriors(formula):
    data = table(3)
    pandas, polars = fit(formula, data), fit(formula, pl.from_pandas(data))
    pd.testing.assert_frame_equal(pandas.emmeans(()).table, polars.emmeans(()).table)
    pd.testing.assert_frame_equal(pandas.reliability(), polars.reliability())
    post = fake_posterior(bl.Model(formula, data, weights="w"))
    names = {"mean", "posterior_sd", "median", "lower", "upper"}
    for result in (post.emmeans(()), post.icc(), post.r2(), post.design_effect()):
        assert names <= set(result.table.columns)
        assert result.table[sorted(names)].notna().all(axis=None)
        assert (result.table["lower"] <= result.table["median"]).all()
    assert names <= set(post.reliability().columns)
    f = post.design.factors[0]
    rows = int((f.codes == 0).sum())
    assert post.marginal_cov(f.levels[0], f.name).shape == (rows, rows)
