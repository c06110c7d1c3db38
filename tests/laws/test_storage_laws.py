"""A fit written to a file and read again is the same fit."""

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.results.definition import dataset_to_frame, frame_to_dataset
from tests.laws.tables import fit, identical, table

STATEFUL = "y ~ scale(x) + poly(z, 2) + bs(w, df=4) + C(c) + (scale(x) | g) + (1 | g:h)"
WITH = {
    "plain": ("y ~ x + (x | g)", "REML", {}),
    "ML": ("y ~ x + (1 | g) + (1 | h)", "ML", {}),
    "no random term": ("y ~ x + c", "REML", {}),
    "stateful transformations": (STATEFUL, "REML", {}),
    "weights and offset by name": ("y ~ x + (1 | g)", "REML", {"weights": "w", "offset": "z"}),
    "weights as an array": ("y ~ x + (1 | g)", "ML", {"weights": np.arange(1.0, 201.0)}),
    "groups argument": ("y ~ x", "REML", {"groups": ["g", "h"]}),
    "rows left out": ("y ~ gap + (1 | g)", "REML", {"na_action": "exclude"}),
    "priors": (
        "y ~ x + (x | g)",
        "MAP",
        {"priors": {"sd_g": bl.HalfStudentT(3, 5), "beta[x]": bl.Normal(0, 3)}},
    ),
    "a column dropped": ("y ~ x + twice + (1 | g)", "REML", {}),
}


def data():
    made = table(11)
    made = made.assign(gap=made["x"].where(made["z"] < 1.8), twice=2 * made["x"])
    made["c"] = pd.Categorical(made["c"], categories=["top", "lo", "mid"], ordered=True)
    made["g"] = made["g"].astype("category")
    return made.set_axis([f"row {i}" for i in range(len(made))])


@pytest.mark.parametrize("name", WITH)
def test_round_trip(name, tmp_path):
    formula, method, options = WITH[name]
    rows = data()
    if isinstance(options.get("weights"), np.ndarray):
        options = {"weights": options["weights"][: len(rows)]}
    one = fit(formula, rows, method, **options)
    other = bl.load(one.save(tmp_path / "fit.nc"))
    identical(one, other)
    assert type(other) is bl.PointFit
    for attribute in ("method", "nobs", "ngroups", "status", "singular", "converged", "n_params"):
        assert getattr(other, attribute) == getattr(one, attribute)
    assert other.formula == one.formula
    assert other.design.aliased == one.design.aliased
    np.testing.assert_array_equal(other.resid, one.resid)
    pd.testing.assert_frame_equal(other.varcorr, one.varcorr, rtol=1e-10)
    for effects in ("fixed", "random"):
        pd.testing.assert_frame_equal(other.to_frame(effects), one.to_frame(effects))
    for factor, effects in one.random_effects.items():
        np.testing.assert_array_equal(other.random_effects[factor].index, effects.index)
    if "offset" not in options:
        new = rows.drop(columns="y").iloc[[3, 1, 40]]
        np.testing.assert_array_equal(other.predict(new), one.predict(new))
    assert repr(other.priors) == repr(one.priors)
    assert str(other.summary()) == str(one.summary())


def test_an_offset_given_as_an_array_is_missed_in_the_same_words(tmp_path):
    rows = data()
    one = fit("y ~ x + (1 | g)", rows, offset=np.linspace(0.0, 1.0, len(rows)))
    other = bl.load(one.save(tmp_path / "fit.nc"))
    said = []
    for known in (one, other):
        with pytest.raises(bl.BayeslmmError, match="offset of this model is an array") as error:
            known.predict(rows.head(3))
        said.append(str(error.value))
    assert said[0] == said[1]


def test_twice_is_once(tmp_path):
    one = fit("y ~ x + (x | g)", data())
    again = bl.load(one.save(tmp_path / "one.nc"))
    identical(bl.load(again.save(tmp_path / "two.nc")), one)
    assert one.save(str(tmp_path / "two.nc")) == tmp_path / "two.nc"  # written over


