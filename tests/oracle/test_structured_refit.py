"""Refits, bootstrap, power and simulated tests of models with a residual structure."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.design.residual import check_residual_rows
from bayeslmm.inference.bootstrap import parameters
from bayeslmm.inference.lots import seeded_lots
from bayeslmm.inference.null_distribution import bootstrap_statistics
from bayeslmm.inference.resampling import (
    copied_levels,
    resampled_table,
    residual_responses,
    simulated_responses,
)
from tests.oracle.test_residual import DenseStructured, correlation


@cache
def table():
    data = bl.load_dataset("sleepstudy")
    weights = np.tile([0.5, 1.0, 2.0, 0.0, 4.0, 1.0], 30)
    return data.assign(w=weights, half=np.where(data["Days"] < 5, "early", "late"))


MODELS = {
    "AR1": ("Reaction ~ Days + (1 | Subject)", bl.AR1(by="Subject", time="Days"), None),
    "AR1 weights": ("Reaction ~ Days", bl.AR1(by="Subject", time="Days"), "w"),
    "equal": ("Reaction ~ Days + (0 + Days | Subject)", bl.CompoundSymmetry(by="Subject"), None),
    "ratios": ("Reaction ~ Days + (1 | Subject)", bl.VarianceBy(by="half"), "w"),
}


@cache
def fitted(name, method="REML"):
    formula, structure, weights = MODELS[name]
    return bl.fit(formula, table(), method=method, weights=weights, residual=structure)


def fresh(name, y, method="REML"):
    formula, structure, weights = MODELS[name]
    data = table().assign(Reaction=y)
    return bl.fit(formula, data, method=method, weights=weights, residual=structure)


def responses(fit, n, seed=3):
    return simulated_responses(fit.design, fit.estimate, n, np.random.default_rng(seed))


def same(ours, theirs, tolerance=2e-6):
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("name", MODELS)
def test_batches_are_fits_from_scratch(name, method):
    fit = fitted(name, method)
    Y = responses(fit, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayeslmmWarning)
        batch = fit.refit(Y)
        for k in range(Y.shape[1]):
            one, expected = fit.refit(Y[:, k]), fresh(name, Y[:, k], method)
            assert batch.status[k] == expected.status.name == one.status.name
            assert batch.llf[k] == pytest.approx(expected.llf, abs=1e-8)
            assert one.llf == batch.llf[k]
            gap = (batch.fe_params.loc[k] - expected.fe_params) / expected.fe_bse
            assert np.abs(gap).max() < 1e-6
            values = [expected.estimate.variance_values, expected.estimate.residual_values]
            ours = batch.variances.loc[k]
            np.testing.assert_allclose(ours, np.concatenate(values), rtol=2e-5, atol=2e-5)
            structure = ours[list(fit.estimate.residual_names)]
            np.testing.assert_array_equal(one.residual_parameters, structure)
            same(one.fe_df, expected.fe_df, 1e-4)


def test_the_fit_of_its_own_response():
    fit = fitted("AR1")
    again = fit.refit(fit.design.y)
    assert again.llf == pytest.approx(fit.llf, abs=1e-10)
    np.testing.assert_allclose(again.residual_parameters, fit.residual_parameters, rtol=1e-6)


def test_a_response_without_residual_is_blank_in_a_batch():
    fit = fitted("AR1")
    batch = fit.refit(np.column_stack([fit.design.y, 2.0 * fit.design.X[:, 1] + 1.0]))
    assert batch.status.tolist() == ["CONVERGED", "FAILED"]
    assert batch.variances.columns.tolist() == ["sd_Subject[Intercept]", "sigma", "ar1"]
    assert batch.variances.loc[1].isna().all() and batch.fe_params.loc[1].isna().all()


def covariance(fit):
    """Of the rows that count: sigma^2 (Z T T'Z' + D^-1/2 R D^-1/2)."""
    V = DenseStructured(fit.design).V(fit.estimate.T)
    return fit.sigma**2 * V.astype(float)


@pytest.mark.parametrize("draw", [simulated_responses, residual_responses])
@pytest.mark.parametrize("name", MODELS)
def test_drawn_responses_have_the_covariance_of_the_model(name, draw):
    """Residual resampling too: BLUPs and whitened residuals are stretched to the estimates."""
    fit, n = fitted(name), 4000
    used = fit.design.weights > 0
    Y = draw(fit.design, fit.estimate, n, np.random.default_rng(1))[used]
    expected, mean = covariance(fit), fit.predict(include_re=False)[used]
    centred = (Y - mean[:, None]) / np.sqrt(np.diag(expected))[:, None]
    corr = expected / np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    found = centred @ centred.T / n
    products = centred[:, None, ::8] * centred[None, :, ::8]
    error = products.std(axis=2) / np.sqrt(n)
    z = (found - corr) / error
    # so many entries: their root mean square is one, give or take what they share
    assert 0.7 < np.sqrt((z**2).mean()) < 1.3
    assert np.abs(z).max() < 7.0


@pytest.mark.parametrize("kind", ["parametric", "residual"])
def test_bootstrap_of_all_parameters_is_that_of_a_statistic(kind):
    fit = fitted("AR1")
    boot = fit.bootstrap(6, kind, random_seed=2, progressbar=False)
    again = fit.bootstrap(
        6, kind, lambda f: parameters(f.estimate, f.design), random_seed=2, progressbar=False
    )
    pd.testing.assert_frame_equal(boot.replicates, again.replicates)
    assert boot.estimates["ar1"] == fit.residual_parameters["ar1"]
    assert boot.confint().loc["ar1"].between(-1.0, 1.0).all()
    assert boot.replicates["ar1"].nunique() == 6


def test_levels_drawn_once_are_the_data():
    fit = fitted("AR1")
    (factor,) = fit.design.factors
    order = np.random.default_rng(0).permutation(factor.n_levels)
    design, rows, copy = copied_levels(fit.design, factor, order)
    np.testing.assert_array_equal(design.y, fit.design.y[rows])
    data = resampled_table(fit.definition.data, fit.design, factor, rows, copy)
    again = bl.fit(fit.definition.formula, data, residual=fit.design.residual.structure)
    assert again.llf == pytest.approx(fit.llf, abs=1e-8)
    R = correlation(fit.design, fit.estimate.residual_values)[np.ix_(rows, rows)]
    np.testing.assert_array_equal(correlation(design, fit.estimate.residual_values), R)


def test_copies_of_a_level_are_not_correlated():
    fit = fitted("AR1")
    (factor,) = fit.design.factors
    design, _, copy = copied_levels(fit.design, factor, np.array([4, 4, 0, 4]))
    R = correlation(design, fit.estimate.residual_values)
    np.testing.assert_array_equal(R != 0.0, copy[:, None] == copy)
    boot = fit.bootstrap(5, "cluster", random_seed=1, progressbar=False)
    assert boot.n_failed == 0 and boot.replicates["ar1"].nunique() == 5


def test_levels_that_cannot_be_drawn():
    data = bl.load_dataset("sleepstudy").assign(half=np.arange(180) % 2)
    crossed = bl.fit("Reaction ~ Days + (1 | half)", data,
                     residual=bl.AR1(by="Subject", time="Days"))  # fmt: skip
    with pytest.raises(bl.BayeslmmError, match="blocks of correlated residuals would be cut"):
        crossed.bootstrap(3, "cluster", progressbar=False)
    with pytest.raises(bl.BayeslmmError, match="would be cut"):
        bl.power(crossed, "Days", {"half": [2, 4]}, n_sim=2, progressbar=False)
    few = data[data["Subject"].isin(["308", "309", "310"])]
    own = bl.fit("Reaction ~ Days + (1 | Subject)", few, residual=bl.VarianceBy(by="Subject"))
    with pytest.raises(bl.BayeslmmError, match="each has residual SDs of its own"):
        own.bootstrap(3, "cluster", progressbar=False)


def test_a_level_without_rows_has_no_ratio():
    """Drawn subjects may all be of one sex: such a replicate has failed."""
    data = bl.load_dataset("sleepstudy").query("Subject in ['308', '309', '310', '330']")
    data = data.assign(kind=np.where(data["Subject"] == "330", "a", "b"))
    fit = bl.fit("Reaction ~ Days + (1 | Subject)", data, residual=bl.VarianceBy(by="kind"))
    (factor,) = fit.design.factors
    design, _, _ = copied_levels(fit.design, factor, np.array([0, 1, 1, 2]))
    with pytest.raises(bl.BayeslmmError, match="every level of `kind` needs rows"):
        check_residual_rows(design)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayeslmmWarning)
        boot = fit.bootstrap(12, "cluster", random_seed=1, progressbar=False)
    assert 0 < boot.n_failed < 12
    with pytest.raises(bl.BayeslmmError, match="every level of `kind` needs rows"):
        bl.power(fit, "Days", {"Subject": [4, 3]}, n_sim=2, progressbar=False)


@pytest.mark.parametrize("test", ["wald", "lrt"])
def test_power_is_the_share_of_refits_that_reject(test):
    fit = fitted("AR1")
    found = bl.power(fit, "Days", [3.0], n_sim=12, random_seed=1, progressbar=False, test=test)
    ((seed, n),) = seeded_lots(1, 12)
    beta = fit.estimate.beta.copy()
    beta[1] = 3.0
    moved = fit.refit(fit.design.y)
    object.__setattr__(moved.estimate, "beta", beta)
    Y = simulated_responses(fit.design, moved.estimate, n, np.random.default_rng(seed))
    p = []
    for y in Y.T:
        if test == "wald":
            p.append(fresh("AR1", y).to_frame().set_index("parameter").loc["Days", "p"])
            continue
        large = fresh("AR1", y, "ML")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bl.SingularFitWarning)
            small = bl.fit("Reaction ~ 1 + (1 | Subject)", table().assign(Reaction=y),
                           method="ML", residual=MODELS["AR1"][1])  # fmt: skip
        p.append(bl.anova(small, large).table["p_chi2"].iloc[1])
    share = float(np.mean(np.array(p) < 0.05))
    assert 0.0 < share < 1.0
    assert found.table["power"].item() == share


def test_power_with_other_numbers_of_levels():
    found = bl.power(fitted("AR1"), "Days", {"Subject": [4, 30]}, n_sim=10, random_seed=1,
                     progressbar=False, value=4.0)  # fmt: skip
    assert (found.table["failed"] == 0).all()
    assert found.table["power"].iloc[1] > found.table["power"].iloc[0]


def test_statistics_drawn_under_the_smaller_model():
    """An autocorrelation, and a random intercept beside it, are tested by refits of both."""
    large = fitted("AR1")
    plain = bl.fit("Reaction ~ Days + (1 | Subject)", table())
    drawn = bootstrap_statistics(
        plain.design, plain.estimate, large.design, large.estimate, 6, np.random.default_rng(1)
    )
    Y = simulated_responses(plain.design, plain.estimate, 6, np.random.default_rng(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayeslmmWarning)
        expected = [2.0 * (fresh("AR1", y).llf - plain.refit(y).llf) for y in Y.T]
    np.testing.assert_allclose(drawn, np.maximum(expected, 0.0), atol=1e-7)
    found = bl.anova(plain, large, simulate=20, random_seed=1).table
    assert found["p_simulated"].iloc[1] == pytest.approx(1.0 / 21.0)
    dropped = large.ranova(simulate=10, random_seed=1)
    assert "by refitting responses" in dropped.caption
    assert 1.0 / 11.0 <= dropped.table["p_simulated"].iloc[1] <= 1.0
