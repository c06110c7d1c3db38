"""The linear predictor of one set of coefficients, and of draws of them."""

import numpy as np
import pandas as pd

import bayeslmm as bl
from bayeslmm.prediction import ParameterDraws, linear_predictor, mean_response, training_rows
from bayeslmm.prediction import posterior as over_draws
from bayeslmm.prediction.posterior import predictor


def parts():
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {"y": rng.normal(size=30), "x": rng.normal(size=30), "g": rng.integers(0, 5, 30)}
    )
    data["h"] = rng.permutation(np.arange(30) % 4)
    design = bl.Model("y ~ x + (x | g) + (1 | h)", data, offset=rng.normal(size=30)).design
    beta = rng.normal(size=(7, 2))
    b = [rng.normal(size=(7, 5, 2)), rng.normal(size=(7, 4, 1))]
    cov = [np.tile(np.eye(2), (7, 1, 1)), np.ones((7, 1, 1))]
    return design, ParameterDraws(beta, b, cov, {"sigma": np.ones(7)})


def by_rows(design, beta, b):
    """One row at a time, from the definition."""
    out = []
    for i in range(design.n):
        eta = design.offset[i] + design.X[i] @ beta
        for f, effects in zip(design.factors, b, strict=True):
            eta += f.columns[i] @ effects[f.codes[i]]
        out.append(eta)
    return np.array(out)


def test_draws_and_single_coefficients():
    design, draws = parts()
    eta = predictor(training_rows(design), draws)
    assert eta.shape == (30, 7)
    for d in range(7):
        b = [e[d] for e in draws.b]
        expected = by_rows(design, draws.beta[d], b)
        np.testing.assert_allclose(eta[:, d], expected, rtol=0, atol=1e-13)
        one = linear_predictor(design, draws.beta[d], b)
        np.testing.assert_allclose(one, expected, rtol=0, atol=1e-13)
    population = linear_predictor(design, draws.beta[0], None)
    np.testing.assert_allclose(population, design.X @ draws.beta[0] + design.offset, atol=1e-14)


def test_mean_over_draws_is_that_at_the_mean_effects():
    design, draws = parts()
    mean = mean_response(training_rows(design), draws, average=False, trials=True)
    each = predictor(training_rows(design), draws).mean(axis=1)
    np.testing.assert_allclose(mean, each, atol=1e-14)


def test_rows_in_pieces(monkeypatch):
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.poisson(3, 30), "x": rng.normal(size=30)})
    data["g"] = np.arange(30) % 5
    design = bl.Model("y ~ x + (1 | g)", data, family="poisson").design
    beta, b = rng.normal(size=(50, 2)) / 9, [rng.normal(size=(50, 5, 1))]
    draws = ParameterDraws(beta, b, [np.ones((50, 1, 1))], {})
    rows = training_rows(design)
    whole = mean_response(rows, draws, average=False, trials=True)
    np.testing.assert_allclose(whole, np.exp(predictor(rows, draws)).mean(axis=1), rtol=1e-14)
    monkeypatch.setattr(over_draws, "CHUNK", 100)  # two rows at a time
    pieces = mean_response(rows, draws, average=False, trials=True)
    np.testing.assert_array_equal(pieces, whole)


def test_unseen_levels_add_nothing():
    data = pd.DataFrame({"y": np.sin(np.arange(12)), "x": np.arange(12.0), "g": list("abcd") * 3})
    design = bl.Model("y ~ x + (x | g)", data).design
    new = design.for_new({"x": [2.0, 2.0], "g": ["zz", "d"]})
    b = [np.full((4, 2), 5.0)]
    np.testing.assert_array_equal(linear_predictor(new, np.array([1.0, 3.0]), b), [7.0, 22.0])
