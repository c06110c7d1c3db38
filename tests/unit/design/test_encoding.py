"""Levels, columns and their encoding."""

import gc
import weakref

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayeslmm as bl
from bayeslmm.design.build import independent_columns
from bayeslmm.design.columns import coded_levels, level_codes
from bayeslmm.errors import RankDeficiencyWarning

DATA = pd.DataFrame(
    {
        "y": np.sin(np.arange(24.0)),
        "x": np.tile(np.arange(6.0), 4),
        "a": np.repeat(["p", "q"], 12),
        "b": np.tile([1, 2, 3], 8),
        "c": pd.Categorical(np.tile(["lo", "hi"], 12), categories=["lo", "hi", "never"]),
    }
)


def design(formula, data=DATA, **options):
    return bl.Model(formula, data, **options).design


def test_only_combinations_that_occur():
    some = DATA[~((DATA["a"] == "q") & (DATA["b"] == 3))]
    factor = design("y ~ 1 + (1 | a:b)", some).factors[0]
    assert factor.levels.tolist() == ["p:1", "p:2", "p:3", "q:1", "q:2"]
    labels = factor.levels[factor.codes].tolist()
    assert labels == [f"{a}:{b}" for a, b in zip(some["a"], some["b"], strict=True)]


def test_categories_keep_their_order_and_lose_what_does_not_occur():
    d = design("y ~ c + (1 | b)")
    assert d.fixed_names == ("Intercept", "c[hi]")
    assert design("y ~ 1 + (1 | c)").factors[0].levels.tolist() == ["lo", "hi"]


def test_terms_of_a_factor_are_stacked():
    (factor,) = design("y ~ x + (1 | b) + (0 + x + c | b)").factors
    assert factor.column_names == ("Intercept", "x", "c[lo]", "c[hi]")
    expected = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]], dtype=bool)
    np.testing.assert_array_equal(factor.pattern, expected)
    assert factor.has_correlations


def test_z_by_its_definition():
    d = design("y ~ x + (x | a) + (1 | b)")
    Z = d.Z().toarray()
    assert Z.shape == (24, 2 * 2 + 3) == (d.n, d.q)
    for i in range(d.n):
        row = np.zeros(7)
        a, b = d.factors[0].codes[i], d.factors[1].codes[i]
        row[2 * a : 2 * a + 2] = 1.0, DATA["x"][i]
        row[4 + b] = 1.0
        np.testing.assert_array_equal(Z[i], row)


def test_new_levels_are_minus_one():
    d = design("y ~ x + (1 | a) + (1 | a:b)")
    new = d.for_new({"x": [1.0, 2.0, 3.0], "a": ["q", "z", "q"], "b": [3, 1, 9]})
    assert new.factors[0].codes.tolist() == [1, -1, 1]
    assert new.factors[1].codes.tolist() == [5, -1, -1]
    np.testing.assert_array_equal(new.X, [[1, 1], [1, 2], [1, 3]])


GAP = [308, 309, np.nan]
TEXT, NUMBERS = ["308", "309", "310"], [308, 309, 310]


@pytest.mark.parametrize("trained", [TEXT, pd.Categorical(TEXT), NUMBERS, pd.Categorical(NUMBERS)])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (GAP, [0, 1, -1]),
        (pd.array([308, 309, None], dtype="Int64"), [0, 1, -1]),
        (pd.Categorical(GAP), [0, 1, -1]),
        (pd.Series(["308", 309, 310.0], dtype=object), [0, 1, 2]),
        (pd.Series([310, "none", None, "309.0"], dtype=object), [2, -1, -1, 1]),
        (["309.0", "308", "0308"], [1, 0, -1]),
        ([True, False, True], [-1, -1, -1]),
    ],
    ids=str,
)
def test_labels_match_as_text_or_numbers_each_by_itself(trained, values, expected):
    data = pd.DataFrame(
        {"y": np.sin(np.arange(12.0)), "g": pd.Series(trained)[np.tile([0, 1, 2], 4)].array}
    )
    coding = design("y ~ 1 + (1 | g)", data).encoding.coding["g"]
    assert coding.codes(pd.DataFrame({"g": values})).tolist() == expected


