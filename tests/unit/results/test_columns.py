"""Columns have one name for one thing: those of docs/columns.md, in every table."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.results.posterior import describe_draws

PAGE = Path(__file__).parents[3] / "docs/columns.md"
# what a row is about, and the numbers of one table alone
KEYS = {
    "parameter", "factor", "level", "term", "term2", "contrast", "hypothesis", "model", "method",
    "recipe", "icc", "r2", "size", "kind",
}  # fmt: skip
OWN = {
    "sumsq", "meansq", "bias", "levels", "m", "power", "n_sim", "singular", "failed",
    "delta_aic", "delta_bic",
}  # fmt: skip


def documented():
    rows = re.findall(r"^\| (`.*?`) \|(.*?)\|", PAGE.read_text(), flags=re.MULTILINE)
    return {name for row in rows for cell in row for name in re.findall(r"`(\w+)`", cell)}


@pytest.fixture(scope="module")
def tables():
    sleep = bl.load_dataset("sleepstudy")
    large = bl.fit("Reaction ~ Days + (Days | Subject)", sleep)
    small = bl.fit("Reaction ~ Days + (1 | Subject)", sleep)
    cake = bl.fit("angle ~ recipe * temp + (1 | recipe:replicate)", bl.load_dataset("cake"))
    boot = small.bootstrap(4, random_seed=1)
    means = cake.emmeans("recipe")
    ratios = bl.fit("Reaction ~ Days", sleep, residual=bl.VarianceBy(by="Subject"))
    return {
        **{k: large.to_frame(k) for k in ("fixed", "variance", "random")},
        "ratios": ratios.to_frame("variance"),
        "fe_conf_int": large.fe_conf_int,
        "wald": large.confint(),
        "profile": small.confint("profile", parm="sigma"),
        "bootstrap": boot.summary(),
        "boot limits": boot.confint(),
        "anova": cake.anova().table,
        "ranova": large.ranova().table,
        "lrt": bl.anova(small, large).table,
        "emmeans": means.table,
        "contrast": means.contrast().table,
        "emtrends": cake.emtrends("recipe", "temp").table,
        "hypothesis": large.hypothesis("Days > 10").table,
        "icc": large.icc().table,
        "r2": large.r2().table,
        "design effect": small.design_effect().table,
        "reliability": large.reliability(),
        "predict": large.predict(interval="confidence"),
        "power": bl.power(small, "Days", [1.0], 2, random_seed=1, progressbar=False).table,
        "models": bl.compare_models(small, large).table,
        "estimates": bl.compare_estimates(small).table.rename(
            columns=lambda name: name.removeprefix("REML_")
        ),
        "draws": describe_draws(np.zeros((3, 1)), 0.95),
    }


def test_no_table_has_a_name_of_its_own_for_what_others_have(tables):
    known = documented() | KEYS | OWN
    other = {name: set(t.columns) - known for name, t in tables.items() if set(t.columns) - known}
    assert not other


def test_the_page_names_nothing_that_is_nowhere(tables):
    anywhere = {c for t in tables.values() for c in t.columns}
    # of posteriors, of simulated nulls, and of hypotheses about draws
    elsewhere = {"prob_positive", "probability", "evidence_ratio", "p_simulated"}
    assert documented() - anywhere == elsewhere


def test_intervals_are_between_lower_and_upper(tables):
    with_ends = {k for k, t in tables.items() if "lower" in t.columns}
    assert {"fixed", "random", "wald", "profile", "emmeans", "predict", "power"} <= with_ends
    for name in with_ends:
        ends: pd.DataFrame = tables[name][["lower", "upper"]].dropna()
        assert (ends["lower"] <= ends["upper"]).all(), name
