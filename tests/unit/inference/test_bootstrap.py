"""The bootstrap: what is drawn, what is refitted, what is said."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.inference.bootstrap import order_quantile
from bayeslmm.inference.resampling import (
    reflated,
    resampled_levels,
    resampled_table,
    residual_responses,
)
from tests.oracle.designs import CASES

KINDS = ["parametric", "cluster", "residual"]


@pytest.fixture(scope="module")
def sleepstudy() -> bl.PointFit:
    return bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))


def of_slope(fit: bl.PointFit) -> dict[str, float]:
    return {"slope": fit.fe_params["Days"], "ratio": fit.variance_components["Subject"].iat[0, 0]}


def test_reflated_effects_have_the_covariance_given():
    rng = np.random.default_rng(3)
    wanted = np.array([[2.0, 0.4, 0.1], [0.4, 1.0, -0.3], [0.1, -0.3, 0.5]])
    found = reflated(rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3)) + 7.0, wanted)
    np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(found.T @ found / 40, wanted, rtol=1e-10)
    # a component of no variance stays without
    flat = reflated(np.column_stack([rng.normal(size=40), np.zeros(40)]), np.diag([4.0, 0.0]))
    np.testing.assert_allclose(flat[:, 1], 0.0, atol=1e-12)
    assert (flat[:, 0] ** 2).mean() == pytest.approx(4.0)


def test_residual_responses_have_the_estimated_moments(sleepstudy):
    d, e = sleepstudy.design, sleepstudy.estimate
    Y = residual_responses(d, e, 20_000, np.random.default_rng(1))
    (f,) = d.factors
    V = np.einsum("ik,kl,il->i", f.columns, e.covariances[0], f.columns) + e.sigma**2
    error = np.sqrt(V / Y.shape[1])
    assert (np.abs(Y.mean(axis=1) - d.X @ e.beta) < 4.5 * error).all()
    assert np.abs(Y.var(axis=1) / V - 1.0).max() < 0.12
    same = np.cov(Y[0], Y[9])[0, 1]
    assert same == pytest.approx(f.columns[0] @ e.covariances[0] @ f.columns[9], rel=0.1)


@pytest.mark.parametrize("name", ["slopes", "nested slopes", "crossed, one || the other |",
                                  "weights and offset", "three crossed"])  # fmt: skip
def test_resampled_levels_are_a_new_table(name):
    """The design that is resampled is the design of the resampled table."""
    model = CASES[name].model()
    rng = np.random.default_rng(4)
    factor = model.design.factors[-1 if name.startswith("three") else 0]
    design, rows, copy = resampled_levels(model.design, factor, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit()
        table = resampled_table(fit.definition.data, model.design, factor, rows, copy)
        fresh = model.update(data=table)
    np.testing.assert_array_equal(fresh.design.X, design.X)
    for ours, theirs in zip(design.factors, fresh.design.factors, strict=True):
        assert ours.n_levels == theirs.n_levels
        pairs = np.unique(np.column_stack([ours.codes, theirs.codes]), axis=0)
        assert len(pairs) == ours.n_levels
        np.testing.assert_array_equal(ours.columns, theirs.columns)
    np.testing.assert_array_equal(fresh.design.y, design.y)
    np.testing.assert_array_equal(fresh.design.weights, design.weights)
    np.testing.assert_array_equal(fresh.design.offset, design.offset)


@pytest.mark.parametrize("kind", KINDS)
def test_replicates_do_not_depend_on_cores(sleepstudy, kind):
    options = {"random_seed": 8, "progressbar": False}
    one = sleepstudy.bootstrap(101, kind, **options)
    two = sleepstudy.bootstrap(101, kind, cores=2, **options)
    pd.testing.assert_frame_equal(one.replicates, two.replicates)
    other = sleepstudy.bootstrap(101, kind, random_seed=9, progressbar=False)
    assert (one.replicates != other.replicates).any(axis=None)


@pytest.mark.parametrize("kind", KINDS)
def test_any_statistic(sleepstudy, kind):
    """A statistic of a fit sees the refit of which the default keeps all parameters."""
    options = {"random_seed": 8, "progressbar": False}
    own = sleepstudy.bootstrap(12, kind, of_slope, **options)
    all_parameters = sleepstudy.bootstrap(12, kind, **options)
    np.testing.assert_allclose(
        own.replicates["slope"], all_parameters.replicates["Days"], rtol=1e-6
    )
    np.testing.assert_allclose(
        own.replicates["ratio"], all_parameters.replicates["sd_Subject[Intercept]"] ** 2,
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    assert own.estimates["slope"] == sleepstudy.fe_params["Days"]


def test_parametric_replicates_have_the_known_spread(sleepstudy):
    boot = sleepstudy.bootstrap(2000, random_seed=2, progressbar=False)
    # balanced data: estimates of the fixed effects are normal with their covariance
    ratio = boot.se[:2] / sleepstudy.fe_bse
    assert (np.abs(ratio - 1.0) < 4.0 / np.sqrt(2 * 2000)).all()
    assert (np.abs(boot.bias[:2]) < 4.0 * sleepstudy.fe_bse / np.sqrt(2000)).all()
    assert len(boot) == 2000 and boot.n_failed == 0 and boot.n_singular > 0
    assert f"{boot.n_singular} singular, 0 failed" in repr(boot)


def test_crossed_factors_say_which_is_resampled():
    fit = bl.fit("diameter ~ 1 + (1 | plate) + (1 | sample)", bl.load_dataset("Penicillin"))
    with pytest.warns(bl.DataWarning, match="24 levels of `plate`"):
        boot = fit.bootstrap(4, "cluster", random_seed=1, progressbar=False)
    assert boot.resampled == "plate" and "levels of plate" in repr(boot)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = fit.bootstrap(4, "cluster", factor="sample", random_seed=1, progressbar=False)
    assert chosen.resampled == "sample"
    with pytest.warns(bl.DataWarning, match="levels of `plate`"):
        by_plate = fit.bootstrap_se(n_bootstrap=50, seed=1)
    assert by_plate == fit.bootstrap_se(n_bootstrap=50, by="plate", seed=1)


def test_nested_factors_resample_the_outer_one():
    fit = bl.fit("strength ~ 1 + (1 | batch/cask)", bl.load_dataset("Pastes"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        boot = fit.bootstrap(4, "cluster", random_seed=1, progressbar=False)
    assert boot.resampled == "batch"
    assert boot.replicates.notna().all(axis=None)


def test_failed_refits_are_counted_and_left_out():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"g": np.repeat(np.arange(6), 5), "x": np.repeat([0, 0, 0, 0, 0, 1], 5)})
    table["y"] = rng.normal(size=30) + 2.0 * rng.normal(size=6)[table["g"]]
    fit = bl.fit("y ~ x + (1 | g)", table)
    with pytest.warns(bl.DataWarning, match="of 60 refits failed"):
        boot = fit.bootstrap(60, "cluster", random_seed=1, progressbar=False)
    # (5/6)^6 of the replicates have no level with x = 1
    assert 9 < boot.n_failed < 33
    assert boot.replicates["x"].isna().sum() == boot.n_failed
    assert boot.confint().loc["x"].notna().all()


def test_progress_is_shown_and_does_no_harm(sleepstudy):
    shown = sleepstudy.bootstrap(60, random_seed=3)
    quiet = sleepstudy.bootstrap(60, random_seed=3, progressbar=False)
    pd.testing.assert_frame_equal(shown.replicates, quiet.replicates)


def test_confint_takes_the_bootstrap(sleepstudy):
    table = sleepstudy.confint("bootstrap", 0.9, "sigma", n=60, type="basic", random_seed=3)
    boot = sleepstudy.bootstrap(60, random_seed=3, progressbar=False)
    pd.testing.assert_frame_equal(table, boot.confint(0.9, "basic").loc[["sigma"]])


def test_order_quantiles_at_the_ends():
    t = np.arange(1.0, 10.0)
    assert order_quantile(t, 0.5) == 5.0
    assert order_quantile(t, 0.001) == 1.0 and order_quantile(t, 0.999) == 9.0
    assert order_quantile(t, 0.1) == pytest.approx(1.0)


@pytest.mark.parametrize(("options", "match"), [
    ({"kind": "wild"}, "one of 'parametric'"),
    ({"n": 1}, "too few"),
    ({"factor": "Subject"}, "cluster bootstrap"),
    ({"kind": "cluster", "factor": "subject"}, "did you mean 'Subject'"),
    ({"cores": 0}, "cores=1"),
])  # fmt: skip
def test_refused(sleepstudy, options, match):
    with pytest.raises(bl.BayeslmmError, match=match):
        sleepstudy.bootstrap(**({"n": 60, "progressbar": False} | options))


def test_models_without_levels():
    fit = CASES["no random term"].model().fit()
    with pytest.raises(bl.BayeslmmError, match="no grouping factor"):
        fit.bootstrap(10, "cluster", progressbar=False)
    with pytest.raises(bl.BayeslmmError, match='resample_level="observation"'):
        fit.bootstrap_se()
    for kind in ("parametric", "residual"):
        assert fit.bootstrap(10, kind, random_seed=1, progressbar=False).n_failed == 0


@pytest.mark.parametrize("name", ["weights and offset", "slopes, uncorrelated", "nested slopes",
                                  "two terms on a factor", "no fixed part"])  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model(name, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayeslmmWarning)
        fit = CASES[name].model().fit()
        boot = fit.bootstrap(20, kind, random_seed=1, progressbar=False)
    assert boot.replicates.drop(columns=boot.replicates.filter(like="corr_")).notna().all(axis=None)
    low, high = boot.confint().drop(index=boot.replicates.filter(like="corr_").columns).to_numpy().T
    assert (low <= high).all()


def test_bootstrap_se_of_a_mean_is_known():
    fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    y, n = fit.design.y, 20_000
    rows = fit.bootstrap_se("mean", n, "observation", seed=1)
    levels = fit.bootstrap_se("mean", n, seed=1)
    means = y.reshape(18, 10).mean(axis=1)
    tolerance = 4.0 / np.sqrt(2 * n)
    assert rows == pytest.approx(y.std() / np.sqrt(180), rel=tolerance)
    assert levels == pytest.approx(means.std() / np.sqrt(18), rel=tolerance)
    assert isinstance(fit.bootstrap_se(n_bootstrap=10, seed=1), float)
    assert fit.bootstrap_se(np.mean, 50, seed=2) == fit.bootstrap_se("mean", 50, seed=2)
    for options, match in [
        ({"statistic": "mode"}, "'median', 'mean'"),
        ({"by": "Days"}, "not a grouping factor"),
        ({"by": "Subject", "resample_level": "observation"}, "rows are resampled"),
        ({"resample_level": "row"}, '"group" or "observation"'),
        ({"n_bootstrap": 1}, "too few"),
    ]:
        with pytest.raises(bl.BayeslmmError, match=match):
            fit.bootstrap_se(**options)


def test_rows_of_weight_zero_have_no_statistic():
    data = bl.load_dataset("sleepstudy").assign(w=1.0)
    data.loc[5, ["Reaction", "w"]] = 1e6, 0.0
    fit = bl.Model("Reaction ~ Days + (1 | Subject)", data, weights="w").fit()
    for level in ("group", "observation"):
        assert fit.bootstrap_se("max", 50, level, seed=1) < 1e3
