"""What independence sampling proposes: its density, and posteriors that reach an SD of zero."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import cumulative_trapezoid
from scipy.stats import halfnorm, norm

import bayeslmm as bl
from bayeslmm.engine.gaussian import MarginalPosterior
from bayeslmm.sampling.independence import pareto_k
from bayeslmm.sampling.proposal import Proposal, find_proposal
from tests.posterior.agreement import check_agreement, statistics


@pytest.mark.parametrize("center", [0.0, 0.3, 2.0])
def test_draws_have_the_density_that_is_said(center):
    """One SD, most of it, some of it and hardly any of it reflected."""
    one = np.ones(1)
    q = Proposal(one * center, 0.5 * np.eye(1), 1.5 * one, 0.7 * one, 0.1, np.log(one * 2.0))
    n = 200_000
    x, log_density = q.sample(n, np.random.default_rng(8))
    order = np.argsort(x[:, 0])
    x, density = x[order, 0], np.exp(log_density[order])
    below = cumulative_trapezoid(density, x, initial=0.0)
    assert below[-1] == pytest.approx(1.0, abs=1e-3)
    # Kolmogorov's statistic: 2.2 is exceeded once in 8,000 times
    assert np.abs(below - np.arange(n) / n).max() < 2.2 / np.sqrt(n) + 1e-3


def test_weights_are_bounded_where_an_sd_is_next_to_zero():
    """Of an SD with a density at zero: they come to one value, however near."""
    one = np.ones(1)
    q = Proposal(one * 0.6, 0.5 * np.eye(1), one, one, 0.1, np.zeros(1))
    x, log_density = q.sample(400_000, np.random.default_rng(10))
    sd = np.exp(x[:, 0])
    log_weights = halfnorm.logpdf(sd) + x[:, 0] - log_density
    for near in (1e-2, 1e-3):
        assert (sd < near).sum() > 100
        assert np.ptp(log_weights[sd < near]) < near


def test_known_integrals_are_found():
    """Two half-normal SDs and a sigma that depends on them: the mean weight is 1."""
    root = np.array([[0.4, 0, 0, 0], [-0.3, 0.3, 0, 0], [0.1, 0.1, 0.5, 0], [-0.1, 0.1, 0, 0.3]])
    q = Proposal(
        np.array([0.8, 0.5, 0.2, 0.3]), root, np.array([1.2, 1, 1, 1.1]),
        np.array([0.8, 1, 1.3, 1]), 0.1, np.log([1.0, 0.5]),
    )  # fmt: skip
    x, log_density = q.sample(400_000, np.random.default_rng(9))
    sds = np.exp(x[:, :2])
    target = halfnorm.logpdf(sds, scale=[1.0, 0.5]).sum(axis=1) + x[:, :2].sum(axis=1)
    target += norm.logpdf(x[:, 2], 0.0, 0.6) + norm.logpdf(x[:, 3], 0.3 - 0.2 * sds[:, 0], 0.3)
    weights = np.exp(target - log_density)
    for values, expected in (
        (np.ones(len(x)), 1.0),
        (sds[:, 0], np.sqrt(2 / np.pi)),
        (sds[:, 1] ** 2, 0.25),
        (sds[:, 0] < 0.05, halfnorm.cdf(0.05)),
        (x[:, 3], 0.3 - 0.2 * np.sqrt(2 / np.pi)),
    ):
        error = (weights * values).std() / np.sqrt(len(x))
        assert abs((weights * values).mean() - expected) < 4.5 * error


def no_effects(n: int, J: int) -> pd.DataFrame:
    """Rows in J levels that differ by nothing."""
    rng = np.random.default_rng(1)
    return pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), "g": np.arange(n) % J})


BOUNDARY = {
    "Pastes": ("strength ~ 1 + (1 | batch/cask)", lambda: bl.load_dataset("Pastes")),
    "Dyestuff2": ("Yield ~ 1 + (1 | Batch)", lambda: bl.load_dataset("Dyestuff2")),
    "uncorrelated": ("y ~ x + (x || g)", lambda: no_effects(40, 10)),
    "correlated": ("y ~ x + (x | g)", lambda: no_effects(40, 10)),
}


@cache
def model(name: str) -> bl.Model:
    formula, data = BOUNDARY[name]
    return bl.Model(formula, data())


@pytest.mark.parametrize("name", BOUNDARY)
def test_weights_have_no_heavy_tail(name):
    m = model(name)
    posterior = MarginalPosterior(m.design, m.priors)
    proposal = find_proposal(posterior)
    x, log_density = proposal.sample(40_000, np.random.default_rng(3))
    log_weights = posterior.values(x) - log_density
    assert pareto_k(log_weights) < 0.65
    weights = np.exp(log_weights - log_weights.max())
    # the whole posterior may be wanted: its mass, from below by the share that is effective
    assert weights.sum() ** 2 / (weights**2).sum() > 0.3 * len(x)


PRIORS = {
    "default": None,
    "Exponential": bl.Exponential(2),
    "HalfCauchy": bl.HalfCauchy(1),
    "Uniform": bl.Uniform(0, 2),
    "Gamma": bl.Gamma(2, 2),
    "InverseGamma": bl.InverseGamma(2, 0.5),
    "LogNormal": bl.LogNormal(-1, 1),
}


@pytest.mark.parametrize("prior", PRIORS)
def test_one_sd_agrees_with_quadrature(prior):
    given = {} if PRIORS[prior] is None else {"sd_g": PRIORS[prior]}
    m = bl.Model("y ~ x + (1 | g)", no_effects(32, 8), priors=given)
    fit = m.sample(
        2000, random_seed=6, sampler="independence", progressbar=False, log_likelihood=False
    )
    assert fit.datatree.attrs["sampler"] == "independence"
    posterior = MarginalPosterior(m.design, m.priors)
    start = posterior.start()
    first, second = np.linspace(-16, 8, 601), start[1] + np.linspace(-2, 3, 201)
    grid = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)
    values = posterior.values(grid).reshape(len(first), len(second))
    mass = np.exp(values - values.max())
    mass /= mass.sum()
    sd = posterior.constrained(grid)["sd_g"].reshape(len(first), len(second))[:, 0]
    sigma, along = np.exp(second), mass.sum(axis=1)
    draws = fit.datatree["posterior"]
    exact = {
        "sd": {"mean": along @ sd, "sd": np.sqrt(along @ sd**2 - (along @ sd) ** 2)},
        "sigma": {"mean": mass.sum(axis=0) @ sigma},
    }
    below = cumulative_trapezoid(along, initial=0.0) + 0.5 * along[0]
    for q in (5, 25, 50, 75, 95):
        exact["sd"][f"q{q}"] = np.interp(q / 100, below, sd)
    found = {"sd": draws["sd_g"].to_numpy()[..., 0], "sigma": draws["sigma"].to_numpy()}
    for name, expected in exact.items():
        ours = statistics(found[name])
        for key, value in expected.items():
            assert abs(ours[key][0] - value) < 4.5 * ours[key][1], (name, key)


@pytest.mark.parametrize("name", ["Pastes", "uncorrelated"])
def test_boundary_agrees_with_nuts(name):
    options = {"progressbar": False, "log_likelihood": False, "var_names": "beta"}
    ours = model(name).sample(4000, random_seed=7, sampler="independence", **options)
    nuts = model(name).sample(4000, random_seed=8, sampler="nutpie", **options)
    assert ours.datatree.attrs["sampler"] == "independence"
    assert nuts.diagnostics.divergences == 0
    found = []
    for fit in (ours, nuts):
        posterior = fit.datatree["posterior"]
        draws = {str(k): v.to_numpy().reshape(*v.shape[:2], -1) for k, v in posterior.items()}
        found.append(
            {
                f"{k}[{j}]": statistics(v[..., j])
                for k, v in draws.items()
                for j in range(v.shape[2])
            }
        )
    check_agreement(*found)
