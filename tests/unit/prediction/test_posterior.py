"""Predictions over draws, against the same written out a draw at a time."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

import bayeslmm as bl
from bayeslmm.errors import ArgumentError
from bayeslmm.families.links import LINKS
from bayeslmm.results.posterior import covariance_draws, draws_of
from tests.unit.prediction.posteriors import CHAINS, DRAWS, posterior_of

S = CHAINS * DRAWS


def table(n=40):
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(size=n), "g": np.arange(n) % 8, "h": np.arange(n) % 5})
    data["y"], data["count"] = rng.normal(size=n), rng.poisson(3, n)
    data["yes"], data["size"] = rng.integers(0, 4, n), rng.integers(4, 9, n)
    data["w"] = rng.choice([0.25, 1.0, 4.0], n)
    return data


RESPONSES = {
    "gaussian": "y",
    "poisson": "count",
    "negativebinomial": "count",
    "binomial": "proportion(yes, size)",
}


def fit_of(family, terms="(x | g) + (1 | h)", **options):
    model = bl.Model(f"{RESPONSES[family]} ~ x + {terms}", table(), family=family, **options)
    return posterior_of(model)


def draws_by_hand(fit, rows, effects=True):
    """Linear predictor of each draw, one row and one draw at a time."""
    beta = draws_of(fit.datatree, "beta")
    out = np.empty((S, rows.n))
    b = [draws_of(fit.datatree, f"b_{f.name}") for f in fit.design.factors]
    for s in range(S):
        for i in range(rows.n):
            eta = rows.offset[i] + rows.X[i] @ beta[s]
            for f, values in zip(rows.factors, b, strict=True) if effects else ():
                eta += f.columns[i] @ values[s, f.codes[i]] if f.codes[i] >= 0 else 0.0
            out[s, i] = eta
    return out


@pytest.mark.parametrize("family", RESPONSES)
def test_expected_responses_of_known_levels(family):
    fit = fit_of(family)
    new = table()[3:9]
    rows = fit.design.for_new(new)
    for effects in (True, False):
        mean = fit.design.family.link.inverse(draws_by_hand(fit, rows, effects))
        frame = fit.predict(new, include_re=effects, interval="confidence", level=0.8)
        np.testing.assert_allclose(frame["fit"], mean.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(frame["se"], mean.std(axis=0, ddof=1), rtol=1e-10)
        ends = np.quantile(mean, [0.1, 0.9], axis=0)
        np.testing.assert_allclose(frame[["lower", "upper"]], ends.T, rtol=1e-12)
        np.testing.assert_array_equal(frame["fit"], fit.predict(new, include_re=effects))
    own = fit.predict(interval="confidence")["fit"]
    trials = fit.design.trials if fit.design.trials is not None else np.ones(40)
    np.testing.assert_allclose(own[3:9], trials[3:9] * fit.predict(new), rtol=1e-12)
    np.testing.assert_array_equal(own, fit.fittedvalues)


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("sd", [0.3, 1.0, 2.0])
def test_averages_over_normal_effects(name, sd):
    link = LINKS[name]()
    for eta in (-3.0, 0.0, 1.2):
        exact, _ = quad(
            lambda e, eta=eta: float(link.inverse(eta + sd * e)) * norm.pdf(e), -12, 12,
            epsabs=1e-12, limit=200,
        )  # fmt: skip
        assert float(link.averaged_inverse(eta, sd**2)) == pytest.approx(exact, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("family", ["poisson", "binomial"])
def test_the_average_is_integrated_in_each_draw(family):
    fit = fit_of(family)
    new = pd.DataFrame({"x": [-1.0, 0.5]})
    beta = draws_of(fit.datatree, "beta")
    cov_g, cov_h = covariance_draws(fit.design, fit.datatree)
    means = []
    for x in new["x"]:
        eta, z = beta @ [1.0, x], np.array([1.0, x])
        v = np.einsum("a,sab,b->s", z, cov_g, z) + cov_h[:, 0, 0]
        if family == "poisson":
            means.append(np.exp(eta + v / 2))
        else:
            nodes = np.linspace(-10, 10, 2001)
            weights = norm.pdf(nodes) * (nodes[1] - nodes[0])
            means.append(expit(eta[:, None] + np.sqrt(v)[:, None] * nodes) @ weights)
    frame = fit.predict(new, include_re="average", interval="confidence")
    np.testing.assert_allclose(frame["fit"], [m.mean() for m in means], rtol=1e-8)
    ends = [np.quantile(m, [0.025, 0.975]) for m in means]
    np.testing.assert_allclose(frame[["lower", "upper"]], ends, rtol=1e-8)
    np.testing.assert_array_equal(frame["fit"], fit.predict(new, include_re="average"))
    # levels the fit never saw have the same mean
    seen = fit.predict(new.assign(g=["a", "b"], h=99))
    np.testing.assert_allclose(seen, frame["fit"], rtol=1e-12)
    assert abs(fit.predict(new, include_re=False)[1] / frame["fit"][1] - 1) > 0.01


def test_a_gaussian_average_is_that_at_zero():
    fit = fit_of("gaussian")
    new = {"x": [-1.0, 2.0]}
    for interval in ("confidence", "none"):
        one = fit.predict(new, include_re="average", interval=interval)
        other = fit.predict(new, include_re=False, interval=interval)
        np.testing.assert_array_equal(one, other)


def test_a_new_level_has_effects_of_its_own():
    """Their spread in the draws is that of Sigma; rows of a level move together, levels do not."""
    fit = fit_of("gaussian", terms="(x | g)")
    new = pd.DataFrame({"x": [0.0, 1.0, 0.0], "g": ["new", "new", "other"]})
    (cov,) = covariance_draws(fit.design, fit.datatree)
    beta = draws_of(fit.datatree, "beta")
    for i, x in enumerate(new["x"]):
        z = np.array([1.0, x])
        spread = np.sqrt(np.var(beta @ z) + np.einsum("a,sab,b->s", z, cov, z).mean())
        seeds = [fit.predict(new, interval="confidence", random_seed=s)["se"][i] for s in range(20)]
        assert np.mean(seeds) == pytest.approx(spread, rel=4 / np.sqrt(2 * 20 * S))
    y = fit.simulate(20 * S, random_seed=3, use_re=True, newdata=new)
    correlation = np.corrcoef(y)
    z = np.array([[1.0, 0.0], [1.0, 1.0]])
    shared = (np.cov((beta @ z.T).T) + z @ cov.mean(axis=0) @ z.T)[0, 1]
    between = np.var(beta[:, 0])
    sds = y.std(axis=1)
    assert correlation[0, 1] == pytest.approx(shared / (sds[0] * sds[1]), abs=0.03)
    assert correlation[0, 2] == pytest.approx(between / (sds[0] * sds[2]), abs=0.03)


@pytest.mark.parametrize("family", RESPONSES)
def test_new_observations_add_the_noise_of_the_family(family):
    fit = fit_of(family, weights="w") if family == "gaussian" else fit_of(family)
    new = table()[2:5]
    rows = fit.design.for_new(new)
    eta = draws_by_hand(fit, rows)
    aux = {k: draws_of(fit.datatree, k)[:, None] for k in fit.design.family.auxiliary}
    mu = fit.design.family.link.inverse(eta)
    trials = new["size"].to_numpy()
    noise = {
        "gaussian": lambda: aux["sigma"] ** 2 / new["w"].to_numpy(),
        "poisson": lambda: mu,
        "negativebinomial": lambda: mu + mu**2 / aux["alpha"],
        "binomial": lambda: trials * mu * (1 - mu),
    }[family]()
    counts = trials if family == "binomial" else 1.0
    variance = np.var(counts * mu, axis=0) + noise.mean(axis=0)
    frame = fit.predict(new, interval="prediction", random_seed=5)
    np.testing.assert_allclose(frame["fit"], (counts * mu).mean(axis=0), rtol=1e-12)
    many = [fit.predict(new, interval="prediction", random_seed=s)["se"] ** 2 for s in range(30)]
    # the tails of a negative binomial are heavy
    rel = 0.12 if family == "negativebinomial" else 0.06
    assert np.mean(many, axis=0) == pytest.approx(variance, rel=rel)
    pd.testing.assert_frame_equal(fit.predict(new, interval="prediction", random_seed=5), frame)
    y = fit.simulate(30 * S, random_seed=1, use_re=True, newdata=new)
    assert y.var(axis=1) == pytest.approx(variance, rel=rel)
    assert y.mean(axis=1) == pytest.approx((counts * mu).mean(axis=0), rel=0.05, abs=0.03)


def test_left_out_effects_are_of_one_new_group():
    fit = fit_of("gaussian")
    new = pd.DataFrame({"x": [0.0, 1.0], "g": [2, 3]})
    cov_g, cov_h = covariance_draws(fit.design, fit.datatree)
    sigma = draws_of(fit.datatree, "sigma")
    beta, b_g = draws_of(fit.datatree, "beta"), draws_of(fit.datatree, "b_g")
    z = np.array([[1.0, 0.0], [1.0, 1.0]])
    own = np.einsum("ia,sab,ib->si", z, cov_g, z).mean(axis=0)
    rest = cov_h.mean() + (sigma**2).mean()
    frames = [fit.predict(new[["x"]], False, "prediction", random_seed=s) for s in range(20)]
    found = np.mean([f["se"] ** 2 for f in frames], axis=0)
    assert found == pytest.approx(np.var(beta @ z.T, axis=0) + own + rest, rel=0.06)
    known = beta @ z.T + np.einsum("ia,sia->si", z, b_g[:, [2, 3]])
    frames = [fit.predict(new, terms="g", interval="prediction", random_seed=s) for s in range(20)]
    found = np.mean([f["se"] ** 2 for f in frames], axis=0)
    assert found == pytest.approx(known.var(axis=0) + rest, rel=0.06)
    np.testing.assert_allclose(frames[0]["fit"], known.mean(axis=0), rtol=1e-12)


def test_trials_of_new_rows():
    fit = fit_of("binomial")
    new = table()[["x", "g", "h"]][:3]
    assert (fit.predict(new) < 1).all()
    for call in (fit.simulate, lambda newdata: fit.predict(newdata, interval="prediction")):
        with pytest.raises(ArgumentError, match="add the column `size` to the new data"):
            call(newdata=new)
    gap = new.assign(size=[5.0, np.nan, 3.0])
    assert np.isnan(fit.simulate(2, newdata=gap)).all(axis=1).tolist() == [False, True, False]
    assert fit.simulate(100, newdata=gap)[0].max() <= 5
    one = posterior_of(bl.Model("proportion(yes, 9) ~ x + (1 | g)", table(), family="binomial"))
    assert one.simulate(300, newdata=new).max() <= 9


def test_draws_are_used_once_as_far_as_there_are_enough():
    """Rows with nothing but their intercept tell the draws apart."""
    model = bl.Model("count ~ 1 + (1 | g)", table(), family="poisson")
    fit = posterior_of(model)
    draws = fit._parameters(True)
    rng = np.random.default_rng(7)
    at = rng.choice(S, S, replace=False)
    assert sorted(at) == list(range(S))
    eta = fit.simulate(S, random_seed=7, use_re=True)
    assert eta.shape == (40, S)
    # the mean over all draws of the counts, each parameter once
    b = draws.b[0][:, fit.design.factors[0].codes, 0] + draws.beta
    assert eta.mean() == pytest.approx(np.exp(b).mean(), rel=0.02)
    with pytest.raises(ArgumentError, match="n=0"):
        fit.simulate(0)


def test_models_without_some_part():
    data = table()
    for formula in ("y ~ x", "y ~ 0 + (1 | g)", "y ~ 1"):
        fit = posterior_of(bl.Model(formula, data))
        for interval in ("confidence", "prediction"):
            frame = fit.predict(data, interval=interval, random_seed=1)
            assert frame.shape == (40, 4) and frame.notna().all(axis=None)
            assert (frame["lower"] < frame["fit"]).all() and (frame["fit"] < frame["upper"]).all()
        assert fit.simulate(2).shape == (40, 2)
    with pytest.raises(ArgumentError, match="interval='mean' is not known"):
        fit.predict(interval="mean")
    with pytest.raises(ArgumentError, match="level=95"):
        fit.predict(interval="confidence", level=95)
