"""Tests of a variance have the size they say: a small version, and the study of the docs."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from tests.calibration.boundary import CASES, SIZES, size_of

DOCS = Path(__file__).parents[2] / "docs" / "calibration"
SEED = 20_261_121
DRAWS = 5_000


def unlikely(share, draws, size):
    """Two-sided p-value of a share of rejections, were the size true."""
    count = round(share * draws)
    return 2 * min(binom.cdf(count, draws, size), binom.sf(count - 1, draws, size))


@pytest.mark.parametrize("name", ["intercept, 100 levels", "slope beside an intercept, 100 levels"])
def test_a_few_data_sets(name):
    found = size_of(name, 200, SEED)
    assert unlikely(found["mixture"][0], 200, 0.05) > 1e-4
    # chi-square rejects too seldom: its size is at most half of a further degree of freedom's
    assert found["chi2"][0] <= found["mixture"][0]


def test_the_exact_distribution_with_few_levels():
    found = size_of("intercept, 6 levels", 500, SEED)
    assert unlikely(found["exact"][0], 500, 0.05) > 1e-4
    # half of the statistics would be zero with many levels; with few it is more
    assert found["zero"] > 0.5


@pytest.mark.validate
def test_the_study():
    cases = {name: size_of(name, DRAWS, SEED + k) for k, name in enumerate(CASES)}
    record = {
        "sizes": SIZES,
        "monte_carlo_error": [float(np.sqrt(s * (1 - s) / DRAWS)) for s in SIZES],
        "cases": cases,
        "versions": {k: version(k) for k in ("bayeslmm", "numpy", "scipy")},
    }
    (DOCS / "boundary-size.json").write_text(json.dumps(record, indent=1) + "\n")
    for name, found in cases.items():
        if "100 levels" in name:
            assert unlikely(found["mixture"][0], DRAWS, 0.05) > 1e-3, name
        if "exact" in found:
            assert unlikely(found["exact"][0], DRAWS, 0.05) > 1e-3, name
        assert found["chi2"][0] < 0.05
