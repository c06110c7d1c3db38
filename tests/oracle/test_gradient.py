"""Exact gradients against differences of the value, which `test_dense` holds to the oracle."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.engine.gaussian.crossproducts import compute_crossproducts
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.gaussian.search import Search
from bayeslmm.engine.gaussian.small_problem import is_small
from tests.oracle.designs import CASES, objective, random_theta

PRIORS = {
    "defaults": {},
    "half-normal, LKJ(2)": {"sd_g": bl.HalfNormal(3), "corr_g": bl.LKJ(2)},
    "half-t": {"sd_g": bl.HalfStudentT(3, 2), "sigma": bl.HalfStudentT(4, 5)},
    "gamma": {"sd_g": bl.Gamma(2, 0.5), "sigma": bl.Gamma(3, 0.2)},
    "normal beta": {"beta": bl.Normal(1, 2)},
    "flat beta": {"beta": bl.Flat(), "beta[Intercept]": bl.Flat()},
    "one flat": {"beta[Intercept]": bl.Flat(), "beta[x]": bl.Normal(3, 0.5)},
}


def differences(value, x):
    """Central differences, two steps extrapolated."""
    out = np.empty_like(x)
    for k in range(len(x)):
        step = np.zeros_like(x)
        slopes = []
        for h in (2e-3, 1e-3):
            step[k] = h * max(1.0, abs(x[k]))
            slopes.append((value(x + step) - value(x - step)) / (2 * step[k]))
        out[k] = (4 * slopes[1] - slopes[0]) / 3
    return out


def check(criterion, x):
    exact = criterion(x).gradient
    numeric = differences(lambda v: criterion(v).value, x)
    np.testing.assert_allclose(exact, numeric, rtol=0, atol=1e-8 * np.abs(numeric).max())


def start(o, seed):
    """A random vector of the criterion: entries of T in working coordinates."""
    return np.random.default_rng(seed).normal(size=o.layout.size) * 0.5 + o.layout.start()


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("name", [n for n in CASES if n != "no random term"])
def test_profiled(name, method):
    o = objective(CASES[name].model(), method)
    check(o.profiled, start(o, 1))


def test_every_way_to_evaluate_is_among_the_cases():
    chains = {name: objective(CASES[name].model(), "REML").cp for name in CASES}
    full = [name for name, cp in chains.items() if cp.chain and cp.chain[0].full is not None]
    assert full == ["full couplings"]
    general = [n for n, cp in chains.items() if cp.chain and not is_small(cp) and n not in full]
    assert general == ["sparse couplings"]


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("name", [n for n in CASES if "couplings" not in n and "no r" not in n])
def test_small_models_in_one_compiled_call(name, method):
    o = objective(CASES[name].model(), method)
    assert is_small(o.cp)
    search, x = Search(o, joint=False), start(o, 3)
    small, general = search(x), o.profiled(x)
    assert small.value == pytest.approx(general.value, rel=1e-13)
    for mine, theirs in (
        (small.gradient, general.gradient),
        (small.curvature(), general.curvature()),
        (small.solved().C_beta, general.solved().C_beta),
        (small.solved().beta, general.solved().beta),
        *zip(small.solved().u, general.solved().u, strict=True),
    ):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-11 * np.abs(theirs).max(initial=1))
    assert small.solved().sigma == pytest.approx(general.solved().sigma, rel=1e-13)
    assert small.solved().deviance == small.value


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("name", CASES)
def test_joint_without_priors(name, method):
    o = objective(CASES[name].model(), method)
    check(o.joint, np.append(start(o, 2), -0.3))


@pytest.mark.parametrize("priors", PRIORS)
@pytest.mark.parametrize("name", ["slopes", "three columns", "weights, slopes, crossed", "years"])
def test_joint_with_priors(name, priors):
    o = objective(CASES[name].model(priors=PRIORS[priors]), "MAP")
    check(o.joint, np.append(start(o, 3), -0.3))


@pytest.mark.parametrize("name", ["slopes", "crossed slopes", "three columns"])
def test_boundary_form(name):
    """To first order, moving T T' by D at T = 0 changes the deviance by -2 tr(N D)."""
    o = objective(CASES[name].model(), "REML")
    x = np.zeros(o.layout.size)
    T = o.layout.unpack(x)
    f = o.factorise(T)
    s = o.solve(f, given_fixed=False, curvature=True)
    sigma2 = o.best_sigma(f) ** 2
    rng = np.random.default_rng(4)
    for k, t in enumerate(T):
        N = 0.5 * (s.gg[k] / sigma2 - s.ZPZ[k])
        direction = np.linalg.cholesky(np.cov(rng.normal(size=(len(t), 9))) + np.eye(len(t)))
        direction = direction * o.layout.patterns[k]

        def moved(h, k=k, direction=direction):
            there = list(T)
            there[k] = np.sqrt(h) * direction
            return o.profiled_value(o.layout.pack(there))

        slope = (4 * (moved(1e-5) - moved(0)) - (moved(2e-5) - moved(0))) / 2e-5
        expected = -2 * np.sum(N * (direction @ direction.T))
        assert slope == pytest.approx(expected, rel=1e-5)


def test_theta_round_trip():
    """Working coordinates and back: the same covariance factor."""
    for name in CASES:
        design = CASES[name].model().design
        layout = Layout.of(design, compute_crossproducts(design).coordinates)
        theta = random_theta(design, 5)
        back = layout.to_raw(layout.to_working(theta))
        for T, again in zip(theta, back, strict=True):
            size = np.sqrt(np.diag(T @ T.T))[:, None]
            assert np.max(np.abs(again - T) / size) < 1e-12
