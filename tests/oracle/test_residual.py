"""Residual structures against n x n matrices: the criterion, its optimum, standard errors."""

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import bayeslmm as bl
from bayeslmm.design.residual import with_residual_values
from bayeslmm.engine.gaussian import conditional_covariances
from bayeslmm.engine.gaussian.crossproducts import compute_crossproducts
from bayeslmm.engine.gaussian.estimate import estimate_at, prepare_objective
from bayeslmm.engine.gaussian.objective import gradient_differences
from bayeslmm.engine.gaussian.prediction_variance import prediction_variance
from bayeslmm.engine.gaussian.residual import ResidualSearch
from bayeslmm.engine.gaussian.whitening import whitening
from tests.oracle.dense import Dense, inverse

AR1 = bl.AR1(by="g", time="t")
CASES = {
    # formula, structure, weights, values of the parameters
    "ar1": ("y ~ x + (1 | g)", AR1, None, [0.6]),
    "ar1 negative": ("y ~ x + (1 | g)", AR1, None, [-0.45]),
    "ar1 weights": ("y ~ x + offset(3 * z) + (1 + z | g)", AR1, "w", [0.3]),
    "ar1 rows": ("y ~ x + (1 + z || g)", bl.AR1(by="g"), "w", [0.5]),
    "ar1 finer": ("y ~ x + (1 | g)", bl.AR1(by="g:h"), None, [0.5]),
    "ar1 chain": ("y ~ x + (1 | g) + (1 | g:h)", bl.AR1(by="g:h"), "w", [0.5]),
    "ar1 crossed": ("y ~ x + (1 + z | g) + (1 | i)", AR1, "w", [0.6]),
    "ar1 across": ("y ~ x + (1 | i)", AR1, None, [0.6]),
    "ar1 across slopes": ("y ~ x + (1 + z | i) + (1 | h)", AR1, "w", [-0.3]),
    "ar1 no bars": ("y ~ x", AR1, "w", [0.7]),
    "ar1 no fixed": ("y ~ 0 + (1 | g)", AR1, None, [0.4]),
    "cs": ("y ~ x", bl.CompoundSymmetry(by="g"), "w", [0.4]),
    "cs negative": ("y ~ x + (0 + z | g)", bl.CompoundSymmetry(by="g"), None, [-0.1]),
    "cs crossed": ("y ~ x + (1 | i)", bl.CompoundSymmetry(by="g"), "w", [0.3]),
    "ratios": ("y ~ x + (1 | g) + (1 | i)", bl.VarianceBy(by="h"), "w", [0.5, 2.0]),
    "ratios no bars": ("y ~ x + h", bl.VarianceBy(by="h"), None, [1.7, 0.6]),
}


