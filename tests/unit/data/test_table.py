"""Tables of every kind become one frame; files are read by their ending."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from bayeslmm.data import dataset_names, load_dataset, read_table, to_frame
from bayeslmm.errors import ArgumentError, FileFormatError

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
