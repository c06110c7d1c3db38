"""Figures below a whole fit: evaluations of the criterion, and refits; a JSON line each."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import ours  # first of ours: it puts peers/ on the path
import simulate
from cases import CASES, FIXED_LEVELS, ROWS
from common import emit


def timed(function: Callable[[], Any], budget: float) -> dict[str, float]:
    """Median, least and most seconds of warm calls."""
    function()
    seconds: list[float] = []
    while len(seconds) < 5 or (sum(seconds) < budget and len(seconds) < 1000):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return {"median": median(seconds), "least": min(seconds), "most": max(seconds)}


def evaluations(quick: bool, budget: float) -> None:
    """Value, value and gradient, curvature on InstEval."""
    case = CASES["InstEval"]
    design = ours.Model(case.formula, case.make(quick)).design
    emit("micro", what="cross-products, InstEval", **timed(lambda: ours.objective(design), budget))
    criterion = ours.objective(design)
    x = ours.somewhere(criterion)
    calls = {
        "value": lambda: criterion.profiled_value(x),
        "value and gradient": lambda: criterion.profiled(x),
        "value, gradient and curvature": lambda: criterion.profiled(x).curvature(),
    }
    for what, call in calls.items():
        emit("micro", what=f"{what}, InstEval", **timed(call, budget))


def against_rows(quick: bool, budget: float) -> None:
    """Value and gradient at fixed q as rows grow: flat once cross-products exist."""
    levels = (50, 20) if quick else FIXED_LEVELS
    for n in ROWS[: 3 if quick else 5]:
        rows = n // 20 if quick else n
        data = simulate.crossed(rows, levels, seed=6)
        criterion = ours.objective(ours.Model("y ~ x + (1 | f1) + (1 | f2)", data).design)
        x = ours.somewhere(criterion)
        what = f"value and gradient, {levels[0]} x {levels[1]} crossed, {rows:,} rows"
        emit("micro", what=what, **timed(lambda: criterion.profiled(x), budget))  # noqa: B023


def refits(quick: bool, budget: float) -> None:
    """Refits of sleepstudy to simulated responses, where fits can refit."""
    case = CASES["sleepstudy"]
    fit = ours.Model(case.formula, case.make(quick)).fit("REML")
    if not hasattr(fit, "refit"):
        emit("micro", what="sleepstudy refit: fits have no `refit` yet")
        return
    # the variance parameters' own draws: y = fitted by the fixed part + Z b + noise
    rng = np.random.default_rng(8)
    factor = fit.design.factors[0]
    T, sigma = fit.estimate.T[0], fit.estimate.sigma
    count = 50 if quick else 1_000
    responses = []
    for _ in range(count):
        b = sigma * rng.normal(size=(factor.n_levels, factor.n_columns)) @ T.T
        noise = sigma * rng.normal(size=fit.design.n)
        between = np.einsum("ij,ij->i", factor.columns, b[factor.codes])
        responses.append(fit.design.X @ fit.estimate.beta + between + noise)
    emit("micro", what="sleepstudy refit", **timed(lambda: fit.refit(responses[0]), budget))

    batch = np.column_stack(responses)
    what = f"sleepstudy, {count:,} parametric refits in one batch"
    emit("micro", what=what, **timed(lambda: fit.refit(batch), 0.0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--budget", type=float, default=1.0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for part in (evaluations, against_rows, refits):
        part(args.quick, args.budget)
