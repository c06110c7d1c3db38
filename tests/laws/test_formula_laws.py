"""Different words for the same model."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayeslmm as bl
from bayeslmm.errors import SingularFitWarning
from tests.laws.tables import agree, base, few, fit, formulas, identical, near, seeds, table

# Written differently, read the same: every number is equal.
SAME = [
    ("y ~ x + (x | g)", "y ~ 1 + x + (1 + x | g)"),
    ("y ~ x + (x | g)", "y~x+( x+1 |g )"),
    ("y ~ x + (x | g)", " y ~ (x) + (1 +\n x | g)"),
    ("y ~ x + (0 + x | g)", "y ~ x + (x - 1 | g)"),
    ("y ~ x + (0 + x | g)", "y ~ x + (-1 + x | g)"),
    ("y ~ x + (1 | g/h)", "y ~ x + (1 | g) + (1 | g:h)"),
    ("y ~ x + (x | g/h)", "y ~ x + (x | g) + (x | g:h)"),
    ("y ~ x * c + (1 | g)", "y ~ x + c + x:c + (1 | g)"),
    ("y ~ (x + z + c)^2 + (1 | g)", "y ~ x + z + c + x:z + x:c + z:c + (1 | g)"),
    ("y ~ x + z + (1 | g)", "y ~ x + z + c - c + (1 | g)"),
    ("y ~ 0 + c + (1 | g)", "y ~ c - 1 + (1 | g)"),
    ("y ~ I(x**2) + (1 | g)", "y ~ I(x^2) + (1 | g)"),
    ("y ~ log(z) + (1 | g)", "y ~ np.log(z) + (1 | g)"),
    ("y ~ c + (1 | g)", "y ~ C(c) + (1 | g)"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_in_other_words(one, other):
    a, b = base(one, 5), base(other, 5)
    np.testing.assert_array_equal(a.fe_params.to_numpy(), b.fe_params.to_numpy())
    np.testing.assert_array_equal(a.estimate.variance_values, b.estimate.variance_values)
    assert a.ngroups == b.ngroups
    assert a.llf == b.llf
    np.testing.assert_array_equal(a.fittedvalues, b.fittedvalues)


def test_uncorrelated_is_two_terms():
    agree(base("y ~ x + (x || g)", 5), base("y ~ x + (1 | g) + (0 + x | g)", 5))


def test_groups_argument():
    written = base("y ~ x + (1 | g) + (1 | h)", 5)
    identical(written, fit("y ~ x", table(5), groups=["g", "h"]))
    identical(written, fit("y ~ x + (1 | g)", table(5), groups="h"))


@few
@given(seeds, st.sampled_from(["REML", "ML"]))
def test_order_of_terms(seed, method):
    one = base("y ~ x + c + (x | g) + (1 | h)", seed, method)
    other = fit("y ~ (1 | h) + c + (x | g) + x", table(seed), method)
    agree(one, other)
    assert other.llf == pytest.approx(one.llf, abs=1e-9)
    turned = fit("y ~ c + x + (1 | h) + (0 + x + 1 | g)", table(seed), method)
    agree_llf_and_fit(one, turned)


def agree_llf_and_fit(one, other):
    assert other.llf == pytest.approx(one.llf, abs=1e-9)
    near(other.fittedvalues, one.fittedvalues, one.sigma, 1e-6)


@few
@given(seeds)
def test_coding_of_a_factor(seed):
    """Another coding is another basis of the same columns."""
    one = base("y ~ c + (1 | g)", seed, "ML")
    for other in (
        "y ~ 0 + c + (1 | g)",
        "y ~ C(c, Sum) + (1 | g)",
        "y ~ C(c, Treatment('top')) + (1 | g)",
    ):
        agree_llf_and_fit(one, fit(other, table(seed), "ML"))
    cells = fit("y ~ 0 + c + (1 | g)", table(seed), "ML").fe_params
    near(cells["c[mid]"] - cells["c[lo]"], one.fe_params["c[mid]"], one.fe_bse["c[mid]"], 1e-6)


@few
@given(seeds)
def test_scale_and_poly_are_bases(seed):
    one = base("y ~ x + I(x**2) + (x | g)", seed, "ML")
    agree_llf_and_fit(one, fit("y ~ poly(x, 2) + (scale(x) | g)", table(seed), "ML"))
    agree_llf_and_fit(one, fit("y ~ poly(x, 2, raw=True) + (x | g)", table(seed), "ML"))


@few
@given(formulas, seeds, st.sampled_from(["REML", "ML"]))
def test_offset_is_taken_from_the_response(formula, seed, method):
    data = table(seed)
    data = data.assign(minus=data["y"] - 3 * data["z"], three=3 * data["z"])
    without = fit(formula.replace("y ~", "minus ~"), data, method)
    for other in (
        fit(formula + " + offset(three)", data, method),
        fit(formula + " + offset(3 * z)", data, method),
        fit(formula, data, method, offset="three"),
        fit(formula, data, method, offset=3 * data["z"]),
        fit(formula + " + offset(z)", data, method, offset=2 * data["z"]),
    ):
        agree(without, other)
        assert other.llf == pytest.approx(without.llf, abs=1e-9)
        near(other.fittedvalues - data["three"], without.fittedvalues, without.sigma, 1e-6)
        near(other.resid, without.resid, without.sigma, 1e-6)


UPDATES = [
    ("y ~ x + z + (x | g)", "~ . - z", "y ~ x + (x | g)"),
    ("y ~ x + (1 | g)", "~ . + c", "y ~ x + c + (1 | g)"),
    ("y ~ x * c + (1 | g)", "~ . - x:c", "y ~ x + c + (1 | g)"),
    ("y ~ x + (1 | g)", "~ . + (1 | h)", "y ~ x + (1 | g) + (1 | h)"),
    ("y ~ x + (1 | g) + (1 | h)", "~ . - (1 | h)", "y ~ x + (1 | g)"),
    ("y ~ x + (1 | g)", "~ . - 1", "y ~ 0 + x + (1 | g)"),
    ("z ~ x + (1 | g)", "log(.) ~ .", "log(z) ~ x + (1 | g)"),
]


@pytest.mark.parametrize(("before", "change", "after"), UPDATES)
def test_update_is_a_fresh_model(before, change, after):
    data = table(7)
    given_ = {"weights": "w", "na_action": "exclude"}
    model = bl.Model(before, data, **given_)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        identical(model.update(change).fit(), fit(after, data, **given_))
        plain = model.update(change, weights=None, na_action="drop")
        identical(plain.fit(), fit(after, data))
    # the model itself has not changed
    assert model.formula.text == before


def test_update_of_data_and_priors():
    model = bl.Model("y ~ x + (1 | g)", table(7), priors={"sigma": bl.HalfNormal(3)})
    other = model.update(data=table(8))
    identical(other.fit("MAP"), fit("y ~ x + (1 | g)", table(8), "MAP", priors=model._user_priors))
    assert repr(other.priors.sigma) == "HalfNormal(sigma=3)"
