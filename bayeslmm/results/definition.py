"""What a user asked for, in a form that can be written to a file and asked again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import bayeslmm.priors as prior_classes
from bayeslmm.design import Design
from bayeslmm.design.columns import unboxed
from bayeslmm.errors import FileFormatError
from bayeslmm.priors import Prior

if TYPE_CHECKING:
    import xarray as xr

_PRIORS = {
    name: getattr(prior_classes, name)
    for name in prior_classes.__all__
    if isinstance(getattr(prior_classes, name), type)
    and issubclass(getattr(prior_classes, name), Prior)
    and name != "Prior"
}


@dataclass(frozen=True, eq=False)
class ModelDefinition:
    """Arguments of a model, and the columns of the data it uses.

    ``weights`` and ``offset`` are column names of ``data``, or None; ``residual`` is the name
    of a residual structure's class and its arguments.
    """

    formula: str
    data: pd.DataFrame
    family: str = "gaussian"
    link: str = "identity"
    priors: Mapping[str, Prior] = field(default_factory=dict)
    weights: str | None = None
    offset: str | None = None
    residual: Mapping[str, Any] | None = None
    na_action: str = "drop"
    rank_deficient: str = "drop"
    extra_names: tuple[str, ...] = ()
    df_method: str | None = None

    def to_json(self) -> str:
        """Everything but the data."""
        kept = {k: getattr(self, k) for k in self.__slots_without_data()}
        kept["priors"] = {
            k: {"name": type(p).__name__, "arguments": p.arguments} for k, p in self.priors.items()
        }
        return json.dumps(kept)

    @staticmethod
    def __slots_without_data() -> list[str]:
        return [k for k in ModelDefinition.__dataclass_fields__ if k != "data"]

    @classmethod
    def from_json(cls, text: str, data: pd.DataFrame) -> ModelDefinition:
        """Undo `to_json`; names that are not priors of this package are refused."""
        stored = json.loads(text)
        priors = {}
        for key, entry in stored.pop("priors").items():
            if entry["name"] not in _PRIORS:
                raise FileFormatError(
                    f"the file has a prior this version does not know: {entry['name']}.",
                    fix="load it with the version that saved it, or a newer one",
                )
            priors[key] = _PRIORS[entry["name"]](**entry["arguments"])
        stored["extra_names"] = tuple(stored["extra_names"])
        return cls(data=data, priors=priors, **stored)


def with_response(definition: ModelDefinition, design: Design) -> ModelDefinition:
    """The same model with the response of ``design`` in its data.

    A transformed response, such as ``log(y)``, becomes a column of that name.
    """
    name = design.response_name
    y = np.full(len(definition.data), np.nan)
    y[design.rows.kept] = design.y
    data = definition.data.assign(**{name: y})
    right = definition.formula.split("~", 1)[1]
    formula = definition.formula if name in definition.data.columns else f"`{name}` ~{right}"
    return replace(definition, data=data, formula=formula)


def frame_to_dataset(frame: pd.DataFrame) -> xr.Dataset:
    """A table as numeric arrays: categories and text become codes with their labels in attrs.

    Whole numbers and truth values with gaps become two rows, the values and where one
    is missing. A row index of several levels, or of intervals, is kept as text.
    """
    variables = {}
    interval = isinstance(frame.index, pd.IntervalIndex)
    index = frame.index.astype(str) if interval else frame.index
    for position, (name, values) in enumerate([("", index.to_series()), *frame.items()]):
        array, attrs = _encode_column(values)
        attrs |= {"column": str(name), "is_index": int(position == 0)}
        dims = ("row",) if array.ndim == 1 else ("value_missing", "row")
        variables[f"column_{position}"] = (dims, array, attrs)
    import xarray as xr

    return xr.Dataset(variables)


def dataset_to_frame(dataset: xr.Dataset) -> pd.DataFrame:
    """Undo `frame_to_dataset`."""
    columns: dict[str, Any] = {}
    index: Any = None
    for key in sorted(dataset.data_vars, key=lambda k: int(str(k).rsplit("_", 1)[1])):
        variable = dataset[key]
        values = _decode_column(variable.to_numpy(), variable.attrs)
        if variable.attrs["is_index"]:
            index = values
        else:
            columns[variable.attrs["column"]] = values
    return pd.DataFrame(columns).set_axis(pd.Index(index), axis=0)


def _encode_column(values: pd.Series[Any]) -> tuple[Any, dict[str, Any]]:
    if _holds_intervals(values):
        # as text they would lose their order
        values = values.astype("category")
    if _has_gaps_in_whole_numbers(values):
        return _with_missing(values)
    values = unboxed(values)
    if isinstance(values.dtype, pd.CategoricalDtype):
        plain = (str, int, float, bool)
        names = [v if isinstance(v, plain) else str(v) for v in values.cat.categories.tolist()]
        attrs = {"kind": "category", "ordered": int(bool(values.cat.ordered))}
        return values.cat.codes.to_numpy().astype(np.int32), attrs | {"labels": json.dumps(names)}
    times = pd.api.types.is_datetime64_any_dtype(values)
    if times or pd.api.types.is_timedelta64_dtype(values):
        return values.astype("int64").to_numpy(), {"kind": "time", "dtype": str(values.dtype)}
    if pd.api.types.is_bool_dtype(values) and not values.isna().any():
        return values.to_numpy(dtype=np.int8), {"kind": "bool"}
    if pd.api.types.is_integer_dtype(values) and not values.isna().any():
        return values.to_numpy(dtype=np.int64), {"kind": "number"}
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(dtype=np.float64, na_value=np.nan), {"kind": "number"}
    codes, labels = pd.factorize(values)
    text = [str(v) for v in labels]
    return codes.astype(np.int32), {"kind": "text", "labels": json.dumps(text)}


def _holds_intervals(values: pd.Series[Any]) -> bool:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return False
    return pd.api.types.infer_dtype(values, skipna=True) == "interval"


def _has_gaps_in_whole_numbers(values: pd.Series[Any]) -> bool:
    if isinstance(values.dtype, pd.CategoricalDtype) or not values.isna().any():
        return False
    present = unboxed(values.dropna())
    whole = pd.api.types.is_integer_dtype(present) or pd.api.types.is_bool_dtype(present)
    return bool(len(present)) and whole


def _with_missing(values: pd.Series[Any]) -> tuple[Any, dict[str, Any]]:
    missing = values.isna().to_numpy()
    present = unboxed(values[~missing])
    array = np.zeros((2, len(values)), dtype=np.int64)
    array[0, ~missing] = present.to_numpy(dtype=np.int64)
    array[1] = missing
    dtype = "boolean" if pd.api.types.is_bool_dtype(present) else "Int64"
    return array, {"kind": "gaps", "dtype": dtype}


def _decode_column(values: Any, attrs: Mapping[str, Any]) -> Any:
    if attrs["kind"] == "category":
        labels = json.loads(attrs["labels"])
        return pd.Categorical.from_codes(values, categories=labels, ordered=bool(attrs["ordered"]))
    if attrs["kind"] == "bool":
        return values.astype(bool)
    if attrs["kind"] == "time":
        return pd.Series(values).astype(pd.api.types.pandas_dtype(attrs["dtype"])).array
    if attrs["kind"] == "gaps":
        whole = pd.Series(values[0]).astype(pd.api.types.pandas_dtype(attrs["dtype"]))
        return whole.mask(values[1].astype(bool)).array
    if attrs["kind"] == "number":
        return values
    # code -1, a missing value, reads the None at the end
    return np.array([*json.loads(attrs["labels"]), None], dtype=object)[values]
