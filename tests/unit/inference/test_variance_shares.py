"""ICC, R2, design effect, reliability and implied covariances, against dense formulas."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, AttributeRefused
from tests.unit.comparison.fake_posterior import fake_posterior
from tests.unit.inference.test_marginal_means import binomial

UNBALANCED = Path(__file__).parents[2] / "parity" / "emmeans" / "unbalanced.csv"
SLOPES = "y ~ A + x + (1 + x | g) + (1 | B:C)"


@cache
def table() -> pd.DataFrame:
    data = pd.read_csv(UNBALANCED)
    return data.assign(v=np.where(np.arange(len(data)) % 7 == 0, 0.0, data["w"]))


@cache
def fitted(formula: str = SLOPES, weights: str | None = None, method: str = "REML") -> Any:
    return bl.fit(formula, table(), weights=weights, method=method)


def dense_random(fit: Any) -> dict[str, np.ndarray]:
    """Z_f Sigma_f Z_f' of each factor, shape (n, n)."""
    out, Z, at = {}, fit.design.Z().toarray(), 0
    for f, cov in zip(fit.design.factors, fit.estimate.covariances, strict=True):
        q = f.n_levels * f.n_columns
        Zf = Z[:, at : at + q]
        out[f.name] = Zf @ np.kron(np.eye(f.n_levels), cov) @ Zf.T
        at += q
    return out


@pytest.mark.parametrize("weights", [None, "w", "v"])
def test_shares_are_those_of_the_dense_covariance(weights: str | None) -> None:
    fit = fitted(weights=weights)
    used = fit.design.weights > 0
    parts = {k: np.diag(V)[used].mean() for k, V in dense_random(fit).items()}
    residual = (fit.scale / fit.design.weights[used]).mean()
    fixed = np.var((fit.design.X @ fit.estimate.beta)[used], ddof=1)
    random = sum(parts.values())
    icc = fit.icc().table.set_index(["factor", "icc"])["estimate"]
    for name, variance in [*parts.items(), ("all factors", random)]:
        assert icc[name, "adjusted"] == pytest.approx(variance / (random + residual), rel=1e-12)
        whole = random + residual + fixed
        assert icc[name, "unadjusted"] == pytest.approx(variance / whole, rel=1e-12)
    r2 = fit.r2().table["estimate"]
    np.testing.assert_allclose(r2, [fixed / whole, (fixed + random) / whole], rtol=1e-12)
    one = fit.icc(by="g").table
    assert one["factor"].tolist() == ["g", "g"]
    assert one["estimate"][0] == icc["g", "adjusted"]


def test_independent_slopes_count() -> None:
    """(R's performance 0.10 leaves the slopes of `||` out.)"""
    fit = bl.fit("Reaction ~ Days + (Days || Subject)", bl.load_dataset("sleepstudy"))
    intercept, days = np.diag(fit.estimate.covariances[0])
    random = intercept + days * np.mean(np.arange(10.0) ** 2)
    assert fit.icc().table["estimate"][0] == pytest.approx(random / (random + fit.scale), rel=1e-12)


def test_shares_do_not_depend_on_the_unit_of_the_weights() -> None:
    data = table().assign(w10=10.0 * table()["w"])
    ones, tens = fitted(weights="w"), bl.fit(SLOPES, data, weights="w10")
    np.testing.assert_allclose(
        ones.icc().table["estimate"], tens.icc().table["estimate"], rtol=1e-6
    )
    np.testing.assert_allclose(ones.r2().table["estimate"], tens.r2().table["estimate"], rtol=1e-6)


