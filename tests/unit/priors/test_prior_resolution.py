"""Default scales, users' priors over them, and the printed table."""

import numpy as np
import pytest

from bayeslmm.errors import PriorError
from bayeslmm.priors import (
    LKJ,
    Exponential,
    Flat,
    HalfNormal,
    HalfStudentT,
    Normal,
    StudentT,
    Uniform,
    resolve_priors,
)
from tests.posterior.designs import crossed, make_design, slopes


def digits(x: float) -> float:
    return float(f"{x:.3g}")


def test_default_scales_follow_the_data():
    design = slopes()
    priors = resolve_priors(design)
    y, x = design.y, design.X[:, 1]
    sd = np.std(y, ddof=1)
    assert priors.beta[0].sigma == digits(2.5 * sd)
    assert priors.beta[0].mu == pytest.approx(y.mean(), abs=0.05)
    assert priors.beta[1] == Normal(0, digits(2.5 * sd / np.std(x, ddof=1)))
    assert priors.sigma == HalfStudentT(3, digits(sd))
    away = x.mean() / np.std(x, ddof=1)
    assert priors.sd["g"][0] == HalfStudentT(3, digits(sd * np.sqrt(1 + away**2)))
    assert priors.sd["g"][1] == HalfStudentT(3, digits(sd / np.std(x, ddof=1)))
    assert priors.corr == {"g": LKJ(1)}
    np.testing.assert_allclose(priors.centre, [0, x.mean()])
    assert priors.alpha is None


def test_a_predictor_far_from_zero_changes_no_prior_but_by_its_scale():
    """Year near 2010: the trap of priors on an uncentred intercept."""
    base = slopes()
    rng = np.random.default_rng(0)
    year = 2010 + np.round(rng.normal(0, 2, base.n))
    fixed = {"Intercept": np.ones(base.n), "year": year}
    far = make_design(base.y, fixed, {"g": base.factors[0].codes}, [("g", ("Intercept",), True)])
    priors = resolve_priors(far)
    assert priors.beta[0] == resolve_priors(base).beta[0]
    assert priors.sd["g"][0].sigma == digits(np.std(base.y, ddof=1))


def test_a_response_far_from_zero_keeps_its_location():
    design = crossed(y=crossed().y + 1e6)
    mu = resolve_priors(design).beta[0].mu
    assert abs(mu - design.y.mean()) < 0.01 * np.std(design.y)


def test_zero_weight_rows_are_as_if_absent():
    base = crossed()
    y = base.y.copy()
    y[:3] = 1e6
    w = np.ones(base.n)
    w[:3] = 0
    mu = resolve_priors(crossed(y=y, weights=w)).beta[0].mu
    assert mu == pytest.approx(base.y[3:].mean(), abs=0.02)


def test_without_an_intercept_nothing_is_centred():
    n = 20
    cond = np.arange(n) % 2
    y = 100 + 3 * cond + np.random.default_rng(1).normal(size=n)
    fixed = {"cond[a]": 1 - cond, "cond[b]": cond}
    codes = {"g": np.arange(n) // 4}
    columns = {k: np.asarray(v, float) for k, v in fixed.items()}
    design = make_design(y, fixed, codes, [("g", tuple(fixed), True)], columns=columns)
    priors = resolve_priors(design)
    np.testing.assert_array_equal(priors.centre, [0, 0])
    want = digits(2.5 * abs(y.mean()) / np.sqrt(0.5))
    assert [b.sigma for b in priors.beta] == [want, want]
    assert priors.sd["g"][0].sigma == digits(np.std(y, ddof=1) / np.sqrt(0.5))
    assert "mean" not in repr(priors).splitlines()[-1]


def test_two_terms_on_a_factor_have_the_priors_of_the_double_bar():
    two = slopes(terms=[("g", ("Intercept",), True), ("g", ("x",), True)])
    bar = slopes(correlated=False)
    assert resolve_priors(two).sd == resolve_priors(bar).sd
    assert resolve_priors(two).corr == resolve_priors(bar).corr == {}


def test_links_other_than_identity():
    rng = np.random.default_rng(2)
    base = slopes()
    counts = rng.poisson(5, base.n)
    log = resolve_priors(slopes(y=counts, family="negativebinomial", offset=np.full(base.n, 1.0)))
    assert log.beta[0] == Normal(round(np.log(counts.mean()) - 1, 2), 2.5)
    assert log.sigma is None
    assert log.alpha is not None
    zero = resolve_priors(slopes(y=np.zeros(base.n), family="poisson"))
    assert np.isfinite(zero.beta[0].mu)
    hits = resolve_priors(
        slopes(y=np.full(base.n, 3), trials=np.full(base.n, 4), family="binomial")
    )
    assert hits.beta[0].mu == pytest.approx(np.log(3), abs=0.05)
    x = base.X[:, 1]
    away = x.mean() / np.std(x, ddof=1)
    assert hits.sd["g"][0] == HalfStudentT(3, digits(np.sqrt(1 + away**2)))


def test_a_users_priors_win_and_the_narrow_name_over_the_wide():
    user = {
        "sd_g": HalfNormal(50),
        "sd_g[x]": Exponential(2),
        "beta": StudentT(3, 0, 10),
        "corr_g": LKJ(2),
        "sigma": Uniform(0, 100),
    }
    priors = resolve_priors(slopes(), user)
    assert priors.sd["g"] == (HalfNormal(50), Exponential(2))
    assert isinstance(priors.beta[0], Normal)
    assert priors.beta[1] == StudentT(3, 0, 10)
    assert priors.corr["g"] == LKJ(2)
    assert priors.sigma == Uniform(0, 100)
    table = priors.table().set_index("parameter")
    assert table.loc["beta[Intercept]", "source"] == "default"
    assert (table["source"].drop("beta[Intercept]") == "user").all()
    assert table.loc["sd_g[x]", "prior"] == "Exponential(lam=2)"


def test_the_table_is_what_is_printed():
    text = repr(resolve_priors(slopes()))
    for name in resolve_priors(slopes()).table()["parameter"]:
        assert name in text
    assert "mean; the posterior reports the intercept at zero" in text


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"sd_Subjct": HalfNormal(1)}, "no parameter of this model"),
        ({"sd_gg": HalfNormal(1)}, "did you mean `sd_g`"),
        ({"x": Normal(0, 1)}, r"did you mean `beta\[x\]`"),
        ({"sigma": Normal(0, 2)}, r"use HalfNormal\(sigma=2\)"),
        ({"sd_g": StudentT(3, 0, 2)}, r"use HalfStudentT\(nu=3, sigma=2\)"),
        ({"sd_g[x]": Uniform(-1, 5)}, r"use Uniform\(lower=0, upper=5\)"),
        ({"beta": LKJ(2)}, "not correlations"),
        ({"corr_g": HalfNormal(1)}, "that is correlations"),
        ({"sigma": 3.0}, "is not a prior"),
        ({"alpha": HalfNormal(1)}, "gaussian family has no `alpha`"),
    ],
)
def test_priors_that_cannot_be_are_refused(user, words):
    with pytest.raises(PriorError, match=words):
        resolve_priors(slopes(), user)


