"""Which effects count, which levels are new, and what a row weighs."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, UnknownColumnError
from bayeslmm.prediction import rows_to_predict


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    n = 80
    table = pd.DataFrame({"x": rng.normal(size=n), "w": rng.choice([1.0, 2.0, 4.0], n)})
    table["g"] = np.array(list("abcdefgh"))[np.arange(n) % 8]
    table["h"] = np.arange(n) // 8 % 5
    table["y"] = rng.normal(size=n) + rng.normal(size=8)[np.arange(n) % 8]
    return table


@pytest.fixture(scope="module")
def design(data):
    return bl.Model("y ~ x + (1 | g) + (0 + x | g) + (1 | g:h)", data).design


def test_new_levels_are_told_apart(design):
    new = pd.DataFrame({"x": 0.0, "g": ["a", "z", "z", "y", "a"], "h": [0, 0, 0, 0, 77]})
    rows = rows_to_predict(design, new)
    of_g, of_gh = rows.new_levels
    assert of_g.tolist() == [-1, 0, 0, 1, -1]
    assert of_gh.tolist() == [-1, 0, 0, 1, 2]
    np.testing.assert_array_equal(rows.factors[0].codes < 0, of_g >= 0)


def test_terms_by_factor_and_by_text(design, data):
    def counted(terms):
        rows = rows_to_predict(design, None, terms=terms, left_out=True)
        x = data["x"].to_numpy()
        kept = [f.columns for f in rows.factors]
        rest = [f.columns for f in rows.left_out]
        assert all((f.codes == -1).all() for f in rows.left_out)
        whole = [np.column_stack([np.ones(80), x]), np.ones((80, 1))]
        for k, r, w in zip(kept, rest, whole, strict=True):
            np.testing.assert_array_equal(k + r, w)
        return [bool(k.any()) for k in (kept[0][:, 0], kept[0][:, 1], kept[1])]

    assert counted("g") == [True, True, False]
    assert counted(["(1 | g)"]) == [True, False, False]
    assert counted("(0+x|g)") == [False, True, False]
    assert counted(["g:h", "1 | g"]) == [True, False, True]


def test_grouping_columns_of_effects_that_do_not_count_may_be_missing(design, data):
    new = data[["x", "g"]]
    for at, terms in ((slice(0, 3), "g"), (slice(3, 9), ["(1 | g)"])):
        rows = rows_to_predict(design, new[at], terms=terms, left_out=True)
        np.testing.assert_array_equal(rows.factors[0].codes, design.factors[0].codes[at])
    with pytest.raises(UnknownColumnError, match="`h`"):
        rows_to_predict(design, new)
    rows = rows_to_predict(design, new[["x"]], include_re="average", left_out=True)
    assert rows.factors == () and len(rows.left_out) == 2
    assert rows_to_predict(design, {"x": [1.0]}, include_re=False).left_out == ()


def test_arguments_that_are_not_understood(design):
    for arguments, words in (
        ({"include_re": "mean"}, "include_re='mean' is not known"),
        ({"terms": "k"}, "names 'k', which is no random term"),
        ({"terms": "(1 + x | g)"}, r"found: \(1 \| g\), \(0 \+ x \| g\), \(1 \| g:h\)"),
        ({"terms": "(1 |"}, "no random term"),
        ({"terms": "g", "include_re": False}, "chooses among the random effects"),
    ):
        with pytest.raises(ArgumentError, match=words):
            rows_to_predict(design, None, **arguments)
    with pytest.raises(ArgumentError, match="no random term of the model"):
        rows_to_predict(bl.Model("y ~ 1", {"y": [1.0, 2.0, 4.0]}).design, None, terms="g")


def test_weights_of_new_rows(data):
    design = bl.Model("y ~ x + (1 | g)", data, weights="w").design
    rows = rows_to_predict(design, data[5:9], weights="w")
    np.testing.assert_array_equal(rows.weights, data["w"][5:9])
    np.testing.assert_array_equal(
        rows_to_predict(design, data[["x", "g"]], weights="w").weights, np.ones(80)
    )
    np.testing.assert_array_equal(rows_to_predict(design, None).weights, data["w"])
    for wrong in (-1.0, np.inf, "many"):
        with pytest.raises(ArgumentError, match=r"weights that are no precisions"):
            rows_to_predict(design, {"x": [0.0], "g": ["a"], "w": [wrong]}, weights="w")


def test_tables_of_every_kind(data):
    fit = bl.fit("y ~ x + (1 | g)", data, weights="w")
    frame = fit.predict(data[:5], interval="prediction")
    for other in (pl.from_pandas(data[:5]), data[:5].to_dict("list")):
        pd.testing.assert_frame_equal(fit.predict(other, interval="prediction"), frame)


def test_index_of_the_table_and_missing_values(data):
    fit = bl.fit("y ~ x + (1 | g)", data, weights="w")
    new = data[:4].set_axis(["p", "q", "r", "s"], axis=0)
    new.loc["q", "x"] = np.nan
    new.loc["r", "w"] = np.nan
    confidence = fit.predict(new, interval="confidence")
    assert list(confidence.index) == ["p", "q", "r", "s"]
    assert list(confidence.columns) == ["fit", "se", "lower", "upper"]
    assert confidence.isna().all(axis=1).tolist() == [False, True, False, False]
    prediction = fit.predict(new, interval="prediction")
    assert prediction["fit"].isna().tolist() == [False, True, False, False]
    assert prediction["upper"].isna().tolist() == [False, True, True, False]
    assert np.isnan(fit.simulate(2, newdata=new)).all(axis=1).tolist() == [False, True, True, False]


def test_rows_left_out_of_the_fit(data):
    gaps = data.copy()
    gaps.loc[[3, 7], "x"] = np.nan
    with pytest.warns(bl.BayeslmmWarning):
        excluded = bl.fit("y ~ x + (1 | g)", gaps, na_action="exclude")
        dropped = bl.fit("y ~ x + (1 | g)", gaps)
    frame = excluded.predict(interval="confidence")
    assert list(frame.index[frame["se"].isna()]) == [3, 7] and len(frame) == 80
    pd.testing.assert_frame_equal(frame.dropna(), dropped.predict(interval="confidence"))
    assert list(dropped.predict(interval="confidence").index) == list(gaps.dropna().index)
    assert np.isnan(excluded.simulate(3)).all(axis=1).sum() == 2
    assert dropped.simulate(3).shape == (78, 3)


def test_an_index_with_duplicates(design):
    new = pd.DataFrame({"x": 0.0, "g": ["z", "a", "y", "z"], "h": 0}, index=[1, 1, 1, 0])
    assert rows_to_predict(design, new).new_levels[0].tolist() == [0, -1, 1, 0]
    as_categories = new.assign(g=pd.Categorical(new["g"], categories=["y", "z", "a", "q"]))
    assert rows_to_predict(design, as_categories).new_levels[0].tolist() == [0, -1, 1, 0]


def test_no_terms_are_the_population(data):
    fit = bl.fit("y ~ x + (1 | g)", data)
    none = fit.predict(terms=[], interval="confidence")
    pd.testing.assert_frame_equal(none, fit.predict(include_re=False, interval="confidence"))
