"""What must not matter in a table, and what must matter in a known way."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayeslmm.engine.gaussian import estimate_at
from tests.laws.tables import (
    FORMULAS,
    agree,
    base,
    few,
    fit,
    formulas,
    identical,
    near,
    seeds,
    table,
)

methods = st.sampled_from(["REML", "ML"])


@few
@given(formulas, seeds, methods)
def test_row_order(formula, seed, method):
    data = table(seed)
    order = np.random.default_rng(seed).permutation(len(data))
    one, other = base(formula, seed, method), fit(formula, data.iloc[order], method)
    agree(one, other)
    assert other.llf == pytest.approx(one.llf, abs=1e-9)
    near(other.fittedvalues, one.fittedvalues[order], one.sigma, 1e-6)


@few
@given(formulas, seeds)
def test_relabelled_levels(formula, seed):
    data = table(seed)
    names = {k: f"level {hash_of(k)}" for k in [*data["g"].unique(), *data["h"].unique()]}
    other = fit(formula, data.assign(g=data["g"].map(names), h=data["h"].map(names)))
    one = base(formula, seed)
    assert other.llf == pytest.approx(one.llf, abs=1e-9)
    near(other.fe_params, one.fe_params, one.fe_bse, 1e-6)
    near(other.fittedvalues, one.fittedvalues, one.sigma, 1e-6)


def hash_of(label):
    """A number that turns the order of the labels round."""
    return 99 - int(label[1:])


@few
@given(formulas, seeds, methods, st.sampled_from([-3.0, 1e-4, 1e5]), st.sampled_from([0.0, -7e3]))
def test_linear_change_of_the_response(formula, seed, method, a, c):
    data, one = table(seed), base(formula, seed, method)
    other = fit(formula, data.assign(y=a * data["y"] + c), method)
    moved = other.fe_params.copy()
    moved["Intercept"] -= c
    near(moved / a, one.fe_params, one.fe_bse, 1e-6)
    near(other.fe_bse / abs(a), one.fe_bse, one.fe_bse, 1e-6)
    assert other.sigma / abs(a) == pytest.approx(one.sigma, rel=1e-6)
    for ours, theirs in zip(one.estimate.covariances, other.estimate.covariances, strict=True):
        near(theirs / a**2, ours, np.trace(ours) + one.scale, 1e-6)
    n = one.nobs - (len(moved) if method == "REML" else 0)
    assert other.llf == pytest.approx(one.llf - n * np.log(abs(a)), abs=1e-8)
    near((other.fittedvalues - c) / a, one.fittedvalues, one.sigma, 1e-6)


@few
@given(seeds, methods, st.sampled_from([1e-4, -2.0, 1e5]), st.sampled_from([0.0, 2010.0]))
def test_linear_change_of_a_predictor(seed, method, a, c):
    """`(1 + x | g)` spans the same effects for every a x + c; llf of ML does not move."""
    data, formula = table(seed), "y ~ x + (x | g)"
    one, other = (
        base(formula, seed, method),
        fit(formula, data.assign(x=a * (data["x"] + c)), method),
    )
    back = np.array([[1.0, a * c], [0.0, a]])
    near(back @ other.fe_params, one.fe_params, one.fe_bse, 1e-6)
    covariance = back @ other.estimate.covariances[0] @ back.T
    near(covariance, one.estimate.covariances[0], one.scale, 1e-5)
    near(other.estimate.b[0] @ back.T, one.estimate.b[0], one.sigma, 1e-6)
    near(other.fittedvalues, one.fittedvalues, one.sigma, 1e-6)
    assert other.singular == one.singular
    change = np.log(abs(a)) if method == "REML" else 0.0
    assert other.llf == pytest.approx(one.llf - change, abs=1e-8)


@few
@given(formulas, seeds, methods, st.sampled_from([1e-3, 0.5, 1e4]))
def test_all_weights_times_a_constant(formula, seed, method, c):
    """sigma^2 times c, everything else as it was."""
    data = table(seed)
    one, other = (fit(formula, data, method, weights=k * data["w"]) for k in (1.0, c))
    assert other.scale == pytest.approx(c * one.scale, rel=1e-6)
    near(other.fe_params, one.fe_params, one.fe_bse, 1e-6)
    near(other.fe_bse, one.fe_bse, one.fe_bse, 1e-6)
    for ours, theirs in zip(one.estimate.covariances, other.estimate.covariances, strict=True):
        near(theirs, ours, np.trace(ours) + one.scale, 1e-6)
    assert other.llf == pytest.approx(one.llf, abs=1e-8)
    near(other.fittedvalues, one.fittedvalues, one.sigma, 1e-6)


@few
@given(formulas, seeds)
def test_weights_of_one(formula, seed):
    identical(fit(formula, table(seed), weights=np.ones(len(table(seed)))), base(formula, seed))


@few
@given(formulas, seeds, methods)
def test_weight_zero_is_a_row_left_out(formula, seed, method):
    data = table(seed)
    out = np.random.default_rng(seed).choice(len(data), 4, replace=False)
    weights = data["w"].to_numpy().copy()
    weights[out] = 0.0
    with_zeros = fit(formula, data, method, weights=weights)
    kept = np.delete(np.arange(len(data)), out)
    without = fit(formula, data.iloc[kept], method, weights=weights[kept])
    if with_zeros.ngroups == without.ngroups:
        agree(without, with_zeros)
    assert with_zeros.llf == pytest.approx(without.llf, abs=1e-9)
    near(with_zeros.fe_params, without.fe_params, without.fe_bse, 1e-6)
    near(with_zeros.fittedvalues[kept], without.fittedvalues, without.sigma, 1e-6)


@few
@given(formulas, seeds)
def test_a_row_twice_and_a_weight_of_two(formula, seed):
    """At given theta: the same beta, b and r^2; sigma^2 = r^2 / n counts the row twice.

    The two likelihoods differ by a factor sigma, so their optima differ; with the
    row i twice, -2 log L is that with weight two, plus log(2 pi sigma^2) + log 2.
    """
    data = table(seed)
    i = seed % len(data)
    weights = np.ones(len(data))
    weights[i] = 2.0
    twice = fit(formula, pd.concat([data, data.iloc[[i]]], ignore_index=True), "ML").design
    heavy = fit(formula, data, "ML", weights=weights).design
    theta = base(formula, seed, "ML").estimate.T
    a, b = estimate_at(twice, theta, "ML"), estimate_at(heavy, theta, "ML")
    n = len(data)
    assert (n + 1) * a.sigma**2 == pytest.approx(n * b.sigma**2, rel=1e-11)
    near(a.beta, b.beta, np.sqrt(np.diag(b.cov_beta)), 1e-10)
    for ours, theirs in zip(a.b, b.b, strict=True):
        near(ours, theirs, b.sigma, 1e-10)
    # both at the sigma of the first, from -2 log L = ... + n log sigma^2 + r^2 / sigma^2
    s2, r2 = a.sigma**2, n * b.sigma**2
    at_s2 = -2 * b.loglik + n * np.log(s2 / b.sigma**2) + r2 / s2 - n
    assert -2 * a.loglik == pytest.approx(at_s2 + np.log(2 * np.pi * s2) + np.log(2), abs=1e-9)


# -- the same table in other clothes --------------------------------------------------------

WRAPPED = {
    "polars": pl.from_pandas,
    "lazy polars": lambda d: pl.from_pandas(d).lazy(),
    "arrow": pa.Table.from_pandas,
    "dict of arrays": lambda d: {k: d[k].to_numpy() for k in d},
    "dict of lists": lambda d: {k: d[k].tolist() for k in d},
    "polars enumerations": lambda d: pl.from_pandas(d).with_columns(
        pl.col(k).cast(pl.Enum(sorted(d[k].unique()))) for k in ("g", "h", "c")
    ),
    "pandas with another index": lambda d: d.set_axis([f"row {i}" for i in range(len(d))]),
    "pandas with one index label": lambda d: d.set_axis([7] * len(d)),
    "pandas strings": lambda d: d.astype({"g": "string", "h": "string", "c": "string"}),
    "pandas objects": lambda d: d.astype(object),
    "arrow types": lambda d: d.convert_dtypes(dtype_backend="pyarrow"),
    "nullable types": lambda d: d.convert_dtypes(),
}


@pytest.mark.parametrize("kind", WRAPPED)
@pytest.mark.parametrize("formula", [FORMULAS[3], FORMULAS[4]])
def test_kinds_of_tables(formula, kind):
    one, other = base(formula, 3), fit(formula, WRAPPED[kind](table(3)))
    identical(one, other)
    new = table(3).iloc[[5, 2, 2]]
    np.testing.assert_array_equal(other.predict(WRAPPED[kind](new)), one.predict(new))
    # and each kind predicts for the other
    np.testing.assert_array_equal(one.predict(WRAPPED[kind](new)), one.predict(new))


@few
@given(st.sampled_from(FORMULAS[:3]), seeds)
def test_integers_strings_and_categories_as_levels(formula, seed):
    data = table(seed)
    number = {k: int(k[1:]) for k in [*data["g"].unique(), *data["h"].unique()]}
    as_numbers = data.assign(g=data["g"].map(number), h=data["h"].map(number))
    one = fit(formula, as_numbers)
    kinds = [
        as_numbers.astype({"g": "category", "h": "category"}),
        as_numbers.astype({"g": float, "h": "Int32"}),
        as_numbers.astype({"g": str, "h": str}),  # one digit: the order stays
    ]
    for other in kinds:
        identical(one, fit(formula, other))
    turned = as_numbers.astype({"g": "category"})
    turned["g"] = turned["g"].cat.reorder_categories(turned["g"].cat.categories[::-1])
    turned["g"] = turned["g"].cat.add_categories([77])  # a category that never occurs
    other = fit(formula, turned)
    agree(one, other)
    assert list(other.random_effects["g"].index) == list(one.random_effects["g"].index)[::-1]
