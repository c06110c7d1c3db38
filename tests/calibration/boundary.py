"""Size of likelihood-ratio tests of a variance that is zero, by simulation.

Shares of p-values at most 0.05 and 0.01 over data sets without the variance that is tested, by
chi-square, by the mixture and by the exact distribution.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import chdtrc

import bayeslmm as bl
from bayeslmm.inference.boundary import mixture_pvalue
from bayeslmm.inference.null_distribution import bootstrap_statistics, exact_statistics

SIZES = (0.05, 0.01)


@dataclass(frozen=True)
class Case:
    """A model without and with the variance, J levels of m rows."""

    small: str
    large: str
    levels: int
    rows: int
    df: int


CASES = {
    "intercept, 6 levels": Case("y ~ x", "y ~ x + (1 | g)", 6, 5, 1),
    "intercept, 100 levels": Case("y ~ x", "y ~ x + (1 | g)", 100, 5, 1),
    "slope beside an intercept, 15 levels": Case("y ~ x + (1 | g)", "y ~ x + (x | g)", 15, 8, 2),
    "slope beside an intercept, 100 levels": Case("y ~ x + (1 | g)", "y ~ x + (x | g)", 100, 8, 2),
    "slope beside two effects, 100 levels": Case(
        "y ~ x + z + (x | g)", "y ~ x + z + (x + z | g)", 100, 8, 3
    ),
}


def null_statistics(case, draws, seed):
    """REML statistics of responses without the variance, and the designs they are of."""
    rng = np.random.default_rng(seed)
    n = case.levels * case.rows
    g = np.repeat(np.arange(case.levels), case.rows)
    x, z = rng.normal(size=(2, n))
    y = 1.0 + 0.5 * x + rng.normal(size=n)
    if "(1 | g)" in case.small or "(x | g)" in case.small:
        y += rng.normal(size=case.levels)[g]
    if "(x | g)" in case.small:
        y += (0.7 * rng.normal(size=case.levels))[g] * x
    data = pd.DataFrame({"y": y, "x": x, "z": z, "g": g})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small, large = bl.fit(case.small, data), bl.fit(case.large, data)
    assert not small.singular
    drawn = bootstrap_statistics(
        small.design, small.estimate, large.design, large.estimate, draws, rng
    )
    return drawn, large


def size_of(name, draws, seed):
    """Shares of p-values at most each of `SIZES`, by each distribution."""
    case = CASES[name]
    drawn, large = null_statistics(case, draws, seed)
    p = {
        "chi2": np.asarray(chdtrc(case.df, drawn)),
        "mixture": np.array([mixture_pvalue(s, case.df) for s in drawn]),
    }
    if case.df == 1:
        exact = np.sort(
            exact_statistics(large.design, "REML", 100_000, np.random.default_rng(seed))
        )
        above = len(exact) - np.searchsorted(exact, drawn)
        p["exact"] = (1 + above) / (1 + len(exact))
    shares = {way: [float((values <= size).mean()) for size in SIZES] for way, values in p.items()}
    return {"draws": len(drawn), "seed": seed, "zero": float((drawn < 1e-8).mean()), **shares}
