"""Predictions for rows that were seen, rows in another form, and missing values."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayeslmm as bl
from bayeslmm.errors import MissingDataWarning, MissingValuesError
from tests.laws.tables import FORMULAS, base, few, fit, formulas, identical, seeds, table
from tests.unit.prediction.posteriors import posterior_of

STATEFUL = "y ~ scale(x) + poly(z, 2) + C(c) + offset(0.1 * z) + (scale(x) | g) + (1 | g:h)"
OWN_ORDER = "y ~ x + C(c, Sum, levels=['top', 'lo', 'mid']) + (C(c) | g) + (1 | h)"
anything = st.sampled_from([*FORMULAS, STATEFUL, OWN_ORDER])


@few
@given(anything, seeds)
def test_training_rows_as_new_data(formula, seed):
    """Any rows, in any order, with categories missing: the very numbers of the fit."""
    one, data = base(formula, seed), table(seed)
    rng = np.random.default_rng(seed)
    for size in (1, 3, len(data)):
        at = rng.choice(len(data), size, replace=False)
        new = data.drop(columns="y").iloc[at]
        np.testing.assert_array_equal(one.predict(new), one.fittedvalues[at])
        fixed = one.predict(new, include_re=False)
        np.testing.assert_array_equal(fixed, one.predict(include_re=False)[at])


@few
@given(anything, seeds)
def test_categories_of_other_tables(formula, seed):
    """The categories of new data are read by their labels, never by their codes."""
    one, data = base(formula, seed), table(seed)
    at = data.index[data["c"] != "mid"][:4]
    new = data.loc[at].copy()
    new["c"] = pd.Categorical(new["c"], categories=["top", "never", "lo"])
    new["g"] = pd.Categorical(new["g"], categories=[*sorted(new["g"].unique())[::-1], "other"])
    np.testing.assert_array_equal(one.predict(new), one.fittedvalues[at])


@few
@given(formulas, seeds)
def test_fitted_values_by_hand(formula, seed):
    """X beta + Z b + offset, and residuals that complete it."""
    one = base(formula, seed)
    d, e = one.design, one.estimate
    by_hand = d.X @ e.beta + d.Z() @ np.concatenate([b.ravel() for b in e.b])
    np.testing.assert_allclose(one.fittedvalues, by_hand, rtol=1e-12, atol=1e-12 * one.sigma)
    np.testing.assert_array_equal(one.resid, d.y - one.fittedvalues)


@few
@given(anything, seeds)
def test_missing_values_in_new_data(formula, seed):
    one, data = base(formula, seed), table(seed)
    new = data.drop(columns="y").iloc[:6].reset_index(drop=True)
    used = [c for c in ("x", "c", "g", "z") if c in formula.replace("scale", "").replace("C(", "(")]
    for i, column in enumerate(used):
        new[column] = new[column].astype(object)
        new.loc[i, column] = None if new[column].dtype == object and i % 2 else np.nan
    predicted = one.predict(new)
    gone = np.arange(6) < len(used)
    assert np.isnan(predicted[gone]).all()
    np.testing.assert_array_equal(predicted[~gone], one.fittedvalues[:6][~gone])


def test_a_missing_level_is_no_gap_in_the_population():
    one, data = base(FORMULAS[1], 2), table(2)
    new = pd.DataFrame({"x": data["x"][:3], "g": [None, "g0", None]})
    assert np.isnan(one.predict(new)).tolist() == [True, False, True]
    population = one.predict(new, include_re=False)
    np.testing.assert_array_equal(population, one.predict(include_re=False)[:3])
    np.testing.assert_array_equal(one.predict(new[["x"]], include_re=False), population)


def same_frames(one, other):
    """Fits to the bit; errors of the variances' rounding."""
    np.testing.assert_array_equal(one["fit"], other["fit"])
    assert list(one.index) == list(other.index)
    for column in ("se", "lower", "upper"):
        np.testing.assert_allclose(one[column], other[column], rtol=1e-9)


@few
@given(anything, seeds, st.sampled_from(["confidence", "prediction"]))
def test_intervals_of_training_rows_as_new_data(formula, seed, interval):
    """Any rows, in any order, labelled by the index of their table."""
    one, data = base(formula, seed), table(seed)
    at = np.random.default_rng(seed).permutation(len(data))[:9]
    new = data.drop(columns="y").iloc[at]
    for re in (True, False, "average"):
        whole = one.predict(include_re=re, interval=interval)
        same_frames(one.predict(new, include_re=re, interval=interval), whole.iloc[at])


@few
@given(anything, seeds)
def test_terms_add_up(formula, seed):
    """Effects of some terms, and of the others, are those of all."""
    one, data = base(formula, seed), table(seed)
    texts = [t.text for f in one.design.factors for t in f.terms]
    zero = one.predict(include_re=False)
    parts = [one.predict(terms=[t]) - zero for t in texts]
    np.testing.assert_allclose(sum(parts), one.predict() - zero, atol=1e-12 * np.abs(zero).max())
    names = [f.name for f in one.design.factors]
    np.testing.assert_array_equal(one.predict(terms=names), one.predict())
    np.testing.assert_array_equal(one.predict(data[::-1], terms=texts[:1]),
                                  one.predict(terms=texts[0])[::-1])  # fmt: skip


