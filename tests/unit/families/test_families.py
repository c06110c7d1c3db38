"""Families against scipy.stats, finite differences and their own simulations."""

import numpy as np
import pytest
from scipy import stats

from bayeslmm.errors import ArgumentError, DataError
from bayeslmm.families import (
    Bernoulli,
    Binomial,
    Family,
    Gaussian,
    NegativeBinomial,
    Poisson,
    resolve_family,
    resolve_link,
)

ETA = np.array([-3.0, -0.7, 0.0, 0.4, 2.1])
TRIALS = np.array([3.0, 1.0, 7.0, 20.0, 4.0])
WEIGHTS = np.array([1.0, 0.3, 2.0, 0.0, 5.0])


def cases() -> list[tuple[Family, np.ndarray, dict[str, float], np.ndarray | None, object]]:
    mu = np.exp(ETA)
    counts = np.array([0.0, 2.0, 1.0, 9.0, 4.0])
    zeros = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    hits = np.array([0.0, 1.0, 5.0, 20.0, 2.0])
    found = [
        (Gaussian(), counts, {"sigma": 1.7}, None, stats.norm(ETA, 1.7).logpdf),
        (Poisson(), counts, {}, None, stats.poisson(mu).logpmf),
        (
            NegativeBinomial(),
            counts,
            {"alpha": 2.3},
            None,
            stats.nbinom(2.3, 2.3 / (2.3 + mu)).logpmf,
        ),
    ]
    inverse = {
        "logit": 1 / (1 + np.exp(-ETA)),
        "probit": stats.norm.cdf(ETA),
        "cloglog": 1 - np.exp(-np.exp(ETA)),
    }
    for link, p in inverse.items():
        found.append((Bernoulli(link), zeros, {}, None, stats.bernoulli(p).logpmf))
        found.append((Binomial(link), hits, {}, TRIALS, stats.binom(TRIALS, p).logpmf))
    return found


ALL = cases()
IDS = [repr(c[0]) for c in ALL]


@pytest.mark.parametrize(("family", "y", "aux", "trials", "reference"), ALL, ids=IDS)
class TestEveryFamily:
    def test_density_is_the_one_of_scipy(self, family, y, aux, trials, reference):
        np.testing.assert_allclose(
            family.log_density(y, ETA, aux=aux, trials=trials), reference(y), rtol=1e-11
        )

    def test_weights(self, family, y, aux, trials, reference):
        got = family.log_density(y, ETA, aux=aux, trials=trials, weights=WEIGHTS)
        assert got[3] == 0.0
        if family.has_scale:
            keep = WEIGHTS > 0
            sd = aux["sigma"] / np.sqrt(WEIGHTS[keep])
            want = stats.norm.logpdf(y[keep], ETA[keep], sd)
            np.testing.assert_allclose(got[keep], want, rtol=1e-12)
        else:
            np.testing.assert_allclose(got, WEIGHTS * reference(y), rtol=1e-11)

    def test_score_is_the_derivative(self, family, y, aux, trials, reference):
        h = 1e-5
        kw = {"aux": aux, "trials": trials, "weights": WEIGHTS}
        up, down = family.log_density(y, ETA + h, **kw), family.log_density(y, ETA - h, **kw)
        np.testing.assert_allclose(
            family.score(y, ETA, **kw), (up - down) / (2 * h), rtol=1e-7, atol=1e-8
        )

    def test_information_is_the_variance_of_the_score(self, family, y, aux, trials, reference):
        rng = np.random.default_rng(1)
        eta = np.broadcast_to(ETA, (200_000, 5))
        draws = family.simulate(rng, eta, aux=aux, trials=trials)
        score = family.score(draws, ETA, aux=aux, trials=trials)
        info = family.information(ETA, aux=aux, trials=trials)
        se = (score**2).std(axis=0) / np.sqrt(len(eta))
        assert np.all(np.abs((score**2).mean(axis=0) - info) < 5 * se + 1e-9)
        assert np.all(np.abs(score.mean(axis=0)) < 5 * np.sqrt(info / len(eta)))

    def test_mean_is_that_of_the_simulations(self, family, y, aux, trials, reference):
        rng = np.random.default_rng(2)
        draws = family.simulate(rng, np.broadcast_to(ETA, (100_000, 5)), aux=aux, trials=trials)
        se = draws.std(axis=0) / np.sqrt(len(draws))
        assert np.all(np.abs(draws.mean(axis=0) - family.mean(ETA, trials)) < 5 * se + 1e-12)

    def test_broadcasts_over_draws(self, family, y, aux, trials, reference):
        shape = (2, 3)
        eta = ETA + np.arange(6.0).reshape(2, 3, 1) / 7
        many = {k: v * (1 + np.arange(6.0).reshape(shape)) for k, v in aux.items()}
        got = family.log_density(y, eta, aux=many, trials=trials, weights=WEIGHTS)
        assert got.shape == (2, 3, 5)
        one = {k: v[1, 2] for k, v in many.items()}
        want = family.log_density(y, eta[1, 2], aux=one, trials=trials, weights=WEIGHTS)
        np.testing.assert_allclose(got[1, 2], want, rtol=1e-14)
        assert family.score(y, eta, aux=many, trials=trials).shape == (2, 3, 5)
        assert family.information(eta, aux=many, trials=trials).shape == (2, 3, 5)
        rng = np.random.default_rng(3)
        assert family.simulate(rng, eta, aux=many, trials=trials).shape == (2, 3, 5)

    def test_the_response_passes_its_own_check(self, family, y, aux, trials, reference):
        family.check_response(y, trials, "y")


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_probability_links_hold_in_the_tails(link):
    family = Bernoulli(link)
    eta = np.array([-300.0, -30.0, 5.0, 30.0, 600.0])
    for y in (0.0, 1.0):
        density, score = family.log_density(y, eta), family.score(y, eta)
        assert not np.isnan(density).any()
        assert not np.isnan(score).any()
        assert not np.isnan(family.information(eta)).any()
    p = np.array([0.01, 0.5, 0.99])
    np.testing.assert_allclose(family.link.inverse(family.link.link(p)), p, rtol=1e-13)
    h = 1e-6
    slope = (family.link.inverse(ETA + h) - family.link.inverse(ETA - h)) / (2 * h)
    np.testing.assert_allclose(family.link.derivative(ETA), slope, rtol=1e-7)