def test_the_design_effect_is_the_variance_of_the_mean() -> None:
    rows = table()[(np.arange(160) % 8) < 2 + np.arange(160) // 8 % 7]
    fit = bl.fit("y ~ 1 + (1 | g)", rows)
    assert not fit.singular
    (V,) = dense_random(fit).values()
    n = fit.nobs
    V = V + fit.scale * np.eye(n)
    independent = V[0, 0] / n
    row = fit.design_effect().table.iloc[0]
    assert row["design_effect"] == pytest.approx(V.sum() / n**2 / independent, rel=1e-12)
    sizes = rows.groupby("g").size()
    assert row["m"] == pytest.approx((sizes**2).sum() / sizes.sum())
    assert row["levels"] == 20 and sizes.nunique() == 7


def dense_errors(fit: Any, prior: np.ndarray | None = None) -> np.ndarray:
    """Variances of b^ - b, from the inverse of the whole coefficient matrix."""
    Z, X, w = fit.design.Z().toarray(), fit.design.X, fit.design.weights
    blocks = [
        np.kron(np.eye(f.n_levels), cov)
        for f, cov in zip(fit.design.factors, fit.estimate.covariances, strict=True)
    ]
    q = Z.shape[1]
    G = np.zeros((q, q))
    at = 0
    for block in blocks:
        G[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    H = np.hstack([Z, X])
    M = H.T @ (H * w[:, None]) / fit.scale
    M[:q, :q] += np.linalg.inv(G)
    if prior is not None:
        M[q:, q:] += prior
    return np.diag(np.linalg.inv(M))[:q]


@pytest.mark.parametrize("weights", [None, "w", "v"])
def test_reliability_is_one_less_the_share_of_the_error(weights: str | None) -> None:
    fit = fitted(weights=weights)
    variances = np.concatenate(
        [
            np.tile(np.diag(cov), f.n_levels)
            for f, cov in zip(fit.design.factors, fit.estimate.covariances, strict=True)
        ]
    )
    ours = fit.reliability()
    expected = 1 - dense_errors(fit) / variances
    np.testing.assert_allclose(ours["reliability"], expected, rtol=1e-7)
    assert ours["term"].tolist()[:2] == ["Intercept", "x"]
    only = fit.reliability(by="B:C")
    np.testing.assert_array_equal(only["reliability"], ours["reliability"][-6:])


def test_a_level_shrinks_by_its_reliability() -> None:
    """One-way with the mean known: a BLUP is its reliability times the mean deviation."""
    data = table().assign(d=table()["y"] - 11.0)
    fit = bl.fit("d ~ 0 + (1 | g)", data)
    deviation = data.groupby("g")["d"].mean()
    reliability = fit.reliability().set_index("level")["reliability"]
    np.testing.assert_allclose(
        fit.random_effects["g"], reliability * deviation[reliability.index], rtol=1e-9
    )


def test_reliability_of_a_map_fit_has_its_prior() -> None:
    fit = fitted("y ~ A + x + (1 | g)", method="MAP")
    _, precision = fit.priors.normal_beta()
    variance = fit.estimate.covariances[0][0, 0]
    expected = 1 - dense_errors(fit, precision) / variance
    np.testing.assert_allclose(fit.reliability()["reliability"], expected, rtol=1e-7)


def test_a_variance_of_zero_has_no_reliability() -> None:
    with pytest.warns(UserWarning, match="is 0"):
        fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff2"))
    assert (fit.reliability()["reliability"] == 0.0).all()
    assert fit.icc().table["estimate"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("weights", [None, "w", "v"])
def test_marginal_covariances_are_blocks_of_the_dense_one(weights: str | None) -> None:
    fit = fitted(weights=weights)
    used = np.flatnonzero(fit.design.weights > 0)
    with np.errstate(divide="ignore"):
        V = sum(dense_random(fit).values()) + np.diag(fit.scale / fit.design.weights)
    rows = [i for i in used if table()["g"].iloc[i] == "g03"]
    ours = fit.marginal_cov("g03", factor="g")
    np.testing.assert_allclose(ours, V[np.ix_(rows, rows)], rtol=1e-12)
    assert ours.index.tolist() == rows
    rows = [i for i in used if (table()[["B", "C"]].iloc[i] == ["b2", "c1"]).all()]
    ours = fit.marginal_cov("b2:c1", factor="B:C")
    np.testing.assert_allclose(ours, V[np.ix_(rows, rows)], rtol=1e-12)


def test_marginal_covariance_by_a_number_and_an_index() -> None:
    data = bl.load_dataset("sleepstudy").set_index(np.arange(180) + 1000).iloc[::-1]
    data.iloc[5, 0] = np.nan
    fit = bl.fit("Reaction ~ Days + (Days | Subject)", data, na_action="exclude")
    ours = fit.marginal_cov(372)
    assert ours.index.tolist() == [i for i in range(1179, 1169, -1) if i != 1174]
    assert ours.equals(fit.marginal_cov("372", "Subject"))


def test_draws_of_shares() -> None:
    model = bl.Model(SLOPES, table(), weights="w")
    post = fake_posterior(model)
    values = {
        k: v.to_numpy().reshape(1000, *v.shape[2:])
        for k, v in post.datatree["posterior"].data_vars.items()
    }
    w = model.design.weights
    Z = model.design.factors[0].columns
    sd, corr = values["sd_g"], values["corr_g"]
    cov = sd[:, :, None] * corr * sd[:, None, :]
    g = np.array([np.mean(np.einsum("nk,kl,nl->n", Z, c, Z)) for c in cov])
    cell = values["sd_B:C"][:, 0] ** 2
    residual = values["sigma"] ** 2 * np.mean(1 / w)
    fixed = np.var(model.design.X @ values["beta"].T, axis=0, ddof=1)
    icc = post.icc().table
    share = g / (g + cell + residual)
    row = icc[(icc["factor"] == "g") & (icc["icc"] == "adjusted")].iloc[0]
    assert row["mean"] == pytest.approx(share.mean(), rel=1e-10)
    assert row["lower"] == pytest.approx(np.quantile(share, 0.025), rel=1e-8)
    conditional = 1 - residual / (fixed + g + cell + residual)
    r2 = post.r2(level=0.8).table.iloc[1]
    assert r2["median"] == pytest.approx(np.median(conditional), rel=1e-8)
    assert r2["upper"] == pytest.approx(np.quantile(conditional, 0.9), rel=1e-8)
    effect = post.design_effect(by="g").table.iloc[0]
    assert effect["m"] == 8
    assert effect["mean"] == pytest.approx(1 + 7 * share.mean(), rel=1e-10)

    rows = np.flatnonzero(model.design.factors[0].codes == 0)
    same = np.equal.outer(*[model.design.factors[1].codes[rows]] * 2)
    V = [
        Z[rows] @ c @ Z[rows].T + same * s + np.diag(e**2 / w[rows])
        for c, s, e in zip(cov, cell, values["sigma"], strict=True)
    ]
    np.testing.assert_allclose(post.marginal_cov("g01", "g"), np.mean(V, axis=0), rtol=1e-10)
    upper = post.marginal_cov("g01", "g", quantile=0.975)
    np.testing.assert_allclose(upper, np.quantile(V, 0.975, axis=0), rtol=1e-10)


def test_draws_of_reliability() -> None:
    """Balanced one-way: the error variance has a closed form, prior of the mean included."""
    model = bl.Model(
        "Yield ~ 1 + (1 | Batch)",
        bl.load_dataset("Dyestuff"),
        priors={"beta[Intercept]": bl.Normal(1500.0, 40.0)},
    )
    post = fake_posterior(model)
    sd = post.datatree["posterior"]["sd_Batch"].to_numpy().reshape(-1)
    sigma = post.datatree["posterior"]["sigma"].to_numpy().reshape(-1)
    at = np.unique(np.linspace(0, 999, 200).astype(int))
    tau2, noise = sd[at] ** 2, sigma[at] ** 2 / 5
    own = tau2 / (tau2 + noise)
    mean_variance = 1 / (6 / (tau2 + noise) + 1 / 40.0**2)
    reliability = own - own**2 * mean_variance / tau2
    ours = post.reliability()
    np.testing.assert_allclose(ours["mean"], reliability.mean(), rtol=1e-8)
    np.testing.assert_allclose(ours["upper"], np.quantile(reliability, 0.975), rtol=1e-8)


def test_binary_outcomes_have_a_latent_variance() -> None:
    post = binomial()
    tau2 = post.datatree["posterior"]["sd_herd"].to_numpy().reshape(-1) ** 2
    share = tau2 / (tau2 + np.pi**2 / 3)
    row = post.icc().table.iloc[0]
    assert row["mean"] == pytest.approx(share.mean(), rel=1e-10)
    with pytest.raises(ArgumentError, match="reliabilities are of Gaussian models"):
        post.reliability()
    with pytest.raises(ArgumentError, match="no covariance matrix of this form"):
        post.marginal_cov("1")


def test_models_without_random_effects() -> None:
    fit = bl.fit("y ~ A + x", table())
    marginal, conditional = fit.r2().table["estimate"]
    assert marginal == conditional
    fixed = np.var(fit.fittedvalues, ddof=1)
    assert marginal == pytest.approx(fixed / (fixed + fit.scale), rel=1e-12)
    for method in (fit.icc, fit.design_effect, fit.reliability, lambda: fit.marginal_cov("g01")):
        with pytest.raises(ArgumentError, match="this model has no random effects"):
            method()
    no_columns = bl.fit("y ~ 0 + (1 | g)", table())
    assert no_columns.r2().table["estimate"][0] == 0.0


def test_refusals() -> None:
    fit = fitted()
    with pytest.raises(ArgumentError, match="`G` is no grouping factor"):
        fit.icc(by="G")
    with pytest.raises(ArgumentError, match="which factor is meant"):
        fit.marginal_cov("g01")
    with pytest.raises(ArgumentError, match="`g` has no level 'g99'"):
        fit.marginal_cov("g99", "g")
    with pytest.raises(ArgumentError, match=r"quantile=0.5 cannot be given"):
        fit.marginal_cov("g01", "g", quantile=0.5)
    for other in (fitted(method="MAP"), fake_posterior(bl.Model(SLOPES, table()))):
        with pytest.raises(AttributeRefused, match=r"conditional AIC is of|has no conditional_aic"):
            other.conditional_aic()


def test_shares_without_draws_of_the_fixed_effects() -> None:
    post = fake_posterior(bl.Model(SLOPES, table()))
    bare = fake_posterior(bl.Model(SLOPES, table()))
    bare.datatree["posterior"] = bare.datatree["posterior"].to_dataset().drop_vars("beta")
    pd.testing.assert_frame_equal(bare.marginal_cov("g01", "g"), post.marginal_cov("g01", "g"))
    pd.testing.assert_frame_equal(bare.reliability(), post.reliability())
    pd.testing.assert_frame_equal(bare.design_effect().table, post.design_effect().table)
    whole, adjusted = post.icc().table, bare.icc()
    kept = whole[whole["icc"] == "adjusted"].reset_index(drop=True)
    pd.testing.assert_frame_equal(adjusted.table, kept)
    assert len(whole) == 2 * len(kept) and "need draws of `beta`" in adjusted.caption
    with pytest.raises(ArgumentError, match="draws of `beta`, and they were not kept"):
        bare.r2()
