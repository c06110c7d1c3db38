"""Figures and numbers of docs/power.md: ``python docs/figures/power.py`` makes them anew.

Size of the tests, power against closed forms, a curve; into docs/power. Every run has a seed.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import bayeslmm as bl

FOLDER = Path(__file__).parents[1] / "power"
N = 5000


def table(found):
    return found.table[["size", "power", "lower", "upper", "singular"]].to_dict("records")


def size_of_tests():
    """At no effect: sleepstudy with all 18 subjects, and with 8."""
    fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    out = {}
    for name, one, test in (
        ("satterthwaite", fit, "wald"),
        ("kenward-roger", fit.with_df("kenward-roger"), "wald"),
        ("normal", fit.with_df("normal"), "wald"),
        ("lrt", fit, "lrt"),
    ):
        found = bl.power(
            one, "Days", {"Subject": [8, 18]}, N, random_seed=1, test=test, value=0.0,
            progressbar=False,
        )  # fmt: skip
        out[name] = table(found)
    return out


def against_closed_form():
    """Twelve pairs: the test is the paired t test, its power a noncentral t."""
    rng, J = np.random.default_rng(3), 12
    subject = np.repeat(np.arange(J), 2)
    y = 10.0 * rng.normal(size=J)[subject] + rng.normal(size=2 * J)
    data = pd.DataFrame({"y": y, "late": np.tile([0.0, 1.0], J), "subject": subject})
    fit = bl.fit("y ~ late + (1 | subject)", data)
    sizes = [0.0, 0.4, 0.8, 1.2, 1.6]
    rows = table(bl.power(fit, "late", sizes, N, random_seed=1, progressbar=False))
    for row in rows:
        row["exact"] = t_power(row["size"] / (fit.sigma * np.sqrt(2.0 / J)), J - 1)
    return rows


def t_power(shift, df):
    """Power of a two-sided t test at level 0.05."""
    cut = stats.t.ppf(0.975, df)
    return float(stats.nct.sf(cut, df, shift) + stats.nct.cdf(-cut, df, shift))


def curve():
    fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    found = bl.power(
        fit, "Days", {"Subject": [6, 9, 12, 18, 24, 36]}, N // 5, random_seed=1, value=4.0,
        progressbar=False,
    )  # fmt: skip
    bl.plot_power(found).savefig(FOLDER / "curve.png", dpi=110)
    rows = table(found)
    # balanced: the t test of the subjects' own slopes, over ten days
    variance = fit.variance_components["Subject"].loc["Days", "Days"] + fit.scale / 82.5
    for row in rows:
        row["exact"] = t_power(4.0 / np.sqrt(variance / row["size"]), row["size"] - 1)
    return rows


if __name__ == "__main__":
    out = {"n_sim": N, "size": size_of_tests(), "pairs": against_closed_form(), "curve": curve()}
    (FOLDER / "power.json").write_text(json.dumps(out, indent=1) + "\n")
