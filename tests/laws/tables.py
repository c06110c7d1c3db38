"""Tables drawn by Hypothesis, fits of them, and what it means that two fits agree."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import bayeslmm as bl

# A fit is a few milliseconds; each law draws this many tables.
few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))

seeds = st.integers(0, 10_000)
FORMULAS = (
    "y ~ x + (1 | g)",
    "y ~ x + (x | g)",
    "y ~ x + c + (1 | g) + (1 | h)",
    "y ~ x * c + (x || g) + (1 | h)",
    "y ~ x + (1 | g/h)",
    "y ~ c + (c | g)",
)
formulas = st.sampled_from(FORMULAS)


@cache
def table(seed):
    """48 to 80 rows: x, z, c in three levels, crossed g and h, y, weights w."""
    rng = np.random.default_rng(seed)
    n, J, K = int(rng.integers(48, 81)), int(rng.integers(4, 8)), int(rng.integers(3, 6))
    g = rng.permutation(np.concatenate([np.arange(J).repeat(3), rng.integers(0, J, n - 3 * J)]))
    h = rng.permutation(np.concatenate([np.arange(K), rng.integers(0, K, n - K)]))
    x, c = rng.normal(size=n), rng.integers(0, 3, n)
    y = 1 + 0.5 * x + 0.8 * c + rng.normal(size=n)
    y += 1.5 * rng.normal(size=J)[g] + rng.normal(size=K)[h]
    y += rng.normal(size=J)[g] * x + rng.normal(size=(J, 3))[g, c]
    return pd.DataFrame(
        {
            "y": 10 * y,
            "x": x,
            "z": rng.uniform(1, 2, n),
            "c": np.array(["lo", "mid", "top"])[c],
            "g": np.char.add("g", g.astype(str)),
            "h": np.char.add("h", h.astype(str)),
            "w": rng.choice([0.5, 1.0, 2.0, 4.0], n),
        }
    )


def fit(formula, data, method="REML", **options):
    """A fit without its warnings: the tables are drawn, and some fits are singular."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayeslmmWarning)
        return bl.Model(formula, data, **options).fit(method)


@cache
def base(formula, seed, method="REML"):
    """The fit a law starts from."""
    return fit(formula, table(seed), method)


def identical(a, b):
    """Every estimate of two fits is the same number."""
    assert list(a.fe_params.index) == list(b.fe_params.index)
    assert a.estimate.variance_names == b.estimate.variance_names
    for name in ("beta", "cov_beta", "variance_values"):
        np.testing.assert_array_equal(getattr(a.estimate, name), getattr(b.estimate, name))
    for one, other in zip(
        [*a.estimate.T, *a.estimate.b, *a.random_effects_cov.values()],
        [*b.estimate.T, *b.estimate.b, *b.random_effects_cov.values()],
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert a.llf == b.llf
    np.testing.assert_array_equal(a.fittedvalues, b.fittedvalues)


def near(actual, expected, unit, tolerance):
    error = np.abs(np.asarray(actual) - np.asarray(expected)) / np.asarray(unit)
    error = float(np.max(error, initial=0.0))
    assert error < tolerance, f"{error:.1e}"


def agree(a, b, *, y=1.0, tolerance=1e-6):
    """Two fits are the same up to where their optimisers stopped.

    ``b`` is in units of ``y`` times those of ``a``; the deviance is flat at its
    optimum, so estimates agree to the square root of what it is certified to.
    """
    assert a.converged and b.converged and a.singular == b.singular
    fixed = list(a.fe_params.index)
    se = a.fe_bse.to_numpy()
    near(b.fe_params[fixed] / y, a.fe_params, se, tolerance)
    near(b.fe_bse[fixed] / y, se, se, tolerance)
    assert abs(b.sigma / (y * a.sigma) - 1) < tolerance
    assert set(a.ngroups.items()) == set(b.ngroups.items())
    for name in a.ngroups:
        ours, theirs = (np.atleast_2d(f.variance_components[name]) for f in (a, b))
        near(theirs / y**2, ours, np.trace(ours) + a.scale, tolerance)
        effects, others = (f.random_effects[name].sort_index() for f in (a, b))
        assert list(effects.index) == list(others.index)
        near(others / y, effects, a.sigma, tolerance)
        errors, theirs = (f.random_effects_se[name].sort_index() for f in (a, b))
        near(theirs / y, errors, a.sigma, 30 * tolerance)
