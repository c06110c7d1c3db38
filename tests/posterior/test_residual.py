"""Sampled models with a residual structure: their density, their draws, what is kept of them."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import bayeslmm as bl
from bayeslmm.sampling.linear import linear_predictor, log_likelihood, predictive
from bayeslmm.sampling.prior_draws import sample_prior

ORTHODONT = "tests/parity/residual/orthodont.csv"
CASES = {
    "ar1": ("distance ~ age + Sex + (age | Subject)", bl.AR1("Subject", "visit")),
    "ar1 without bars": ("distance ~ 0 + age", bl.AR1("Subject")),
    "rho": ("distance ~ age + Sex", bl.CompoundSymmetry("Subject")),
    "ratios": ("distance ~ age + (1 | Subject)", bl.VarianceBy("visit")),
}


@cache
def model(name):
    """Rows in no order, weights, some of them zero."""
    formula, structure = CASES[name]
    data = pd.read_csv(ORTHODONT)
    data["w"] = np.tile([1.0, 2.0, 0.5, 4.0, 3.0, 0.0, 1.0], 16)[:108]
    data = data.sample(frac=1.0, random_state=1)
    return bl.Model(formula, data, weights="w", residual=structure)


def correlation(design, values):
    rows, used = design.residual, design.weights > 0
    codes, at = rows.codes[used], rows.position[used]
    same = codes[:, None] == codes
    if rows.variable == "ar1":
        return np.where(same, values[0] ** np.abs(at[:, None] - at), 0.0)
    if rows.variable == "rho":
        return np.where(same, values[0], 0.0) + (1.0 - values[0]) * np.eye(len(at))
    return np.diag(np.append(1.0, values)[codes] ** 2)


def joint(design, draws, k):
    """The normal distribution of the rows that count given all parameters and effects."""
    used = design.weights > 0
    eta = linear_predictor(design.X, design.offset, design.factors, draws)[k, used]
    root = np.sqrt(design.weights[used])
    R = correlation(design, np.atleast_1d(draws[design.residual.variable][k]))
    return multivariate_normal(eta, draws["sigma"][k] ** 2 * R / np.outer(root, root))


def moderate(design, priors):
    """Draws near the data, so that densities are not lost in rounding."""
    draws = sample_prior(design, priors, 4, np.random.default_rng(0))
    draws["sigma"] = 1.0 + np.arange(4.0) / 2.0
    draws["beta"] = 0.1 * draws["beta"]
    for f in design.factors:
        draws[f"b_{f.name}"] = np.clip(draws[f"b_{f.name}"], -2.0, 2.0)
    return draws


@pytest.mark.parametrize("name", CASES)
def test_pointwise_log_likelihood_sums_to_the_joint(name):
    m = model(name)
    draws = moderate(m.design, m.priors)
    rows = log_likelihood(m.design, draws)
    for k in range(4):
        expected = joint(m.design, draws, k).logpdf(m.design.y[m.design.weights > 0])
        assert rows[k].sum() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("parameterization", ["noncentered", "centered"])
@pytest.mark.parametrize("name", CASES)
def test_the_model_has_the_same_pointwise_log_likelihood(name, parameterization):
    """PyMC's, row by row, at a point of the unconstrained space, and the log prior there."""
    m = model(name)
    made = m.to_pymc(parameterization)
    point = {
        k: np.asarray(v) + 0.1 * np.random.default_rng(2).normal(size=np.shape(v))
        for k, v in made.initial_point().items()
    }
    variables = made.unobserved_value_vars
    values = made.compile_fn(variables, inputs=made.value_vars)(point)
    drawn = {v.name: np.asarray(x)[None] for v, x in zip(variables, values, strict=True)}
    ours = log_likelihood(m.design, drawn)[0]
    (rows,) = made.compile_logp(vars=made.observed_RVs, sum=False)(point)
    np.testing.assert_allclose(rows, ours, rtol=1e-9, atol=1e-9)
    variable = m.design.residual.variable
    prior = made.compile_logp(vars=[made[variable]], sum=True, jacobian=False)(point)
    # PyMC has log 2, of the uniform prior, in single precision
    assert m.priors.log_prior(drawn)[variable].sum() == pytest.approx(float(prior), rel=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_simulated_responses_have_the_covariance(name):
    m = model(name)
    draws = moderate(m.design, m.priors)
    one = {k: np.repeat(v[1:2], 20_000, axis=0) for k, v in draws.items()}
    y = predictive(m.design, one, np.random.default_rng(3))
    expected = joint(m.design, draws, 1)
    # whitened, 20,000 draws of n numbers: squares about 1, products about 0
    z = np.linalg.solve(np.linalg.cholesky(expected.cov), (y - expected.mean).T)
    S = z @ z.T / 20_000
    assert abs(np.trace(S) / len(S) - 1.0) < 5.0 * np.sqrt(2.0 / (20_000 * len(S)))
    off = S[np.tril_indices(len(S), -1)]
    assert np.abs(off).max() < 6.0 / np.sqrt(20_000)


def test_draws_agree_with_a_grid():
    """Linear model, flat coefficients: p(ar1, sigma | y) is known up to its constant."""
    data = pd.read_csv(ORTHODONT)
    m = bl.Model("distance ~ age", data, residual=bl.AR1("Subject", "visit"),
                 priors={"beta": bl.Flat(), "beta[Intercept]": bl.Flat(),
                         "sigma": bl.HalfNormal(5)})  # fmt: skip
    post = m.sample(1000, chains=2, random_seed=5, progressbar=False)
    assert post.datatree.attrs["parameterization_because"].startswith("residuals have a structure")
    phi, sigma = np.linspace(0.2, 0.95, 76), np.linspace(1.2, 6.0, 121)
    X, y, n = m.design.X, m.design.y, m.design.n
    logs = np.empty((len(phi), len(sigma)))
    for i, v in enumerate(phi):
        R = correlation(m.design, [v])
        XRX = X.T @ np.linalg.solve(R, X)
        beta = np.linalg.solve(XRX, X.T @ np.linalg.solve(R, y))
        e = y - X @ beta
        r2 = e @ np.linalg.solve(R, e)
        half = np.linalg.slogdet(R)[1] + np.linalg.slogdet(XRX)[1]
        logs[i] = -(n - 2) * np.log(sigma) - 0.5 * half - 0.5 * r2 / sigma**2 - sigma**2 / 50.0
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()
    for name, values, axis in (("ar1", phi, 1), ("sigma", sigma, 0)):
        density = weight.sum(axis=axis)
        mean = density @ values
        sd = np.sqrt(density @ (values - mean) ** 2)
        drawn = post.datatree["posterior"][name].to_numpy()
        # bulk sizes are in the hundreds at least
        assert drawn.mean() == pytest.approx(mean, abs=5.0 * sd / np.sqrt(400))
        assert drawn.std() == pytest.approx(sd, rel=0.2)
    assert post.residual_parameters["ar1"] == pytest.approx(drawn_mean(post, "ar1"))
    assert "Residual ar1" in str(post)


def drawn_mean(post, name):
    return float(post.datatree["posterior"][name].mean())


def test_implied_covariances_of_draws():
    """Mean over draws of sigma^2 R, from the parameters of each."""
    data = pd.read_csv(ORTHODONT)
    m = bl.Model("distance ~ age + (1 | Subject)", data, residual=bl.AR1("Subject", "visit"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.ConvergenceWarning)  # 200 draws are few
        post = m.sample(200, chains=2, random_seed=5, progressbar=False)
    draws = post.datatree["posterior"]
    sd = draws["sd_Subject"].to_numpy().reshape(-1)
    sigma, phi = draws["sigma"].to_numpy().reshape(-1), draws["ar1"].to_numpy().reshape(-1)
    at = np.arange(4)
    V = (sd**2)[:, None, None] + (sigma**2)[:, None, None] * phi[:, None, None] ** np.abs(
        at[:, None] - at
    )
    np.testing.assert_allclose(post.marginal_cov("F03"), V.mean(axis=0))
    np.testing.assert_allclose(post.marginal_cov("F03", quantile=0.9), np.quantile(V, 0.9, axis=0))
    share = post.icc().table["mean"][0]
    assert share == pytest.approx(np.mean(sd**2 / (sd**2 + sigma**2)))


def test_ratios_are_kept_by_level_and_read_again(tmp_path):
    data = pd.read_csv(ORTHODONT)
    m = bl.Model("distance ~ age", data, residual=bl.VarianceBy("Sex"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.ConvergenceWarning)  # 200 draws are few
        post = m.sample(200, chains=2, random_seed=5, progressbar=False, posterior_predictive=True)
    ratio = post.datatree["posterior"]["sd_ratio"]
    assert ratio.dims == ("chain", "draw", "sd_ratio_level")
    assert ratio["sd_ratio_level"].to_numpy().tolist() == ["Male"]
    assert post.datatree["posterior_predictive"]["distance"].shape == (2, 200, 108)
    again = bl.load(post.save(tmp_path / "p.nc"))
    pd.testing.assert_series_equal(again.residual_parameters, post.residual_parameters)
    names = bl.compare_estimates(m.fit(), post).long["parameter"].unique()
    assert "sd_ratio[Male]" in names
    rows = post.to_frame("variance").set_index("parameter")
    assert rows.index.tolist() == ["sigma", "sd_ratio[Male]"]
    assert rows["term"].tolist() == ["", "Male"]
    drawn = ratio.to_numpy().ravel()
    expected = [drawn.mean(), *np.quantile(drawn, [0.025, 0.975])]
    found = rows.loc["sd_ratio[Male]", ["mean", "lower", "upper"]].tolist()
    np.testing.assert_allclose(found, expected)
    for verb in (
        lambda: post.predict(interval="prediction"),
        post.simulate,
        lambda: post.log_likelihood(integrate="obs"),
        post.design_effect,
    ):
        with pytest.raises(ValueError, match="with a residual structure"):
            verb()
