"""The PyMC model's log density against one written by hand with scipy.

A random point of the unconstrained space is mapped to the parameters by PyMC; there
the joint density of parameters and data (no Jacobian) is written out again.
"""

import numpy as np
import pytest
from scipy import special, stats

import bayeslmm.priors as bp
from bayeslmm.design.design import Design
from bayeslmm.priors import LKJ, PriorSet, resolve_priors
from bayeslmm.pymc_model import build_pymc_model
from tests.posterior.designs import crossed, make_design, slopes

QUICK = "FAST_COMPILE"  # each model is compiled for a handful of evaluations


def scipy_prior(prior, x):
    a = prior.arguments
    match prior:
        case bp.Normal():
            return stats.norm.logpdf(x, a["mu"], a["sigma"])
        case bp.StudentT():
            return stats.t.logpdf(x, a["nu"], a["mu"], a["sigma"])
        case bp.HalfNormal():
            return stats.halfnorm.logpdf(x, scale=a["sigma"])
        case bp.HalfStudentT():
            return np.log(2) + stats.t.logpdf(x, a["nu"], scale=a["sigma"])
        case bp.HalfCauchy():
            return stats.halfcauchy.logpdf(x, scale=a["beta"])
        case bp.Exponential():
            return stats.expon.logpdf(x, scale=1 / a["lam"])
        case bp.Gamma():
            return stats.gamma.logpdf(x, a["alpha"], scale=1 / a["beta"])
        case bp.InverseGamma():
            return stats.invgamma.logpdf(x, a["alpha"], scale=a["beta"])
        case bp.LogNormal():
            return stats.lognorm.logpdf(x, a["sigma"], scale=np.exp(a["mu"]))
        case bp.Uniform():
            return stats.uniform.logpdf(x, a["lower"], a["upper"] - a["lower"])
        case bp.Flat():
            return 0.0
    raise AssertionError(prior)


def lkj_by_hand(eta, R):
    """Density of R through its first principles: |R|^(eta - 1) over its integral."""
    from scipy.special import betaln

    K = len(R)
    log_integral = 0.0
    for k in range(1, K):
        a = eta + (K - k - 1) / 2
        log_integral += (K - k) * (betaln(a, a) + (2 * eta - 2 + K - k) * np.log(2))
    return (eta - 1) * np.linalg.slogdet(R)[1] - log_integral


def jacobian_of_shares(R):
    """Log |dR / d share|, with R_ij = L_jj prod_l<j sqrt(1 - z_il^2) z_ij + lower columns."""
    L = np.linalg.cholesky(R)
    total = 0.0
    for i in range(1, len(R)):
        left = 1.0
        for j in range(i):
            total += np.log(2 * L[j, j] * np.sqrt(left))
            left -= L[i, j] ** 2
    return total


def likelihood_by_hand(design: Design, v):
    eta = design.offset.copy()
    if design.p:
        eta += design.X @ v["beta"]
    for f in design.factors:
        eta += (f.columns * v[f"b_{f.name}"][f.codes]).sum(axis=1)
    w = design.weights > 0
    y, eta = design.y[w], eta[w]
    # log p and log(1 - p), either of which may be far below the precision of the other
    logs = {
        "logit": lambda: (-np.log1p(np.exp(-eta)), -np.log1p(np.exp(eta))),
        "probit": lambda: (stats.norm.logcdf(eta), stats.norm.logcdf(-eta)),
        "cloglog": lambda: (np.log(-np.expm1(-np.exp(eta))), -np.exp(eta)),
    }
    match design.family.name:
        case "gaussian":
            return stats.norm.logpdf(y, eta, v["sigma"] / np.sqrt(design.weights[w])).sum()
        case "bernoulli":
            log_p, log_q = logs[design.family.link.name]()
            return np.where(y == 1, log_p, log_q).sum()
        case "binomial":
            log_p, log_q = logs[design.family.link.name]()
            m = design.trials[w]
            ways = special.gammaln(m + 1) - special.gammaln(y + 1) - special.gammaln(m - y + 1)
            return (ways + y * log_p + (m - y) * log_q).sum()
        case "poisson":
            return stats.poisson.logpmf(y, np.exp(eta)).sum()
        case "negativebinomial":
            a = v["alpha"]
            return stats.nbinom.logpmf(y, a, a / (a + np.exp(eta))).sum()


