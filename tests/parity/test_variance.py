"""ICC and R2 against R's performance, by value (numbers, script and versions in variance/)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bayeslmm as bl

HERE = Path(__file__).parent / "variance"
CASES: dict[str, Any] = json.loads((HERE / "reference.json").read_text())["cases"]
# lme4's theta at the end of its search
RTOL = 2e-6


@cache
def fitted(name: str) -> Any:
    case = CASES[name]
    unbalanced = HERE.parent / "emmeans" / "unbalanced.csv"
    data = (
        pd.read_csv(unbalanced) if case["data"] == "unbalanced" else bl.load_dataset(case["data"])
    )
    return bl.fit(case["formula"], data, method="REML" if case["reml"] else "ML")


@pytest.mark.parametrize("name", CASES)
def test_icc(name: str) -> None:
    case = CASES[name]
    table = fitted(name).icc().table
    total = table.tail(2).set_index("icc")["estimate"]
    assert total["adjusted"] == pytest.approx(case["adjusted"], rel=RTOL)
    assert total["unadjusted"] == pytest.approx(case["unadjusted"], rel=RTOL)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c["by_group"]])
def test_icc_by_factor(name: str) -> None:
    for row in CASES[name]["by_group"]:
        ours = fitted(name).icc(by=row["Group"]).table.set_index("icc")["estimate"]
        assert ours["adjusted"] == pytest.approx(row["ICC"], rel=RTOL)


@pytest.mark.parametrize("name", CASES)
def test_r2(name: str) -> None:
    ours = fitted(name).r2().table.set_index("r2")["estimate"]
    for kind in ("marginal", "conditional"):
        assert ours[kind] == pytest.approx(CASES[name][kind], rel=RTOL, abs=1e-15)
