"""Ranks of true values are uniform: a small version, and the study behind the docs' figure."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from tests.calibration.sbc import KEPT, STUDIES, p_value, ranks

DOCS = Path(__file__).parents[2] / "docs" / "calibration"
SEED = 20_261_121


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("sampler", ["auto", "nutpie"])
def test_a_few_replications(name, sampler):
    found, _ = ranks(STUDIES[name], 15, SEED, sampler)
    for values in found.values():
        # with 15 ranks: neither all on one side nor all in the middle
        assert p_value(values, 3) > 1e-4
    pooled = np.concatenate([v for k, v in found.items() if not k.startswith("b_")])
    assert 0.25 < pooled.mean() / KEPT < 0.75


@pytest.mark.validate
@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("sampler", ["auto", "nutpie"])
def test_five_hundred_replications(name, sampler):
    found, took = ranks(STUDIES[name], 500, SEED, sampler)
    p_values = {k: p_value(v, 20) for k, v in found.items()}
    DOCS.mkdir(parents=True, exist_ok=True)
    record = {
        "study": name,
        "formula": STUDIES[name].formula,
        "priors": {k: repr(v) for k, v in STUDIES[name].priors.items()},
        "replications": 500,
        "samplers": took,
        "seed": SEED,
        "versions": {k: version(k) for k in ("bayeslmm", "nutpie", "numpy", "numba")},
        "p_values": p_values,
        "ranks": {k: v.tolist() for k, v in found.items()},
    }
    stem = name.replace(" ", "-") + ("" if sampler == "auto" else "-nuts")
    (DOCS / f"sbc-{stem}.json").write_text(json.dumps(record) + "\n")
    _draw(found, p_values).savefig(DOCS / f"sbc-{stem}.png", dpi=100)
    # as many tests as parameters
    assert min(p_values.values()) > 0.001 / len(p_values), p_values


def _draw(found, p_values):
    import matplotlib.pyplot as plt

    names = list(found)
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.2 * columns, 2.2 * rows), squeeze=False, layout="constrained"
    )
    n, bins = len(found[names[0]]), 20
    for ax, name in zip(axes.ravel(), names, strict=False):
        ax.hist(found[name], bins=np.linspace(-0.5, KEPT + 0.5, bins + 1), color="#7a9cc6")
        middle, spread = n / bins, 2.576 * np.sqrt(n / bins * (1 - 1 / bins))
        ax.axhspan(middle - spread, middle + spread, color="0.85", zorder=0)
        ax.set_title(f"{name}, p = {p_values[name]:.2f}", fontsize=9)
        ax.set_yticks([])
    for ax in axes.ravel()[len(names) :]:
        ax.set_visible(False)
    figure.supxlabel("rank of the true value; grey: 99 % of bins under uniform ranks", fontsize=9)
    return figure
