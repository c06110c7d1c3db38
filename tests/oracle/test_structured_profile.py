"""Profiles with a residual structure against minimisation of the n x n deviance by SciPy."""

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import ndtri

import bayeslmm as bl
from bayeslmm.engine.gaussian.held_structured import StructuredProblems
from bayeslmm.engine.gaussian.newton import descend
from bayeslmm.engine.gaussian.profile import _least, parameter_names, profile_likelihood
from bayeslmm.engine.gaussian.residual import ResidualSearch, fit_structured
from bayeslmm.engine.gaussian.variances import correlated_pairs
from tests.oracle.dense import Dense
from tests.oracle.test_residual import correlation, model_of

CUTOFF = -float(ndtri(0.025))
AR1 = bl.AR1(by="g", time="t")
CASES = {
    "ar1": ("y ~ x + (1 | g)", AR1, None),
    "ar1 slopes": ("y ~ x + (1 + z | g)", AR1, "w"),
    "ar1 crossed": ("y ~ x + (1 | g) + (1 | i)", AR1, None),
    "ar1 across": ("y ~ x + (1 | i)", AR1, "w"),
    "ar1 no bars": ("y ~ x", bl.AR1(by="g"), "w"),
    "cs": ("y ~ 0 + x + (0 + z | g)", bl.CompoundSymmetry(by="g"), None),
    "ratios": ("y ~ x + (1 | g)", bl.VarianceBy(by="h"), "w"),
}


@cache
def table():
    """Ten series of nine rows with gaps, autocorrelated; levels of h differ in their SD."""
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(10), 9)
    e = rng.normal(size=90)
    for k in range(90):
        if k % 9:
            e[k] = 0.5 * e[k - 1] + np.sqrt(0.75) * e[k]
    i, h = rng.integers(0, 6, 90), rng.integers(0, 3, 90)
    x, z = rng.normal(size=(2, 90))
    y = 5.0 + x + 1.2 * rng.normal(size=10)[g] + 0.9 * z * rng.normal(size=10)[g]
    y += rng.normal(size=6)[i] + np.array([0.7, 1.0, 1.6])[h] * e
    return pd.DataFrame({
        "y": y, "x": x, "z": z, "g": np.array(list("abcdefghij"))[g],
        "i": np.char.add("i", i.astype(str)),
        "h": np.array(["p", "q", "r"])[h],
        "t": np.concatenate([np.sort(rng.choice(11, 9, replace=False)) for _ in range(10)]),
        "w": rng.choice([0.0, 0.5, 1.0, 2.0], 90, p=[0.1, 0.3, 0.3, 0.3]),
    })  # fmt: skip


@cache
def profiled(name):
    formula, structure, weights = CASES[name]
    model = bl.Model(formula, table(), weights=weights, residual=structure)
    estimate = fit_structured(model.design, "ML")
    names = parameter_names(model.design, estimate.variance_names)
    curves = profile_likelihood(model.design, estimate, range(len(names)), CUTOFF)
    return model.design, estimate, curves


class Natural:
    """The deviance in (SDs, artanh of correlations, log sigma, coordinates of phi)."""

    def __init__(self, design, estimate):
        self.search = ResidualSearch(design, "ML", None)
        self.design, self.estimate = design, estimate
        self.names = [*estimate.variance_names, *estimate.residual_names]
        values = np.concatenate([estimate.variance_values, estimate.residual_values])
        self.Z = [Z.astype(float) for Z in Dense(design).Z]
        self.start = np.array([self.free(k, v) for k, v in zip(self.names, values, strict=True)])

    def free(self, name, value):
        if name.startswith("corr_"):
            return np.arctanh(np.clip(value, -0.99999, 0.99999))
        if name in self.search.names:
            k = self.search.names.index(name)
            low, high = self.search.scale.low[k], self.search.scale.high[k]
            if np.isinf(high):
                return np.log(value)
            return 0.5 * np.log((value - low) / (high - value))
        return np.log(value) if name == "sigma" else value

    def deviance(self, x, design):
        """By Cholesky factors of V; infinite where there are none."""
        value, k = dict(zip(self.names, x, strict=True)), len(self.search.names)
        if np.abs(x[len(x) - k :]).max() > 8.0 or abs(value["sigma"]) > 20.0:
            return np.inf
        sigma, theta = np.exp(value["sigma"]), []
        for f in design.factors:
            sd = [value[f"sd_{f.name}[{c}]"] for c in f.column_names]
            corr = np.eye(f.n_columns)
            for i, j in correlated_pairs(f):
                c = f.column_names
                corr[i, j] = corr[j, i] = np.tanh(value[f"corr_{f.name}[{c[j]}, {c[i]}]"])
            theta.append(np.diag(sd) @ np.linalg.cholesky(corr) / sigma)
        R = correlation(design, self.search.scale.values(x[len(x) - k :]))
        used = design.weights > 0
        V = R / np.sqrt(np.outer(design.weights[used], design.weights[used]))
        for Z, T in zip(self.Z, theta, strict=True):
            half = (Z @ T).reshape(len(V), -1)
            V += half @ half.T
        try:
            L = np.linalg.cholesky(sigma**2 * V)
        except np.linalg.LinAlgError:
            return np.inf
        X, y = (np.linalg.solve(L, a[used]) for a in (design.X, design.y - design.offset))
        if X.shape[1]:
            y = y - X @ np.linalg.lstsq(X, y)[0]
        return float(2.0 * np.log(np.diag(L)).sum() + y @ y + len(y) * np.log(2.0 * np.pi))

    def least(self, design, held=None):
        """Minimum over the parameters but the held one, (position, value)."""
        free = [i for i in range(len(self.names)) if held is None or i != held[0]]

        def of_free(z):
            x = self.start.copy()
            x[free] = z
            if held is not None:
                x[held[0]] = self.free(self.names[held[0]], held[1])
            return self.deviance(x, design)

        best = np.inf
        other = self.start.copy()
        other[-1] *= -1.0
        for start in (self.start[free], other[free]):
            if not free:
                return of_free(start)
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # a first step of BFGS may leave for where an SD is zero
                start = minimize(of_free, start, method="Nelder-Mead",
                                 options={"maxfev": 60 * len(free)}).x  # fmt: skip
                found = minimize(of_free, start, method="BFGS", options={"gtol": 1e-7})
            best = min(best, found.fun)
        return best