@cache
def table():
    """Six levels of g with 7 rows, some of weight zero, times with gaps, rows in no order."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(6), 7)
    n = len(g)
    times = np.concatenate([np.sort(rng.choice(12, 7, replace=False)) for _ in range(6)])
    frame = pd.DataFrame({"g": np.char.add("g", g.astype(str)), "t": times})
    frame["h"] = np.array(["p", "q", "r"])[rng.integers(0, 3, n)]
    frame["i"] = np.array(["i1", "i2", "i3", "i4", "i5"])[rng.integers(0, 5, n)]
    frame["x"] = 2010.0 + rng.normal(size=n)
    frame["z"] = rng.normal(size=n)
    frame["w"] = rng.choice([0.0, 0.5, 1.0, 2.0, 4.0], n)
    frame["y"] = (
        5.0
        + (frame["x"] - 2010.0)
        + 3.0 * rng.normal(size=6)[g]
        + pd.Series(rng.normal(size=n)).rolling(2, min_periods=1).mean()
    )
    return frame.sample(frac=1.0, random_state=4)


def model_of(name, method="REML"):
    formula, structure, weights, values = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = bl.Model(formula, table(), weights=weights, residual=structure)
    return model, with_residual_values(model.design, np.array(values))


def correlation(design, values):
    """R of the rows that count, entry by entry from the definition."""
    rows, used = design.residual, design.weights > 0
    codes, at = rows.codes[used], rows.position[used]
    same, structure = codes[:, None] == codes, rows.structure
    if isinstance(structure, bl.AR1):
        return np.where(same, values[0] ** np.abs(at[:, None] - at), 0.0)
    if isinstance(structure, bl.CompoundSymmetry):
        return np.where(same, values[0], 0.0) + (1.0 - values[0]) * np.eye(len(at))
    return np.diag(np.append(1.0, values)[codes] ** 2)


class DenseStructured(Dense):
    """`Dense` with D^-1/2 R D^-1/2 in the place of W^-1."""

    def __init__(self, design):
        super().__init__(design)
        self.R = correlation(design, design.residual.values).astype(self.X.dtype)

    def V(self, theta):
        root = np.sqrt(self.w)
        return super().V(theta) - np.diag(1 / self.w) + self.R / np.outer(root, root)


def some_theta(design, seed=0):
    rng = np.random.default_rng(seed)
    out = []
    for f in design.factors:
        T = np.tril(rng.normal(scale=0.3, size=f.pattern.shape)) + 0.8 * np.eye(f.n_columns)
        out.append(T * f.pattern)
    return out


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("name", CASES)
def test_everything_at_given_parameters(name, method):
    _, design = model_of(name)
    theta, dense = some_theta(design), DenseStructured(design)
    ours, expected = estimate_at(design, theta, method), dense.fit(theta, method)
    assert ours.loglik == pytest.approx(float(expected.loglik), rel=1e-10, abs=1e-10)
    assert ours.sigma == pytest.approx(float(expected.sigma), rel=1e-9)
    np.testing.assert_allclose(ours.beta, expected.beta.astype(float), rtol=1e-8)
    np.testing.assert_allclose(ours.cov_beta, expected.cov_beta.astype(float), rtol=1e-8)
    for b, c in zip(ours.b, expected.b, strict=True):
        np.testing.assert_allclose(b, c.astype(float), rtol=1e-8, atol=1e-9 * np.abs(c).max())
    covariances = conditional_covariances(design, ours)
    for b, c in zip(covariances, expected.cov_b, strict=True):
        np.testing.assert_allclose(b, c.astype(float), rtol=1e-8, atol=1e-9 * np.abs(c).max())


@pytest.mark.parametrize("name", CASES)
def test_gradient_and_curvature_in_the_variances(name):
    """The inner search gets the derivatives of the criterion that it evaluates."""
    _, design = model_of(name)
    if not design.factors:
        return
    objective = prepare_objective(design, "REML", None)
    x = 0.7 * objective.layout.start()
    point = objective.profiled(x)
    for k in range(len(x)):
        h = np.eye(len(x))[k] * 1e-4
        values = [objective.profiled_value(x + s * h) for s in (2.0, 1.0, -1.0, -2.0)]
        slope = np.dot(values, [-1.0, 8.0, -8.0, 1.0]) / 12e-4
        assert point.gradient[k] == pytest.approx(slope, rel=1e-6, abs=1e-6)
    H = gradient_differences(objective.profiled, x, np.ones(len(x), bool))
    assert np.isfinite(H).all()
    assert np.linalg.eigvalsh(point.curvature())[0] > 0.0


@pytest.mark.parametrize("name", CASES)
def test_whitening_is_a_root_of_the_precision(name):
    _, design = model_of(name)
    n = int((design.weights > 0).sum())
    white, w = whitening(design), design.weights[design.weights > 0]
    L = white.columns(np.eye(n))
    R = correlation(design, design.residual.values)
    covariance = R / np.sqrt(np.outer(w, w))
    np.testing.assert_allclose(L @ covariance @ L.T, np.eye(n), atol=1e-12)
    assert white.log_determinant == pytest.approx(-np.linalg.slogdet(covariance)[1], abs=1e-11)
    # its inverse colours independent numbers
    colour = white.residuals(np.eye(n)).T
    np.testing.assert_allclose(colour @ colour.T, covariance, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_rows_given_those_before_make_the_joint_density(name):
    _, design = model_of(name)
    used = design.weights > 0
    w, n = design.weights[used], int(used.sum())
    R = correlation(design, design.residual.values)
    V = 1.7**2 * R / np.sqrt(np.outer(w, w))
    e = np.random.default_rng(1).normal(size=n)
    mean, spread = whitening(design).conditional(e)
    sd = 1.7 * spread
    rows = -0.5 * ((e - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
    joint = -0.5 * (e @ np.linalg.solve(V, e) + np.linalg.slogdet(2 * np.pi * V)[1])
    assert rows.sum() == pytest.approx(joint, rel=1e-12)
    # each row: a normal given those of its block before it
    order = design.residual.order(design.used)
    at = int(np.argmax(order.rank))
    row, block = order.rows[at], order.rows[order.first[at] : at]
    given = np.linalg.solve(V[np.ix_(block, block)], V[block, row])
    assert mean[row] == pytest.approx(given @ e[block], rel=1e-10, abs=1e-12)
    assert sd[row] ** 2 == pytest.approx(V[row, row] - given @ V[block, row], rel=1e-10)


@pytest.mark.parametrize("name", [k for k, c in CASES.items() if "|" in c[0]])
def test_prediction_error_variance(name):
    """Var(x'(beta^ - beta) + z'(b^ - b)) from the joint normal of y and the effects."""
    _, design = model_of(name)
    theta, dense = some_theta(design), DenseStructured(design)
    estimate = estimate_at(design, theta, "REML")
    ours = prediction_variance(design, estimate, design.X, design.factors)
    Vi, X = inverse(dense.V(theta)), dense.X
    every = Dense(replace(design, weights=np.ones(design.n))).Z
    G = [T @ T.T for T in theta]
    cross = sum(
        np.einsum("ija,ab,kjb->ik", a, g, z) for a, g, z in zip(every, G, dense.Z, strict=True)
    )
    own = sum(np.einsum("ija,ab,ijb->i", a, g, a) for a, g in zip(every, G, strict=True))
    expected = own - np.einsum("ik,kl,il->i", cross, Vi, cross)
    if design.p:
        C = inverse(X.T @ Vi @ X)
        D = design.X - cross @ Vi @ X
        expected = expected + np.einsum("ip,pq,iq->i", D, C, D)
    np.testing.assert_allclose(ours, (estimate.sigma**2 * expected).astype(float), rtol=1e-7)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize(
    "name", ["ar1", "ar1 crossed", "ar1 across", "ar1 no bars", "cs", "cs crossed", "ratios"]
)
def test_nothing_beats_the_optimum(name, method):
    """Nelder and Mead's search over all parameters at once, on the n x n matrices."""
    model, _ = model_of(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit(method, df_method="normal")
    search = ResidualSearch(model.design, method, None)
    patterns = [f.pattern for f in model.design.factors]
    k = len(search.names)

    def deviance(x):
        design, theta, at = search.bound(x[:k]), [], k
        for p, unit in zip(patterns, units, strict=True):
            T = np.zeros(p.shape)
            T[p] = x[at : at + p.sum()]
            theta.append(T * unit[:, None])
            at += p.sum()
        dense = DenseStructured(design)
        for name in ("y", "X", "w", "R"):
            setattr(dense, name, getattr(dense, name).astype(float))
        dense.Z = [Z.astype(float) for Z in dense.Z]
        try:
            value = dense.deviance([t.astype(float) for t in theta], method)
        except (FloatingPointError, np.linalg.LinAlgError):
            return np.inf
        return float(value) if np.isfinite(value) else np.inf

    units = [np.maximum(np.abs(T).max(axis=1), 0.1) for T in fit.estimate.T]
    start = [search.scale.coordinates(fit.estimate.residual_values)]
    start += [(T / u[:, None])[p] for T, u, p in zip(fit.estimate.T, units, patterns, strict=True)]
    x = np.concatenate(start)
    ours = -2.0 * fit.llf
    assert deviance(x) == pytest.approx(ours, abs=1e-6)
    for shift in (0.02, -0.3):
        with np.errstate(all="ignore"):
            found = minimize(
                deviance, x + shift, method="Nelder-Mead", options={"maxfev": 60 * len(x)}
            )
        assert found.fun > ours - 1e-7


@pytest.mark.parametrize("name", ["ar1", "ar1 weights", "cs", "ratios", "ar1 across"])
def test_slope_of_the_outer_criterion(name):
    """With all else held at its best, the slope is that of the criterion re-optimised."""
    model, _ = model_of(name)
    search = ResidualSearch(model.design, "REML", None)
    x = search.scale.coordinates(np.array(CASES[name][3]))
    slope = search.gradient(search.inner(x))
    for k in range(len(x)):
        h = np.eye(len(x))[k] * 1e-3
        values = [search.inner(x + s * h).value for s in (2.0, 1.0, -1.0, -2.0)]
        expected = np.dot(values, [-1.0, 8.0, -8.0, 1.0]) / 12e-3
        assert slope[k] == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_ratios_that_are_known_are_weights():
    """VarianceBy at its optimum is the model with these precision weights."""
    model, _ = model_of("ratios")
    fit = model.fit(df_method="normal")
    ratios = np.append(1.0, fit.residual_parameters.to_numpy())
    codes = pd.Categorical(table()["h"]).codes
    data = table().assign(w=table()["w"] / ratios[codes] ** 2)
    plain = bl.fit(model.formula.text, data, weights="w", df_method="normal")
    assert fit.llf == pytest.approx(plain.llf, abs=1e-8)
    np.testing.assert_allclose(fit.fe_params, plain.fe_params, rtol=1e-6)
    ours, theirs = fit.estimate.variance_values, plain.estimate.variance_values
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert fit.n_params == plain.n_params + 2


def test_compound_symmetry_is_a_random_intercept():
    """Var = sigma^2 R is sigma_i^2 J + sigma_e^2 I with sigma_i^2 = rho sigma^2."""
    data = bl.load_dataset("sleepstudy")
    cs = bl.fit("Reaction ~ Days", data, residual=bl.CompoundSymmetry(by="Subject"))
    ri = bl.fit("Reaction ~ Days + (1 | Subject)", data)
    sd = ri.estimate.variance_values
    assert cs.llf == pytest.approx(ri.llf, abs=1e-9)
    assert cs.residual_parameters["rho"] == pytest.approx(sd[0] ** 2 / (sd @ sd), rel=1e-7)
    assert cs.sigma**2 == pytest.approx(sd @ sd, rel=1e-7)
    np.testing.assert_allclose(cs.fe_bse, ri.fe_bse, rtol=1e-7)


def test_covariance_of_all_variance_parameters():
    """Inverse Hessian of the n x n deviance in (ar1, SD, sigma), by differences."""
    model, _ = model_of("ar1")
    fit = model.fit("ML", df_method="normal")
    at = np.array([fit.residual_parameters["ar1"], *fit.estimate.variance_values])

    def deviance(v):
        design = with_residual_values(model.design, v[:1])
        dense = DenseStructured(design)
        theta = [np.array([[v[1] / v[2]]])]
        return float(-2.0 * dense.loglik(theta, v[2], "ML"))

    H, h = np.empty((3, 3)), 1e-4
    eye = h * np.eye(3)
    for i in range(3):
        for j in range(3):
            H[i, j] = (
                deviance(at + eye[i] + eye[j])
                - deviance(at + eye[i] - eye[j])
                - deviance(at - eye[i] + eye[j])
                + deviance(at - eye[i] - eye[j])
            ) / (4.0 * h * h)
    cov = 2.0 * np.linalg.inv(H)
    assert fit.residual_parameters_se["ar1"] == pytest.approx(np.sqrt(cov[0, 0]), rel=3e-5)
    np.testing.assert_allclose(fit.variance_cov, cov[1:, 1:], rtol=1e-4)


def test_cross_products_need_the_parameters():
    """A design whose parameters are not known is never taken for one without a structure."""
    model, _ = model_of("ar1")
    with pytest.raises(ValueError, match="parameters"):
        compute_crossproducts(model.design)
