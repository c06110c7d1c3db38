"""The linear predictor for one set of coefficients and for draws of them."""

import numpy as np
import pandas as pd

import bayeslmm as bl
from bayeslmm.prediction import linear_predictor, mean_over_draws
from bayeslmm.sampling import linear as sampling_linear


def parts():
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {"y": rng.normal(size=30), "x": rng.normal(size=30), "g": rng.integers(0, 5, 30)}
    )
    data["h"] = rng.permutation(np.arange(30) % 4)
    design = bl.Model("y ~ x + (x | g) + (1 | h)", data, offset=rng.normal(size=30)).design
    beta = rng.normal(size=(7, 2))
    b = [rng.normal(size=(7, 5, 2)), rng.normal(size=(7, 4, 1))]
    return design, beta, b


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
    design, beta, b = parts()
    draws = linear_predictor(design, beta, b)
    assert draws.shape == (7, 30)
    for d in range(7):
        expected = by_rows(design, beta[d], [e[d] for e in b])
        np.testing.assert_allclose(draws[d], expected, rtol=0, atol=1e-13)
        one = linear_predictor(design, beta[d], [e[d] for e in b])
        np.testing.assert_allclose(one, expected, rtol=0, atol=1e-13)
    population = linear_predictor(design, beta, None)
    np.testing.assert_allclose(population, beta @ design.X.T + design.offset, atol=1e-14)


def test_mean_over_draws_in_pieces(monkeypatch):
    design, beta, b = parts()
    whole = mean_over_draws(design.family, design, beta, b)
    np.testing.assert_allclose(whole, linear_predictor(design, beta, b).mean(axis=0), atol=1e-14)
    monkeypatch.setattr(sampling_linear, "CHUNK", 60)  # two draws at a time, the last one alone
    np.testing.assert_allclose(mean_over_draws(design.family, design, beta, b), whole, atol=1e-14)


def test_unseen_levels_add_nothing():
    data = pd.DataFrame({"y": np.sin(np.arange(12)), "x": np.arange(12.0), "g": list("abcd") * 3})
    design = bl.Model("y ~ x + (x | g)", data).design
    new = design.for_new({"x": [2.0, 2.0], "g": ["zz", "d"]})
    b = [np.full((4, 2), 5.0)]
    np.testing.assert_array_equal(linear_predictor(new, np.array([1.0, 3.0]), b), [7.0, 22.0])
    many = linear_predictor(new, np.array([[1.0, 3.0]]), [b[0][None]])
    np.testing.assert_array_equal(many, [[7.0, 22.0]])
