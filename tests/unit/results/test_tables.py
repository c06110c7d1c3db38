"""Names, types and arithmetic of what a point fit answers."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, AttributeRefused


@pytest.fixture(scope="module")
def fit():
    return bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))


def test_fixed_effects(fit):
    table = fit.to_frame("fixed").set_index("parameter")
    np.testing.assert_array_equal(table["estimate"], fit.fe_params)
    np.testing.assert_array_equal(table["se"], np.sqrt(np.diag(fit.fe_cov)))
    np.testing.assert_allclose(table["t"], fit.fe_params / fit.fe_bse, rtol=1e-15)
    p = 2 * stats.t.sf(np.abs(table["t"]), fit.fe_df)
    np.testing.assert_allclose(table["p"], p, rtol=1e-12)
    np.testing.assert_array_equal(fit.fe_pvalues, table["p"])
    np.testing.assert_array_equal(fit.fe_tvalues, table["t"])
    np.testing.assert_array_equal(fit.fe_df, table["df"])
    assert fit.df_method == "satterthwaite"
    interval = fit.fe_conf_int
    assert list(interval.columns) == ["lower", "upper"]
    half = stats.t.ppf(0.975, fit.fe_df) * fit.fe_bse
    np.testing.assert_allclose(interval["lower"], fit.fe_params - half, rtol=1e-12)
    np.testing.assert_allclose(interval["upper"], fit.fe_params + half, rtol=1e-12)
    narrower = stats.t.ppf(0.95, fit.fe_df) * fit.fe_bse
    np.testing.assert_allclose(
        fit.to_frame(level=0.9)["upper"], fit.fe_params + narrower, rtol=1e-12
    )
    assert isinstance(fit.fe_cov, np.ndarray)


def test_variance_components(fit):
    cov = fit.variance_components["Subject"]
    assert list(cov.index) == list(cov.columns) == ["Intercept", "Days"]
    T = fit.estimate.T[0]
    np.testing.assert_allclose(cov, fit.scale * T @ T.T, rtol=1e-14)
    np.testing.assert_array_equal(fit.theta, T[np.tril_indices(2)])
    table = fit.varcorr.set_index("parameter")
    np.testing.assert_allclose(table.loc["sd_Subject[Days]", "sd"] ** 2, cov.loc["Days", "Days"])
    corr = cov.loc["Days", "Intercept"] / np.sqrt(np.prod(np.diag(cov)))
    assert table.loc["corr_Subject[Intercept, Days]", "corr"] == pytest.approx(corr, rel=1e-13)
    assert table.loc["sigma", "variance"] == fit.scale == fit.sigma**2
    single = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
    assert type(single.variance_components["Batch"]) is float


def test_random_effects(fit):
    effects, errors = fit.random_effects["Subject"], fit.random_effects_se["Subject"]
    assert isinstance(effects, pd.DataFrame)
    assert effects.shape == errors.shape == (18, 2)
    assert effects.index.name == "Subject"
    long = fit.to_frame("random")
    np.testing.assert_array_equal(long["estimate"], effects.to_numpy().ravel())
    np.testing.assert_array_equal(long["se"], errors.to_numpy().ravel())
    assert long["term"].tolist()[:2] == ["Intercept", "Days"]
    single = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
    assert isinstance(single.random_effects["Batch"], pd.Series)


def test_information_criteria(fit):
    assert fit.n_params == 6
    assert fit.df_resid == 180 - 6
    assert fit.aic == pytest.approx(-2 * fit.llf + 12)
    assert fit.bic == pytest.approx(-2 * fit.llf + 6 * np.log(180))
    assert fit.ngroups == {"Subject": 18}


def test_a_mode_has_no_information_criteria():
    mode = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"), method="MAP")
    for name in ("aic", "bic"):
        with pytest.raises(AttributeRefused, match="posterior mode"):
            getattr(mode, name)
    assert not hasattr(mode, "aic")


def test_levels_that_are_no_probability(fit):
    for level in (95, 1.0, 0.0, -0.5):
        with pytest.raises(ArgumentError, match="not a probability"):
            fit.to_frame(level=level)
