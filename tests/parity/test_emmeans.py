"""Marginal means, contrasts and slopes against R's emmeans (numbers and script in emmeans/)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.inference.marginal_means import MarginalMeans

HERE = Path(__file__).parent / "emmeans"
CASES: dict[str, Any] = json.loads((HERE / "reference.json").read_text())["cases"]
DF_METHODS = {
    "asymptotic": "normal",
    "satterthwaite": "satterthwaite",
    "kenward-roger": "kenward-roger",
}
METHODS = {"pairwise": "pairwise", "trt.vs.ctrl": "treatment", "eff": "sum"}
# R's numerical derivatives, from which it has these degrees of freedom
DF_RTOL = {"normal": 0.0, "satterthwaite": 1e-6, "kenward-roger": 1e-7}


@cache
def table(name: str) -> pd.DataFrame:
    if name != "unbalanced":
        return bl.load_dataset(name)
    return pd.read_csv(HERE / "unbalanced.csv")


@cache
def fitted(data: str, formula: str, weights: str | None, reml: bool) -> Any:
    return bl.fit(formula, table(data), weights=weights, method="REML" if reml else "ML")


def marginal_means(case: dict[str, Any]) -> MarginalMeans:
    fit = fitted(case["data"], case["formula"], case["model_weights"], case["reml"])
    fit = fit.with_df(DF_METHODS[case["df"]])
    specs = () if case["specs"] == ["1"] else case["specs"]
    options = {"by": case["by"], "at": case["at"], "weights": case["weights"]}
    if case["var"] is not None:
        return fit.emtrends(specs, case["var"], **options)
    return fit.emmeans(specs, **options)


def key(row: dict[str, Any], columns: list[str]) -> tuple[str, ...]:
    return tuple(f"{row[c]:g}" if isinstance(row[c], float | int) else str(row[c]) for c in columns)


def compare(ours: dict[str, Any], theirs: dict[str, Any], names: dict[str, str], df: str) -> None:
    """The same row, estimate by estimate."""
    scale = abs(theirs["SE"])
    for name, r_name in names.items():
        assert ours[name] == pytest.approx(theirs[r_name], abs=1e-6 * scale), name
    assert ours["se"] == pytest.approx(theirs["SE"], rel=1e-6)
    if df == "normal":
        assert np.isinf(ours["df"])  # JSON has no infinity
    else:
        assert ours["df"] == pytest.approx(theirs["df"], rel=DF_RTOL[df])


def ends(row: dict[str, Any]) -> tuple[float, float]:
    low = row.get("lower.CL", row.get("asymp.LCL"))
    return low, row.get("upper.CL", row.get("asymp.UCL"))


@pytest.mark.parametrize("name", CASES)
def test_means(name: str) -> None:
    case = CASES[name]
    ours = marginal_means(case).table
    quantity = "emmean" if case["var"] is None else "trend"
    r_name = "emmean" if case["var"] is None else f"{case['var']}.trend"
    columns = [*case["by"], *([] if case["specs"] == ["1"] else case["specs"])]
    theirs = {key(row, columns): row for row in case["means"]}
    rows = ours.to_dict("records")
    assert len(theirs) == len(rows)
    for row in rows:
        there = theirs[key(row, columns)]
        compare(row, there, {quantity: r_name}, DF_METHODS[case["df"]])
        assert (row["lower"], row["upper"]) == pytest.approx(ends(there), abs=2e-6 * there["SE"])


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c["tests"]])
def test_contrasts(name: str) -> None:
    case = CASES[name]
    method = case["contrast"]
    ours = marginal_means(case).contrast(
        METHODS[method] if isinstance(method, str) else method, adjust=case["adjust"]
    )
    rows = ours.table.to_dict("records")
    theirs = case["tests"]
    assert len(rows) == len(theirs)
    for row, there in zip(rows, theirs, strict=True):
        assert key(row, case["by"]) == key(there, case["by"])
        compare(row, there, {"estimate": "estimate"}, DF_METHODS[case["df"]])
        statistic = there.get("t.ratio", there.get("z.ratio"))
        assert row["t"] == pytest.approx(statistic, rel=1e-6, abs=1e-6)
        assert row["p"] == pytest.approx(there["p.value"], rel=2e-5, abs=1e-12)
        assert (row["lower"], row["upper"]) == pytest.approx(ends(there), abs=2e-6 * there["SE"])
        if method == "pairwise":
            words = there["contrast"].replace("(", "").replace(")", "")
            assert row["contrast"].replace(".0", "") == words.replace("temperature", "").replace(
                "x", ""
            )
