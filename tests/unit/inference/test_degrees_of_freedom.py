"""Which reference distribution a fit has, everywhere the same, and where it comes from."""

import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats

import bayeslmm as bl
from bayeslmm.engine.gaussian import fixed_covariance
from bayeslmm.errors import ArgumentError, BayeslmmWarning
from bayeslmm.inference.contrasts import estimate_contrasts, joint_test
from bayeslmm.inference.satterthwaite import joint_df

FORMULA = "angle ~ recipe + (1 | recipe:replicate)"


@pytest.fixture(scope="module")
def cake():
    return bl.Model(FORMULA, bl.load_dataset("cake"))


@pytest.fixture(scope="module")
def fit(cake):
    return cake.fit()


def test_defaults(cake, fit):
    assert fit.df_method == "satterthwaite"
    assert cake.fit("ML").df_method == "satterthwaite"
    assert cake.fit("MAP").df_method == "normal"
    assert bl.fit(FORMULA, bl.load_dataset("cake"), df_method="normal").df_method == "normal"


@pytest.mark.parametrize("method", ["satterthwaite", "kenward-roger", "normal"])
def test_one_distribution_for_everything(fit, method):
    other = fit.with_df(method)
    assert other.estimate is fit.estimate and other.df_method == method
    table = other.to_frame(level=0.9).set_index("parameter")
    df = other.fe_df.to_numpy()
    assert (df == np.inf).all() == (method == "normal")
    t = stats.t(df) if method != "normal" else stats.norm
    np.testing.assert_allclose(table["p"], 2 * t.sf(np.abs(table["t"])), rtol=1e-10)
    np.testing.assert_array_equal(table["p"], other.fe_pvalues)
    np.testing.assert_allclose(
        table["upper"], other.fe_params + t.ppf(0.95) * other.fe_bse, rtol=1e-12
    )
    np.testing.assert_allclose(
        other.fe_conf_int["lower"], other.fe_params - t.ppf(0.975) * other.fe_bse, rtol=1e-12
    )
    np.testing.assert_array_equal(other.fe_bse, np.sqrt(np.diag(other.fe_cov)))
    assert f'df_method "{method}"' in str(other.summary()).replace("\n ", "")


def test_the_t_test_is_the_f_test_of_one_contrast(fit):
    for method in ("satterthwaite", "kenward-roger", "normal"):
        other = fit.with_df(method)
        L = np.array([[0.0, 1.0, -0.5]])
        one, test = estimate_contrasts(other, L), joint_test(other, L)
        assert test.df_num == 1 and test.scale == pytest.approx(1.0, rel=1e-8)
        assert test.df_den == pytest.approx(one.df[0], rel=1e-8)
        assert pytest.approx((one.estimate[0] / one.se[0]) ** 2, rel=1e-8) == test.F
        p = 2 * stats.t.sf(np.sqrt(test.F), test.df_den)
        assert test.p == pytest.approx(p, rel=1e-7)


def test_rows_that_depend_on_others_count_once(fit):
    L = np.array([[0.0, 1, 0], [0, 0, 1], [0, 1, -1], [0, 0, 0]])
    for method in ("satterthwaite", "kenward-roger", "normal"):
        other = fit.with_df(method)
        found, expected = joint_test(other, L), joint_test(other, L[:2])
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    nothing = joint_test(fit, np.zeros((2, 3)))
    assert nothing.df_num == 0 and np.isnan(nothing.p)


def test_nothing_is_computed_before_it_is_asked_for(cake, monkeypatch):
    calls = []
    real = fixed_covariance.observed_fixed_covariance
    monkeypatch.setattr(
        fixed_covariance,
        "observed_fixed_covariance",
        lambda *a: calls.append(a) or real(*a),
    )
    fit = cake.fit()
    again = fit.refit(fit.design.y + 1.0)
    _ = fit.fe_params, fit.fe_bse, fit.fe_tvalues, fit.fe_cov, again.fe_bse
    assert not calls
    _ = fit.fe_df, fit.fe_pvalues, fit.to_frame(), fit.anova(), str(fit.summary())
    assert len(calls) == 1


def test_without_random_terms_t_has_n_less_p():
    data = bl.load_dataset("sleepstudy")
    data["w"] = np.where(np.arange(180) % 9 == 0, 0.0, 2.0)
    for method in ("satterthwaite", "kenward-roger"):
        fit = bl.fit("Reaction ~ Days", data, df_method=method, weights="w")
        assert fit.fe_df.tolist() == [158.0, 158.0]
        assert joint_test(fit, np.eye(2)).df_den == 158.0
        assert "n - p degrees of freedom" in str(fit.summary())
    slow = stats.linregress(data["Days"], data["Reaction"])
    plain = bl.fit("Reaction ~ Days", data)
    assert plain.fe_pvalues["Days"] == pytest.approx(slow.pvalue, rel=1e-8)


