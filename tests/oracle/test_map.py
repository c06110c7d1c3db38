"""MAP against a log posterior written by hand: densities from scipy, beta integrated densely."""

import numpy as np
import pytest
from scipy import special, stats

import bayeslmm as bl
from tests.oracle.dense import LOG_2PI, Dense, cholesky, forward
from tests.oracle.designs import CASES, objective

LOCATED = {"beta[Intercept]": bl.Normal(15, 8), "beta[x]": bl.Normal(4, 3)}
VARIED = {"sd_g": bl.HalfStudentT(3, 6), "corr_g": bl.LKJ(2), "sigma": bl.Gamma(2, 0.2)}
MODELS = {
    "all proper": (CASES["slopes"], LOCATED | VARIED),
    "partly flat": (CASES["slopes"], VARIED | {"beta[Intercept]": bl.Flat()}),
    "all flat": (CASES["slopes"], VARIED | {"beta": bl.Flat(), "beta[Intercept]": bl.Flat()}),
    "three columns, LKJ(2)": (
        CASES["three columns"],
        VARIED | {"sd_g": bl.HalfNormal(5), "sd_g[x]": bl.Gamma(2, 0.5)},
    ),
    "weights and offset": (CASES["weights and offset"], LOCATED | {"sd_h": bl.Exponential(0.2)}),
    "years": (CASES["years"], VARIED | {"beta[x]": bl.Normal(4, 3)}),
    "no intercept": (CASES["no intercept"], {"beta[x]": bl.Normal(4, 3)}),
    "defaults": (CASES["crossed, one || the other |"], {}),
}

# The log densities of the priors above, from scipy.
DENSITIES = {
    bl.HalfNormal: lambda p, x: stats.halfnorm.logpdf(x, scale=p.sigma),
    bl.HalfStudentT: lambda p, x: np.log(2) + stats.t.logpdf(x, p.nu, scale=p.sigma),
    bl.Gamma: lambda p, x: stats.gamma.logpdf(x, p.alpha, scale=1 / p.beta),
    bl.Exponential: lambda p, x: stats.expon.logpdf(x, scale=1 / p.lam),
}


def log_lkj(eta, R):
    """Lewandowski, Kurowicka and Joe (2009), normalised as in their Theorem 5."""
    K = len(R)
    log_constant = 0.0
    for k in range(1, K):
        b = eta + (K - k - 1) / 2
        log_constant += (2 * eta - 2 + K - k) * (K - k) * np.log(2)
        log_constant += (K - k) * special.betaln(b, b)
    return (eta - 1) * np.linalg.slogdet(R)[1] - log_constant


def log_evidence(dense, priors, V, sigma):
    """log p(y | theta, sigma): beta integrated over normal priors on centred columns."""
    design = dense.design
    X = dense.X.copy()
    if design.has_intercept:
        others = [j for j, name in enumerate(design.fixed_names) if name != "Intercept"]
        X[:, others] -= priors.centre[others]
    proper = np.array([isinstance(b, bl.Normal) for b in priors.beta])
    mean = np.array([b.mu if isinstance(b, bl.Normal) else 0.0 for b in priors.beta])
    sd = np.array([b.sigma if isinstance(b, bl.Normal) else 0.0 for b in priors.beta])
    S = sigma**2 * V + (X * sd**2) @ X.T
    L = cholesky(S)
    flat, r = forward(L, X[:, ~proper]), forward(L, dense.y - X @ mean)
    C = flat.T @ flat
    r = r - flat @ np.linalg.solve(C.astype(float), (flat.T @ r).astype(float))
    value = -(dense.n - flat.shape[1]) * LOG_2PI / 2 - np.log(np.diag(L)).sum() - r @ r / 2
    return value - np.linalg.slogdet(C.astype(float))[1] / 2


