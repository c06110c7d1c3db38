"""Degrees of freedom against n x n matrices: V, its derivatives and its inverse, written out.

Satterthwaite's information is the exact second derivative of the (restricted) log likelihood
in the entries of the covariances, carried to those of T by the chain rule; Kenward and
Roger's sums are those of their paper, rows by rows.
"""

import warnings
from functools import cache

import numpy as np
import pytest

from bayeslmm.fits import PointFit
from bayeslmm.inference.contrasts import estimate_contrasts, joint_test
from tests.oracle.dense import Dense, inverse
from tests.oracle.designs import CASES

# "years" is "slopes" with another zero of x: raw sums of squares of years are beyond even
# extended precision, so that case is held to its twin
LEFT_OUT = {"no fixed part", "years"}
NAMES = [n for n, c in CASES.items() if n not in LEFT_OUT and c.rows <= 60]
SINGULAR = {"crossed": 17, "categorical slopes": 0, "three columns": 0, "years, uncorrelated": 0}
# Second derivatives in two sets of coordinates differ by the slope the search left over.
SLOPE_LEFT = 1e-6


@cache
def fitted(name, method, seed=0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CASES[name].model(seed).fit(method)


def with_df(fit, method):
    return PointFit(fit.design, fit.estimate, fit.definition, fit.priors, method)


class Moments:
    """V at the estimates and G_i = dV/dpsi_i, psi the entries of the covariances and sigma^2."""

    def __init__(self, fit):
        self.dense = Dense(fit.design)
        self.G, self.where = [], []
        for k, (f, Z) in enumerate(zip(fit.design.factors, self.dense.Z, strict=True)):
            for r, c in np.argwhere(f.pattern):
                E = np.zeros((f.n_columns,) * 2)
                E[r, c] = E[c, r] = 1.0
                rows = np.einsum("nja,ab->njb", Z, E).reshape(len(Z), -1)
                self.G.append(rows @ Z.reshape(len(Z), -1).T)
                self.where.append((k, r, c))
        self.G.append(np.diag(1 / self.dense.w))
        V = fit.estimate.sigma**2 * self.dense.V(fit.estimate.T)
        self.Vi, X = inverse(V), self.dense.X
        self.ViX = self.Vi @ X
        self.Phi = inverse(X.T @ self.ViX)
        self.P = self.Vi - self.ViX @ self.Phi @ self.ViX.T
        self.dPhi = [self.Phi @ self.ViX.T @ G @ self.ViX @ self.Phi for G in self.G]


def jacobian(fit, where):
    """d psi / d(T, log sigma) and second derivatives; entries in columns of live pivots."""
    e = fit.estimate
    entries = [(k, r, c) for k, r, c in where if e.T[k][c, c] != 0.0]
    m, x = len(where) + 1, len(entries) + 1
    first, second = np.zeros((m, x)), np.zeros((m, x, x))
    d = {}
    for a, (k, r, c) in enumerate(entries):
        E = np.zeros_like(e.T[k])
        E[r, c] = 1.0
        d[a] = (k, E)
    for i, (k, r, c) in enumerate(where):
        s2, T = e.sigma**2, e.T[k]
        value = s2 * (T @ T.T)[r, c]
        for a, (ka, E) in d.items():
            if ka != k:
                continue
            first[i, a] = s2 * (E @ T.T + T @ E.T)[r, c]
            second[i, a, -1] = second[i, -1, a] = 2 * first[i, a]
            for b, (kb, F) in d.items():
                if kb == k:
                    second[i, a, b] = s2 * (E @ F.T + F @ E.T)[r, c]
        first[i, -1], second[i, -1, -1] = 2 * value, 4 * value
    first[-1, -1], second[-1, -1, -1] = 2 * e.sigma**2, 4 * e.sigma**2
    return first, second


def observed(fit, v):
    """Inverse Hessian of half the deviance in psi's coordinates, by way of (T, log sigma)."""
    P, y = v.P, v.dense.y
    middle = P if fit.method == "REML" else v.Vi
    GP = [G @ middle for G in v.G]
    Gy = [G @ (P @ y) for G in v.G]
    gradient = np.array(
        [np.trace(a) - (P @ y) @ b for a, b in zip(GP, Gy, strict=True)], dtype=float
    )
    H = np.array([[2 * a @ P @ b for b in Gy] for a in Gy])
    H -= np.array([[(a.T * b).sum() for b in GP] for a in GP])
    first, second = jacobian(fit, v.where)
    H = first.T @ H.astype(float) @ first + np.einsum("i,iab->ab", gradient, second)
    return first @ np.linalg.inv(H / 2) @ first.T


def satterthwaite(v, A, c):
    g = np.array([c @ d @ c for d in v.dPhi], dtype=float)
    return 2 * float(c @ v.Phi @ c) ** 2 / (g @ A @ g)


def rows(p):
    rng = np.random.default_rng(1)
    return [*np.eye(p), *rng.normal(size=(2, p))]


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("name", NAMES)
def test_satterthwaite(name, method):
    fit = fitted(name, method)
    if not fit.design.factors:
        expected = np.full(fit.design.p + 2, fit.nobs - fit.design.p)
    else:
        v = Moments(fit)
        A = observed(fit, v)
        expected = [satterthwaite(v, A, c) for c in rows(fit.design.p)]
    found = estimate_contrasts(fit, rows(fit.design.p))
    np.testing.assert_allclose(found.df, expected, rtol=SLOPE_LEFT)


@pytest.mark.parametrize("name", SINGULAR)
def test_satterthwaite_at_singular_fits(name):
    fit = fitted(name, "REML", SINGULAR[name])
    assert fit.singular
    v = Moments(fit)
    A = observed(fit, v)
    expected = [satterthwaite(v, A, c) for c in rows(fit.design.p)]
    np.testing.assert_allclose(fit.fe_df, expected[: fit.design.p], rtol=SLOPE_LEFT)


def kenward_roger(v):
    """Adjusted covariance and W, the sums of Kenward and Roger (1997) as they stand."""
    m = len(v.G)
    ViG = [v.Vi @ G for G in v.G]
    P = [-v.ViX.T @ G @ v.ViX for G in v.G]
    Q = [[v.ViX.T @ v.G[i] @ ViG[j] @ v.ViX for j in range(m)] for i in range(m)]
    PG = [v.P @ G for G in v.G]
    information = np.array([[(a * b.T).sum() for b in PG] for a in PG])
    W = 2 * inverse(information)
    middle = sum(W[i, j] * (Q[i][j] - P[i] @ v.Phi @ P[j]) for i in range(m) for j in range(m))
    return v.Phi + 2 * v.Phi @ middle @ v.Phi, W


def f_test(v, adjusted, W, L, beta):
    """Scaled F, its df and the scale, as in section 3 of Kenward and Roger (1997)."""
    q = len(L)
    Theta = L.T @ inverse(L @ v.Phi @ L.T) @ L
    moved = [Theta @ d for d in v.dPhi]
    m = range(len(moved))
    A1 = sum(W[i, j] * np.trace(moved[i]) * np.trace(moved[j]) for i in m for j in m)
    A2 = sum(W[i, j] * np.trace(moved[i] @ moved[j]) for i in m for j in m)
    B = (A1 + 6 * A2) / (2 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    c1 = g / (3 * q + 2 * (1 - g))
    c2 = (q - g) / (3 * q + 2 * (1 - g))
    c3 = (q + 2 - g) / (3 * q + 2 * (1 - g))
    mean = 1 / (1 - A2 / q)
    variance = 2 / q * (1 + c1 * B) / ((1 - c2 * B) ** 2 * (1 - c3 * B))
    rho = variance / (2 * mean**2)
    df = 4 + (q + 2) / (q * rho - 1)
    scale = df / (mean * (df - 2))
    estimate = L @ beta
    F = scale * (estimate @ inverse(L @ adjusted @ L.T) @ estimate) / q
    return float(F), float(df), float(scale)


@pytest.mark.parametrize("method", ["satterthwaite", "kenward-roger"])
def test_the_zero_of_a_slope_does_not_matter(method):
    far, near = (with_df(fitted(n, "REML"), method) for n in ("years", "slopes"))
    shift = [[1.0, CASES["years"].year], [0.0, 1.0]]
    a, b = estimate_contrasts(far, shift), estimate_contrasts(near, np.eye(2))
    np.testing.assert_allclose(a.df, b.df, rtol=1e-6 if method == "satterthwaite" else 1e-9)
    np.testing.assert_allclose(a.se, b.se, rtol=1e-8)


@pytest.mark.parametrize("name", [*NAMES, *SINGULAR])
def test_kenward_roger(name):
    fit = with_df(fitted(name, "REML", SINGULAR.get(name, 0)), "kenward-roger")
    v = Moments(fit)
    adjusted, W = kenward_roger(v)
    found = estimate_contrasts(fit, np.eye(fit.design.p))
    scale = np.sqrt(np.outer(*(np.diag(adjusted).astype(float),) * 2))
    # x and the intercept are nearly the same column there, and cannot be centred under ||
    precision = 1e-6 if name == "years, uncorrelated" else 1e-9
    np.testing.assert_allclose(found.cov / scale, adjusted / scale, rtol=0, atol=precision)
    expected = [satterthwaite(v, W, c) for c in rows(fit.design.p)]
    np.testing.assert_allclose(estimate_contrasts(fit, rows(fit.design.p)).df, expected, rtol=1e-9)
    if fit.design.p < 2:
        return
    contrasts = [np.eye(fit.design.p)[1:], np.eye(fit.design.p)]
    if name != "years, uncorrelated":
        contrasts.append(np.random.default_rng(2).normal(size=(2, fit.design.p)))
    for L in contrasts:
        F, df, factor = f_test(v, adjusted, W, L, fit.estimate.beta)
        test = joint_test(fit, L)
        assert test.df_num == len(L)
        np.testing.assert_allclose((test.df_den, test.scale), (df, factor), rtol=10 * precision)
        np.testing.assert_allclose(test.F, F, rtol=10 * precision)
