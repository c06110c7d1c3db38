"""Prior densities against scipy.stats and finite differences."""

import math

import numpy as np
import pytest
from scipy import stats

from bayeslmm.errors import PriorError
from bayeslmm.priors import (
    LKJ,
    Exponential,
    Flat,
    Gamma,
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    LogNormal,
    Normal,
    StudentT,
    Uniform,
)
from bayeslmm.priors.lkj import correlation_factor, partial_shapes

REAL = np.array([-7.0, -1.0, 0.0, 0.4, 12.0])
POSITIVE = np.array([0.02, 0.5, 1.0, 3.0, 40.0])


def half_t(x: np.ndarray) -> np.ndarray:
    return np.log(2) + stats.t.logpdf(x, 3, scale=2.5)


SCALARS = [
    (Normal(1, 2.5), REAL, stats.norm(1, 2.5).logpdf, stats.norm(1, 2.5).cdf),
    (StudentT(3, 1, 2.5), REAL, stats.t(3, 1, 2.5).logpdf, stats.t(3, 1, 2.5).cdf),
    (Uniform(-8, 13), REAL, stats.uniform(-8, 21).logpdf, stats.uniform(-8, 21).cdf),
    (HalfNormal(2), POSITIVE, stats.halfnorm(scale=2).logpdf, stats.halfnorm(scale=2).cdf),
    (HalfStudentT(3, 2.5), POSITIVE, half_t, lambda x: 2 * stats.t.cdf(x, 3, scale=2.5) - 1),
    (HalfCauchy(2), POSITIVE, stats.halfcauchy(scale=2).logpdf, stats.halfcauchy(scale=2).cdf),
    (Exponential(0.3), POSITIVE, stats.expon(scale=1 / 0.3).logpdf, stats.expon(0, 1 / 0.3).cdf),
    (Gamma(2, 0.3), POSITIVE, stats.gamma(2, 0, 1 / 0.3).logpdf, stats.gamma(2, 0, 1 / 0.3).cdf),
    (InverseGamma(3, 2), POSITIVE, stats.invgamma(3, 0, 2).logpdf, stats.invgamma(3, 0, 2).cdf),
    (
        LogNormal(0.3, 2),
        POSITIVE,
        stats.lognorm(2, 0, math.exp(0.3)).logpdf,
        stats.lognorm(2, 0, math.exp(0.3)).cdf,
    ),
]
IDS = [repr(s[0]) for s in SCALARS]


@pytest.mark.parametrize(("prior", "x", "logpdf", "cdf"), SCALARS, ids=IDS)
class TestScalarPriors:
    def test_density(self, prior, x, logpdf, cdf):
        np.testing.assert_allclose(prior.logpdf(x), logpdf(x), rtol=1e-12)
        assert prior.logpdf(x.reshape(1, -1)).shape == (1, len(x))

    def test_derivative(self, prior, x, logpdf, cdf):
        h = 1e-6 * np.maximum(np.abs(x), 1e-2)
        slope = (prior.logpdf(x + h) - prior.logpdf(x - h)) / (2 * h)
        np.testing.assert_allclose(prior.dlogpdf(x), slope, rtol=1e-6, atol=1e-8)

    def test_draws(self, prior, x, logpdf, cdf):
        draws = prior.sample(np.random.default_rng(3), (40, 50))
        assert draws.shape == (40, 50)
        assert stats.kstest(draws.ravel(), cdf).pvalue > 1e-3
        assert np.ndim(prior.sample(np.random.default_rng(3))) == 0

    def test_outside_the_support(self, prior, x, logpdf, cdf):
        low, high = prior.bounds
        for end, side in ((low, -1.0), (high, 1.0)):
            if math.isfinite(end):
                assert prior.logpdf(end + side) == -np.inf
                assert np.isnan(prior.dlogpdf(end + side))


def test_zero_is_a_value_of_a_half_distribution():
    for prior in (HalfNormal(2), HalfStudentT(3, 2), HalfCauchy(2), Exponential(2), Gamma(1, 2)):
        assert np.isfinite(prior.logpdf(0.0))
        assert np.isfinite(prior.dlogpdf(0.0))
    for prior in (LogNormal(0, 1), InverseGamma(1, 1), Gamma(2, 1)):
        assert prior.logpdf(0.0) == -np.inf