def log_posterior(dense, priors, covariances, sigma):
    """Joint log density of (SDs, correlations, sigma) and y; ``covariances`` by factor."""
    design = dense.design
    theta = [np.linalg.cholesky(c) / sigma for c in covariances]
    total = log_evidence(dense, priors, dense.V(theta), sigma)
    total += DENSITIES[type(priors.sigma)](priors.sigma, sigma)
    for f, c in zip(design.factors, covariances, strict=True):
        sd = np.sqrt(np.diag(c))
        for p, x in zip(priors.sd[f.name], sd, strict=True):
            total += DENSITIES[type(p)](p, x)
        for t in f.terms:
            block = slice(t.start, t.stop)
            if t.correlated and t.stop - t.start > 1:
                R = c[block, block] / np.outer(sd[block], sd[block])
                total += log_lkj(priors.corr[f.name].eta, R)
    return float(total)


@pytest.mark.parametrize("name", MODELS)
def test_value(name):
    case, given = MODELS[name]
    model = case.model(priors=given)
    o = objective(model, "MAP")
    rng = np.random.default_rng(11)
    maps = o.cp.coordinates
    for _ in range(3):
        x = np.append(o.layout.start() + 0.4 * rng.normal(size=o.layout.size), rng.normal() / 3)
        sigma = np.exp(x[-1]) * maps.y_scale
        theta = o.layout.to_raw(o.layout.unpack(x[:-1]))
        covariances = [sigma**2 * T @ T.T for T in theta]
        expected = -2 * log_posterior(Dense(model.design), model.priors, covariances, sigma)
        # raw slopes of years: the correlation is so near to one that its determinant cancels
        tolerance = 1e-9 if name == "years" else 1e-12
        assert o.joint(x).value == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("name", ["all proper", "three columns, LKJ(2)", "weights and offset"])
def test_the_fit_is_the_mode_in_sds_correlations_and_sigma(name):
    case, given = MODELS[name]
    model = case.model(priors=given)
    fit = model.fit("MAP")
    assert fit.converged and not fit.singular
    dense = Dense(model.design)
    base = [c.copy() for c in fit.estimate.covariances]

    def posterior(sds, corrs, sigma):
        covariances = [np.outer(sd, sd) * R for sd, R in zip(sds, corrs, strict=True)]
        return log_posterior(dense, model.priors, covariances, sigma)

    sds = [np.sqrt(np.diag(c)) for c in base]
    corrs = [c / np.outer(s, s) for c, s in zip(base, sds, strict=True)]
    top = posterior(sds, corrs, fit.sigma)

    def slope(change, size):
        h = 1e-3 * size
        up, down = change(h), change(-h)
        assert max(up, down) < top
        return (up - down) / (2 * h), abs(up + down - 2 * top) / h**2

    def moved(k, i, j, h):
        s, c = [x.copy() for x in sds], [x.copy() for x in corrs]
        if i == j:
            s[k][i] += h
        else:
            c[k][i, j] += h
            c[k][j, i] += h
        return posterior(s, c, fit.sigma)

    steps = [slope(lambda h: posterior(sds, corrs, fit.sigma + h), fit.sigma)]
    for k, f in enumerate(model.design.factors):
        for i in range(f.n_columns):
            for j in range(i + 1):
                if f.pattern[i, j]:
                    size = sds[k][i] if i == j else 0.3
                    steps.append(slope(lambda h, a=(k, i, j): moved(*a, h), size))
    # the slope, in units of the posterior SD of the parameter
    assert max(abs(g) / np.sqrt(c) for g, c in steps) < 1e-4


def test_flat_priors_give_reml():
    case = CASES["slopes"]
    flat = {
        "beta": bl.Flat(),
        "beta[Intercept]": bl.Flat(),
        "sd_g": bl.Uniform(0, 1e4),
        "sigma": bl.Uniform(0, 1e4),
        "corr_g": bl.LKJ(1),
    }
    mode, reml = case.model(priors=flat).fit("MAP"), case.model().fit("REML")
    np.testing.assert_allclose(
        mode.estimate.variance_values, reml.estimate.variance_values, rtol=1e-6
    )
    np.testing.assert_allclose(mode.fe_params, reml.fe_params, rtol=1e-7)
    assert mode.llf == pytest.approx(reml.llf, abs=1e-9)