def test_refits_saved_and_loaded_fits_keep_it(fit, tmp_path):
    other = fit.with_df("kenward-roger")
    assert other.refit(fit.design.y[::-1].copy()).df_method == "kenward-roger"
    loaded = bl.load(other.save(tmp_path / "fit.nc"))
    assert loaded.df_method == "kenward-roger"
    pd.testing.assert_frame_equal(loaded.to_frame(), other.to_frame(), rtol=1e-12)
    assert bl.load(fit.save(tmp_path / "fit.nc")).df_method == "satterthwaite"


def test_kenward_roger_of_an_ml_fit_is_that_of_the_reml_fit(cake, fit):
    with pytest.warns(BayeslmmWarning, match="refitted by REML"):
        other = cake.fit("ML").with_df("kenward-roger")
    assert other.method == "REML"
    pd.testing.assert_frame_equal(
        other.to_frame(), fit.with_df("kenward-roger").to_frame(), rtol=1e-9
    )
    with pytest.warns(BayeslmmWarning, match="refitted by REML"):
        assert cake.fit("ML", df_method="kenward-roger").method == "REML"


def test_refusals(cake, fit, monkeypatch):
    with pytest.raises(ArgumentError, match="'t' is not known"):
        fit.with_df("t")
    with pytest.raises(ArgumentError, match="posterior mode"):
        cake.fit("MAP", df_method="satterthwaite")
    with pytest.raises(ArgumentError, match="a column for each fixed effect"):
        estimate_contrasts(fit, np.eye(2))
    monkeypatch.setattr(fixed_covariance, "_MOST_EFFECTS", 10)
    with pytest.raises(ArgumentError, match="all 45 random effects") as error:
        _ = fit.with_df("kenward-roger").fe_df
    assert "satterthwaite" in error.value.fix


def test_no_fixed_columns_and_other_tables():
    data = bl.load_dataset("sleepstudy")
    none = bl.fit("Reaction ~ 0 + (1 | Subject)", data)
    for method in ("satterthwaite", "kenward-roger", "normal"):
        other = none.with_df(method)
        assert len(other.fe_df) == len(other.to_frame()) == len(other.anova().table) == 0
    formula = "Reaction ~ Days + (Days | Subject)"
    there = pl.from_pandas(data.assign(Subject=data["Subject"].astype(str)))
    np.testing.assert_allclose(bl.fit(formula, there).fe_df, bl.fit(formula, data).fe_df)


def test_rows_of_weight_zero_and_missing_rows_do_not_count():
    data = bl.load_dataset("sleepstudy")
    data["w"] = 1.0 + np.arange(180) % 3
    more = pd.concat([data, data.iloc[:30].assign(w=0.0, Reaction=1e3)], ignore_index=True)
    more.loc[len(more)] = [np.nan, 3, "308", 1.0]
    formula = "Reaction ~ Days + (Days | Subject)"
    fit = bl.fit(formula, data, weights="w")
    with pytest.warns(UserWarning, match="missing"):
        other = bl.fit(formula, more, weights="w", na_action="exclude")
    for method in ("satterthwaite", "kenward-roger"):
        a, b = fit.with_df(method), other.with_df(method)
        np.testing.assert_allclose(a.fe_df, b.fe_df, rtol=1e-6)
        np.testing.assert_allclose(a.fe_bse, b.fe_bse, rtol=1e-6)
        np.testing.assert_allclose(
            a.anova().table.iloc[:, 1:].astype(float),
            b.anova().table.iloc[:, 1:].astype(float),
            rtol=1e-5,
        )


def test_fai_and_cornelius_df():
    nu = np.array([5.0, 9.0, 40.0])
    E = (nu / (nu - 2)).sum()
    assert joint_df(nu) == pytest.approx(2 * E / (E - 3), rel=1e-14)
    assert joint_df(np.full(3, 7.5)) == pytest.approx(7.5, rel=1e-14)
    assert joint_df(np.array([1.5])) == 1.5
    assert joint_df(np.array([1.5, 80.0])) == 2.0


def test_kenward_roger_makes_no_matrix_of_the_rows():
    rng = np.random.default_rng(1)
    n, J = 5_000, 200
    g, x = rng.integers(0, J, n), rng.normal(size=n)
    y = x + rng.normal(size=J)[g] + 0.5 * rng.normal(size=J)[g] * x + rng.normal(size=n)
    fit = bl.fit("y ~ x + (x | g)", pd.DataFrame({"y": y, "x": x, "g": g}))
    tracemalloc.start()
    df = fit.with_df("kenward-roger").fe_df
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # an n x n matrix is 200 MB; six of the 400 effects are 8 MB
    assert peak < 40e6
    np.testing.assert_allclose(df, fit.fe_df, rtol=0.02)
