"""The engine at given theta against dense algebra in extended precision."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.engine.gaussian import conditional_covariances, estimate_at
from tests.oracle.dense import Dense
from tests.oracle.designs import CASES, random_theta

# In units of standard errors (fixed effects) and SDs (random effects). Raw columns
# near 2010 lose three digits when coefficients are carried back to them.
TOLERANCE = {name: 1e-11 if "years" in name else 1e-12 for name in CASES}


def close(actual, expected, scale, tolerance):
    error = np.max(np.abs(actual - expected) / scale, initial=0.0)
    assert float(error) < tolerance


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("size", [0.3, 3.0])
@pytest.mark.parametrize("name", CASES)
def test_everything_at_given_theta(name, size, method):
    design = CASES[name].model().design
    theta = random_theta(design, seed=len(name), size=size)
    found, oracle = estimate_at(design, theta, method), Dense(design).fit(theta, method)
    tolerance = TOLERANCE[name]
    assert found.loglik == pytest.approx(float(oracle.loglik), rel=1e-13)
    assert found.sigma == pytest.approx(float(oracle.sigma), rel=1e-13)
    se = np.sqrt(np.diag(oracle.cov_beta))
    close(found.beta, oracle.beta, se, tolerance)
    close(found.cov_beta, oracle.cov_beta, np.outer(se, se), tolerance)
    cov_b = conditional_covariances(design, found)
    for k, T in enumerate(theta):
        sd = oracle.sigma * np.sqrt(np.diag(T @ T.T))
        close(found.T[k], T, np.sqrt(np.diag(T @ T.T))[:, None], 1e-13)
        close(found.b[k], oracle.b[k], sd, tolerance)
        close(cov_b[k], oracle.cov_b[k], np.outer(sd, sd), tolerance)


def test_a_level_without_weight_keeps_its_prior():
    case = CASES["weights, slopes, crossed"]
    table = case.table()
    table.loc[table["h"] == "h2", "w"] = 0.0
    design = bl.Model(case.formula, table, weights="w").design
    theta = random_theta(design)
    found, oracle = estimate_at(design, theta), Dense(design).fit(theta, "REML")
    at = design.factors[1].levels.get_loc("h2")
    assert found.loglik == pytest.approx(float(oracle.loglik), rel=1e-13)
    assert found.b[1][at, 0] == 0.0
    assert conditional_covariances(design, found)[1][at, 0, 0] == pytest.approx(
        found.covariances[1][0, 0], rel=1e-14
    )


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_without_random_terms_it_is_least_squares(method):
    fit = CASES["no random term"].model().fit(method)
    X, y = fit.design.X, fit.design.y
    n, p = X.shape
    beta, rss, *_ = np.linalg.lstsq(X, y)
    sigma2 = rss[0] / (n - p if method == "REML" else n)
    se = np.sqrt(sigma2 * np.diag(np.linalg.inv(X.T @ X)))
    np.testing.assert_allclose(fit.fe_params, beta, rtol=1e-13)
    np.testing.assert_allclose(fit.fe_bse, se, rtol=1e-13)
    assert fit.scale == pytest.approx(sigma2, rel=1e-13)
    loglik = -n / 2 * (np.log(2 * np.pi * sigma2) + 1)
    if method == "REML":
        loglik = -(n - p) / 2 * (np.log(2 * np.pi * sigma2) + 1)
        loglik -= np.linalg.slogdet(X.T @ X)[1] / 2
    assert fit.llf == pytest.approx(loglik, rel=1e-13)
    assert fit.n_params == p + 1
    assert fit.converged and not fit.singular
