"""A posterior fit beside its sibling: the same names, the same keys, the same file."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayeslmm as bl
from bayeslmm.errors import AttributeRefused
from tests.unit.comparison.fake_posterior import fake_posterior

KEYS = ["factor", "term", "term2", "parameter"]
FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def model():
    return bl.Model(FORMULA, bl.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def point(model):
    return model.fit()


@pytest.fixture(scope="module")
def posterior(model):
    return fake_posterior(model)


def test_every_name_of_a_point_fit_is_answered_or_refused_in_words(point, posterior):
    refused = set()
    for name in (n for n in dir(point) if not n.startswith("_")):
        try:
            getattr(posterior, name)
        except AttributeRefused as error:
            assert error.fix, name
            refused.add(name)
    assert {"status", "n_params", "variance_cov", "df_method", "refit", "trace"} <= refused
    assert not {"sigma", "method", "scale", "varcorr"} & refused
    with pytest.raises(AttributeError, match="no attribute 'sigmas'"):
        posterior.sigmas  # noqa: B018


def test_sigma_and_method(posterior):
    assert posterior.method == "posterior"
    draws = posterior.datatree["posterior"]["sigma"]
    assert posterior.sigma == pytest.approx(float(draws.mean()))


def test_a_family_without_sigma_refuses_it():
    data = pd.DataFrame({"y": [0, 1, 4, 2, 3, 1], "g": list("aabbcc")})
    design = bl.Model("y ~ 1 + (1 | g)", data, family="poisson").design
    fit = bl.PosteriorFit(
        design,
        SimpleNamespace(attrs={}),
        fake_posterior(bl.Model("y ~ 1", data)).diagnostics,
        None,
        None,
    )
    with pytest.raises(AttributeRefused, match="poisson family has no residual SD"):
        fit.sigma  # noqa: B018


def test_a_summary_has_no_heading_without_a_table():
    data = pd.DataFrame({"y": [0, 1, 4, 2, 3, 1]})
    drawn = fake_posterior(bl.Model("y ~ 1", data))
    assert "Residual:" in str(drawn.summary())
    poisson = bl.Model("y ~ 1", data, family="poisson")
    tree = drawn.datatree.copy()
    tree["posterior"] = tree["posterior"].to_dataset().drop_vars("sigma")
    fit = bl.PosteriorFit(
        poisson.design,
        tree,
        drawn.diagnostics,
        drawn.definition,
        poisson.priors,
    )
    text = str(fit.summary())
    assert "parameters:" not in text
    assert "Residual:" not in text


def test_both_variance_tables_have_the_same_keys(point, posterior):
    ours, theirs = posterior.varcorr, point.varcorr
    pd.testing.assert_frame_equal(ours[KEYS], theirs[KEYS])
    assert list(ours.columns) == [*KEYS, "mean", "posterior_sd", "median", "lower", "upper"]
    assert list(theirs.columns[:4]) == KEYS
    row = ours.set_index("parameter").loc["corr_Subject[Intercept, Days]"]
    assert (row["factor"], row["term"], row["term2"]) == ("Subject", "Intercept", "Days")
    x = posterior.datatree["posterior"]["corr_Subject"][..., 1, 0].to_numpy().ravel()
    assert row["posterior_sd"] == pytest.approx(x.std(ddof=1))
    assert row["upper"] == pytest.approx(np.quantile(x, 0.975))


def test_sd_means_one_thing(posterior):
    for effects in ("fixed", "random", "variance"):
        columns = posterior.to_frame(effects).columns
        assert "posterior_sd" in columns and "sd" not in columns


def test_variance_intervals_of_a_point_fit_go_by_the_level(point):
    table = point.to_frame("variance", level=0.8)
    assert list(table.columns[-2:]) == ["lower", "upper"]
    value, error = table["sd"].fillna(table["corr"]), table["sd_se"].fillna(table["corr_se"])
    half = stats.norm.ppf(0.9) * error
    np.testing.assert_allclose(table["lower"], value - half, rtol=1e-12)
    np.testing.assert_allclose(table["upper"], value + half, rtol=1e-12)
    assert table["lower"].notna().all()


def test_no_interval_on_the_boundary():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff2"))
    table = fit.to_frame("variance").set_index("parameter")
    assert table.loc["sd_Batch[Intercept]", ["lower", "upper"]].isna().all()
    assert table.loc["sigma", ["lower", "upper"]].notna().all()


def test_loading_does_not_check_the_chains_again(posterior, tmp_path, monkeypatch):
    path = posterior.save(tmp_path / "posterior.nc")
    monkeypatch.setattr("bayeslmm.sampling.check_convergence", None)
    assert bl.load(path).diagnostics == posterior.diagnostics
    monkeypatch.undo()
    del posterior.datatree.attrs["diagnostics"]
    old = bl.load(posterior.save(tmp_path / "old.nc"))
    assert old.diagnostics.ess_bulk == posterior.diagnostics.ess_bulk


@pytest.mark.filterwarnings("ignore::bayeslmm.ConvergenceWarning")
def test_a_sampled_fit_without_log_likelihood(model, point, tmp_path):
    fit = model.sample(100, 100, chains=2, random_seed=1, progressbar=False, log_likelihood=False)
    assert "log_likelihood" not in fit.datatree.children
    assert "diagnostics" in fit.datatree.attrs
    assert "Residual" in str(fit.summary())
    assert bl.compare_estimates(point, fit).names == ("REML", "posterior")
    assert bl.load(fit.save(tmp_path / "fit.nc")).diagnostics == fit.diagnostics
