"""Prior predictive draws against the distributions they are said to come from."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, PriorError

# few draws are enough here, and say so
pytestmark = pytest.mark.filterwarnings("ignore::bayeslmm.errors.ConvergenceWarning")

N, J = 60, 6
RNG = np.random.default_rng(8)
DATA = pd.DataFrame(
    {
        "y": RNG.normal(size=N) + 5,
        "x": RNG.normal(2, 3, N),
        "g": np.tile(np.arange(J), N // J),
        "h": np.repeat(np.arange(5), N // 5),
        "w": np.where(np.arange(N) % 10 == 0, 0.0, 1.0 + np.arange(N) % 3),
        "o": RNG.normal(size=N),
        "n": np.full(N, 7),
        "k": RNG.integers(0, 7, N),
    }
)
PRIORS = {
    "beta[Intercept]": bl.Normal(5, 2),
    "beta[x]": bl.StudentT(5, 1, 0.5),
    "sd_g[Intercept]": bl.Gamma(3, 2),
    "sd_g[x]": bl.InverseGamma(4, 2),
    "corr_g": bl.LKJ(2),
    "sigma": bl.LogNormal(0, 0.5),
}


def flat(tree, group, name):
    values = tree[group][name].to_numpy()
    return values.reshape(-1, *values.shape[2:])


def likely(statistic):
    assert statistic.pvalue > 1e-4


@pytest.fixture(scope="module")
def model():
    return bl.Model("y ~ x + (x | g)", DATA, priors=PRIORS, weights="w", offset="o")


@pytest.fixture(scope="module")
def drawn(model):
    return model.prior_predictive(draws=4000, random_seed=3)


def test_groups_and_what_they_remember(model, drawn):
    assert set(drawn.children) == {"prior", "prior_predictive", "observed_data", "constant_data"}
    counted = DATA["w"] > 0
    np.testing.assert_array_equal(drawn["observed_data"]["y"], DATA["y"][counted])
    assert dict(drawn["prior_predictive"].sizes) == {"chain": 1, "draw": 4000, "obs": counted.sum()}
    assert list(drawn["prior"]["fixed"].to_numpy()) == ["Intercept", "x"]
    assert drawn.attrs["random_seed"] == 3 and drawn.attrs["draws"] == 4000
    assert drawn.attrs["formula"] == "y ~ x + (x | g)"


def test_a_seed_gives_the_same_draws(model):
    one, same, other = (model.prior_predictive(50, seed) for seed in (1, 1, 2))
    assert one.identical(same)
    assert not np.array_equal(one["prior"]["sigma"], other["prior"]["sigma"])
    again = model.prior_predictive(50)
    assert again.identical(model.prior_predictive(50, again.attrs["random_seed"]))


def test_parameters_have_their_priors(drawn):
    beta, sd = flat(drawn, "prior", "beta"), flat(drawn, "prior", "sd_g")
    at_means = beta[:, 0] + beta[:, 1] * DATA["x"][DATA["w"] > 0].mean()
    likely(stats.kstest(at_means, stats.norm(5, 2).cdf))
    likely(stats.kstest(beta[:, 1], stats.t(5, 1, 0.5).cdf))
    likely(stats.kstest(sd[:, 0], stats.gamma(3, scale=0.5).cdf))
    likely(stats.kstest(sd[:, 1], stats.invgamma(4, scale=2).cdf))
    likely(stats.kstest(flat(drawn, "prior", "sigma"), stats.lognorm(0.5).cdf))
    # two columns under LKJ(2): (r + 1) / 2 is Beta(2, 2)
    likely(stats.kstest((flat(drawn, "prior", "corr_g")[:, 0, 1] + 1) / 2, stats.beta(2, 2).cdf))


def test_effects_and_responses_follow_from_the_parameters(drawn):
    sd, R, b = (flat(drawn, "prior", name) for name in ("sd_g", "corr_g", "b_g"))
    L = np.linalg.cholesky(R)
    white = np.linalg.solve(L[:, None], (b / sd[:, None])[..., None])[..., 0]
    for k in range(2):
        likely(stats.kstest(white[..., k].ravel(), stats.norm.cdf))
    assert abs(np.corrcoef(white[..., 0].ravel(), white[..., 1].ravel())[0, 1]) < 0.03

    rows = DATA[DATA["w"] > 0]
    beta, sigma = flat(drawn, "prior", "beta"), flat(drawn, "prior", "sigma")
    x, g = rows["x"].to_numpy(), rows["g"].to_numpy()
    mean = rows["o"].to_numpy() + beta[:, :1] + beta[:, 1:] * x + b[:, g, 0] + b[:, g, 1] * x
    rest = (flat(drawn, "prior_predictive", "y") - mean) / sigma[:, None]
    likely(stats.kstest((rest * np.sqrt(rows["w"].to_numpy())).ravel(), stats.norm.cdf))


@pytest.mark.parametrize(
    "formula, family, largest",
    [
        ("proportion(k, n) ~ x + (1 | g)", "binomial", 7),
        ("binary ~ x + (1 | g) + (1 | h)", "bernoulli", 1),
        ("k ~ x + (1 | g)", "poisson", np.inf),
        ("k ~ x + (1 | g)", "negativebinomial", np.inf),
    ],
)
def test_other_families(formula, family, largest):
    data = DATA.assign(binary=DATA["k"] % 2)
    drawn = bl.Model(formula, data, family=family).prior_predictive(300, 1)
    (name,) = drawn["prior_predictive"].data_vars
    values = flat(drawn, "prior_predictive", name)
    assert np.isfinite(values).all() and values.min() >= 0 and values.max() <= largest
    assert np.array_equal(values, np.round(values)) and len(np.unique(values)) > 1


@pytest.mark.parametrize("formula", ["y ~ x", "y ~ 0 + (1 | g)", "y ~ x + (x || g) + (1 | g:h)"])
def test_other_designs(formula):
    data = DATA.assign(x=DATA["x"].where(DATA.index != 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = bl.Model(formula, data, na_action="exclude").prior_predictive(20, 1)
        other = bl.Model(formula, pl.DataFrame(data), na_action="drop").prior_predictive(20, 1)
    rows = N - ("x" in formula)
    assert one["prior_predictive"].sizes["obs"] == rows
    np.testing.assert_array_equal(one["prior_predictive"]["y"], other["prior_predictive"]["y"])


def test_it_is_what_sampling_adds():
    model = bl.Model("y ~ x + (1 | g)", DATA)
    sampled = model.sample(
        draws=10, tune=20, chains=1, random_seed=5, progressbar=False, prior_predictive=True
    ).datatree
    alone = model.prior_predictive(random_seed=5)
    for group in ("prior", "prior_predictive"):
        assert alone[group].to_dataset().drop_attrs().equals(sampled[group].to_dataset())


def test_correlations_next_to_one_can_be_drawn():
    model = bl.Model("y ~ x + (x + o | g)", DATA, priors={"corr_g": bl.LKJ(0.05)})
    drawn = model.prior_predictive(2000, 1)
    R = flat(drawn, "prior", "corr_g")
    assert (np.abs(R) <= 1 + 1e-15).all() and np.isfinite(flat(drawn, "prior", "b_g")).all()
    # singular but for rounding: numpy finds no Cholesky factor of such a matrix
    assert np.linalg.eigvalsh(R).min() < 1e-15


def test_flat_priors_are_refused_by_name():
    model = bl.Model("y ~ x + (1 | g)", DATA, priors={"beta": bl.Flat(), "sd_g": bl.Flat()})
    with pytest.raises(
        PriorError, match=r"of `beta\[x\]`, `sd_g\[Intercept\]`: they are"
    ) as caught:
        model.prior_predictive()
    # the advice can be pasted
    offered = eval(caught.value.fix.partition("priors=")[2], {"bl": bl})
    assert model.update(priors=offered).prior_predictive(10).attrs["draws"] == 10


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"draws": 1.5}, {"random_seed": "one"}])
def test_arguments_that_cannot_be(model, wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        model.prior_predictive(**wrong)


def test_arviz_plots_take_it(drawn):
    import arviz as az
    import matplotlib

    matplotlib.use("Agg")
    az.plot_ppc_dist(drawn, group="prior_predictive", num_samples=20)
    az.plot_dist(drawn, group="prior", var_names=["sd_g"])
    assert list(az.summary(drawn, group="prior", var_names=["sigma"]).index) == ["sigma"]