def test_negative_binomial_with_a_large_alpha_is_poisson():
    y = np.array([0.0, 3.0, 40.0])
    eta = np.log([1.0, 4.0, 35.0])
    got = NegativeBinomial().log_density(y, eta, aux={"alpha": 1e9})
    np.testing.assert_allclose(got, Poisson().log_density(y, eta), rtol=1e-6)


@pytest.mark.parametrize(
    ("family", "y", "trials", "words"),
    [
        (Gaussian(), [1.0, np.inf], None, "not finite"),
        (Poisson(), [1.0, -2.0], None, "negative values"),
        (NegativeBinomial(), [1.0, 2.5], None, "no integers"),
        (Bernoulli(), [0.0, 2.0], None, "must be 0 or 1"),
        (Binomial(), [0.5, 2.0], [1.0, 2.0], "no integers"),
        (Binomial(), [1.0, 2.0], None, "number of trials"),
        (Binomial(), [1.0, 3.0], [1.0, 2.0], "more successes than trials"),
        (Binomial(), [1.0, 2.0], [1.0, -2.0], "negative values"),
    ],
)
def test_impossible_responses_are_refused(family, y, trials, words):
    trials = None if trials is None else np.array(trials)
    with pytest.raises(DataError, match=words):
        family.check_response(np.array(y), trials, "y")


def test_families_by_name():
    assert resolve_family("Normal") == Gaussian()
    assert resolve_family("nbinom") == resolve_family("negative_binomial") == NegativeBinomial()
    probit = Bernoulli(link="probit")
    assert resolve_family(probit) is probit
    assert probit != Bernoulli()
    with pytest.raises(ArgumentError, match="did you mean `poisson`"):
        resolve_family("poison")
    with pytest.raises(ArgumentError, match="takes a name"):
        resolve_family(3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="cannot be used here"):
        Poisson(link="logit")
    with pytest.raises(ArgumentError, match="did you mean `cloglog`"):
        resolve_link("clog-log")


def test_a_missing_auxiliary_parameter_is_named():
    with pytest.raises(ArgumentError, match="needs `sigma`"):
        Gaussian().log_density([0.0], [0.0])
