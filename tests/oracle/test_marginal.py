"""The marginal posterior: against the criterion, PyMC's own densities, and differences."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.engine.gaussian.marginal import MarginalPosterior
from bayeslmm.errors import FitError
from tests.oracle.dense import Dense
from tests.oracle.designs import CASES

GAUSSIAN = [n for n in CASES if n != "no random term"]
PRIORS = {
    "half-normal": {"sd_g": bl.HalfNormal(8), "sigma": bl.HalfNormal(20)},
    "half-t, flat beta": {"sd_g": bl.HalfStudentT(3, 5), "beta": bl.Flat()},
    "half-Cauchy": {"sd_g": bl.HalfCauchy(5), "sigma": bl.HalfCauchy(9)},
    "exponential": {"sd_g": bl.Exponential(0.1), "sigma": bl.Exponential(0.05)},
    "gamma": {"sd_g": bl.Gamma(2, 0.3), "sigma": bl.Gamma(3, 0.2)},
    "inverse gamma": {"sd_g": bl.InverseGamma(3, 20), "sigma": bl.InverseGamma(4, 40)},
    "log-normal": {"sd_g": bl.LogNormal(2, 0.7), "sigma": bl.LogNormal(2.5, 0.4)},
    "uniform": {"sd_g": bl.Uniform(0, 60), "sigma": bl.Uniform(1, 80)},
    "LKJ(3), one flat": {"corr_g": bl.LKJ(3), "beta[Intercept]": bl.Flat()},
}
SLOPES = "categorical slopes"


def posterior(name, **options):
    model = CASES[name].model(**options)
    return model, MarginalPosterior(model.design, model.priors)


def somewhere(p, seed=0):
    """A vector of coordinates where every SD is a few units."""
    x = 0.4 * np.random.default_rng(seed).normal(size=p.size)
    scalar = len(p._spec.codes) - 1
    unbounded = np.isinf(p._spec.bounds[:, 1])
    x[:scalar] += np.where(unbounded[:-1], 1.5, 0.0)
    x[-1] += 2.0 if unbounded[-1] else 0.0
    return x


def differences(f, x):
    out = np.empty_like(x)
    for k in range(len(x)):
        step = np.zeros_like(x)
        slopes = []
        for h in (2e-3, 1e-3):
            step[k] = h
            slopes.append((f(x + step)[0] - f(x - step)[0]) / (2 * h))
        out[k] = (4 * slopes[1] - slopes[0]) / 3
    return out


@pytest.mark.parametrize("name", GAUSSIAN)
def test_gradient(name):
    _, p = posterior(name)
    x = somewhere(p)
    exact, numeric = p(x)[1], differences(p, x)
    np.testing.assert_allclose(exact, numeric, rtol=0, atol=2e-8 * np.abs(numeric).max())


@pytest.mark.parametrize("priors", PRIORS)
def test_gradient_under_other_priors(priors):
    _, p = posterior(SLOPES, priors=PRIORS[priors])
    x = somewhere(p, 1)
    numeric = differences(p, x)
    np.testing.assert_allclose(p(x)[1], numeric, rtol=0, atol=2e-8 * np.abs(numeric).max())


@pytest.mark.parametrize("name", GAUSSIAN)
def test_value_against_a_dense_normal(name):
    """log N(y; X m, V + X B X') of extended-precision algebra, plus priors and Jacobian."""
    model, p = posterior(name)
    x = somewhere(p, 2)
    given = {k: v[0] for k, v in p.constrained(x[None]).items()}
    sigma, T, log_prior = given["sigma"], [], 0.0
    for f in model.design.factors:
        R = given.get(f"corr_{f.name}", np.eye(f.n_columns))
        T.append(given[f"sd_{f.name}"][:, None] * np.linalg.cholesky(R) / sigma)
    expected = Dense(model.design).log_marginal(T, sigma, model.priors)
    draws = {k: v[None] for k, v in given.items()} | {"beta": np.zeros((1, model.design.p))}
    for key, values in model.priors.log_prior(draws).items():
        log_prior += float(values.sum()) if key != "beta" else 0.0
    z = np.tanh(x[len(p._spec.codes) - 1 : -1])
    jacobian = x[: len(p._spec.codes) - 1].sum() + x[-1]
    # of correlations: d(share)/d(atanh) and of the LKJ density in partial correlations
    jacobian += _log_jacobian_of_correlations(p, z)
    assert p(x)[0] == pytest.approx(float(expected) + log_prior + jacobian, rel=1e-11)


def _log_jacobian_of_correlations(p, z):
    """log |dR / d atanh z|: (K - 2 - j) / 2 log(1 - z^2) a column j of a block, and dz."""
    total, at = 0.0, 0
    for f in p.design.factors:
        if not f.has_correlations:
            continue
        for start, stop in p.priors.blocks[f.name]:
            K = stop - start
            for i in range(1, K):
                for j in range(i):
                    total += ((K - 2 - j) / 2 + 1) * np.log1p(-(z[at] ** 2))
                    at += 1
    return total


@pytest.mark.parametrize("priors", PRIORS)
def test_priors_against_pymc(priors):
    """The part of the log density that is not the likelihood is PyMC's own."""
    import pymc as pm

    model, p = posterior(SLOPES, priors=PRIORS[priors])
    pymc_model = model.to_pymc()
    x, other = somewhere(p, 3), somewhere(p, 4)

    def theirs(x):
        K = 3
        point = pymc_model.initial_point()
        names = {n.split("_log__")[0].split("_interval__")[0]: n for n in point}
        point[names["sd_g"]] = x[:K]
        point[names["sigma"]] = np.asarray(x[-1])
        shares = next(n for n in point if n.startswith("partial_g"))
        point[shares] = 2 * x[K:-1]
        wanted = [v for v in pymc_model.free_RVs if v.name in ("sd_g", "sigma", "partial_g")]
        return float(pymc_model.compile_logp(vars=wanted)(point))

    def ours(x):
        given = p(x)[0] - _likelihood(p, model, x)
        return given

    assert isinstance(pymc_model, pm.Model)
    # coordinates of PyMC are twice ours for partial correlations: a constant, which cancels
    mine, expected = ours(x) - ours(other), theirs(x) - theirs(other)
    assert mine == pytest.approx(expected, abs=1e-9)


def _likelihood(p, model, x):
    given = {k: v[0] for k, v in p.constrained(x[None]).items()}
    sigma, T = given["sigma"], []
    for f in model.design.factors:
        L = np.linalg.cholesky(given[f"corr_{f.name}"])
        T.append(given[f"sd_{f.name}"][:, None] * L / sigma)
    return float(Dense(model.design).log_marginal(T, sigma, model.priors))


@pytest.mark.parametrize(
    "name", ["crossed slopes", "uncorrelated", "nested slopes", "full couplings"]
)
def test_coordinates_there_and_back(name):
    name = "slopes, uncorrelated" if name == "uncorrelated" else name
    model, p = posterior(name)
    x = somewhere(p, 5)
    given = {k: v[0] for k, v in p.constrained(x[None]).items()}
    sds = [given[f"sd_{f.name}"] for f in model.design.factors]
    Rs = [given.get(f"corr_{f.name}", np.eye(f.n_columns)) for f in model.design.factors]
    np.testing.assert_allclose(p.coordinates(sds, Rs, given["sigma"]), x, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["crossed slopes", "nested slopes", "weights, slopes, crossed"])
def test_draws_have_the_moments_of_the_conditional(name):
    """Means and covariances of beta and b given the variances, from dense algebra."""
    model, p = posterior(name)
    x = somewhere(p, 6)
    n = 4000
    drawn = p.draw(np.tile(x, (n, 1)), np.random.default_rng(7))
    given = {k: v[0] for k, v in p.constrained(x[None]).items()}
    sigma, T = given["sigma"], []
    for f in model.design.factors:
        L = np.linalg.cholesky(given.get(f"corr_{f.name}", np.eye(f.n_columns)))
        T.append(given[f"sd_{f.name}"][:, None] * L / sigma)
    mean, cov = Dense(model.design).conditional(T, sigma, model.priors)
    flat = np.hstack(
        [drawn["beta"], *(drawn[f"b_{f.name}"].reshape(n, -1) for f in model.design.factors)]
    )
    sd = np.sqrt(np.diag(cov).astype(float))
    off = (flat.mean(axis=0) - mean.astype(float)) / sd * np.sqrt(n)
    assert np.abs(off).max() < 4.5
    white = np.linalg.solve(np.linalg.cholesky(cov.astype(float)), (flat - mean.astype(float)).T)
    second = white @ white.T / n
    assert np.abs(second - np.eye(len(mean))).max() < 4.5 * np.sqrt(2 / n) * 1.2


def test_coordinates_at_which_nothing_can_be_computed():
    _, p = posterior("crossed")
    with pytest.raises(FitError, match="nothing can be computed at these variance parameters"):
        p.factorise(np.full(p.size, np.nan))