@pytest.mark.parametrize(
    ("levels", "values", "expected"),
    [
        (["nan", "1"], [np.nan, 1.0], [-1, 1]),
        (["1", "0"], [True, False], [-1, -1]),
        (["False", "True"], [True, False], [1, 0]),
        (["1.0", "1"], [1, 2], [1, -1]),
        ([0.5, 2.0], ["0.5", "2"], [0, 1]),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), ["2024-01-02", "2024-01-03"], [1, -1]),
        (["2024-01-01"], pd.to_datetime(["2024-01-01", "2024-01-02"]), [0, -1]),
    ],
    ids=str,
)
def test_level_codes(levels, values, expected):
    assert level_codes(pd.Index(levels), pd.Series(values)).tolist() == expected


def test_levels_of_a_fixed_factor_match_one_by_one():
    data = DATA.assign(f=np.tile(["308", "309"], 12))
    d = design("y ~ f + (1 | a)", data)
    new = {"f": pd.Series(["308", 309, 308.0], dtype=object), "a": ["p"] * 3}
    np.testing.assert_array_equal(d.for_new(new).X[:, 1], [0, 1, 0])


def test_intervals_are_labels_of_text():
    cut = pd.cut(DATA["x"], [-1, 1, 3, 10])
    text = ["(-1, 1]", "(1, 3]", "(3, 10]"]
    for column in (cut, cut.astype(object), pd.Series(pd.arrays.IntervalArray(cut))):
        d = design("y ~ g + (1 | g) + (1 | g:a)", DATA.assign(g=column))
        assert d.factors[0].levels.tolist() == d.coords["g"] == text
        assert d.fixed_names == ("Intercept", "g[(1, 3]]", "g[(3, 10]]")
        for new in (column, column.astype(str)):
            again = d.for_new(DATA.assign(g=new))
            np.testing.assert_array_equal(again.X, d.X)
            for f, g in zip(again.factors, d.factors, strict=True):
                np.testing.assert_array_equal(f.codes, g.codes)


def test_aliased_columns_are_named_and_left_out():
    data = DATA.assign(x2=2 * DATA["x"] + 1, z=DATA["b"])
    with pytest.warns(RankDeficiencyWarning, match="columns `x2`, `z`"):
        d = design("y ~ x + x2 + C(b) + z + (1 | a)", data)
    assert d.fixed_names == ("Intercept", "x", "C(b)[2]", "C(b)[3]")
    assert d.aliased == ("x2", "z")
    assert set(d.fixed_terms) == {"Intercept", "x", "C(b)"}
    assert [d.fixed_names[i] for i in d.fixed_terms["C(b)"]] == ["C(b)[2]", "C(b)[3]"]
    again = d.for_new(data.iloc[:3])
    np.testing.assert_array_equal(again.X, d.X[:3])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 4))
def test_independent_columns_span_what_all_span(seed, rank, extra):
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(12, rank))
    X = np.column_stack([basis, basis @ rng.normal(size=(rank, extra)), np.zeros((12, 1))])
    X = X[:, rng.permutation(X.shape[1])] * 10.0 ** rng.integers(-150, 150, X.shape[1])
    kept = independent_columns(X)
    assert len(kept) == rank
    scaled = X / np.maximum(np.abs(X).max(axis=0), 1e-300)
    assert np.linalg.matrix_rank(scaled[:, kept]) == rank
    # a column is left out only if those before it determine it
    for j in set(range(X.shape[1])) - set(kept):
        before = scaled[:, kept[kept < j]]
        rest = scaled[:, j] - before @ np.linalg.lstsq(before, scaled[:, j])[0]
        assert np.abs(rest).max() < 1e-7


def test_zero_weights_do_not_hold_up_a_column():
    """A column that only rows of weight zero tell from another one is aliased."""
    data = DATA.assign(twin=DATA["x"])
    data.loc[0, "twin"] = 99.0
    weights = np.ones(24)
    weights[0] = 0.0
    with pytest.warns(RankDeficiencyWarning, match="`twin`"):
        assert design("y ~ x + twin + (1 | a)", data, weights=weights).aliased == ("twin",)


