"""The number of threads changes no digit of a fit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.engine.gaussian.crossproducts import SMALL, compute_crossproducts

CASES = ("sleepstudy", "Penicillin", "sparse couplings", "full couplings")


def crossed(n, J, K):
    """Crossed factors g and h of J and K levels; enough cells meet, or few, by n."""
    rng = np.random.default_rng(n)
    g, h, x = rng.integers(0, J, n), rng.integers(0, K, n), rng.normal(size=n)
    y = 5 + x + rng.normal(size=J)[g] + rng.normal(size=K)[h] + 0.6 * rng.normal(size=K)[h] * x
    y += rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "g": g.astype(str), "h": h.astype(str)})


def model(case):
    """Small models take the compiled path; in the others products are large enough for threads."""
    if case == "sleepstudy":
        return bl.Model("Reaction ~ Days + (Days | Subject)", bl.load_dataset(case))
    if case == "Penicillin":
        return bl.Model("diameter ~ 1 + (1 | plate) + (1 | sample)", bl.load_dataset(case))
    rows, J, K = (1500, 300, 90) if case == "sparse couplings" else (3000, 150, 60)
    return bl.Model("y ~ x + (1 | g) + (x | h)", crossed(rows, J, K))


def digits(case):
    """Every digit of a fit."""
    fit = model(case).fit()
    numbers = {
        "beta": fit.estimate.beta,
        "theta": fit.theta,
        "sigma": [fit.sigma],
        "llf": [fit.llf],
        **{f"b_{f.name}": b for f, b in zip(fit.design.factors, fit.estimate.b, strict=True)},
    }
    return {k: [float(v).hex() for v in np.ravel(a)] for k, a in numbers.items()}


@pytest.fixture(scope="module")
def by_threads():
    """The digits of each case in a process with one thread, and in one with two."""
    root = Path(__file__).parents[2]
    running = []
    for threads in ("1", "2"):
        names = ("OPENBLAS", "MKL", "OMP", "NUMBA")
        limits = {f"{name}_NUM_THREADS": threads for name in names}
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.laws.test_threads"],
                cwd=root,
                env={**os.environ, **limits},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    found = []
    for process in running:
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        found.append(json.loads(out))
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_number_of_threads_changes_no_digit(by_threads, case):
    one, two = by_threads
    assert one[case] == two[case]


@pytest.mark.parametrize("case", CASES)
def test_each_case_takes_its_own_path(case):
    cp = compute_crossproducts(model(case).design)
    (first,) = cp.chain
    assert (len(cp.S) > SMALL) == (case.endswith("couplings"))
    assert (first.full is not None) == (case == "full couplings")


if __name__ == "__main__":
    print(json.dumps({case: digits(case) for case in CASES}))
