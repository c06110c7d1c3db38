"""The Gaussian model close to a posterior, and how well it says the levels are known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.engine.gaussian import fit_gaussian
from bayeslmm.priors import Flat, HalfNormal, Normal, StudentT, resolve_priors
from bayeslmm.sampling import approximation
from bayeslmm.sampling.approximation import Approximation, approximate
from bayeslmm.sampling.reliability import information_of_levels, level_reliabilities
from tests.posterior.designs import crossed, make_design, slopes

FAMILIES = ["bernoulli", "binomial", "poisson", "negativebinomial"]
LINKS = [("bernoulli", "probit"), ("binomial", "cloglog")]


def counts(family: str, *, link: str | None = None, n_levels: int = 15, per: int = 12) -> Any:
    """``y ~ 1 + x + (1 + x | g)`` with an offset, weights and rows of weight zero."""
    rng = np.random.default_rng(21)
    g = np.repeat(np.arange(n_levels), per)
    x, offset = rng.normal(size=len(g)), rng.normal(0, 0.3, len(g))
    b = rng.normal(0, [0.8, 0.4], (n_levels, 2))
    eta = 0.3 + 0.5 * x + b[g, 0] + b[g, 1] * x + offset
    trials = np.full(len(g), 7.0) if family == "binomial" else None
    y = {
        "bernoulli": lambda: rng.uniform(size=len(g)) < 1 / (1 + np.exp(-eta)),
        "binomial": lambda: rng.binomial(7, 1 / (1 + np.exp(-eta))),
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "negativebinomial": lambda: rng.poisson(np.exp(eta) * rng.gamma(3, 1 / 3, len(g))),
    }[family]()
    weights = np.where(rng.uniform(size=len(g)) < 0.1, 0.0, 1.0)
    weights[weights > 0] = rng.choice([1.0, 2.0], int((weights > 0).sum()))
    chosen = bl.families.resolve_family(family)
    if link is not None:
        chosen = type(chosen)(link=link)
    return make_design(
        y,
        {"Intercept": np.ones(len(g)), "x": x},
        {"g": g},
        [("g", ("Intercept", "x"), True)],
        columns={"x": x},
        family=chosen,
        weights=weights,
        offset=offset,
        trials=trials,
    )


def found(design: Any, user: Any = None) -> Approximation:
    model = approximate(design, resolve_priors(design, user))
    assert model is not None
    return model


@pytest.mark.parametrize(("family", "link"), [*((f, None) for f in FAMILIES), *LINKS])
def test_the_effects_are_the_mode_given_the_variances(family, link, monkeypatch):
    """The penalised scores are zero: Z's = Cov^-1 b, X's = prior precision (beta - mean)."""
    monkeypatch.setattr(approximation, "_SETTLED", 1e-7)
    monkeypatch.setattr(approximation, "_FITS", 60)
    design = counts(family, link=link)
    priors = resolve_priors(design)
    a = found(design)
    assert a.estimate.sigma == pytest.approx(1.0, abs=1e-3)
    b, beta = a.estimate.b[0], a.estimate.beta
    f = design.factors[0]
    eta = design.offset + design.X @ beta + (f.columns * b[f.codes]).sum(axis=1)
    score = design.family.score(
        design.y, eta, aux=a.others, weights=design.weights, trials=design.trials
    )
    pulls = np.zeros_like(b)
    np.add.at(pulls, f.codes, score[:, None] * f.columns)
    wanted = b @ np.linalg.inv(a.estimate.covariances[0])
    mean, precision = priors.normal_beta()
    s2 = a.estimate.sigma**2
    np.testing.assert_allclose(pulls / s2, wanted, atol=1e-5)
    np.testing.assert_allclose(design.X.T @ score / s2, precision @ (beta - mean), atol=1e-5)
    information = design.family.information(
        eta, aux=a.others, weights=design.weights, trials=design.trials
    )
    np.testing.assert_allclose(a.information * s2, information, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("family", "link"), [*((f, None) for f in FAMILIES), *LINKS])
def test_a_few_fits_come_close_enough_to_start_from(family, link, monkeypatch):
    design = counts(family, link=link)
    a = found(design)
    monkeypatch.setattr(approximation, "_SETTLED", 1e-7)
    monkeypatch.setattr(approximation, "_FITS", 60)
    best = found(design)
    np.testing.assert_allclose(a.estimate.beta, best.estimate.beta, atol=5e-3)
    np.testing.assert_allclose(a.estimate.b[0], best.estimate.b[0], atol=2e-2)
    few, many = (level_reliabilities(v)["g"] for v in (a, best))
    np.testing.assert_allclose(few, many, atol=1e-2)


def test_alpha_is_the_best_given_the_linear_predictor():
    design = counts("negativebinomial")
    a = found(design)
    f, e = design.factors[0], a.estimate
    eta = design.offset + design.X @ e.beta + (f.columns * e.b[0][f.codes]).sum(axis=1)

    def height(alpha: float) -> float:
        rows = design.family.log_density(
            design.y, eta, aux={"alpha": alpha}, weights=design.weights
        )
        return float(rows.sum() + resolve_priors(design).alpha.logpdf(alpha))

    here = a.others["alpha"]
    step = 10 ** (6 / 60)
    assert height(here) > max(height(here / step), height(here * step))
    assert 1 < here < 20


def test_a_gaussian_response_is_its_own_approximation():
    design = slopes(12, 6)
    priors = resolve_priors(design)
    a, mode = found(design), fit_gaussian(design, "MAP", priors)
    assert a.design is design
    np.testing.assert_array_equal(a.estimate.variance_values, mode.variance_values)


def test_a_prior_that_is_not_normal_is_taken_as_flat():
    design = slopes(12, 6)
    heavy = found(design, {"beta[x]": StudentT(3, 0, 5), "beta[Intercept]": Normal(50, 100)})
    flat = found(design, {"beta[x]": Flat(), "beta[Intercept]": Normal(50, 100)})
    np.testing.assert_array_equal(heavy.estimate.beta, flat.estimate.beta)


def test_a_residual_structure_has_its_parameter():
    data = bl.load_dataset("sleepstudy")
    ar1 = bl.AR1(by="Subject", time="Days")
    model = bl.Model("Reaction ~ Days + (1 | Subject)", data, residual=ar1)
    a = found(model.design)
    assert a.others["ar1"] == model.fit("MAP").residual_parameters["ar1"]
    by = bl.Model("Reaction ~ Days + (1 | Subject)", data, residual=bl.VarianceBy(by="Subject"))
    assert found(by.design).others["sd_ratio"].shape == (17,)


def test_where_nothing_can_be_fitted_there_is_none():
    x = np.arange(3.0)
    design = make_design(
        [0.0, 1.0, 3.0], {"Intercept": np.ones(3), "x": x, "z": x**2}, {}, [], family="poisson"
    )
    assert approximate(design, resolve_priors(design)) is None


def test_the_reliability_of_one_way_data_is_the_shrinkage_factor():
    design = slopes(10, 4, terms=[("g", ("Intercept",), True)], columns={})
    a = found(design)
    tau2, sigma2 = a.estimate.covariances[0][0, 0], a.estimate.sigma**2
    known = level_reliabilities(a)["g"]
    np.testing.assert_allclose(known, 4 * tau2 / (4 * tau2 + sigma2), rtol=1e-12)


def test_reliability_against_dense_matrices():
    rng = np.random.default_rng(3)
    base = slopes(7, 5)
    weights = rng.uniform(0, 2, base.n) * (rng.uniform(size=base.n) < 0.8)
    a = found(replace(base, weights=weights))
    f, cov = base.factors[0], a.estimate.covariances[0]
    known, A = level_reliabilities(a)["g"], information_of_levels(f, a.information)
    for j in range(7):
        rows = f.codes == j
        Z = f.columns[rows]
        dense = Z.T @ np.diag(weights[rows]) @ Z / a.estimate.sigma**2
        np.testing.assert_allclose(A[j], dense, rtol=1e-12)
        shrunk = cov @ dense @ np.linalg.inv(np.eye(2) + cov @ dense)
        assert known[j] == pytest.approx(np.trace(shrunk) / 2, rel=1e-9)


def test_reliability_does_not_depend_on_how_a_slope_is_coded():
    design = slopes(12, 6)
    a = found(design)
    f = design.factors[0]
    move = np.array([[1.0, -3.0], [0.0, 1.0]])
    other = replace(f, columns=f.columns @ move)
    back = np.linalg.inv(move)
    T = np.linalg.cholesky(back @ a.estimate.T[0] @ a.estimate.T[0].T @ back.T)
    moved = replace(
        a,
        design=replace(design, factors=(other,)),
        estimate=replace(a.estimate, T=(T,)),
    )
    np.testing.assert_allclose(
        level_reliabilities(moved)["g"], level_reliabilities(a)["g"], rtol=1e-9
    )


def test_a_level_without_information_is_not_known():
    base = crossed()
    weights = np.where(base.factors[0].codes == 2, 0.0, 1.0)
    known = level_reliabilities(found(replace(base, weights=weights)))["plate"]
    assert known[2] == 0.0 and (np.delete(known, 2) > 0.5).all()


def test_an_sd_of_zero_means_that_nothing_is_known_of_a_level():
    rng = np.random.default_rng(0)
    y = rng.normal(size=60)
    y -= np.repeat(y.reshape(12, 5).mean(axis=1), 5)
    design = make_design(
        y, {"Intercept": np.ones(60)}, {"g": np.repeat(np.arange(12), 5)},
        [("g", ("Intercept",), True)],
    )  # fmt: skip
    a = found(design, {"sd_g": HalfNormal(1)})
    assert a.estimate.singular
    assert (level_reliabilities(a)["g"] == 0.0).all()
