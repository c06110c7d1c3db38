"""The elimination up a nested chain, beside a crossed remainder, against dense algebra."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag

import bayeslmm as bl
from bayeslmm.engine.gaussian.criterion import solve
from bayeslmm.engine.gaussian.estimate import prepare_objective as _objective
from bayeslmm.engine.gaussian.information import average_information
from bayeslmm.engine.gaussian.working import to_working


@cache
def model() -> bl.Model:
    """Pupils in classes in schools, crossed with items; slopes at every level; weights."""
    rng = np.random.default_rng(1)
    n = 400
    pupil = rng.integers(0, 60, n)
    data = pd.DataFrame(
        {
            "pupil": pupil,
            "cls": pupil % 20,
            "sch": pupil % 20 % 5,
            "item": rng.integers(0, 9, n),
            "x": rng.normal(size=n) + 3.0,
            "z": rng.normal(size=n),
        }
    )
    data["y"] = (
        rng.normal(size=60)[data["pupil"]]
        + rng.normal(size=20)[data["cls"]] * data["x"]
        + 2.0 * rng.normal(size=9)[data["item"]]
        + data["x"]
        + rng.normal(size=n)
    )
    formula = "y ~ x + z + (x | pupil) + (1 + x + z | cls) + (z || sch) + (x | item)"
    return bl.Model(formula, data, weights=rng.uniform(0.5, 2.0, n))


@cache
def state(method: str) -> dict[str, Any]:
    """An objective at a random point, and the same point as dense matrices (working scale)."""
    objective = _objective(model().design, method, None)
    layout, cp, d = objective.layout, objective.cp, model().design
    x = layout.start() + 0.3 * np.random.default_rng(2).normal(size=layout.size)
    T = layout.unpack(x)
    maps = cp.coordinates
    Z = []
    for k, f in enumerate(d.factors):
        block = np.zeros((d.n, f.n_levels * f.n_columns))
        columns = to_working(f.columns, maps.Z_maps[k])
        for i in range(d.n):
            at = f.codes[i] * f.n_columns
            block[i, at : at + f.n_columns] = columns[i]
        Z.append(block)
    V = np.diag(1.0 / d.weights)
    for f, block, t in zip(d.factors, Z, T, strict=True):
        V += block @ block_diag(*[t @ t.T] * f.n_levels) @ block.T
    X = to_working(d.X, maps.X_map)
    y = (d.y - maps.y_shift) / maps.y_scale
    inverse = np.linalg.inv(V)
    A = X.T @ inverse @ X
    P = inverse - inverse @ X @ np.linalg.solve(A, X.T @ inverse)
    f = objective.factorise(T)
    assert f is not None
    return {
        "objective": objective, "x": x, "T": T, "Z": Z, "V": V, "y": y, "P": P,
        "inverse": inverse, "f": f, "sigma2": f.r2 / objective.df,
    }  # fmt: skip


METHODS = ("REML", "ML")


def test_the_chain_is_found() -> None:
    cp = state("REML")["objective"].cp
    names = [model().design.factors[k].name for k in cp.order]
    assert names[: len(cp.chain)] == ["pupil", "cls", "sch"]


@pytest.mark.parametrize("method", METHODS)
def test_residual_sum_of_squares(method: str) -> None:
    s = state(method)
    assert s["f"].r2 == pytest.approx(s["y"] @ s["P"] @ s["y"], rel=1e-12)
    logdet = np.linalg.slogdet(s["V"])[1] + np.log(model().design.weights).sum()
    assert s["f"].logdet_u == pytest.approx(logdet, rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_gradient(method: str) -> None:
    s = state(method)
    objective, x = s["objective"], s["x"]
    gradient = objective.profiled(x).gradient
    h = 1e-5
    differences = [
        (objective.profiled(x + e).value - objective.profiled(x - e).value) / (2 * h)
        for e in h * np.eye(len(x))
    ]
    np.testing.assert_allclose(gradient, differences, rtol=0, atol=1e-7 * np.abs(gradient).max())


@pytest.mark.parametrize("method", METHODS)
def test_average_information(method: str) -> None:
    s = state(method)
    cp, sigma2, d = s["objective"].cp, s["sigma2"], model().design
    solution = solve(s["f"], given_fixed=method == "ML")
    patterns = [d.factors[k].pattern for k in cp.order]
    information, _ = average_information(s["f"], solution, patterns, sigma2)
    vectors = []
    for k in cp.order:
        t, K = s["T"][k], d.factors[k].n_columns
        for r, c in np.argwhere(d.factors[k].pattern):
            E = np.zeros((K, K))
            E[r, c] = 1.0
            slope = block_diag(*[E @ t.T + t @ E.T] * d.factors[k].n_levels)
            vectors.append(s["Z"][k] @ slope @ s["Z"][k].T @ s["P"] @ s["y"])
    a = np.array(vectors)
    expected = 0.5 * a @ s["P"] @ a.T / sigma2
    scale = np.abs(expected).max()
    np.testing.assert_allclose(information, expected, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("method", METHODS)
def test_boundary_form(method: str) -> None:
    """The two parts of N, sum g g' and sum Z_j'PZ_j."""
    s = state(method)
    cp, d = s["objective"].cp, model().design
    solution = solve(s["f"], given_fixed=method == "ML", curvature=True)
    inner = s["inverse"] if method == "ML" else s["P"]
    residual = s["P"] @ s["y"]
    for at, k in enumerate(cp.order):
        f = d.factors[k]
        J, K = f.n_levels, f.n_columns
        blocks = (s["Z"][k].T @ inner @ s["Z"][k]).reshape(J, K, J, K)
        own = blocks[np.arange(J), :, np.arange(J), :].sum(axis=0)
        np.testing.assert_allclose(solution.ZPZ[at], own, rtol=0, atol=1e-12 * np.abs(own).max())
        g = (s["Z"][k].T @ residual).reshape(J, K)
        expected = g.T @ g
        np.testing.assert_allclose(
            solution.gg[at], expected, rtol=0, atol=1e-11 * np.abs(expected).max()
        )