def density_by_hand(design: Design, priors: PriorSet, v, centered):
    total = likelihood_by_hand(design, v)
    if design.p:
        beta = v["beta"].copy()
        if design.has_intercept:
            means = design.X[design.weights > 0].mean(axis=0)
            beta[0] += means[1:] @ beta[1:]
        total += sum(scipy_prior(p, b) for p, b in zip(priors.beta, beta, strict=True))
    for f in design.factors:
        sd = v[f"sd_{f.name}"]
        total += sum(scipy_prior(p, s) for p, s in zip(priors.sd[f.name], sd, strict=True))
        R = v.get(f"corr_{f.name}", np.eye(f.n_columns))
        for t in f.terms:
            block = R[t.start : t.stop, t.start : t.stop]
            if t.correlated and t.stop - t.start > 1:
                total += lkj_by_hand(priors.corr[f.name].eta, block) + jacobian_of_shares(block)
        b = v[f"b_{f.name}"]
        if centered:
            total += stats.multivariate_normal.logpdf(b, cov=np.outer(sd, sd) * R).sum()
        else:
            z = np.linalg.solve(np.diag(sd) @ np.linalg.cholesky(R), b.T)
            total += stats.norm.logpdf(z).sum()
    return total + sum(scipy_prior(p, v[name]) for name, p in priors.auxiliary.items())


def check(design, user=None, seed=0):
    priors = resolve_priors(design, user)
    rng = np.random.default_rng(seed)
    for parameterization in ("noncentered", "centered"):
        model = build_pymc_model(design, priors, parameterization=parameterization)
        # without PyTensor's rewrites 1 - p loses its digits where p is next to 1
        exact = None if design.family.link.name == "cloglog" else QUICK
        logp = model.compile_logp(jacobian=False, mode=exact)
        parameters = model.compile_fn(model.unobserved_value_vars, point_fn=True, mode=QUICK)
        names = [v.name for v in model.unobserved_value_vars]
        for _ in range(3):
            start = model.initial_point()
            point = {k: np.asarray(x) + rng.normal(0, 0.4, np.shape(x)) for k, x in start.items()}
            v = dict(zip(names, parameters(point), strict=True))
            want = density_by_hand(design, priors, v, parameterization == "centered")
            np.testing.assert_allclose(logp(point), want, rtol=1e-8)
    return model


COUNTS = np.random.default_rng(3).poisson(4, 30)
HITS = COUNTS > 4


def three_columns(**kw):
    base = slopes()
    x = base.X[:, 1]
    columns = {"x": x, "w": np.cos(np.arange(base.n))}
    terms = [("g", ("Intercept", "x", "w"), True)]
    return slopes(terms=terms, columns=columns, **kw)


def test_correlated_slopes():
    model = check(slopes(), {"corr_g": LKJ(2)})
    assert model.named_vars_to_dims["corr_g"] == ("g_term", "g_term_bis")
    assert model.named_vars_to_dims["b_g"] == ("g", "g_term")
    assert model.named_vars_to_dims["beta"] == ("fixed",)
    assert model.coords["g_term"] == model.coords["g_term_bis"] == ("Intercept", "x")
    assert [v.name for v in model.observed_RVs] == ["y"]


@pytest.mark.parametrize("eta", [1.0, 3.0])
def test_three_correlated_columns(eta):
    check(three_columns(), {"corr_g": LKJ(eta)})


def test_double_bar():
    model = check(slopes(correlated=False))
    assert "corr_g" not in model.named_vars


def test_crossed_intercepts():
    check(crossed())


