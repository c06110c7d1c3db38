"""Turn the files written by ``make_datasets.R`` into the bundled Parquet files.

    Rscript scripts/datasets/make_datasets.R OUT_DIR
    python scripts/datasets/make_datasets.py OUT_DIR

The Parquet files go to ``bayeslmm/data/files`` unless ``--to`` names another
folder. Factors become dictionary columns whose dictionary is R's level vector, in
R's order, with the ordered flag kept: pandas reads them as categoricals. Whole
numbers are int64, all others float64. No time stamp or library-dependent
metadata is added by this script, so the same input and the same pyarrow give the
same bytes. Each file is read back and compared before the script succeeds.

The CSV of the tutorial data set ``score_parentedu_byclass`` stands in the repository
for comparison with published numbers, outside every grant, and is never in a wheel
or source distribution (see the README beside this script). ``--tutorial CSV --to
DIR`` writes a Parquet copy of it for private use, but not into the bundle.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "bayeslmm" / "data" / "files"
NUMBER_TYPES = {"integer": (int, pa.int64()), "double": (float, pa.float64())}
TUTORIAL = {
    "name": "score_parentedu_byclass",
    "rows": 60,
    "columns": [
        {"name": "classroom", "kind": "factor", "ordered": False, "levels": ["c0", "c1", "c2"]},
        {"name": "edu", "kind": "integer"},
        {"name": "score", "kind": "double"},
    ],
}


def read_rows(path: Path) -> dict[str, list[str]]:
    """Columns of a CSV file as text, nothing interpreted."""
    with path.open(newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


def arrow_column(spec: dict[str, Any], text: list[str]) -> pa.Array:
    """One Arrow column: a dictionary array for a factor, else int64 or float64."""
    if spec["kind"] == "factor":
        code = {level: i for i, level in enumerate(spec["levels"])}
        return pa.DictionaryArray.from_arrays(
            pa.array([code[t] for t in text], pa.int16()),
            pa.array(spec["levels"], pa.string()),
            ordered=bool(spec["ordered"]),
        )
    convert, arrow_type = NUMBER_TYPES[spec["kind"]]
    return pa.array([convert(t) for t in text], arrow_type)


def check(path: Path, meta: dict[str, Any], text: dict[str, list[str]]) -> pd.DataFrame:
    """Read ``path`` with pandas and compare values, levels and order flags."""
    frame = pd.read_parquet(path)
    assert list(frame.columns) == [c["name"] for c in meta["columns"]], path
    assert len(frame) == meta["rows"], path
    for spec in meta["columns"]:
        column = frame[spec["name"]]
        if spec["kind"] == "factor":
            assert list(column.cat.categories) == spec["levels"], (path, spec["name"])
            assert column.cat.ordered == spec["ordered"], (path, spec["name"])
            assert column.astype(str).tolist() == text[spec["name"]], (path, spec["name"])
        else:
            convert, arrow_type = NUMBER_TYPES[spec["kind"]]
            assert column.dtype == arrow_type.to_pandas_dtype(), (path, spec["name"])
            assert column.tolist() == [convert(t) for t in text[spec["name"]]], path
    return frame


def write(meta: dict[str, Any], source: Path, folder: Path) -> None:
    """Write one data set to ``folder`` and verify what was written."""
    text = read_rows(source)
    columns = [arrow_column(spec, text[spec["name"]]) for spec in meta["columns"]]
    table = pa.table(columns, names=[spec["name"] for spec in meta["columns"]])
    path = folder / f"{meta['name']}.parquet"
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=[c["name"] for c in meta["columns"] if c["kind"] == "factor"],
        row_group_size=max(meta["rows"], 1),
        version="2.6",
    )
    frame = check(path, meta, text)
    print(f"{path.name:32s} {frame.shape[0]:6d} x {frame.shape[1]}  {path.stat().st_size:7d} bytes")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the bundled data sets as Parquet.")
    parser.add_argument("exported", nargs="?", type=Path, help="folder made by make_datasets.R")
    parser.add_argument("--to", type=Path, default=BUNDLE, help="where the Parquet files go")
    parser.add_argument(
        "--tutorial",
        type=Path,
        metavar="CSV",
        help="write score_parentedu_byclass from its CSV instead",
    )
    options = parser.parse_args(argv)
    if options.tutorial is None and options.exported is None:
        parser.error("name the folder made by make_datasets.R, or --tutorial CSV")
    options.to.mkdir(parents=True, exist_ok=True)
    if options.tutorial is not None:
        if options.to.resolve() == BUNDLE:
            parser.error(
                "score_parentedu_byclass may not be distributed: choose another folder with --to"
            )
        write(TUTORIAL, options.tutorial, options.to)
        return 0
    for path in sorted(options.exported.glob("*.json")):
        write(json.loads(path.read_text(encoding="utf-8")), path.with_suffix(".csv"), options.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