@pytest.mark.parametrize(
    "kind",
    [
        "int64",
        "float",
        "Int64",
        "bool",
        "str",
        "string",
        "category",
        "object",
        "integer category",
        "mixed index",
        "dates",
        "dates with a time zone",
        "durations",
        "intervals",
        "intervals without categories",
        "categories that are dates",
        "boxed numbers",
    ],
)
def test_kinds_of_columns(kind, tmp_path):
    """Levels keep their type and their order."""
    rows = table(11).copy()
    number = rows["g"].str[1:].astype(int)
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(number, "D")
    made = {
        "int64": number,
        "float": number + 0.5,
        "Int64": number.astype("Int64"),
        "bool": number % 2 == 0,
        "str": rows["g"],
        "string": rows["g"].astype("string"),
        "category": rows["g"]
        .astype("category")
        .cat.reorder_categories(sorted(rows["g"].unique())[::-1]),
        "object": rows["g"].astype(object),
        "integer category": number.astype("category"),
        "mixed index": rows["g"],
        "dates": day,
        "dates with a time zone": day.dt.tz_localize("Europe/Paris"),
        "durations": pd.to_timedelta(number, "D"),
        "intervals": pd.cut(number, [-1, 1, 3, 99]),
        "intervals without categories": pd.Series(
            pd.arrays.IntervalArray.from_arrays(3.0 * number, 3.0 * number + 3)
        ),
        "categories that are dates": day.astype("category"),
        "boxed numbers": number.astype(object),
    }[kind]
    if kind == "boxed numbers":
        rows = rows.astype({"x": object, "y": object})
    rows["g"] = made
    if kind == "mixed index":
        rows.index = [i if i % 2 else f"row {i}" for i in range(len(rows))]
    one = fit("y ~ x + (1 | g)", rows)
    other = bl.load(one.save(tmp_path / "fit.nc"))
    identical(one, other)
    levels, stored = (list(f.random_effects["g"].index) for f in (one, other))
    as_text = kind == "categories that are dates"
    assert stored == [str(v) if as_text else v for v in levels]
    np.testing.assert_array_equal(other.predict(rows[:5]), one.fittedvalues[:5])
    np.testing.assert_array_equal(other.predict(rows[:5]), one.predict(rows[:5]))


@pytest.mark.parametrize(
    "kind", ["Int64", "Int16", "UInt8", "int64[pyarrow]", "object", "boolean", "bool[pyarrow]"]
)
def test_gaps_leave_labels_as_they_are(kind, tmp_path):
    rows = table(11).copy()
    number = rows["g"].str[1:].astype(int)
    made = (number % 2 == 0 if kind.startswith("bool") else number).astype(kind)
    made[3] = None
    rows["g"] = made
    one = fit("y ~ x + (1 | g) + (1 | g:h)", rows)
    other = bl.load(one.save(tmp_path / "fit.nc"))
    identical(one, other)
    for factor, effects in one.random_effects.items():
        stored = other.random_effects[factor].index.tolist()
        assert stored == effects.index.tolist()
        assert [type(v) for v in stored] == [type(v) for v in effects.index.tolist()]
    np.testing.assert_array_equal(other.predict(rows[4:9]), one.predict(rows[4:9]))
    identical(bl.load(other.save(tmp_path / "again.nc")), one)


def test_whole_numbers_with_gaps_keep_every_digit():
    frame = pd.DataFrame({"n": pd.array([2**62 + 1, None, -(2**63), 2**63 - 1], dtype="Int64")})
    pd.testing.assert_frame_equal(dataset_to_frame(frame_to_dataset(frame)), frame)


def test_many_intervals_keep_their_order():
    """As text, (9, 10] stands after (10, 11]."""
    frame = pd.DataFrame({"g": pd.interval_range(0, 12)})
    stored = dataset_to_frame(frame_to_dataset(frame))["g"]
    assert stored.cat.categories.tolist() == [str(v) for v in frame["g"]]


@pytest.mark.parametrize("index", ["several levels", "intervals"])
def test_a_row_index_that_becomes_text(index, tmp_path):
    rows = table(11)
    made = {
        "several levels": pd.MultiIndex.from_arrays([rows["g"], range(len(rows))]),
        "intervals": pd.interval_range(0, len(rows)),
    }[index]
    one = fit("y ~ x + (1 | g)", rows.set_axis(made))
    other = bl.load(one.save(tmp_path / "fit.nc"))
    identical(one, other)
    assert other.design.rows.index.tolist() == [str(v) for v in made]


def test_the_file_is_read_by_others(tmp_path):
    import xarray as xr

    one = fit("y ~ x + (x | g)", data())
    tree = xr.open_datatree(one.save(tmp_path / "fit.nc"), engine="h5netcdf")
    estimate = tree["bayeslmm_estimate"]
    np.testing.assert_array_equal(estimate["beta"], one.estimate.beta)
    assert estimate.attrs["method"] == "REML"
    tree.close()


def test_a_newer_file_is_refused(tmp_path, monkeypatch):
    one = fit("y ~ x + (1 | g)", data())
    monkeypatch.setattr("bayeslmm.results.storage.FORMAT", 99)
    path = one.save(tmp_path / "fit.nc")
    monkeypatch.undo()
    with pytest.raises(bl.BayeslmmError, match=r"saved by a newer bayeslmm \(0\."):
        bl.load(path)
