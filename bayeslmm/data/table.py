"""Any table becomes one pandas frame, here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bayeslmm.errors import ArgumentError, DataError, FileFormatError


def to_frame(data: Any) -> pd.DataFrame:
    """Turn a table of any kind into a pandas frame with string column names.

    Parameters
    ----------
    data : pandas, polars (eager or lazy) or pyarrow table, or mapping of columns

    Returns
    -------
    pandas.DataFrame
        A pandas table comes back itself, not copied.

    Raises
    ------
    DataError
        No rows, duplicate column names, or not a table.
    """
    frame = _as_pandas(data)
    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError(
            "the table has more than one row of column names.",
            fix='flatten them first: data.columns = ["_".join(c) for c in data.columns]',
        )
    if not all(isinstance(c, str) for c in frame.columns):
        frame = frame.set_axis([str(c) for c in frame.columns], axis=1)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()].unique().tolist()
        raise DataError(
            f"column names stand more than once: {', '.join(twice)}.",
            fix="rename or drop the extra columns",
        )
    if frame.shape[0] == 0:
        raise DataError(
            "the table has no rows.",
            found=f"columns: {', '.join(frame.columns) or 'none'}",
            fix="check what was read or filtered",
        )
    return frame


def _as_pandas(data: Any) -> pd.DataFrame:
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, Mapping):
        return _from_columns(data)
    import narwhals as nw

    try:
        table = nw.from_native(data)
    except TypeError:
        raise DataError(
            "data is not a table.",
            found=type(data).__name__,
            fix="read the file first, with pandas.read_csv(...) for instance"
            if isinstance(data, str | Path)
            else "pass a pandas, polars or pyarrow table, or a dict of columns",
        ) from None
    if isinstance(table, nw.LazyFrame):
        table = table.collect()
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _from_columns(data: Mapping[Any, Any]) -> pd.DataFrame:
    try:
        return pd.DataFrame(dict(data))
    except (ValueError, TypeError) as error:
        raise DataError(
            "the columns do not make a table.",
            found=", ".join(f"{k}: {_size(v)}" for k, v in data.items()),
            fix="give each name a list or one-dimensional array, all of one length",
        ) from error


def _size(values: Any) -> str:
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple) and len(shape) > 1:
        return " x ".join(map(str, shape)) + " values"
    one = isinstance(values, str) or not hasattr(values, "__len__")
    count = 1 if one else len(values)
    return f"{count} value{'s' if count != 1 else ''}"


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet file, by its ending.

    Semicolons or tabs may separate the columns of a CSV file; with semicolons,
    numbers may have a decimal comma.

    Raises
    ------
    ArgumentError
        The file is not there, or has another ending.
    FileFormatError
        The file is not what its ending says.
    """
    path = Path(path)
    if not path.exists():
        raise ArgumentError(f"there is no file {str(path)!r}.", fix="check the path")
    kind = path.suffix.lower().removeprefix(".")
    try:
        if kind in {"csv", "tsv", "txt"}:
            return _read_text(path, "\t" if kind == "tsv" else _separator(path))
        if kind in {"parquet", "pq"}:
            return pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise FileFormatError(
            f"{path.name!r} cannot be read as {kind}.",
            found=str(error).strip().splitlines()[0],
            fix="check that the file is what its ending says",
        ) from error
    raise ArgumentError(
        f"files ending in {path.suffix!r} cannot be read.",
        found=path.name,
        fix="save the table as .csv, .tsv or .parquet",
    )


def _separator(path: Path) -> str:
    """Comma, unless the names in the first line hold another separator only."""
    names = pd.read_csv(path, nrows=0).columns
    if len(names) == 1:
        return next((sep for sep in ";\t" if sep in names[0]), ",")
    return ","


def _read_text(path: Path, separator: str) -> pd.DataFrame:
    if separator != ";":
        return pd.read_csv(path, sep=separator)
    readings = [pd.read_csv(path, sep=";", decimal=mark) for mark in ".,"]
    return max(readings, key=lambda frame: frame.select_dtypes("number").shape[1])