def without_column(design, column, value):
    """The design with a fixed effect held: its column goes to the offset."""
    return replace(
        design,
        X=np.ascontiguousarray(np.delete(design.X, column, axis=1)),
        fixed_names=tuple(np.delete(design.fixed_names, column).tolist()),
        offset=design.offset + value * design.X[:, column],
    )


@pytest.mark.parametrize("name", CASES)
def test_limits_are_those_of_constrained_minimisation(name):
    design, estimate, curves = profiled(name)
    natural, lowest = Natural(design, estimate), -2.0 * estimate.loglik
    assert natural.least(design) == pytest.approx(lowest, abs=1e-6)
    for position, curve in enumerate(curves):
        assert curve.monotone and not curve.better, curve.name
        for limit in curve.interval:
            if limit in (0.0, -1.0, 1.0):
                continue
            if position < design.p:
                there = natural.least(without_column(design, position, limit))
            else:
                there = natural.least(design, (position - design.p, limit))
            assert there - lowest == pytest.approx(CUTOFF**2, abs=2e-5), curve.name


def differences(x, f, step):
    """Derivatives by central differences of order four."""
    out = []
    for i in range(len(x)):
        h = np.eye(len(x))[i] * step
        out.append((8.0 * (f(x + h) - f(x - h)) - f(x + 2 * h) + f(x - 2 * h)) / (12.0 * step))
    return np.array(out)


@pytest.mark.parametrize("name", ["ar1 slopes", "ar1 across", "cs", "ratios"])
def test_slopes_and_curvatures_are_derivatives(name):
    design, estimate, curves = profiled(name)
    problems = StructuredProblems(design, estimate)
    for position, curve in enumerate(curves):
        held = problems.held(position)
        x = held.lifted(held.start(estimate.T, estimate.sigma))
        at = 0.3 if np.isnan(curve.estimate) else 0.9 * curve.estimate + 1e-3
        criterion = held.criterion(at)
        numeric = differences(x, lambda x, c=criterion: c(x).value, 1e-3)
        np.testing.assert_allclose(criterion(x).gradient, numeric, rtol=1e-6, atol=1e-5)
        if position >= design.p:
            step = 1e-3 * max(abs(at), 0.1) * (1.0 - at if curve.name.startswith("corr") else 1.0)
            (rise,) = differences(np.array([at]), lambda v: held.criterion(v[0])(x).value, step)  # noqa: B023
            assert held.slope(x, at) == pytest.approx(rise, rel=1e-6, abs=1e-5)
        k = len(held.free)
        if k:
            second = differences(x, lambda x, c=criterion, k=k: c(x).gradient[-k:], 1e-3).T
            H = criterion(x).curvature()[-k:]
            np.testing.assert_allclose(H, second, rtol=1e-3, atol=1e-3)


def test_profiles_by_name():
    data = bl.load_dataset("sleepstudy")
    fit = bl.fit("Reaction ~ Days", data, residual=bl.AR1(by="Subject", time="Days"))
    table = fit.confint("profile", parm=["ar1", "Days"])
    assert table.index.tolist() == ["ar1", "Days"]
    profile = fit.profile("variance")
    assert profile.limits.index.tolist() == ["sigma", "ar1"]
    structure = bl.AR1(by="Subject", time="Days")
    ml = bl.fit("Reaction ~ Days", data, method="ML", residual=structure)
    assert profile.deviance == pytest.approx(-2.0 * ml.llf, abs=1e-9)
    from_ml = ml.confint("profile", parm="variance")
    np.testing.assert_allclose(profile.confint(0.95), from_ml, rtol=1e-7)
    wide, narrow = table.loc["ar1"], profile.confint(0.8).loc["ar1"]
    assert wide["lower"] < narrow["lower"] < narrow["upper"] < wide["upper"]


def test_a_second_optimum_is_found_with_a_parameter_held():
    """These series are fitted by a correlation of 0.86 or, with another intercept, of -0.76."""
    model, _ = model_of("ar1 weights")
    estimate = fit_structured(model.design, "ML")
    problems = StructuredProblems(model.design, estimate)
    held, value = problems.held(0), -1037.5
    x = held.start(estimate.T, estimate.sigma)
    every = np.ones(len(x), dtype=bool)
    near = descend(held.criterion(value), held.criterion(value)(held.lifted(x)), every)[0]
    found = _least(held, value, [x])
    assert found.value < near.value - 5.0
    natural = Natural(model.design, estimate)
    there = natural.least(without_column(model.design, 0, value))
    assert found.value == pytest.approx(there, abs=1e-5)
