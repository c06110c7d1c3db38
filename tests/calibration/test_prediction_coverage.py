"""Coverage of intervals of predictions: a small version, and the study behind the docs' figure."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest

from tests.calibration.prediction_coverage import STUDIES, TARGETS, coverage

DOCS = Path(__file__).parents[2] / "docs" / "prediction"
SEED = 20_261_121
REPLICATIONS = 500


def test_a_few_replications():
    """Two points about 94 %, for the variances are taken as known, and Monte Carlo error."""
    found = coverage(STUDIES["twenty groups with slopes"], 60, SEED, posterior=False)
    assert (abs(found["coverage"] - 0.94) < 0.02 + 4 * found["mc_error"]).all(), found


@pytest.mark.validate
def test_five_hundred_replications():
    """Posterior intervals hold; those given the variances fall short where groups are few."""
    found = {
        (name, "posterior" if posterior else "REML"): coverage(
            study, REPLICATIONS, SEED, posterior=posterior
        )
        for name, study in STUDIES.items()
        for posterior in (False, True)
    }
    table = pd.concat(found, names=["study", "fit", "target"])
    DOCS.mkdir(parents=True, exist_ok=True)
    record = {
        "level": 0.95,
        "replications": REPLICATIONS,
        "seed": SEED,
        "studies": {name: repr(study) for name, study in STUDIES.items()},
        "versions": {k: version(k) for k in ("bayeslmm", "numpy", "scipy", "numba")},
        "rows": table.reset_index().to_dict("records"),
    }
    (DOCS / "coverage.json").write_text(json.dumps(record, indent=1) + "\n")
    _draw(found).savefig(DOCS / "coverage.png", dpi=100)
    for (_, fit), one in found.items():
        short = 0.95 - one["coverage"] - 4 * one["mc_error"]
        # point fits take the variances as known
        assert (short < (0.01 if fit == "posterior" else 0.08)).all(), one


def _draw(found):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(STUDIES), figsize=(9.5, 3.2), sharey=True, sharex=True)
    for ax, name in zip(axes, STUDIES, strict=True):
        for shift, fit, colour in ((-0.12, "REML", "#b5651d"), (0.12, "posterior", "#2f5d8a")):
            one = found[name, fit].loc[list(TARGETS)]
            ax.errorbar(
                one["coverage"], [i + shift for i in range(len(TARGETS))],
                xerr=2 * one["mc_error"], fmt="o", ms=4, capsize=2, color=colour, label=fit,
            )  # fmt: skip
        ax.axvline(0.95, color="0.6", lw=1, zorder=0)
        ax.set_title(name, fontsize=10)
    axes[0].set_yticks(range(len(TARGETS)), TARGETS, fontsize=9)
    axes[0].invert_yaxis()
    axes[0].legend(fontsize=9, loc="lower left")
    figure.supxlabel("coverage of 95 % intervals, with two Monte Carlo errors", fontsize=9)
    figure.tight_layout()
    return figure
