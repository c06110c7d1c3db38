"""Profiles against constrained minimisation by other means, and refits of smaller models."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize
from scipy.special import ndtri

import bayeslmm as bl
from bayeslmm.engine.gaussian import fit_gaussian
from bayeslmm.engine.gaussian.ml_deviance import Deviance
from bayeslmm.engine.gaussian.problems import Problems
from bayeslmm.engine.gaussian.profile import parameter_names, profile_likelihood
from bayeslmm.engine.gaussian.variances import variance_jacobian, variance_values
from bayeslmm.errors import FitError
from tests.oracle.designs import CASES, objective

CUTOFF = -float(ndtri(0.025))
# left out: data at which several optima, or none, are the rule (too few levels for the model)
SOUND = [
    "intercepts", "no fixed part", "factor without intercept", "slopes",
    "slopes, uncorrelated", "two terms on a factor", "crossed", "crossed slopes", "nested",
    "three crossed", "interaction only", "weights", "weights and offset",
    "offset in the formula", "full couplings", "no random term",
]  # fmt: skip


@cache
def profiled(name):
    model = CASES[name].model()
    estimate = fit_gaussian(model.design, "ML")
    names = parameter_names(model.design, estimate.variance_names)
    curves = profile_likelihood(model.design, estimate, range(len(names)), CUTOFF)
    return model, estimate, curves


def least_with_fixed(design, column, value):
    """Deviance of the model without the column, which is in the offset."""
    x = design.X[:, column]
    smaller = replace(
        design,
        X=np.ascontiguousarray(np.delete(design.X, column, axis=1)),
        fixed_names=tuple(np.delete(design.fixed_names, column).tolist()),
        offset=design.offset + value * x,
    )
    return -2.0 * fit_gaussian(smaller, "ML").loglik


def least_with_variance(model, estimate, position, value):
    """SLSQP on the joint deviance in (T, log sigma), with the parameter as a constraint."""
    ml, design = objective(model, "ML"), model.design
    layout, maps = ml.layout, ml.cp.coordinates

    def parts(x):
        return layout.unpack(x[:-1]), float(np.exp(x[-1])) * maps.y_scale

    def excess(x):
        working, sigma = parts(x)
        return variance_values(design, layout.to_raw(working), sigma)[position] - value

    def slope(x):
        working, sigma = parts(x)
        return variance_jacobian(design, working, maps.Z_maps, sigma)[position]

    start = np.append(
        layout.pack(layout.to_working(estimate.T)), np.log(estimate.sigma / maps.y_scale)
    )
    best = np.inf
    for lift in (0.02, 0.3):
        x = start.copy()
        near = [i for i in layout.diagonal if abs(x[i]) < lift]
        x[near] = lift
        found = minimize(
            lambda x: ml.joint(x).value - (-2.0 * estimate.loglik), x,
            jac=lambda x: ml.joint(x).gradient, method="SLSQP",
            constraints={"type": "eq", "fun": excess, "jac": slope},
            options={"ftol": 1e-13, "maxiter": 500},
        )  # fmt: skip
        if abs(excess(found.x)) < 1e-8 * max(1.0, abs(value)):
            best = min(best, found.fun)
    return best


@pytest.mark.parametrize("name", SOUND)
def test_limits_of_fixed_effects_are_those_of_refits(name):
    model, estimate, curves = profiled(name)
    for column in range(model.design.p):
        for limit in curves[column].interval:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                there = least_with_fixed(model.design, column, limit)
            assert there + 2.0 * estimate.loglik == pytest.approx(CUTOFF**2, abs=2e-7)


@pytest.mark.parametrize("name", SOUND)
def test_limits_of_variances_are_those_of_constrained_minimisation(name):
    model, estimate, curves = profiled(name)
    p = model.design.p
    for position, curve in enumerate(curves[p:]):
        assert curve.monotone and not curve.better
        for limit in curve.interval:
            if limit in (0.0, -1.0, 1.0):
                continue
            there = least_with_variance(model, estimate, position, limit)
            assert there == pytest.approx(CUTOFF**2, abs=1e-5), curve.name


@pytest.mark.parametrize(("name", "parameter", "smaller"), [
    ("crossed", "sd_h[Intercept]", "y ~ x + (1 | g)"),
    ("slopes", "sd_g[x]", "y ~ x + (1 | g)"),
    ("slopes", "sd_g[Intercept]", "y ~ x + (0 + x | g)"),
    ("two terms on a factor", "sd_g[x]", "y ~ x + (1 | g)"),
    ("slopes, uncorrelated", "sd_g[Intercept]", "y ~ x + (0 + x | g)"),
])  # fmt: skip
def test_an_sd_of_zero_is_the_model_without_it(name, parameter, smaller):
    model, estimate, curves = profiled(name)
    position = next(i for i, c in enumerate(curves) if c.name == parameter)
    (curve,) = profile_likelihood(model.design, estimate, [position], 12.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        without = fit_gaussian(model.update(smaller).design, "ML").loglik
    assert curve.interval[0] == 0.0
    assert curve.points[0].value == 0.0
    assert curve.points[0].zeta ** 2 == pytest.approx(2.0 * (estimate.loglik - without), abs=1e-6)


@pytest.mark.parametrize("name", ["crossed slopes", "three columns", "weights and offset"])
def test_slopes_are_derivatives(name):
    model, estimate, curves = profiled(name)
    problems = Problems(model.design)
    for position, curve in enumerate(curves):
        held = problems.held(position)
        x = held.lifted(held.start(estimate.T, estimate.sigma))
        at = 0.3 if np.isnan(curve.estimate) else 0.9 * curve.estimate + 1e-3
        criterion = held.criterion(at)
        numeric = approx_fprime(x, lambda x, c=criterion: c(x).value, 1e-6)
        np.testing.assert_allclose(criterion(x).gradient, numeric, rtol=2e-4, atol=2e-3)
        if position >= model.design.p:
            step = 1e-5 * max(abs(at), 0.1)
            rise = held.criterion(at + step)(x).value - held.criterion(at - step)(x).value
            assert held.slope(x, at) == pytest.approx(rise / (2.0 * step), rel=1e-4, abs=1e-4)
        else:
            near = [p for p in curve.points if 0.5 < abs(p.zeta) < 2.5]
            values = np.array([p.zeta for p in curve.points])
            assert near and (np.diff(values) > 0.0).all()


def test_the_profile_knows_its_derivative():
    """Between two points of a profile zeta rises by the mean of its slopes, to third order."""
    for curve in profiled("crossed slopes")[2]:
        for a, b in zip(curve.points[:-1], curve.points[1:], strict=True):
            if not (a.slope > 0.0 and b.slope > 0.0) or b.value - a.value == 0.0:
                continue
            rise = (b.zeta - a.zeta) / (b.value - a.value)
            low, high = sorted([a.slope, b.slope])
            assert 0.7 * low < rise < 1.3 * high


def test_an_estimate_close_to_zero_has_its_limit():
    """There the likelihood is flat at the estimate, and the first step much too long."""
    design = bl.Model("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff")).design
    (f,) = design.factors
    e = np.random.default_rng(2).normal(size=(6, 5))
    e -= e.mean(axis=1, keepdims=True)
    # the ML estimate is zero where the mean squares between and within levels balance
    within = (e**2).sum() / 24
    between = np.array([-3.0, -1.0, -1.0, 1.0, 1.0, 3.0])
    for excess in (1.0005, 1.002, 1.01):
        means = between * np.sqrt(excess * within * 6 / 5 / (between**2).sum())
        y = np.empty(30)
        for j in range(6):
            y[f.codes == j] = 50.0 * (means[j] + e[j])
        changed = replace(design, y=y)
        estimate = fit_gaussian(changed, "ML")
        assert 0.0 < estimate.variance_values[0] < 0.05 * estimate.sigma
        (curve,) = profile_likelihood(changed, estimate, [1], CUTOFF)
        held = Problems(changed).held(1)
        limit = curve.interval[1]
        start = held.lifted(held.start(estimate.T, estimate.sigma))
        found = minimize(lambda x: held.criterion(limit)(x).value, start, tol=1e-12)  # noqa: B023
        assert found.fun + 2.0 * estimate.loglik == pytest.approx(CUTOFF**2, abs=1e-6)
        assert len(curve.points) < 25


def test_a_point_at_which_nothing_can_be_computed():
    made = objective(CASES["crossed"].model(), "ML")
    deviance = Deviance(made.cp, made.layout)
    with pytest.raises(FitError, match="nothing can be computed at these variance parameters"):
        deviance.fixed_effects(np.full(2, np.nan))
