"""Profile limits against lme4's deviance functions, bootstrap limits against R's boot."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.inference.bootstrap import Bootstrap
from tests.parity.test_lme4 import our_name

HERE = Path(__file__).parent / "intervals"
NAMES = sorted(p.stem for p in (HERE / "profiles").glob("*.json"))


def reference(name: str) -> dict[str, Any]:
    return json.loads((HERE / "profiles" / f"{name}.json").read_text())


def our_variance(r_name: str, fit: bl.PointFit) -> str:
    """``sd_Days|Subject`` and ``cor_Days.(Intercept)|Subject`` as we write them."""
    if r_name == "sigma":
        return r_name
    kind, rest = r_name.split("_", 1)
    columns, group = rest.replace("(Intercept)", "Intercept").split("|")
    names = [f.name for f in fit.design.factors]
    factor = group if group in names else ":".join(reversed(group.split(":")))
    if kind == "sd":
        return f"sd_{factor}[{columns}]"
    later, earlier = columns.split(".")
    return f"corr_{factor}[{earlier}, {later}]"


def limits(name: str, level: float = 0.95) -> tuple[pd.DataFrame, dict[str, Any]]:
    ref = reference(name)
    data = bl.load_dataset(ref["dataset"])
    weights = ref["weights"] or None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.SingularFitWarning)
        fit = bl.Model(ref["formula"], data, weights=weights).fit("REML")
    ours = [our_variance(r, fit) for r in ref["variance"]]
    ours += [our_name(r, data) for r in ref["fixed"]]
    profile = fit.profile(ours, level)
    assert profile.deviance == pytest.approx(ref["deviance"], abs=1e-6)
    return profile.confint(0.95).loc[ours], ref


@pytest.mark.parametrize("name", NAMES)
def test_limits_are_the_roots_of_lme4s_deviance(name: str) -> None:
    table, ref = limits(name)
    exact = np.array(ref["exact"])
    width = np.diff(exact, axis=1)
    np.testing.assert_array_equal(table.to_numpy() == 0.0, exact == 0.0)
    assert (np.abs(table.to_numpy() - exact) < 2e-7 * width).all(), table.to_numpy() - exact


@pytest.mark.parametrize("name", NAMES)
def test_lme4s_own_interval_is_that_but_for_its_interpolation(name: str) -> None:
    if name == "sleepstudy_weights":
        pytest.skip("lme4 1.1-31 leaves weights out of the profiles of fixed effects")
    table, ref = limits(name)
    theirs = np.array(ref["confint"], dtype=float)
    width = np.diff(table.to_numpy(), axis=1)
    gap = np.abs(table.to_numpy() - theirs) / width
    # dyestuff2: lme4's profile of sigma fails where the SD is zero
    assert np.nanmax(np.where(np.isnan(theirs).any(axis=1)[:, None], np.nan, gap)) < 1e-3


@pytest.mark.parametrize("type", ["normal", "basic", "percentile"])
def test_bootstrap_intervals_are_those_of_boot(type: str) -> None:
    ref = json.loads((HERE / "boot_ci.json").read_text())
    replicates = pd.DataFrame({"t": ref["replicates"]})
    status = pd.Series(["CONVERGED"] * len(replicates))
    boot = Bootstrap("parametric", pd.Series({"t": ref["estimate"]}), replicates, status, None, 1)
    at = [i for i, c in enumerate(ref["columns"]) if c == type]
    for row in ref["limits"]:
        ours = boot.confint(row[0], type).to_numpy()[0]
        np.testing.assert_allclose(ours, np.array(row)[at], rtol=1e-12)
