"""Variances of zero: exact, flagged, and never better elsewhere."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.engine.gaussian.boundary import false_boundary
from bayeslmm.engine.gaussian.search import Search
from bayeslmm.errors import FitError, SingularFitWarning
from tests.oracle.dense import Dense
from tests.oracle.designs import CASES, objective

GRID = [0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]


def alternating(seed, levels=8, rows=6, others=5):
    """Rows of a level of ``a`` differ more than rows of different levels; ``b`` is strong."""
    rng = np.random.default_rng(seed)
    a = np.repeat(np.arange(levels), rows)
    b = rng.integers(0, others, len(a))
    e = rng.normal(size=len(a))
    for j in range(levels):
        e[a == j] -= 0.9 * e[a == j].mean()
    return pd.DataFrame({"y": 50 * rng.normal(size=others)[b] + e, "a": a, "b": b})


def balanced(seed=0):
    """Slopes that do not vary beside intercepts that do."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(8), 6)
    x = np.tile(np.arange(6.0) - 2.5, 8)
    e = rng.normal(size=48)
    for j in range(8):  # every level's slope is that of all, exactly
        e[g == j] -= x[g == j] * (e[g == j] @ x[g == j]) / (x[g == j] @ x[g == j])
    return pd.DataFrame({"y": 3 * rng.normal(size=8)[g] + x + e, "g": g, "x": x})


def quiet(formula, data, method="REML"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        return bl.fit(formula, data, method=method)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("seed", range(4))
def test_negative_correlation_within_a_level(seed, method):
    fit = quiet("y ~ 1 + (1 | a) + (1 | b)", alternating(seed), method)
    assert fit.theta[0] == 0.0
    assert fit.variance_components["a"] == 0.0
    assert fit.singular and fit.converged
    assert (fit.random_effects["a"] == 0.0).all()
    assert fit.theta[1] > 20
    dense = Dense(fit.design, float)
    at_grid = [
        dense.deviance([np.array([[s]]), np.array([[t]])], method)
        for s, t in itertools.product(GRID, [*GRID, fit.theta[1]])
    ]
    assert -2 * fit.llf <= min(at_grid) + 1e-9


@pytest.mark.parametrize("formula", ["y ~ x + (x | g)", "y ~ x + (x || g)"])
def test_a_slope_that_does_not_vary(formula):
    fit = quiet(formula, balanced())
    assert fit.singular and fit.converged
    assert fit.varcorr.set_index("parameter").loc["sd_g[x]", "sd"] == 0.0
    dense = Dense(fit.design, float)
    top = fit.theta[0]
    for a, b, c in itertools.product((0.5 * top, top, 2 * top), (-0.2, 0.0, 0.2), GRID):
        T = np.array([[a, 0.0], [b if "||" not in formula else 0.0, c]])
        assert dense.deviance([T], "REML") >= -2 * fit.llf - 1e-9


def test_a_perfect_correlation():
    """Two effects that move together: the second pivot of T is exactly zero."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(10), 5)
    x = np.tile(np.arange(5.0), 10)
    u = rng.normal(size=10)
    y = 4 * u[g] + 2 * u[g] * x + 0.5 * rng.normal(size=50)
    fit = quiet("y ~ x + (x | g)", pd.DataFrame({"y": y, "g": g, "x": x}))
    assert fit.singular and fit.converged
    assert fit.theta[2] == 0.0
    assert fit.varcorr.set_index("parameter").loc["corr_g[Intercept, x]", "corr"] == 1.0
    dense, T = Dense(fit.design, float), fit.estimate.T[0]
    for step, scale in itertools.product((0.001, 0.01, 0.1, 1.0), (0.8, 1.0, 1.25)):
        there = scale * T + np.array([[0, 0], [0, step]])
        assert dense.deviance([there], "REML") > -2 * fit.llf


def test_the_gradient_at_zero_certifies_nothing():
    """It vanishes at T = 0 whether or not zero is best; the form N tells the two apart."""
    data = alternating(0)
    o = objective(bl.Model("y ~ 1 + (1 | a) + (1 | b)", data), "REML")
    zero = np.zeros(2)
    np.testing.assert_array_equal(o.profiled(zero).gradient, 0.0)
    search = Search(o, joint=False)
    escape = false_boundary(search, zero, np.zeros(2, dtype=bool))
    assert escape is not None and escape[0] == 0.0 and escape[1] > 0.0
    assert o.profiled(escape).value < o.profiled(zero).value
    fit = quiet("y ~ 1 + (1 | a) + (1 | b)", data)
    best = o.layout.pack(o.layout.to_working(fit.estimate.T))
    assert false_boundary(search, best, np.array([False, True])) is None


def test_a_weak_variance_is_not_lost():
    """A variance ratio below the size at which zeros are tried stays, if the data have it."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(5), 40_000)
    y = rng.normal(size=len(g)) + 0.01 * np.repeat([-1.5, -0.5, 0.0, 0.5, 1.5], 40_000)
    y -= np.repeat(y.reshape(5, -1).mean(axis=1), 40_000)
    y += 0.012 * np.repeat([-1.5, -0.5, 0.0, 0.5, 1.5], 40_000)
    fit = bl.fit("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": g}))
    between, within = 0.012**2 * 1.25, 1 / 40_000
    expected = np.sqrt(between - within)  # ANOVA: balanced, one factor
    assert fit.theta[0] == pytest.approx(expected, rel=0.01)
    assert 0 < fit.theta[0] < 0.02 and fit.converged and not fit.singular


def test_it_is_said_once_and_strict_raises():
    model = bl.Model("y ~ 1 + (1 | a) + (1 | b)", alternating(0))
    with pytest.warns(SingularFitWarning, match="the SD of `Intercept` for `a` is 0") as said:
        model.fit()
    assert len(said) == 1
    assert said[0].filename == __file__
    with pytest.raises(FitError, match="the SD of `Intercept` for `a` is 0"):
        model.fit(strict=True)


@pytest.mark.parametrize("name", ["crossed", "weights, slopes, crossed"])
def test_map_with_priors_of_boundary_avoiding_kind_stays_inside(name):
    given = {"sd_g": bl.Gamma(2, 0.1), "sd_h": bl.Gamma(2, 0.1)}
    if "slopes" in name:
        given["corr_g"] = bl.LKJ(2)
    for seed in range(6):
        fit = CASES[name].model(seed, priors=given).fit("MAP")
        assert fit.converged and not fit.singular
