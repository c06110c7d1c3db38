"""Intervals of predictions against conditional normal distributions of n x n matrices.

For a linear combination t = x'beta + z'b, known up to a flat (or normal) beta, best linear
prediction from y (kriging; no mixed model equations) gives

    Var(t^ - t) = g - c'V^-1 c + (x - X'V^-1 c)'(X'V^-1 X + B^-1)^-1 (x - X'V^-1 c)

with V = Var(y | beta), c = Cov(y, z'b), g = Var(z'b).
"""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t

import bayeslmm as bl
from bayeslmm.engine.gaussian import prediction_variance as fast
from bayeslmm.inference.contrasts import estimate_contrasts
from tests.oracle.designs import CASES, Case
from tests.oracle.test_chain import model as chain_model


def prior_covariance(fit, rows, others):
    """Cov(z'b, z'b) of two sets of rows: rows with a level in common share its effects."""
    total = np.zeros((rows[0].n, others[0].n))
    triples = zip(fit.design.factors, rows[1], others[1], fit.estimate.T, strict=True)
    for k, (_, mine, theirs, T) in enumerate(triples):
        half, other = (r[0].factors[k].columns @ T for r in (rows, others))
        same = np.array(mine, dtype=object)[:, None] == np.array(theirs, dtype=object)
        total += same * (half @ other.T)
    return fit.sigma**2 * total


def labels(fit, frame):
    """The level of each row of a table, by factor, as text."""
    return [
        [":".join(map(str, row)) for row in frame[list(f.source)].itertuples(index=False)]
        for f in fit.design.factors
    ]


def dense_variance(fit, data, new):
    """Var(t^ - t) for the rows of a new table."""
    design = fit.design
    X, w = design.X, design.weights
    old, rows = (design, labels(fit, data)), (design.for_new(new), labels(fit, new))
    used = w > 0
    V = prior_covariance(fit, old, old)[np.ix_(used, used)] + np.diag(fit.scale / w[used])
    c = prior_covariance(fit, rows, old)[:, used]
    g = np.diag(prior_covariance(fit, rows, rows))
    P = fit.priors.normal_beta()[1] if fit.method == "MAP" else np.zeros((design.p,) * 2)
    weights = np.linalg.solve(V, c.T)
    rest = rows[0].X.T - X[used].T @ weights
    A = X[used].T @ np.linalg.solve(V, X[used]) + P
    return g - np.einsum("ij,ji->i", c, weights) + (rest * np.linalg.solve(A, rest)).sum(axis=0)


def new_table(case):
    """Rows of other tables of the case, some of levels never seen, some new combinations."""
    new = case.table(seed=3)[:25].reset_index(drop=True)
    for k, name in enumerate(case.levels):
        new.loc[new.index[k::7], name] = [f"new{i}" for i in range(len(new.index[k::7]))]
    return new


def quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


@pytest.mark.parametrize("method", ["REML", "ML", "MAP"])
@pytest.mark.parametrize("name", CASES)
def test_intervals_of_rows_with_effects(name, method):
    case = CASES[name]
    fit = quiet(lambda: case.model().fit(method))
    new = new_table(case)
    variance = dense_variance(fit, case.table(), new)
    # columns around 2010 cost the dense matrices the digits of their squares
    rtol = 1e-6 if case.year else 1e-10
    found = fit.predict(new, interval="confidence", level=0.9)
    np.testing.assert_allclose(found["se"], np.sqrt(variance), rtol=rtol)
    w = new["w"].where(new["w"] > 0, 1.0) if case.weights else 1.0
    observed = fit.predict(new, interval="prediction", level=0.9)
    np.testing.assert_allclose(observed["se"] ** 2, variance + fit.scale / w, rtol=rtol)
    exact = not fit.design.factors and fit.df_method != "normal"
    half = t.ppf(0.95, fit.nobs - fit.design.p) if exact else norm.ppf(0.95)
    for frame in (found, observed):
        np.testing.assert_array_equal(frame["fit"], fit.predict(new))
        np.testing.assert_allclose(frame["upper"] - frame["fit"], half * frame["se"], rtol=1e-9)
        np.testing.assert_allclose(frame["fit"] - frame["lower"], half * frame["se"], rtol=1e-9)


def test_a_chain_beside_a_crossed_remainder():
    """Pupils in classes in schools; also a pupil in a class that is not its own."""
    model = chain_model()
    fit = quiet(model.fit)
    assert len(quiet(lambda: fast.compute_crossproducts(fit.design)).chain) == 3
    data = model._data
    rng = np.random.default_rng(4)
    new = data.sample(60, random_state=4).reset_index(drop=True)
    for name in ("pupil", "cls", "sch", "item"):
        new.loc[rng.choice(60, 15, replace=False), name] = rng.integers(0, 200, 15)
    found = fit.predict(new, interval="confidence")["se"]
    np.testing.assert_allclose(found, np.sqrt(dense_variance(fit, data, new)), rtol=1e-8)


