"""Tables of every kind become one frame; files are read by their ending."""

import runpy
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from bayeslmm.data import dataset_names, load_dataset, read_table, to_frame
from bayeslmm.errors import ArgumentError, FileFormatError

ROOT = Path(__file__).resolve().parents[3]
FRAME = pd.DataFrame({"y": [1.0, 2.5], "n": [1, 2], "g": ["a", "b"]})


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame(FRAME.to_dict("list")),
        pl.LazyFrame(FRAME.to_dict("list")),
        pa.table(FRAME.to_dict("list")),
        FRAME.to_dict("list"),
        {k: v.to_numpy() for k, v in FRAME.items()},
        {k: pl.Series(v.tolist()) for k, v in FRAME.items()},
    ],
    ids=lambda t: type(t).__module__,
)
def test_the_same_frame(table):
    made = to_frame(table)
    assert list(made.columns) == ["y", "n", "g"]
    np.testing.assert_array_equal(made["y"], FRAME["y"])
    np.testing.assert_array_equal(made["n"], FRAME["n"])
    assert made["g"].tolist() == ["a", "b"]


def test_pandas_is_not_copied():
    assert to_frame(FRAME) is FRAME


def test_names_become_text():
    assert list(to_frame(FRAME.set_axis([1, 2.5, "g"], axis=1)).columns) == ["1", "2.5", "g"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "pq", "CSV"])
def test_files(ending, tmp_path):
    path = tmp_path / f"t.{ending}"
    if ending.lower() in ("csv", "tsv"):
        FRAME.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    else:
        FRAME.to_parquet(path)
    pd.testing.assert_frame_equal(read_table(str(path)), FRAME, check_dtype=False)


@pytest.mark.parametrize(
    ("separator", "decimal"), [(";", ","), (";", "."), ("\t", "."), (",", ".")]
)
def test_separators_of_csv(separator, decimal, tmp_path):
    frame = pd.DataFrame({"y": [1.0, 2.5], "x": [3.25, 4.5], "n": [1, 2], "g": ["a", "b,c"]})
    # rows with more and fewer commas than the first
    frame = pd.concat([frame, frame.iloc[::-1]], ignore_index=True)
    for name in ("t.csv", "t.txt"):
        frame.to_csv(tmp_path / name, index=False, sep=separator, decimal=decimal)
        pd.testing.assert_frame_equal(read_table(tmp_path / name), frame)


def test_one_column_of_csv(tmp_path):
    for name in ("y", "`a;b`"):
        frame = pd.DataFrame({name: [1.5, 2.5]})
        text = frame.to_csv(index=False).replace(name, f'"{name}"')
        (tmp_path / "t.csv").write_text(text)
        pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv"), frame)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ArgumentError, match="no file"):
        read_table(tmp_path / "none.csv")
    for name, content in (("a.csv", b""), ("a.parquet", b"text"), ("b.csv", bytes(range(256)))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileFormatError, match="cannot be read as"):
            read_table(tmp_path / name)


def test_bundled_data():
    shapes = {"sleepstudy": (180, 3), "Dyestuff": (30, 2), "Penicillin": (144, 3), "cake": (270, 5)}
    for name, shape in shapes.items():
        assert load_dataset(name).shape == shape
        assert load_dataset(name.upper()).shape == shape
    assert set(shapes) < set(dataset_names())


def test_only_what_is_installed_is_listed(tmp_path, monkeypatch):
    for path in (ROOT / "bayeslmm/data/files").glob("*.parquet"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr("bayeslmm.data.datasets.FILES", tmp_path)
    assert len(dataset_names()) == 9
    for name in dataset_names():
        assert len(load_dataset(name))
    with pytest.raises(ArgumentError, match="no licence to pass it on"):
        load_dataset("score_parentedu_byclass")
    with pytest.raises(ArgumentError, match="no data set 'none'") as caught:
        load_dataset("none")
    assert "score_parentedu_byclass" not in str(caught.value)


def test_what_nobody_may_pass_on_is_never_built(capsys):
    file = "bayeslmm/data/files/score_parentedu_byclass.csv"
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert file in build["exclude"]
    assert not any("exclude" in target for target in build["targets"].values())
    script = runpy.run_path(str(ROOT / "scripts/datasets/make_datasets.py"))
    with pytest.raises(SystemExit):
        script["main"](["--tutorial", str(ROOT / file)])
    assert "may not be distributed" in capsys.readouterr().err
    assert not (ROOT / file).with_suffix(".parquet").exists()