def test_nullable_numbers_keep_their_precision():
    exact = DATA.assign(x=DATA["x"] / 3 + 1e5)
    for kind in ("Float64", "float64[pyarrow]"):
        d = design("y ~ x + (x | a)", exact.astype({"x": kind}))
        np.testing.assert_array_equal(d.X[:, 1], exact["x"])
    big = DATA.assign(x=(DATA["x"] * (2**40 + 1)).astype("int64")).astype({"x": "Int64"})
    np.testing.assert_array_equal(design("y ~ x + (1 | a)", big).X[:, 1], big["x"].astype(float))


def test_coordinates():
    coords = design("y ~ x + (x | a)", DATA.set_axis(range(100, 124))).coords
    assert coords["obs"] == list(range(100, 124))
    assert coords["fixed"] == ["Intercept", "x"]
    assert coords["a"] == ["p", "q"]
    assert coords["a_term"] == ["Intercept", "x"]


@pytest.mark.parametrize("scale", [1e-140, 1.0, 1e140])
@pytest.mark.parametrize("share", [1.0, 1e-2, 1e-4, 1e-6, 3e-7, 3e-8, 1e-9, 0.0])
def test_a_pass_over_the_rows_finds_what_orthogonal_columns_do(share, scale):
    rng = np.random.default_rng(3)
    X = rng.normal((0.0, 5.0, 0.0), size=(500, 3))
    X[:, 2] = X[:, 1] + share * np.linalg.norm(X[:, 1]) * X[:, 2] / np.linalg.norm(X[:, 2])
    kept = independent_columns(scale * X).tolist()
    # what other columns leave of the third is a share of about `share`
    assert kept == ([0, 1, 2] if share > 1e-7 else [0, 1])


@pytest.mark.parametrize(
    ("levels", "labels"),
    [
        (np.array([3, 4]), [3, 4]),
        (pd.array([3, 4], dtype="Int64"), [3, 4]),
        ([0.5, 1.5], ["0.5", "1.5"]),
        (
            pd.to_datetime(["2024-01-01", "2024-01-02"]),
            ["2024-01-01 00:00:00", "2024-01-02 00:00:00"],
        ),
        (pd.Categorical([pd.Interval(0, 1), pd.Interval(1, 2)]), ["(0, 1]", "(1, 2]"]),
    ],
    ids=str,
)
def test_labels_of_dimensions_are_whole_numbers_or_text(levels, labels):
    found = design("y ~ x + (1 | g)", DATA.assign(g=pd.Series(levels)[np.tile([0, 1], 12)].array))
    assert found.coords["g"] == labels
    assert {type(v) for v in found.coords["g"]} <= {int, str}


@pytest.mark.parametrize(
    ("values", "levels", "codes"),
    [
        (["b", "a", "b"], ["a", "b"], [1, 0, 1]),
        ([2.5, None, -1.0], [-1.0, 2.5], [1, -1, 0]),
        (pd.Categorical(["b", "a", "b"], categories=["b", "a"]), ["b", "a"], [0, 1, 0]),
        (pd.Categorical(["b", None, "c"], categories=["c", "a", "b"]), ["c", "b"], [1, -1, 0]),
    ],
)
def test_levels_that_occur_and_their_codes(values, levels, codes):
    found, at = coded_levels(pd.Series(values))
    assert found.tolist() == levels
    assert at.tolist() == codes


def test_independent_columns_of_a_long_table():
    """Columns that differ only far down are told apart, and those that never differ are not."""
    x = np.arange(20_000.0)
    last = np.zeros(20_000)
    last[-1] = 1e-3
    X = np.column_stack([np.ones(20_000), last, x, 3 * x + last])
    assert independent_columns(X).tolist() == [0, 1, 2]


def test_a_constant_goes_before_a_column_with_its_internal_name():
    data = DATA.assign(extra__k=7.0)
    d = design("y ~ I(x * k) + (1 | a)", data, extra_namespace={"k": 3.0})
    np.testing.assert_array_equal(d.X[:, 1], 3.0 * DATA["x"])


def test_a_design_does_not_keep_the_table():
    class Entry:
        pass

    entries = [Entry() for _ in range(24)]
    seen = weakref.ref(entries[0])
    d = design("y ~ x * c + exp(x) + (x | a)", DATA.assign(unused=entries))
    del entries
    gc.collect()
    assert d.n == 24
    assert seen() is None
