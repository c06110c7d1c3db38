"""Profiles and intervals as the user meets them."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

import bayeslmm as bl
from bayeslmm.fits.posterior import _INSTEAD
from tests.oracle.designs import CASES


@pytest.fixture(scope="module")
def sleepstudy() -> bl.PointFit:
    return bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def profile(sleepstudy):
    return sleepstudy.profile()


def test_other_levels_are_interpolated_close_to_what_is_solved(sleepstudy, profile):
    for level in (0.5, 0.8, 0.9, 0.99):
        solved = sleepstudy.profile(level=level).confint().to_numpy()
        gap = np.abs(profile.confint(level).to_numpy() - solved)
        assert (gap < 2e-4 * np.diff(solved, axis=1)).all()


def test_reml_and_ml_fits_have_the_same_profile(sleepstudy, profile):
    ml = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"), method="ML")
    gap = np.abs(ml.profile().confint() - profile.confint())
    assert (gap < 1e-7 * np.diff(profile.confint(), axis=1)).all(axis=None)
    assert profile.deviance == pytest.approx(-2.0 * ml.llf, abs=1e-8)
    np.testing.assert_allclose(profile.estimates[:2], ml.fe_params, rtol=1e-10)


def test_the_frame_has_the_limits_and_the_estimate(profile):
    for name, (low, high) in profile.confint().iterrows():
        part = profile.frame[profile.frame["parameter"] == name].set_index("value")["zeta"]
        assert part.is_monotonic_increasing and part.index.is_monotonic_increasing
        assert part[profile.estimates[name]] == 0.0
        assert part[low] == pytest.approx(-1.959964, abs=1e-6)
        assert part[high] == pytest.approx(1.959964, abs=1e-6)


def test_a_level_beyond_the_profile_is_refused(profile):
    with pytest.raises(bl.BayeslmmError, match="does not reach"):
        profile.confint(0.9999)
    with pytest.raises(bl.BayeslmmError, match=r"level=0\.95 gives"):
        profile.confint(95)


def test_parameters_are_chosen_by_name(sleepstudy):
    assert list(sleepstudy.confint(parm="fixed").index) == ["Intercept", "Days"]
    assert list(sleepstudy.profile(["sigma", "Days"]).confint().index) == ["sigma", "Days"]
    variance = sleepstudy.confint("profile", parm="variance").index
    assert list(variance) == list(sleepstudy.estimate.variance_names)
    with pytest.raises(bl.BayeslmmError, match="did you mean 'sigma'"):
        sleepstudy.profile("sigm")
    with pytest.raises(bl.BayeslmmError, match="one of 'wald', 'profile', 'bootstrap'"):
        sleepstudy.confint("exact")


def test_wald_limits_are_those_of_the_tables(sleepstudy):
    table = sleepstudy.confint(level=0.9)
    np.testing.assert_array_equal(
        table.loc[["Intercept", "Days"]], sleepstudy.to_frame("fixed", 0.9)[["lower", "upper"]]
    )
    np.testing.assert_array_equal(
        table.iloc[2:], sleepstudy.to_frame("variance", 0.9)[["lower", "upper"]]
    )


def test_a_new_unit_of_the_response_is_one_of_the_limits(profile):
    data = bl.load_dataset("sleepstudy").assign(Reaction=lambda d: 3.0 * d["Reaction"] - 40.0)
    limits = bl.fit("Reaction ~ Days + (Days | Subject)", data).profile().confint()
    expected = 3.0 * profile.confint()
    expected.loc["Intercept"] -= 40.0
    expected.loc["corr_Subject[Intercept, Days]"] /= 3.0
    np.testing.assert_allclose(limits, expected, rtol=1e-6)


@pytest.mark.parametrize("c", [2.0, 1000.0])
def test_a_shifted_predictor_leaves_the_profile_of_its_slope(profile, c):
    data = bl.load_dataset("sleepstudy").assign(Days=lambda d: d["Days"] + c)
    fit = bl.fit("Reaction ~ Days + (Days | Subject)", data)
    same = ["Days", "sd_Subject[Days]", "sigma"]
    np.testing.assert_allclose(fit.profile(same).confint(), profile.confint().loc[same], rtol=1e-5)


def test_singular_fits():
    data = bl.load_dataset("Dyestuff2")
    with pytest.warns(bl.SingularFitWarning):
        fit = bl.fit("Yield ~ 1 + (1 | Batch)", data)
    low, high = fit.profile("sd_Batch[Intercept]").confint().iloc[0]
    assert low == 0.0 and high == pytest.approx(2.08404787, rel=1e-7)
    assert np.isnan(fit.confint().loc["sd_Batch[Intercept]"]).all()


def test_a_correlation_that_says_nothing_has_its_whole_range():
    g, k = np.repeat(np.arange(6), 6), np.tile([0, 1], 18)
    y = np.random.default_rng(1).normal(size=36)
    # levels that do not differ at all: both SDs are zero
    y -= pd.Series(y).groupby([g, k]).transform("mean")
    with pytest.warns(bl.SingularFitWarning):
        fit = bl.fit("y ~ k + (k | g)", pd.DataFrame({"y": y, "k": k, "g": g}))
    assert (fit.variance_components["g"] == 0.0).all(axis=None)
    name = "corr_g[Intercept, k]"
    assert fit.profile(name).confint().loc[name].tolist() == [-1.0, 1.0]


def test_rows_of_weight_zero_and_missing_ones_do_not_count():
    data = bl.load_dataset("sleepstudy").assign(w=1.0)
    data.loc[[3, 50], "w"] = 0.0
    formula = "Reaction ~ Days + (Days || Subject)"
    weighted = bl.Model(formula, data, weights="w").fit().profile().confint()
    dropped = bl.fit(formula, data.drop([3, 50])).profile().confint()
    np.testing.assert_allclose(weighted, dropped, rtol=1e-8)
    data.loc[[3, 50], "Days"] = np.nan
    excluded = bl.Model(formula, pl.from_pandas(data), na_action="exclude")
    np.testing.assert_allclose(excluded.fit().profile().confint(), dropped, rtol=1e-8)


def test_a_linear_model_has_the_closed_form():
    fit = CASES["no random term"].model().fit()
    n, rss = fit.nobs, float((fit.resid**2).sum())
    limits = fit.profile().confint()
    cutoff = 1.9599639845400545**2
    # n log(1 + t^2 / (n - p)) = cutoff
    half = fit.fe_bse * np.sqrt((n - fit.design.p) * np.expm1(cutoff / n))
    np.testing.assert_allclose(limits["upper"][:-1], fit.fe_params + half, rtol=1e-7)
    for sigma in limits.loc["sigma"]:
        rise = n * np.log(sigma**2) + rss / sigma**2 - n * np.log(rss / n) - n
        assert rise == pytest.approx(cutoff, abs=1e-6)


def test_map_fits_and_posteriors_are_refused():
    model = bl.Model("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
    fit = model.fit("MAP")
    with pytest.raises(bl.BayeslmmError, match="posterior mode"):
        fit.profile()
    with pytest.raises(bl.BayeslmmError, match="posterior mode"):
        fit.confint("bootstrap")
    assert len(fit.confint()) == 3
    assert {"confint", "profile", "bootstrap"} <= _INSTEAD.keys()


def test_a_profile_that_is_not_sound_says_so():
    model = CASES["years"].model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayeslmmWarning)
        fit = model.fit()
    with pytest.warns(bl.ConvergenceWarning, match="not monotone"):
        fit.profile("corr_g[Intercept, x]")


def test_the_plot_has_a_panel_a_parameter(profile):
    figure = bl.plot_profile(profile)
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_visible()]
    assert titles == list(profile.limits.index)
    curve = figure.axes[0].lines[1]
    assert (np.diff(curve.get_ydata()) > 0.0).all()
    assert isinstance(profile.frame, pd.DataFrame) and "plot_profile" in repr(profile)
