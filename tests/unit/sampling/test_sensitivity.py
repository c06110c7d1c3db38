"""Power scaling: ArviZ's numbers under our names, and priors that do and do not matter."""

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError
from bayeslmm.sampling.sensitivity import CONFLICT, NO_SIGN, STRONG_PRIOR, diagnosis

# few draws are enough here, and say so
pytestmark = pytest.mark.filterwarnings("ignore::bayeslmm.errors.ConvergenceWarning")

OPTIONS = {"random_seed": 1, "progressbar": False, "chains": 2, "draws": 1000}


def table(levels=8, each=6):
    rng = np.random.default_rng(4)
    g, x = np.repeat(np.arange(levels), each), np.tile(np.arange(each), levels)
    y = 10 + 2 * x + 3 * rng.normal(size=levels)[g] + rng.normal(size=levels)[g] * x
    return pd.DataFrame({"y": y + rng.normal(size=len(y)), "x": x, "g": g})


def sample(formula="y ~ x + (x | g)", data=None, options=None, **arguments):
    model = bl.Model(formula, table() if data is None else data, **arguments)
    return model.sample(**OPTIONS | (options or {}))


@pytest.fixture(scope="module")
def fit():
    return sample()


def test_the_numbers_are_those_of_arviz(fit):
    import arviz as az

    frame = fit.prior_sensitivity().set_index("parameter")
    assert list(frame.columns) == ["prior", "likelihood", "diagnosis"]
    theirs = az.psense_summary(
        fit.datatree, var_names=["beta", "sd_g", "corr_g", "sigma"], round_to=12
    ).drop(["corr_g[Intercept, Intercept]", "corr_g[x, Intercept]", "corr_g[x, x]"])
    assert list(frame.index) == list(theirs.index)
    for column in ("prior", "likelihood"):
        np.testing.assert_allclose(frame[column], theirs[column].astype(float), atol=1e-11)
    assert ((frame["diagnosis"] == NO_SIGN) == (theirs["diagnosis"] == "✓")).all()


def test_it_moves_the_posterior_as_another_prior_would():
    """Weights of the log prior against draws under the power of the prior, itself a prior."""
    power = 1.5
    priors = {"beta": (2, 0.4), "beta[Intercept]": (12, 1.0)}
    scales = {"sd_g[Intercept]": 1.5, "sd_g[x]": 0.7, "sigma": 0.8}

    def under(alpha):
        s = alpha**-0.5
        return sample(
            options={"draws": 2000, "chains": 4},
            priors={k: bl.Normal(m, sd * s) for k, (m, sd) in priors.items()}
            | {k: bl.HalfNormal(sd * s) for k, sd in scales.items()},
        )

    plain, powered = under(1.0), under(power)
    log_prior = sum(
        v.sum([d for d in v.dims if d not in ("chain", "draw")])
        for v in plain.datatree["log_prior"].data_vars.values()
    ).to_numpy()
    weights = np.exp((power - 1) * (log_prior - log_prior.max())).ravel()
    weights /= weights.sum()
    effective = 1 / (weights**2).sum()
    assert effective > 1000
    for name, draws in plain._draws.items():
        other = powered._draws[name]
        # few of the draws count twice, and those of NUTS are a little dependent
        error = draws.std() * np.sqrt(1 / effective + 1 / len(other)) * 1.5
        assert abs(weights @ draws - other.mean()) < 4 * error, name


def test_a_prior_against_the_data_is_found():
    tight = {"beta[x]": bl.Normal(0, 0.3), "sd_g[Intercept]": bl.HalfNormal(0.3)}
    found = sample(priors=tight).prior_sensitivity().set_index("parameter")
    assert found.loc["beta[x]", "diagnosis"] == CONFLICT
    assert found.loc["sd_g[Intercept]", "prior"] > 0.2
    assert sample().prior_sensitivity().set_index("parameter").loc["beta[x]", "prior"] < 0.05


def test_a_prior_without_data_is_found():
    """The slope of a column that hardly varies is what its prior says."""
    data = table().assign(z=lambda d: 1e-4 * np.sin(np.arange(len(d))))
    found = sample("y ~ x + z + (1 | g)", data, priors={"beta[z]": bl.Normal(0, 1)})
    row = found.prior_sensitivity().set_index("parameter").loc["beta[z]"]
    assert row["prior"] > 0.05 > row["likelihood"] and row["diagnosis"] == STRONG_PRIOR


def test_flat_priors_have_no_sensitivity():
    flat = {"beta": bl.Flat(), "beta[Intercept]": bl.Flat(), "sigma": bl.Flat(), "sd_g": bl.Flat()}
    frame = sample("y ~ x + (1 | g)", priors=flat).prior_sensitivity()
    assert (frame["prior"] == 0).all() and (frame["likelihood"] > 0).all()


def test_words():
    assert diagnosis(0.01, 0.2) == diagnosis(0.01, 0.01) == diagnosis(np.nan, 0.2) == NO_SIGN
    assert diagnosis(0.2, 0.2) == CONFLICT and diagnosis(0.2, 0.01) == STRONG_PRIOR
    assert diagnosis(0.2, 0.2, threshold=0.3) == NO_SIGN


@pytest.mark.parametrize(
    "formula, family",
    [("y ~ x", "gaussian"), ("y ~ 0 + (1 | g)", "gaussian"), ("count ~ x + (1 | g)", "poisson")],
)
def test_other_models(formula, family):
    data = table().assign(count=lambda d: np.round(np.abs(d["y"]) / 4).astype(int))
    fit = sample(formula, data, {"draws": 300}, family=family)
    frame = fit.prior_sensitivity()
    assert list(frame["parameter"]) == list(fit._draws)
    assert np.isfinite(frame[["prior", "likelihood"]].to_numpy()).all()


def test_what_it_cannot_do_it_says(fit):
    without = sample(options={"draws": 50, "log_likelihood": False})
    with pytest.raises(ArgumentError, match="computes it"):
        without.prior_sensitivity()
    # the words are a line that can be run
    post = without
    post.datatree["log_likelihood"] = post.log_likelihood()["log_likelihood"]
    stored = sample(options={"draws": 50})
    pd.testing.assert_frame_equal(post.prior_sensitivity(), stored.prior_sensitivity())
    with pytest.raises(ArgumentError, match="threshold"):
        fit.prior_sensitivity(threshold=0)