def test_chunks_and_sparse_products(monkeypatch):
    """Rows a few at a time, products by either way, give the same numbers."""
    case = CASES["sparse couplings"]
    fit = quiet(case.model().fit)
    new = new_table(case)
    whole = fit.predict(new, interval="confidence")["se"]
    for share in (0.0, 2.0):
        monkeypatch.setattr(fast, "_MOSTLY_FULL", share)
        monkeypatch.setattr(fast, "_CHUNK", 200)
        again = fit.predict(new, interval="confidence")["se"]
        np.testing.assert_allclose(again, whole, rtol=1e-12)


def test_singular_fits():
    """A variance of zero: its levels are known to be zero, new ones too."""
    data = bl.load_dataset("Dyestuff2")
    fit = quiet(lambda: bl.fit("Yield ~ 1 + (1 | Batch)", data))
    assert fit.singular
    se = fit.predict({"Batch": ["A", "new"]}, interval="confidence")["se"]
    np.testing.assert_allclose(se, fit.fe_bse["Intercept"], rtol=1e-12)


@pytest.mark.parametrize("df_method", ["satterthwaite", "kenward-roger", "normal"])
def test_the_population_has_the_degrees_of_freedom_of_its_contrast(df_method):
    data = bl.load_dataset("cake").iloc[:200]
    model = bl.Model("angle ~ recipe + temp + (1 | recipe:replicate)", data)
    fit = model.fit()
    fit = bl.PointFit(fit.design, fit.estimate, fit.definition, fit.priors, df_method)
    for re in (False, "average"):
        frame = fit.predict(include_re=re, interval="confidence")[::40]
        ours = estimate_contrasts(fit, fit.design.X[::40])
        np.testing.assert_allclose(frame["fit"], ours.estimate, rtol=1e-12)
        np.testing.assert_allclose(frame["se"], ours.se, rtol=1e-10)
        half = t.ppf(0.975, ours.df) * ours.se
        np.testing.assert_allclose(frame["upper"] - frame["fit"], half, rtol=1e-9)


def test_effects_left_out_are_those_of_a_new_group():
    data = bl.load_dataset("Penicillin")
    fit = bl.fit("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    var = {k: float(v) for k, v in fit.variance_components.items()}
    base = fit.fe_bse["Intercept"] ** 2
    for re in (False, "average"):
        frame = fit.predict(include_re=re, interval="prediction")
        np.testing.assert_allclose(frame["se"] ** 2, base + sum(var.values()) + fit.scale)
    some = fit.predict(terms="plate", interval="confidence")
    both = fit.predict(terms="plate", interval="prediction")
    np.testing.assert_allclose(both["se"] ** 2 - some["se"] ** 2, var["sample"] + fit.scale)
    # the same plates, samples at zero: the row of the model matrix has no entry for them
    rows = fit.design.factors
    zero = np.zeros_like(rows[1].columns)
    direct = fast.prediction_variance(
        fit.design, fit.estimate, fit.design.X, [rows[0], replace(rows[1], columns=zero)]
    )
    np.testing.assert_allclose(some["se"] ** 2, direct, rtol=1e-12)


def test_the_variance_of_a_simulated_error():
    """sigma^2 h'M^-1 h is the variance of the error, over responses of the same parameters."""
    case = Case("y ~ x + (x | g)", {"g": 12}, 80)
    fit = quiet(case.model().fit)
    design, e = fit.design, fit.estimate
    variance = fast.prediction_variance(design, e, design.X, design.factors)
    rng = np.random.default_rng(8)
    n, f = 4000, design.factors[0]
    b = rng.normal(size=(n, 12, 2)) @ (e.sigma * e.T[0]).T
    truth = np.einsum("ik,sik->si", f.columns, b[:, f.codes]) + design.X @ e.beta
    y = truth + e.sigma * rng.normal(size=(n, design.n))
    half = f.columns @ e.T[0]
    V = (half @ half.T) * (f.codes[:, None] == f.codes) + np.eye(design.n)
    Vi = np.linalg.inv(V)
    A = np.linalg.solve(design.X.T @ Vi @ design.X, design.X.T @ Vi)
    BLUP = design.X @ A + (V - np.eye(design.n)) @ Vi @ (np.eye(design.n) - design.X @ A)
    error = y @ BLUP.T - truth
    ratio = error.var(axis=0) / variance
    assert abs(ratio - 1).max() < 5 * np.sqrt(2 / n)
    assert pd.Series(ratio).mean() == pytest.approx(1, abs=0.02)
