"""REML is the joint mode of SDs, correlations and sigma; on their logs the mode moves.

The numbers are those of the table in docs/mathematics.md.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import bayeslmm as bl
from bayeslmm.engine.gaussian import MarginalPosterior
from tests.oracle.dense import Dense

MODELS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "Penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "Pastes": "strength ~ 1 + (1 | batch/cask)",
    "cake": "angle ~ recipe * temp + (1 | recipe:replicate)",
}
# SDs, correlation, sigma where the density of (log SDs, correlation, log sigma) is highest
ON_LOGS = {
    "sleepstudy": [26.15694786, 6.19849819, 0.03165901, 25.63287577],
    "Penicillin": [0.86823988, 2.16099034, 0.55216001],
    "Pastes": [1.71843158, 2.90584489, 0.83688572],
    "cake": [6.55356343, 4.57961897],
}


@cache
def model(name: str) -> bl.Model:
    """Flat priors: of the fixed effects, and of SDs, correlations and sigma within bounds."""
    data = bl.load_dataset(name)
    design = bl.Model(MODELS[name], data).design
    wide = {f"sd_{f.name}": bl.Uniform(0, 1000) for f in design.factors}
    flat = {"beta[Intercept]": bl.Flat(), "sigma": bl.Uniform(0, 1000)}
    if design.p > 1:
        flat["beta"] = bl.Flat()
    one = {f"corr_{f.name}": bl.LKJ(1) for f in design.factors if f.has_correlations}
    return bl.Model(MODELS[name], data, priors={**wide, **one, **flat})


@cache
def criterion(name: str) -> Any:
    """REML log likelihood of (SDs by factor, correlation if any, sigma), of dense algebra."""
    design = model(name).design
    dense = Dense(design, dtype=np.float64)

    def value(v: np.ndarray) -> float:
        sigma, T, at = v[-1], [], 0
        for f in design.factors:
            sd = v[at : at + f.n_columns]
            at += f.n_columns
            L = np.eye(f.n_columns)
            if f.has_correlations:
                L[1] = v[-2], np.sqrt(1.0 - v[-2] ** 2)
            T.append(sd[:, None] * L / sigma)
        return float(dense.loglik(T, sigma, "REML"))

    return value


def reml(name: str) -> np.ndarray:
    return np.array(model(name).fit("REML").estimate.variance_values)


def gradient(value: Any, x: np.ndarray) -> np.ndarray:
    """By central differences, extrapolated once."""
    out = np.empty(len(x))
    for k in range(len(x)):
        slopes = []
        for h in (2e-3, 1e-3):
            step = np.zeros(len(x))
            step[k] = h * max(abs(x[k]), 0.1)
            slopes.append((value(x + step) - value(x - step)) / (2.0 * step[k]))
        out[k] = (4.0 * slopes[1] - slopes[0]) / 3.0
    return out


def logged(name: str) -> np.ndarray:
    """Which coordinates go by their logs: all but a correlation."""
    names = model(name).fit("REML").estimate.variance_names
    return np.array([not k.startswith("corr_") for k in names])


def on_logs(name: str) -> Any:
    """Log density of (log SDs, correlation, log sigma): REML's, and the Jacobian."""
    logs, value = logged(name), criterion(name)

    def density(u: np.ndarray) -> float:
        v = np.where(logs, np.exp(np.where(logs, u, 0.0)), u)
        return value(v) + float(u[logs].sum())

    return density


def to_logs(name: str, v: np.ndarray) -> np.ndarray:
    logs = logged(name)
    return np.where(logs, np.log(np.where(logs, v, 1.0)), v)


@pytest.mark.parametrize("name", MODELS)
def test_reml_is_the_joint_mode(name):
    """Found anew, without the engine, from elsewhere; flat priors add a constant."""
    value, estimate = criterion(name), reml(name)
    relative = np.maximum(np.abs(estimate), 0.1)
    np.testing.assert_allclose(gradient(value, estimate) * relative, 0.0, atol=1e-5)
    start = estimate * np.where(logged(name), 1.3, 0.0)

    def scaled(x: np.ndarray) -> float:
        return -value(x * relative)

    found = minimize(
        scaled, start / relative, jac=lambda x: gradient(scaled, x), options={"gtol": 1e-7}
    )
    # the likelihood is the same at minus an SD
    ours = np.where(logged(name), np.abs(found.x), found.x) * relative
    np.testing.assert_allclose(ours, estimate, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_map_under_flat_priors_is_reml(name):
    found = model(name).fit("MAP").estimate
    assert found.variance_names == model(name).fit("REML").estimate.variance_names
    np.testing.assert_allclose(found.variance_values, reml(name), rtol=5e-7)


@pytest.mark.parametrize("name", MODELS)
def test_on_logs_the_mode_moves_by_the_jacobian(name):
    mode = np.array(ON_LOGS[name])
    density, value = on_logs(name), criterion(name)
    at = to_logs(name, mode)
    np.testing.assert_allclose(gradient(density, at), 0.0, atol=5e-6)
    # so REML's own criterion still falls there, by one a unit of each log
    slope = gradient(value, mode) * np.where(logged(name), mode, 1.0)
    np.testing.assert_allclose(slope, np.where(logged(name), -1.0, 0.0), atol=5e-6)
    assert density(at) > density(to_logs(name, reml(name)))
    assert value(mode) < value(reml(name))
    steps = np.eye(len(at)) * 1e-3
    H = np.array([(gradient(density, at + s) - gradient(density, at - s)) / 2e-3 for s in steps])
    assert np.linalg.eigvalsh((H + H.T) / 2.0).max() < -1.0


@pytest.mark.parametrize("name", MODELS)
def test_the_sampled_density_is_the_one_on_logs(name):
    """Its gradient at REML is the Jacobian's alone: 1 for a log, -2 rho for artanh rho."""
    design = model(name).design
    wide = {f"sd_{f.name}": bl.HalfNormal(1e9) for f in design.factors}
    flat = {"beta[Intercept]": bl.Flat(), "sigma": bl.HalfNormal(1e9), **wide}
    if design.p > 1:
        flat["beta"] = bl.Flat()
    one = {f"corr_{f.name}": bl.LKJ(1) for f in design.factors if f.has_correlations}
    m = bl.Model(MODELS[name], bl.load_dataset(name), priors={**flat, **one})
    posterior = MarginalPosterior(m.design, m.priors)
    e = m.fit("REML").estimate
    sds = [np.sqrt(np.diag(cov)) for cov in e.covariances]
    Rs = [cov / np.outer(sd, sd) for cov, sd in zip(e.covariances, sds, strict=True)]
    found = posterior(posterior.coordinates(sds, Rs, e.sigma))[1]
    scale = [-2.0 * Rs[0][0, 1] if k.startswith("partial") else 1.0 for k in posterior.names]
    np.testing.assert_allclose(found, scale, atol=1e-5)