@pytest.mark.parametrize("eta", [0.7, 1.0, 2.5])
class TestLKJ:
    def test_two_by_two_is_a_beta(self, eta):
        r = np.linspace(-0.95, 0.95, 7)
        R = np.stack([np.array([[1, v], [v, 1]]) for v in r])
        want = stats.beta(eta, eta, -1, 2).logpdf(r)
        np.testing.assert_allclose(LKJ(eta).logpdf(R), want, rtol=1e-12)

    @pytest.mark.parametrize("dim", [2, 3, 4])
    def test_density_of_the_partial_correlations(self, eta, dim):
        """p(R) |dR/dz| = prod Beta(z): normalised, since the right side is."""
        rng = np.random.default_rng(dim)
        a = partial_shapes(eta, dim)
        rows, cols = np.tril_indices(dim, -1)

        def lower(z):
            L = correlation_factor(z, dim)
            return (L @ L.T)[rows, cols]

        z = rng.uniform(-0.8, 0.8, len(a))
        h = 1e-6
        J = np.column_stack(
            [(lower(z + h * e) - lower(z - h * e)) / (2 * h) for e in np.eye(len(a))]
        )
        L = correlation_factor(z, dim)
        want = stats.beta(a, a, -1, 2).logpdf(z).sum() - np.linalg.slogdet(J)[1]
        np.testing.assert_allclose(LKJ(eta).logpdf(L @ L.T), want, rtol=1e-7)

    def test_gradient(self, eta):
        R = LKJ(2).sample(np.random.default_rng(1), dim=3)
        D = np.array([[0, 0.3, -0.2], [0.3, 0, 0.5], [-0.2, 0.5, 0]])
        h = 1e-6
        slope = (LKJ(eta).logpdf(R + h * D) - LKJ(eta).logpdf(R - h * D)) / (2 * h)
        np.testing.assert_allclose((LKJ(eta).dlogpdf(R) * D).sum(), slope, rtol=1e-5, atol=1e-7)

    def test_every_correlation_of_a_draw_has_the_same_margin(self, eta):
        R = LKJ(eta).sample(np.random.default_rng(2), 3000, dim=3)
        a = eta + 0.5
        for i, j in ((0, 1), (0, 2), (1, 2)):
            assert stats.kstest(R[:, i, j], stats.beta(a, a, -1, 2).cdf).pvalue > 1e-3
        assert np.all(np.linalg.eigvalsh(R) > 0)


def test_lkj_volume_by_quadrature():
    """The density of 3 x 3 matrices integrates to one."""

    def density(r23, r13, r12):
        R = np.array([[1, r12, r13], [r12, 1, r23], [r13, r23, 1]])
        return float(np.exp(LKJ(2.0).logpdf(R)))

    def inner(r12, r13):
        half = math.sqrt((1 - r12**2) * (1 - r13**2))
        x, w = np.polynomial.legendre.leggauss(8)
        return half * sum(
            wi * density(r12 * r13 + half * xi, r13, r12) for xi, wi in zip(x, w, strict=True)
        )

    x, w = np.polynomial.legendre.leggauss(24)
    total = sum(
        wi * wj * inner(xi, xj)
        for xi, wi in zip(x, w, strict=True)
        for xj, wj in zip(x, w, strict=True)
    )
    assert total == pytest.approx(1.0, abs=1e-3)


def test_a_matrix_that_is_no_correlation_has_no_density():
    assert LKJ(2).logpdf([[1, 1.2], [1.2, 1]]) == -np.inf


def test_flat_is_improper():
    assert np.all(Flat().logpdf(REAL) == 0)
    with pytest.raises(PriorError, match="improper"):
        Flat().sample(np.random.default_rng(0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Normal(0, -1),
        lambda: Normal(0, 0),
        lambda: Normal(math.nan, 1),
        lambda: Normal("0", 1),
        lambda: HalfStudentT(0, 1),
        lambda: HalfNormal(math.inf),
        lambda: HalfNormal(True),
        lambda: Gamma(2, -1),
        lambda: Uniform(3, 3),
        lambda: LKJ(0),
    ],
)
def test_arguments_are_checked(make):
    with pytest.raises(PriorError):
        make()


def test_repr_reads_like_the_call():
    assert repr(HalfStudentT(3, 56.3)) == "HalfStudentT(nu=3, sigma=56.3)"
    assert repr(Flat()) == "Flat()"
    assert Normal(0, 1) == Normal(0.0, np.float64(1))
    assert hash(Normal(0, 1)) == hash(Normal(0, 1))


def test_a_prior_of_an_sd_starts_at_zero_or_has_two_ends():
    """The marginal posterior has a coordinate for (0, inf) and one for (low, high), no other."""
    from bayeslmm.engine.gaussian.densities import _CLASSES, density_codes

    priors = [p for p, *_ in SCALARS if type(p) in _CLASSES] + [Flat(), Uniform(2, 5)]
    assert {type(p) for p in priors} == set(_CLASSES)
    _, _, bounds, _ = density_codes(priors)
    for low, high in bounds:
        assert low == 0.0 or math.isfinite(high)
