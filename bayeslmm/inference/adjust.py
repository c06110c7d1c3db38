"""P-values and intervals of a family of tests."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import optimize, stats

from bayeslmm.arrays import FloatArray
from bayeslmm.errors import ArgumentError

Adjust = Literal["tukey", "holm", "bonferroni", "none"]

# Below it SciPy's studentized range has less than five digits.
_SMALLEST_TAIL = 1e-9

ADJUSTMENTS: tuple[Adjust, ...] = ("tukey", "holm", "bonferroni", "none")


def check_adjust(adjust: str, pairwise: bool) -> None:
    """Refuse an adjustment that is not known, and Tukey's for other sets than all pairs."""
    if adjust not in ADJUSTMENTS:
        raise ArgumentError(
            f"adjust={adjust!r} is not known.", fix=f"one of {', '.join(map(repr, ADJUSTMENTS))}"
        )
    if adjust == "tukey" and not pairwise:
        raise ArgumentError(
            "Tukey's adjustment is for all pairwise differences.",
            fix='contrast("pairwise"), or adjust="holm"',
        )


def adjusted_pvalues(t: FloatArray, df: FloatArray, adjust: Adjust, n_means: int) -> FloatArray:
    """Two-sided p-values of a family of k tests.

    Tukey (1953), with each difference's own df: ``P(q > sqrt(2) |t|)``, q the studentized
    range of ``n_means`` means; where that is below 1e-9, Bonferroni's bound, which is close
    there. Holm (1979) steps down from k times the smallest p-value.

    Parameters
    ----------
    t : ndarray, shape (k,)
        NaN for a test that cannot be made, which counts in no family.
    df : ndarray, shape (k,)
        Infinity for the standard normal.
    adjust : {"tukey", "holm", "bonferroni", "none"}
    n_means : int
        Means whose differences are tested; for Tukey.

    Returns
    -------
    ndarray, shape (k,)

    Examples
    --------
    >>> import numpy as np
    >>> t, df = np.array([2.0, 3.0]), np.array([20.0, 20.0])
    >>> adjusted_pvalues(t, df, "bonferroni", 3).round(4).tolist()
    [0.1185, 0.0142]
    """
    made = np.isfinite(t)
    p = np.full(len(t), np.nan)
    if adjust == "tukey" and n_means > 2:
        tail = stats.studentized_range.sf(np.sqrt(2.0) * np.abs(t[made]), n_means, df[made])
        # a difference from one: further out Bonferroni's bound is the better number
        bound = n_means * (n_means - 1) * stats.t.sf(np.abs(t[made]), df[made])
        p[made] = np.where(tail > _SMALLEST_TAIL, np.minimum(tail, 1.0), bound)
        return p
    p[made] = 2.0 * stats.t.sf(np.abs(t[made]), df[made])
    k = int(made.sum())
    if adjust == "bonferroni":
        p = np.minimum(k * p, 1.0)
    if adjust == "holm":
        order = np.argsort(p)[:k]
        steps = np.maximum.accumulate((k - np.arange(k)) * p[order])
        p[order] = np.minimum(steps, 1.0)
    return p


def critical_values(
    df: FloatArray, level: float, adjust: Adjust, n_means: int, n_tests: int
) -> FloatArray:
    """Standard errors an interval reaches to each side, so that a family covers at ``level``.

    Holm's procedure has no intervals of such a form; Bonferroni's are given, as R does.

    Parameters
    ----------
    df : ndarray, shape (k,)
    level : float
    adjust : {"tukey", "holm", "bonferroni", "none"}
    n_means, n_tests : int

    Returns
    -------
    ndarray, shape (k,)
    """
    if adjust == "tukey" and n_means > 2:
        # df that differ by rounding share a quantile, which takes a while to find
        rounded = [float(f"{d:.9g}") for d in df]
        quantiles = {d: _range_quantile(level, n_means, d) for d in set(rounded)}
        return np.array([quantiles[d] / np.sqrt(2.0) for d in rounded], dtype=np.float64)
    tests = n_tests if adjust in ("holm", "bonferroni") else 1
    return np.asarray(stats.t.isf((1.0 - level) / (2.0 * tests), df))


def _range_quantile(level: float, n_means: int, df: float) -> float:
    """Quantile of the studentized range: SciPy's, by fewer of its costly evaluations."""
    if np.isnan(df):
        return np.nan

    def excess(q: float) -> float:
        return float(stats.studentized_range.cdf(q, n_means, df)) - level

    pairs = n_means * (n_means - 1) / 2
    bonferroni = np.sqrt(2.0) * float(stats.t.isf((1.0 - level) / (2.0 * pairs), df))
    found = optimize.root_scalar(excess, x0=bonferroni, x1=0.98 * bonferroni, xtol=1e-9)
    if found.converged and abs(excess(found.root)) < 1e-7:
        return float(found.root)
    return float(stats.studentized_range.ppf(level, n_means, df))