@few
@given(formulas, seeds, st.sampled_from(["gaussian", "poisson"]))
def test_posterior_predictions_of_training_rows_as_new_data(formula, seed, family):
    """Means and quantiles of a row depend on no other row, to the bit."""
    data = table(seed).assign(k=lambda t: np.round(np.abs(t["y"]) / 20).astype(int))
    response = "k" if family == "poisson" else "y"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = bl.Model(formula.replace("y ~", f"{response} ~"), data, family=family)
    post = posterior_of(model, seed)
    rng = np.random.default_rng(seed)
    for re in (True, False, "average"):
        whole = post.predict(include_re=re, interval="confidence")
        for size in (1, 5):
            at = rng.choice(len(data), size, replace=False)
            part = post.predict(data.iloc[at], include_re=re, interval="confidence")
            pd.testing.assert_frame_equal(part, whole.iloc[at], check_exact=True)
            np.testing.assert_array_equal(post.predict(data.iloc[at], include_re=re), part["fit"])


@few
@given(formulas, seeds)
def test_intervals_know_what_they_leave_out(formula, seed):
    """An observation adds its residual; of a new group nothing is known, however asked for."""
    one, data = base(formula, seed), table(seed)
    mean, single = (one.predict(interval=i)["se"] for i in ("confidence", "prediction"))
    np.testing.assert_allclose(single**2, mean**2 + one.scale, rtol=1e-9)
    nobody = data.assign(g="nobody", h="nothing")
    unseen = one.predict(nobody, interval="prediction")
    left = one.predict(include_re=False, interval="prediction")
    cov = one.estimate.cov_beta
    fixed = np.einsum("ij,jk,ik->i", one.design.X, cov, one.design.X)
    for f, own in zip(one.design.factors, one.estimate.covariances, strict=True):
        fixed = fixed + np.einsum("ij,jk,ik->i", f.columns, own, f.columns)
    np.testing.assert_allclose(unseen["se"] ** 2, fixed + one.scale, rtol=1e-7)
    np.testing.assert_allclose(left["se"] ** 2, fixed + one.scale, rtol=1e-7)


@few
@given(formulas, seeds)
def test_an_unseen_level_has_the_population_mean(formula, seed):
    one = base(formula, seed)
    new = table(seed).iloc[:4].assign(g="nobody", h="nothing")
    np.testing.assert_array_equal(one.predict(new), one.predict(new, include_re=False))


# -- missing values in the training rows ----------------------------------------------------


def with_gaps(seed):
    data = table(seed).copy()
    rng = np.random.default_rng(seed)
    for column in ("y", "x", "g"):
        data.loc[rng.choice(len(data), 2, replace=False), column] = np.nan
    data.loc[rng.choice(len(data), 9, replace=False), "z"] = np.nan  # not in the model
    gone = data[["y", "x", "g"]].isna().any(axis=1).to_numpy()
    return data, gone


@few
@given(seeds, st.sampled_from(["y ~ x + (x | g)", "y ~ scale(x) + (1 | g) + (1 | h)"]))
def test_na_action(seed, formula):
    data, gone = with_gaps(seed)
    complete = fit(formula, data[~gone])
    dropped = fit(formula, data, na_action="drop")
    excluded = fit(formula, data, na_action="exclude")
    identical(complete, dropped)
    assert dropped.nobs == excluded.nobs == np.count_nonzero(~gone)
    assert len(excluded.fittedvalues) == len(excluded.resid) == len(data)
    assert np.isnan(excluded.fittedvalues[gone]).all() and np.isnan(excluded.resid[gone]).all()
    np.testing.assert_array_equal(excluded.fittedvalues[~gone], complete.fittedvalues)
    np.testing.assert_array_equal(excluded.resid[~gone], complete.resid)
    assert excluded.llf == complete.llf
    with pytest.raises(MissingValuesError) as caught:
        fit(formula, data, na_action="error")
    assert caught.value.found == "y: 2, x: 2, g: 2"


def test_missing_values_are_counted_once():
    data, gone = with_gaps(1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        bl.Model("y ~ x + (x | g)", data)
    (warning,) = said
    assert warning.category is MissingDataWarning
    assert warning.filename == __file__
    assert str(warning.message) == (
        f"{gone.sum()} of {len(data)} rows have missing values and are left out (y: 2, x: 2, g: 2)."
    )


def test_padding_with_weights_and_offset():
    data, gone = with_gaps(3)
    weights, offset = data["w"].to_numpy(), data["w"].to_numpy() / 7
    one = fit("y ~ x + (1 | g)", data, na_action="exclude", weights=weights, offset=offset)
    kept = data[~gone]
    other = fit("y ~ x + (1 | g)", kept, weights=weights[~gone], offset=offset[~gone])
    assert one.llf == other.llf
    np.testing.assert_array_equal(one.fittedvalues[~gone], other.fittedvalues)