def test_no_prior_for_a_correlation_that_is_not_there():
    with pytest.raises(PriorError, match="have no correlation"):
        resolve_priors(slopes(correlated=False), {"corr_g": LKJ(2)})


def test_flat_may_stand_on_a_standard_deviation():
    assert resolve_priors(slopes(), {"sd_g": Flat()}).sd["g"][0] == Flat()


class TestCentring:
    def test_there_and_back(self):
        priors = resolve_priors(slopes())
        beta = np.random.default_rng(0).normal(size=(3, 4, 2))
        np.testing.assert_allclose(priors.uncentred(priors.centred(beta)), beta)
        assert priors.centred(beta)[1, 2, 0] == pytest.approx(
            beta[1, 2, 0] + priors.centre[1] * beta[1, 2, 1]
        )

    def test_the_normal_prior_of_beta_as_it_is(self):
        priors = resolve_priors(slopes())
        mean, precision = priors.normal_beta()
        rng = np.random.default_rng(0)
        for _ in range(3):
            beta = rng.normal(size=2)
            d = beta - mean
            log_det = np.linalg.slogdet(precision)[1]
            want = -0.5 * d @ precision @ d + 0.5 * log_det - np.log(2 * np.pi)
            assert priors.log_prior(draws(beta))["beta"].sum() == pytest.approx(want)

    def test_flat_has_no_precision(self):
        user = {"beta": Flat(), "beta[Intercept]": Flat()}
        _, precision = resolve_priors(slopes(), user).normal_beta()
        np.testing.assert_array_equal(precision, np.zeros((2, 2)))
        assert resolve_priors(slopes(), {"beta": StudentT(3, 0, 1)}).normal_beta() is None


def draws(beta):
    return {
        "beta": beta,
        "sd_g": np.array([1.0, 2.0]),
        "corr_g": np.array([[1, 0.3], [0.3, 1]]),
        "sigma": 1.5,
    }


def test_log_prior_is_the_sum_of_the_densities():
    priors = resolve_priors(slopes(), {"corr_g": LKJ(2)})
    got = priors.log_prior(draws(np.array([40.0, 2.0])))
    assert set(got) == {"beta", "sd_g", "corr_g", "sigma"}
    assert got["sd_g"][1] == priors.sd["g"][1].logpdf(2.0)
    assert got["corr_g"] == LKJ(2).logpdf([[1, 0.3], [0.3, 1]])
    assert got["beta"][0] == priors.beta[0].logpdf(40 + 2 * priors.centre[1])
    many = {k: np.broadcast_to(v, (4, 5, *np.shape(v))) for k, v in draws([40.0, 2.0]).items()}
    shapes = {k: v.shape for k, v in priors.log_prior(many).items()}
    assert shapes == {"beta": (4, 5, 2), "sd_g": (4, 5, 2), "corr_g": (4, 5), "sigma": (4, 5)}


def test_a_column_called_mu_or_a_lognormal_has_no_false_location():
    from bayeslmm.priors import LogNormal

    assert resolve_priors(slopes(), {"beta[x]": LogNormal(3, 1)}).beta_mean[1] == 0
