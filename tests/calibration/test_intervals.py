"""Coverage of 95 % intervals: a small version, and the study behind the docs' table."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.calibration.intervals import METHODS, STUDIES, coverage, covered

DOCS = Path(__file__).parents[2] / "docs"
SEED = 20_261_121
REPLICATIONS, N_BOOTSTRAP = 500, 199
# The record is written after so many, so that a study cut short has its figures too.
BLOCK = 25


def test_a_few_replications():
    found = covered(STUDIES["correlated slopes"], 30, 99, SEED)
    table = coverage(found)
    # 30 intervals of 95 %: fewer than 22 hold in one of a hundred thousand
    assert (table[list(METHODS)] * 30 >= 21.5).all(axis=None), table
    profile = found[found["method"] == "profile"]
    held = 1.0 - profile["below"] - profile["above"]
    # all of the 180: between 160 and 179, but for one in ten thousand
    assert 159.5 < held.sum() < 179.5


@pytest.mark.validate
@pytest.mark.parametrize("name", STUDIES)
def test_five_hundred_replications(name):
    found = []
    for block in range(REPLICATIONS // BLOCK):
        found.append(covered(STUDIES[name], BLOCK, N_BOOTSTRAP, SEED + 1000 * block))
        _write(name, pd.concat(found), BLOCK * (block + 1))
    table = coverage(pd.concat(found))
    # the limits are asymptotic: with 6 levels their coverage is near 90, not 95 %
    error = np.sqrt(0.9 * 0.1 / REPLICATIONS)
    assert (table["profile"] > 0.9 - 3.5 * error).all(), table


def _write(name: str, found: pd.DataFrame, replications: int) -> None:
    fit = STUDIES[name].template()
    levels = ", ".join(f"{f.n_levels} levels of {f.name}" for f in fit.design.factors)
    record = {
        "study": name,
        "formula": STUDIES[name].formula,
        "rows": f"{fit.nobs} rows, {levels}",
        "truth": STUDIES[name].values(fit).to_dict(),
        "replications": replications,
        "n_bootstrap": N_BOOTSTRAP,
        "seed": SEED,
        "versions": {k: version(k) for k in ("bayeslmm", "numpy", "scipy")},
        "coverage": coverage(found).round(4).to_dict(),
    }
    for side in ("below", "above", "missing"):
        record[side] = found.pivot_table(side, "parameter", "method").round(4).to_dict()
    path = DOCS / "calibration" / f"coverage-{name.replace(' ', '-')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    write_tables()


def write_tables() -> None:
    """Put the tables of all records at the end of docs/intervals.md."""
    page = DOCS / "intervals.md"
    head, mark, rest = page.read_text().partition("### Simulated data sets\n")
    lines = [head.rstrip(), "", mark]
    for name in STUDIES:
        path = DOCS / "calibration" / f"coverage-{name.replace(' ', '-')}.json"
        if path.exists():
            lines += [*_table(json.loads(path.read_text())), ""]
    assert mark, rest
    page.write_text("\n".join(lines).rstrip() + "\n")


def _table(r: dict) -> list[str]:
    n = r["replications"]
    lines = [
        f"`{r['formula']}`, {r['rows']}: {n} data sets",
        "",
        "| parameter | true value | Wald | profile | percentile | basic |",
        "|---|---|---|---|---|---|",
    ]
    for parameter, true in r["truth"].items():
        cells = [f"`{parameter}`", f"{true:.4g}"]
        for method in METHODS:
            share, missing = r["coverage"][method][parameter], r["missing"][method][parameter]
            error = 100 * np.sqrt(share * (1 - share) / n)
            cell = f"{100 * share:.1f} ± {error:.1f}"
            cells.append(cell + (f" ({100 * missing:.1f} without)" if missing else ""))
        lines.append("| " + " | ".join(cells) + " |")
    return lines
