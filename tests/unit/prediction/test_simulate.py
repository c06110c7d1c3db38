"""Responses simulated from an estimate: moments, what is shared, what is refused."""

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError
from bayeslmm.prediction import simulate_estimate, training_rows

N = 20_000


@pytest.fixture(scope="module")
def fit():
    """Crossed factors, slopes, weights (some zero) and an offset."""
    rng = np.random.default_rng(4)
    n = 48
    data = pd.DataFrame(
        {"x": rng.normal(size=n), "g": np.arange(n) % 6, "h": np.arange(n) // 6 % 4}
    )
    data["w"], data["o"] = rng.choice([0.5, 1.0, 4.0], n), rng.normal(size=n)
    data.loc[5, "w"] = 0.0
    data["y"] = (
        data["o"] + data["x"] + 2 * rng.normal(size=6)[data["g"]]
        + rng.normal(size=6)[data["g"]] * data["x"] + 1.5 * rng.normal(size=4)[data["h"]]
        + rng.normal(size=n)
    )  # fmt: skip
    return bl.fit("y ~ x + (x | g) + (1 | h)", data, weights="w", offset="o")


def covariance(fit, *, use_re):
    d = fit.design
    V = np.diag(fit.scale / np.where(d.weights > 0, d.weights, 1.0))
    for f, cov in zip(d.factors, fit.estimate.covariances, strict=True):
        if not use_re:
            V += (f.columns @ cov @ f.columns.T) * (f.codes[:, None] == f.codes)
    return V


@pytest.mark.parametrize("use_re", [True, False])
def test_mean_and_covariance(fit, use_re):
    y = fit.simulate(N, random_seed=1, use_re=use_re)
    assert y.shape == (48, N)
    V = covariance(fit, use_re=use_re)
    sd = np.sqrt(np.diag(V))
    # 48 means and 1,176 covariances, five standard errors each
    mean = fit.predict(include_re=use_re)
    assert (abs(y.mean(axis=1) - mean) < 5 * sd / np.sqrt(N)).all()
    error = np.sqrt((V**2 + np.outer(sd, sd) ** 2) / N)
    assert (abs(np.cov(y) - V) < 5 * error).all()


def test_new_rows(fit):
    """New levels have effects of their own, shared by their rows, also beside BLUPs."""
    new = pd.DataFrame(
        {"x": [0.0, 1.0, 0.0, 0.0], "g": ["z", "z", "q", 1], "h": 0, "o": 3.0, "w": [4, 1, 1, 1]}
    )
    cov_g, cov_h = fit.estimate.covariances
    for use_re in (True, False):
        y = fit.simulate(N, random_seed=2, use_re=use_re, newdata=new)
        expected = fit.predict(new, include_re=use_re)
        h = 0.0 if use_re else cov_h[0, 0]
        z = np.array([1.0, 1.0])
        V = np.full((4, 4), h)
        V[:2, :2] += [[cov_g[0, 0], cov_g[0] @ z], [cov_g[0] @ z, z @ cov_g @ z]]
        V[2, 2] += cov_g[0, 0]
        V[3, 3] += 0.0 if use_re else cov_g[0, 0]
        V += np.diag(fit.scale / np.array([4, 1, 1, 1]))
        sd = np.sqrt(np.diag(V))
        assert (abs(y.mean(axis=1) - expected) < 5 * sd / np.sqrt(N)).all()
        assert (abs(np.cov(y) - V) < 5 * np.sqrt((V**2 + np.outer(sd, sd) ** 2) / N)).all()


def test_seeds(fit):
    np.testing.assert_array_equal(fit.simulate(3, random_seed=1), fit.simulate(3, random_seed=1))
    assert (fit.simulate(3, random_seed=1) != fit.simulate(3, random_seed=2)).all()
    assert (fit.simulate(1) != fit.simulate(1)).all()
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(ArgumentError, match="no number of responses"):
            fit.simulate(wrong)


def test_refits_of_simulated_responses_scatter_as_they_should():
    fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    refits = fit.refit(fit.simulate(600, random_seed=4))
    spread = refits.fe_params.std()
    for name in ("Intercept", "Days"):
        assert spread[name] == pytest.approx(fit.fe_bse[name], rel=4 / np.sqrt(2 * 600))
        error = refits.fe_params[name].mean() - fit.fe_params[name]
        assert abs(error) < 4 * fit.fe_bse[name] / np.sqrt(600)
    assert refits.variances["sigma"].mean() == pytest.approx(fit.sigma, rel=0.01)


def test_the_core_needs_an_estimate_and_a_design_only(fit):
    rng = np.random.default_rng(1)
    core = simulate_estimate(training_rows(fit.design), fit.estimate, 5, rng, use_re=False)
    np.testing.assert_array_equal(core, fit.simulate(5, random_seed=1))


@pytest.mark.parametrize("method", ["ML", "MAP"])
def test_models_without_some_part(method):
    data = bl.load_dataset("sleepstudy")
    for formula in ("Reaction ~ Days", "Reaction ~ 0 + (1 | Subject)"):
        fit = bl.Model(formula, data).fit(method)
        y = fit.simulate(2000, random_seed=1)
        d = fit.design
        V = covariance(fit, use_re=False)
        sd = np.sqrt(np.diag(V))
        assert (abs(y.mean(axis=1) - d.X @ fit.estimate.beta) < 5 * sd / np.sqrt(2000)).all()
        assert y.var(axis=1).mean() == pytest.approx(np.diag(V).mean(), rel=0.05)
