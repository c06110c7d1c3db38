"""Degrees of freedom and limits of models with a residual structure, against n x n matrices."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, ttest_ind

import bayeslmm as bl
from bayeslmm.design.residual import with_residual_values
from bayeslmm.inference.contrasts import estimate_contrasts, joint_test
from tests.oracle.dense import inverse
from tests.oracle.test_residual import CASES, DenseStructured, model_of

# Second derivatives in two sets of coordinates differ by the slope the search left over.
SLOPE_LEFT = 4e-6


@cache
def fitted(name, method="REML"):
    model, _ = model_of(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(method)


class Surface:
    """Deviance and covariance of the fixed effects in psi = (entries of T, log sigma, phi)."""

    def __init__(self, fit):
        self.fit, self.patterns = fit, [f.pattern for f in fit.design.factors]
        e = fit.estimate
        entries = [T[p] for T, p in zip(e.T, self.patterns, strict=True)]
        # steps are relative to the entries
        self.psi = np.concatenate([*entries, [np.log(e.sigma)], e.residual_values])
        self.k = len(e.residual_values)

    def at(self, psi):
        values = psi[len(psi) - self.k :]
        dense = DenseStructured(with_residual_values(self.fit.design, values))
        theta, at = [], 0
        for p in self.patterns:
            T = np.zeros(p.shape)
            T[p] = psi[at : at + p.sum()]
            theta.append(T)
            at += int(p.sum())
        return dense, theta, np.exp(psi[len(psi) - self.k - 1])

    def deviance(self, psi):
        dense, theta, sigma = self.at(psi)
        return -2.0 * dense.loglik(theta, sigma, self.fit.method)

    def cov(self, psi):
        dense, theta, sigma = self.at(psi)
        X = dense.X
        return sigma**2 * inverse(X.T @ inverse(dense.V(theta)) @ X)

    def steps(self):
        """Relative to the entries; short where a correlation is close to its end."""
        size = 3e-3 * np.maximum(np.abs(self.psi), 0.3)
        if self.fit.design.residual.structure.correlated:
            size[-1] = 3e-3 * (1.0 - self.psi[-1] ** 2)
        return np.diag(size)

    def hessian(self):
        """Second differences of order four, on numbers of extended precision."""

        def mixed(a, b, f=self.deviance):
            x = self.psi
            return f(x + a + b) - f(x + a - b) - f(x - a + b) + f(x - a - b)

        steps = self.steps()
        m = len(steps)
        H = np.empty((m, m))
        for i in range(m):
            for j in range(i + 1):
                a, b = steps[i], steps[j]
                value = (16.0 * mixed(a, b) - mixed(2 * a, 2 * b)) / 12.0
                H[i, j] = H[j, i] = value / (4.0 * a[i] * b[j])
        return H

    def gradients(self):
        """Of the covariance of the fixed effects, differences of order four, (m, p, p)."""
        f, x, out = self.cov, self.psi, []
        for i, h in enumerate(self.steps()):
            total = 8.0 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))
            out.append(total / (12.0 * h[i]))
        return np.array(out, dtype=float)


def rows(p):
    return [*np.eye(p), *np.random.default_rng(1).normal(size=(2, p))]


NAMES = [k for k in CASES if k != "ar1 no fixed"]


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("name", NAMES)
def test_satterthwaite(name, method):
    fit = fitted(name, method)
    assert fit.df_method == "satterthwaite"
    surface = Surface(fit)
    A, D = 2.0 * np.linalg.inv(surface.hessian()), surface.gradients()
    Phi = surface.cov(surface.psi).astype(float)
    L = np.array(rows(fit.design.p))
    variance = np.einsum("ka,ab,kb->k", L, Phi, L)
    g = np.einsum("ka,mab,kb->km", L, D, L)
    expected = 2.0 * variance**2 / np.einsum("km,mn,kn->k", g, A, g)
    np.testing.assert_allclose(estimate_contrasts(fit, L).df, expected, rtol=SLOPE_LEFT)


def two_groups():
    rng = np.random.default_rng(1)
    g = np.repeat(["a", "b"], [7, 15])
    return pd.DataFrame({"g": g, "y": rng.normal(size=22) * np.where(g == "a", 1.0, 3.0)})


def test_two_groups_of_their_own_sd_are_compared_by_welch():
    """With ratios and no random effect, s_k^2 of each group has n_k - 1 degrees of freedom."""
    data = two_groups()
    fit = bl.fit("y ~ g", data, residual=bl.VarianceBy(by="g"))
    a, b = (data.loc[data["g"] == k, "y"] for k in "ab")
    welch = ttest_ind(b, a, equal_var=False)
    row = fit.to_frame("fixed").set_index("parameter").loc["g[b]"]
    assert row["df"] == pytest.approx(welch.df, rel=1e-6)
    assert row["t"] == pytest.approx(welch.statistic, rel=1e-6)
    assert row["p"] == pytest.approx(welch.pvalue, rel=1e-6)
    low, high = welch.confidence_interval(0.95)
    np.testing.assert_allclose(row[["lower", "upper"]].tolist(), [low, high], rtol=1e-6)
    assert "Satterthwaite" in str(fit.summary())


def test_equal_correlations_have_the_degrees_of_freedom_of_a_random_intercept():
    data = bl.load_dataset("sleepstudy").query("Days < 8 or Subject != '308'")
    cs = bl.fit("Reaction ~ Days", data, residual=bl.CompoundSymmetry(by="Subject"))
    ri = bl.fit("Reaction ~ Days + (1 | Subject)", data)
    np.testing.assert_allclose(cs.fe_df, ri.fe_df, rtol=1e-6)
    for L in (np.eye(2), [[1.0, 3.0], [0.5, -1.0]]):
        ours, theirs = joint_test(cs, L), joint_test(ri, L)
        np.testing.assert_allclose(ours[:3], theirs[:3], rtol=2e-6)


def test_a_correlation_the_data_do_not_bound_is_taken_as_known():
    """One pair and a single row: the criterion is flat in phi, and df are n - p, those given it."""
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"g": [*"aab"], "y": rng.normal(size=3)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = bl.fit("y ~ 1", data, residual=bl.AR1(by="g"))
    assert fit.status is bl.FitStatus.FLAT
    assert fit.residual_parameters_se.isna().all()
    assert fit.to_frame("variance").loc[1, ["lower", "upper"]].isna().all()
    assert fit.fe_df["Intercept"] == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize("name", ["ar1 crossed", "cs negative", "ratios"])
def test_limits_are_normal_on_their_scale(name):
    """The delta method from Surface's Hessian, which knows phi and not its coordinates."""
    fit = fitted(name)
    surface, k = Surface(fit), len(fit.estimate.residual_values)
    cov = (2.0 * np.linalg.inv(surface.hessian()))[-k:, -k:]
    phi, se = fit.estimate.residual_values, np.sqrt(np.diag(cov))
    table = fit.to_frame("variance", 0.9).set_index("parameter")
    table = table.loc[list(fit.estimate.residual_names)]
    half = norm.ppf(0.95) * se
    if name == "ratios":
        expected = np.exp(np.log(phi) + np.outer([-1, 1], half / phi)).T
        np.testing.assert_allclose(table["ratio"], phi)
        np.testing.assert_allclose(table["ratio_se"], se, rtol=1e-5)
        assert table[["sd", "corr", "variance"]].isna().all(axis=None)
    else:
        low = fit.design.residual.structure.interval(fit.design.residual.order(fit.design.used))[0]
        z, slope = np.log((phi - low) / (1.0 - phi)), 1.0 / (phi - low) + 1.0 / (1.0 - phi)
        odds = np.exp(z + np.outer([-1, 1], half * slope)).T
        expected = (low + odds) / (1.0 + odds)
        np.testing.assert_allclose(table["corr"], phi)
        np.testing.assert_allclose(table["corr_se"], se, rtol=1e-5)
        assert table["sd"].isna().all()
    np.testing.assert_allclose(table[["lower", "upper"]], expected, rtol=2e-5)
