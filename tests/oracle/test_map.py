"""MAP against a log posterior written by hand: densities from scipy, beta integrated densely."""

import itertools

import numpy as np
import pytest
from scipy import optimize, special, stats

import bayeslmm as bl
from bayeslmm.errors import DataWarning
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
    bl.Uniform: lambda p, x: stats.uniform.logpdf(x, p.lower, p.upper - p.lower),
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


# Formulas with Uniform priors, and which parameters the mode has at an end of them:
# REML's SDs are 11.2 and 14.1 (intercepts), 14.2, 5.3 and 9.0 (slopes), 9.0, 0 and 10.2
# (uncorrelated), 11.2, 5.0 and 11.2 (crossed).
U = bl.Uniform
BOUNDED = {
    "inside": ("intercepts", {"sd_g": U(0, 60), "sigma": U(5, 90)}, []),
    "inside, far ends": ("intercepts", {"sd_g": U(0, 1e7)}, []),
    "upper": ("intercepts", {"sd_g": U(0, 5)}, ["sd_g[Intercept]"]),
    "upper, tiny": ("intercepts", {"sd_g": U(1e-6, 1e-3)}, ["sd_g[Intercept]"]),
    "lower": ("intercepts", {"sd_g": U(30, 50)}, ["sd_g[Intercept]"]),
    "sigma, upper": ("intercepts", {"sigma": U(0, 7)}, ["sigma"]),
    "sigma, lower": ("intercepts", {"sigma": U(20, 21)}, ["sigma"]),
    "two ends": ("intercepts", {"sd_g": U(30, 50), "sigma": U(0, 7)}, ["sd_g[Intercept]", "sigma"]),
    "a slope, lower": ("slopes", {"sd_g[x]": U(12, 20)}, ["sd_g[x]"]),
    "a slope, upper, LKJ(2)": ("slopes", {"sd_g[x]": U(0, 2), "corr_g": bl.LKJ(2)}, ["sd_g[x]"]),
    "intercepts of slopes": ("slopes", {"sd_g[Intercept]": U(1, 3)}, ["sd_g[Intercept]"]),
    "an end and a zero": (
        "slopes, uncorrelated",
        {"sd_g[Intercept]": U(0.5, 3), "sd_g[x]": U(0, 8)},
        ["sd_g[Intercept]"],
    ),
    "an end away from zero": ("slopes, uncorrelated", {"sd_g[x]": U(0.5, 3)}, ["sd_g[x]"]),
    "crossed": (
        "crossed",
        {"sd_g": U(0, 3), "sd_h": U(20, 31), "sigma": U(1, 40)},
        ["sd_g[Intercept]", "sd_h[Intercept]"],
    ),
    "weights and offset": ("weights and offset", {"sd_h": U(0, 0.5)}, ["sd_h[Intercept]"]),
}


class Boxed:
    """Log posterior by definition of a vector: SDs and correlations by factor, then sigma."""

    def __init__(self, model):
        self.design, self.priors = model.design, model.priors
        self.dense = Dense(model.design, np.float64)
        self.box = []
        for f in self.design.factors:
            self.box += [p.bounds for p in self.priors.sd[f.name]]
            self.box += [(-1.0, 1.0)] * int(np.tril(f.pattern, -1).sum())
        self.box.append(self.priors.sigma.bounds)

    def __call__(self, vector):
        at, covariances = 0, []
        for f in self.design.factors:
            K, R = f.n_columns, np.eye(f.n_columns)
            sd, at = vector[at : at + K], at + K
            for j, i in itertools.combinations(range(K), 2):
                if f.pattern[i, j]:
                    R[i, j] = R[j, i] = vector[at]
                    at += 1
            # an SD of zero has no Cholesky factor, but a limit
            covariances.append(np.outer(sd, sd) * R + 1e-20 * np.eye(K))
        try:
            return log_posterior(self.dense, self.priors, covariances, vector[-1])
        except np.linalg.LinAlgError:
            return -np.inf

    def highest(self, start):
        """By a search without derivatives, from a vector and from the middle of the box."""
        low = np.array([b[0] for b in self.box])
        high = np.array([min(b[1], max(60.0, 2 * b[0])) for b in self.box])
        ends = list(zip(low, [b[1] for b in self.box], strict=True))
        options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000, "maxfev": 4000}
        found = [
            optimize.minimize(
                lambda v: min(-self(v), 1e10), x, method="Nelder-Mead", bounds=ends, options=options
            )
            for x in (np.clip(start, low, high), 0.5 * (low + high), 0.8 * low + 0.2 * high)
        ]
        return max(-f.fun for f in found)


