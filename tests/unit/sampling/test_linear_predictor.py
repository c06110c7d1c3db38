"""The linear predictor over draws, pointwise log likelihood, predictive and prior draws."""

import numpy as np
import pytest
from scipy import stats

from bayeslmm.errors import PriorError
from bayeslmm.priors import LKJ, Flat, HalfNormal, resolve_priors
from bayeslmm.sampling import linear
from bayeslmm.sampling.linear import linear_predictor, log_likelihood, predictive
from bayeslmm.sampling.prior_draws import sample_prior
from tests.posterior.designs import crossed, slopes


def some_draws(design, n=50, seed=0):
    priors = resolve_priors(design)
    return sample_prior(design, priors, n, np.random.default_rng(seed))


def test_linear_predictor_is_X_beta_plus_Z_b():
    design = crossed(offset=np.linspace(0, 1, 32))
    draws = some_draws(design)
    Z = design.Z().toarray()
    b = np.concatenate([draws[f"b_{f.name}"].reshape(50, -1) for f in design.factors], axis=1)
    want = draws["beta"] @ design.X.T + b @ Z.T + design.offset
    got = linear_predictor(design.X, design.offset, design.factors, draws)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_log_likelihood_row_by_row_and_chunk_by_chunk(monkeypatch):
    design = slopes(weights=np.tile([1, 0.5, 0, 2, 1.0], 6))
    draws = some_draws(design)
    whole = log_likelihood(design, draws)
    assert whole.shape == (50, 24)
    monkeypatch.setattr(linear, "CHUNK", 60)
    np.testing.assert_array_equal(log_likelihood(design, draws), whole)
    eta = linear_predictor(design.X, design.offset, design.factors, draws)
    w = design.weights
    keep = w > 0
    sd = draws["sigma"][:, None] / np.sqrt(w[keep])
    want = stats.norm.logpdf(design.y[keep], eta[:, keep], sd)
    np.testing.assert_allclose(whole, want, rtol=1e-10)


def test_predictive_draws_scatter_around_the_linear_predictor():
    design = slopes()
    draws = {k: np.repeat(v[:1], 20_000, axis=0) for k, v in some_draws(design, 1).items()}
    y = predictive(design, draws, np.random.default_rng(1))
    eta = linear_predictor(design.X, design.offset, design.factors, draws)[0]
    assert np.all(np.abs(y.mean(axis=0) - eta) < 5 * draws["sigma"][0] / np.sqrt(20_000))


def test_prior_draws_follow_the_priors():
    design = slopes()
    priors = resolve_priors(design, {"sd_g": HalfNormal(2), "corr_g": LKJ(2)})
    draws = sample_prior(design, priors, 4000, np.random.default_rng(0))
    at_mean = priors.centred(draws["beta"])[:, 0]
    intercept = priors.beta[0]
    assert stats.kstest(at_mean, stats.norm(intercept.mu, intercept.sigma).cdf).pvalue > 1e-3
    assert stats.kstest(draws["sd_g"][:, 1], stats.halfnorm(scale=2).cdf).pvalue > 1e-3
    r = draws["corr_g"][:, 0, 1]
    assert stats.kstest(r, stats.beta(2, 2, -1, 2).cdf).pvalue > 1e-3
    z = draws["b_g"] / draws["sd_g"][:, None, :]
    whitened = z @ np.swapaxes(np.linalg.inv(np.linalg.cholesky(draws["corr_g"])), -1, -2)
    assert stats.kstest(whitened.ravel(), stats.norm.cdf).pvalue > 1e-3


def test_nothing_is_drawn_from_a_flat_prior():
    design = slopes()
    with pytest.raises(PriorError, match="improper"):
        sample_prior(design, resolve_priors(design, {"beta": Flat()}), 5, np.random.default_rng(0))
