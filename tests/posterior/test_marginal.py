"""The marginal way against sampling everything, and what a user meets of it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.engine.gaussian import MarginalPosterior
from bayeslmm.errors import ArgumentError
from bayeslmm.sampling.choose import choose
from bayeslmm.sampling.independence import metropolis
from bayeslmm.sampling.proposal import find_proposal
from tests.posterior.agreement import check_agreement, statistics


def crossed_slopes() -> pd.DataFrame:
    """Subjects and items with slopes of both, 400 rows."""
    rng = np.random.default_rng(11)
    n = 400
    s, i, x = rng.integers(0, 20, n), rng.integers(0, 12, n), rng.normal(size=n)
    y = 3 + x + rng.normal(0, 1.5, 20)[s] + rng.normal(0, 0.8, 20)[s] * x
    y += rng.normal(0, 1, 12)[i] + rng.normal(0, 0.5, 12)[i] * x + rng.normal(0, 2, n)
    return pd.DataFrame({"y": y, "x": x, "s": s, "i": i})


MODELS: dict[str, tuple[str, Any]] = {
    "crossed slopes": ("y ~ x + (x | s) + (x | i)", crossed_slopes),
    "sleepstudy": ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "Penicillin": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin"),
    "Pastes": ("strength ~ 1 + (1 | batch/cask)", "Pastes"),
    "cake": ("angle ~ recipe + temp + (1 | recipe:replicate)", "cake"),
}
EVERYTHING: dict[str, dict[str, Any]] = {
    "crossed slopes": {"target_accept": 0.95},
    "sleepstudy": {"target_accept": 0.95},
    "Penicillin": {"parameterization": "centered", "target_accept": 0.95},
    "Pastes": {"target_accept": 0.995},
    "cake": {"target_accept": 0.95},
}


def model(name: str) -> bl.Model:
    formula, data = MODELS[name]
    return bl.Model(formula, data() if callable(data) else bl.load_dataset(data))


def all_statistics(fit: bl.PosteriorFit) -> dict[str, Any]:
    """Statistics of every parameter and of every tenth effect."""
    out = {}
    for name, array in fit.datatree["posterior"].data_vars.items():
        values = array.to_numpy().reshape(*array.shape[:2], -1)
        step = 10 if str(name).startswith("b_") else 1
        for k in range(0, values.shape[2], step):
            if np.ptp(values[..., k]) > 0:
                out[f"{name}[{k}]"] = statistics(values[..., k])
    return out


@pytest.mark.parametrize(
    "name",
    [n if n == "crossed slopes" else pytest.param(n, marks=pytest.mark.validate) for n in MODELS],
)
def test_it_agrees_with_sampling_everything(name):
    options = {"parameterization": "noncentered"} | EVERYTHING[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        full = model(name).sample(
            2000, 1500, random_seed=1, progressbar=False, log_likelihood=False, **options
        )
        marginal = model(name).sample(
            2000, random_seed=2, sampler="nutpie", progressbar=False, log_likelihood=False
        )
    assert marginal.datatree.attrs["parameterization"] == "marginal"
    assert marginal.converged, marginal.diagnostics.words()
    assert marginal.diagnostics.divergences == 0
    check_agreement(all_statistics(marginal), all_statistics(full))


def test_the_record_is_the_same_as_of_any_sampler():
    options = {"random_seed": 3, "chains": 2, "draws": 100, "progressbar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        m = model("crossed slopes")
        ours = m.sample(parameterization="marginal", posterior_predictive=True, **options)
        full = m.sample(parameterization="noncentered", tune=50, **options)
    theirs, tree = full.datatree, ours.datatree
    for group in ("posterior", "log_prior", "log_likelihood", "observed_data"):
        mine = tree[group].to_dataset()
        assert dict(mine.sizes) == dict(theirs[group].to_dataset().sizes)
        assert {k: v.dims for k, v in mine.data_vars.items()} == {
            k: v.dims for k, v in theirs[group].to_dataset().data_vars.items()
        }
    assert {"diverging", "acceptance_rate", "lp"} <= set(tree["sample_stats"].data_vars)
    assert np.isfinite(tree["posterior_predictive"]["y"].to_numpy()).all()
    assert "marginal" in str(ours.summary())
    again = m.sample(parameterization="marginal", **options).datatree
    for name, array in tree["posterior"].data_vars.items():
        np.testing.assert_array_equal(array, again["posterior"][name])


def test_what_auto_chooses_and_why():
    m = model("sleepstudy")
    plan = choose(m.design, m.priors, "auto", "nutpie")
    assert (plan.parameterization, plan.because) == (
        "marginal",
        "fixed and random effects integrate out exactly",
    )
    plan = choose(m.design, m.priors, "auto", "auto")
    assert (plan.parameterization, plan.sampler) == ("marginal", "independence")
    assert "4 variance parameters are few enough" in plan.because
    assert choose(m.design, m.priors, "auto", "pymc").parameterization == "centered"
    heavy = bl.Model(m.formula.text, bl.load_dataset("sleepstudy"), priors={"beta": bl.StudentT(3)})
    plan = choose(heavy.design, heavy.priors, "auto", "nutpie")
    assert plan.ways == {"Subject": "centered"}
    assert plan.because == (
        "a prior of a fixed effect is neither Normal nor Flat; "
        "centered for Subject (10 rows a level, reliability 0.79)"
    )
    with pytest.raises(ArgumentError, match="neither Normal nor Flat"):
        choose(heavy.design, heavy.priors, "marginal", "nutpie")
    data = bl.load_dataset("InstEval").assign(y=lambda d: d["y"].astype(float))
    large = bl.Model("y ~ service + (1 | s) + (1 | d)", data)
    assert choose(large.design, large.priors, "auto", "auto").sampler == "independence"
    plan = choose(large.design, large.priors, "auto", "nutpie")
    assert (plan.ways["d"], plan.sampler) == ("centered", "nutpie")
    assert "1128 crossed random effects make an evaluation of the integral slow" in plan.because


@pytest.mark.parametrize(
    "priors",
    [
        {"sd_Subject": bl.Uniform(0, 100), "sigma": bl.Uniform(5, 60)},
        {"beta": bl.Flat(), "sd_Subject": bl.HalfCauchy(20), "corr_Subject": bl.LKJ(4)},
        {"sd_Subject[Days]": bl.InverseGamma(3, 10), "sigma": bl.LogNormal(3, 0.5)},
    ],
)
def test_every_kind_of_prior_samples(priors):
    m = bl.Model("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"), priors=priors)
    fit = m.sample(300, random_seed=5, progressbar=False, log_likelihood=False)
    assert fit.datatree.attrs["parameterization"] == "marginal"
    assert fit.diagnostics.divergences == 0
    sigma = fit.datatree["posterior"]["sigma"].to_numpy()
    assert 20 < sigma.mean() < 32


def test_without_random_terms_and_without_fixed_ones():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=60), "g": np.repeat(np.arange(12), 5)})
    data["y"] = data["x"] + rng.normal(size=12)[data["g"]] + rng.normal(size=60)
    for formula in ("y ~ x", "y ~ 0 + (1 | g)"):
        fit = bl.Model(formula, data).sample(300, random_seed=5, progressbar=False)
        assert fit.diagnostics.divergences == 0 and fit.diagnostics.rhat < 1.03


@pytest.mark.parametrize("name", ["cake", "sleepstudy", "Penicillin"])
def test_independence_agrees_with_nuts(name):
    options = {"progressbar": False, "log_likelihood": False}
    m = model(name)
    nuts = m.sample(3000, random_seed=4, sampler="nutpie", **options)
    other = m.sample(6000, random_seed=5, sampler="independence", **options)
    attrs = other.datatree.attrs
    assert attrs["sampler"] == "independence" and attrs["parameterization"] == "marginal"
    assert attrs["pareto_k"] < 0.7 and attrs["acceptance"] > 0.6
    assert other.converged, other.diagnostics.words()
    check_agreement(all_statistics(other), all_statistics(nuts))


def test_metropolis_leaves_the_target_as_it_is():
    """A narrow normal from a wide one: moments, and acceptance as simulated directly."""
    rng = np.random.default_rng(6)
    x = 2.0 * rng.normal(size=4 * 20_001)
    log_weights = -0.5 * x**2 + 0.5 * (x / 2.0) ** 2
    kept, chance = metropolis(log_weights, 4, rng)
    draws = x[kept]
    for value, expected, spread in ((draws.mean(), 0.0, 1.0), ((draws**2).mean(), 1.0, 1.5)):
        assert abs(value - expected) < 4.5 * spread / np.sqrt(80_000 / 3)
    moved = (np.diff(kept, axis=1) != 0).mean()
    assert chance.mean() == pytest.approx(moved, abs=0.01)


def test_a_poor_proposal_hands_over_to_nuts(monkeypatch):
    """A proposal ten times too narrow is found out by its Pareto k."""
    m = model("sleepstudy")
    good = find_proposal(MarginalPosterior(m.design, m.priors))
    narrow = replace(good, up=good.up / 10, down=good.down / 10)
    monkeypatch.setattr("bayeslmm.sampling.independence.find_proposal", lambda _: narrow)
    fit = m.sample(200, random_seed=1, sampler="independence", progressbar=False)
    assert fit.datatree.attrs["sampler"] == "nutpie"
    assert "no independent proposal" in fit.datatree.attrs["parameterization_because"]


def test_independence_is_for_the_marginal_posterior_only():
    data = pd.DataFrame({"y": [0, 1] * 20, "g": np.repeat(np.arange(8), 5)})
    with pytest.raises(ArgumentError, match="not Gaussian"):
        bl.Model("y ~ 1 + (1 | g)", data, family="bernoulli").sample(sampler="independence")
    with pytest.raises(ArgumentError, match="samples the marginal posterior"):
        model("sleepstudy").sample(sampler="independence", parameterization="centered")