@pytest.mark.parametrize("name", BOUNDED)
def test_a_mode_between_the_ends_of_uniform_priors(name, recwarn):
    case, given, reached = BOUNDED[name]
    model = CASES[case].model(priors=given)
    estimate = model.fit("MAP").estimate
    values = dict(zip(estimate.variance_names, estimate.variance_values, strict=True))
    posterior = Boxed(model)
    ends = dict(zip(estimate.variance_names, posterior.box, strict=True))
    at_end = [
        k for k, v in values.items() if v > 0 and np.isclose(v, ends[k], rtol=1e-12, atol=0).any()
    ]
    assert at_end == reached
    assert estimate.status.name == ("AT_END" if reached else "CONVERGED")
    said = [str(w.message) for w in recwarn if w.category is DataWarning]
    assert all(any(f"`{k}`" in words for words in said) for k in reached)

    # nothing else is higher: from elsewhere, a search by definition comes as far, not farther
    top = posterior(estimate.variance_values)
    highest = posterior.highest(1.1 * estimate.variance_values)
    assert top == pytest.approx(highest, abs=1e-6)
    assert highest <= top + 1e-9
    # and it falls on both sides of each parameter, at an end on the inner side
    for k, key in enumerate(values):
        size = max(abs(estimate.variance_values[k]), 0.1)
        slopes = []
        for side in (-1.0, 1.0):
            moved = estimate.variance_values.copy()
            moved[k] += side * 1e-3 * size
            if ends[key][0] <= moved[k] <= ends[key][1]:
                slopes.append(posterior(moved) - top)
        assert slopes and max(slopes) < 0.0, key


def test_a_grid_finds_no_higher_density_between_the_ends():
    for given in ({"sd_g": U(0, 5)}, {"sd_g": U(30, 50), "sigma": U(2, 60)}, {"sigma": U(20, 21)}):
        model = CASES["intercepts"].model(priors=given)
        posterior = Boxed(model)
        with pytest.warns(DataWarning, match="ends"):
            top = posterior(model.fit("MAP").estimate.variance_values)
        grid = [np.linspace(max(low, 1e-3), min(high, 60.0), 40) for low, high in posterior.box]
        assert max(posterior(np.array(v)) for v in itertools.product(*grid)) <= top


def test_standard_errors_at_an_end_are_those_given_it():
    case, given, _ = BOUNDED["a slope, upper, LKJ(2)"]
    model = CASES[case].model(priors=given)
    with pytest.warns(DataWarning, match="ends"):
        fit = model.fit("MAP")
    names, at = list(fit.estimate.variance_names), fit.estimate.variance_values
    cov = fit.variance_cov.to_numpy()
    end = names.index("sd_g[x]")
    assert np.isnan(cov[end]).all() and np.isnan(cov[:, end]).all()

    # the curvature of the definition in the other parameters
    others = [k for k in range(len(names)) if k != end]
    posterior = Boxed(model)
    h = 2e-4 * np.where(np.char.startswith(names, "corr"), 1.0, at)
    H = np.empty((len(others), len(others)))
    for a, i in enumerate(others):
        for b, j in enumerate(others):
            total = 0.0
            for si, sj in itertools.product((-1, 1), (-1, 1)):
                moved = at.copy()
                moved[i] += si * h[i]
                moved[j] += sj * h[j]
                total += si * sj * posterior(moved)
            H[a, b] = total / (4 * h[i] * h[j])
    np.testing.assert_allclose(cov[np.ix_(others, others)], np.linalg.inv(-H), rtol=2e-4, atol=1e-5)


def test_an_end_and_a_response_without_residual():
    data = {"y": np.repeat([1.0, 2.0, 5.0, 3.0], 6), "g": np.repeat(list("abcd"), 6)}
    model = bl.Model("y ~ 1 + (1 | g)", data, priors={"sigma": U(1, 3)})
    with pytest.warns(DataWarning, match="`sigma` is 1, where its prior"):
        assert model.fit("MAP").estimate.sigma == pytest.approx(1.0, rel=1e-12)