def test_two_correlated_terms_on_one_factor():
    base = slopes()
    columns = {"x": base.X[:, 1], "w": np.cos(np.arange(30)), "v": np.sin(np.arange(30))}
    terms = [("g", ("Intercept", "x"), True), ("g", ("w", "v"), True)]
    design = slopes(terms=terms, columns=columns)
    model = check(design, {"corr_g": LKJ(2)})
    R = model.compile_fn(
        model["corr_g"],
        inputs=model.value_vars,
        point_fn=True,
        on_unused_input="ignore",
        mode=QUICK,
    )
    block = R(model.initial_point())[:2, 2:]
    np.testing.assert_array_equal(block, 0)


def test_a_double_bar_beside_a_correlated_term():
    base = slopes()
    columns = {"x": base.X[:, 1], "w": np.cos(np.arange(30)), "v": np.sin(np.arange(30))}
    terms = [("g", ("w", "v"), False), ("g", ("Intercept", "x"), True)]
    check(slopes(terms=terms, columns=columns))


def test_weights_and_offset():
    w = np.tile([0.5, 2.0, 0.0, 1.0, 3.0], 6)
    model = check(slopes(weights=w, offset=np.linspace(-1, 1, 30)))
    assert len(model.coords["obs"]) == 24


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_bernoulli(link):
    from bayeslmm.families import Bernoulli

    check(slopes(y=HITS, family=Bernoulli(link)))


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_binomial(link):
    from bayeslmm.families import Binomial

    check(slopes(y=COUNTS, trials=COUNTS + 3, family=Binomial(link), offset=np.full(30, 0.2)))


def test_poisson():
    check(slopes(y=COUNTS, family="poisson", offset=np.linspace(-1, 1, 30)))


def test_negative_binomial():
    check(slopes(y=COUNTS, family="negativebinomial"))


def test_every_kind_of_prior():
    base = slopes()
    fixed = {"Intercept": np.ones(30), "x": base.X[:, 1], "w": np.cos(np.arange(30))}
    columns = {k: v for k, v in fixed.items() if k != "Intercept"}
    terms = [("g", ("Intercept", "x", "w"), False)]
    design = make_design(base.y, fixed, {"g": base.factors[0].codes}, terms, columns=columns)
    kinds = [
        (bp.HalfNormal(2), bp.Exponential(1), bp.Gamma(2, 1)),
        (bp.HalfCauchy(2), bp.InverseGamma(3, 2), bp.LogNormal(0, 1)),
        (bp.Flat(), bp.Uniform(0, 9), bp.HalfStudentT(4, 2)),
        (bp.Flat(), bp.Flat(), bp.Flat()),
    ]
    for one, two, three in kinds:
        user = {"sd_g[Intercept]": one, "sd_g[x]": two, "sd_g[w]": three}
        check(design, {**user, "beta[x]": bp.StudentT(3, 1, 2), "beta[w]": bp.Uniform(-9, 9)})
    check(design, {"beta": bp.Flat(), "beta[Intercept]": bp.Flat(), "sigma": bp.Flat()})


def test_no_intercept_and_no_fixed_part():
    base = slopes()
    check(
        make_design(
            base.y, {"x": base.X[:, 1]}, {"g": base.factors[0].codes}, [("g", ("Intercept",), True)]
        )
    )
    check(make_design(base.y - 50, {}, {"g": base.factors[0].codes}, [("g", ("Intercept",), True)]))


def test_no_random_part():
    base = slopes()
    check(make_design(base.y, {"Intercept": np.ones(30), "x": base.X[:, 1]}, {}, []))


@pytest.mark.parametrize("name", ["sigma", "beta", "obs", "g", "b_g", "g_term", "log(y + 1)"])
def test_a_response_with_any_name(name):
    model = check(slopes(response_name=name))
    want = name if name.startswith("log") else f"{name}_obs"
    assert [v.name for v in model.observed_RVs] == [want]
