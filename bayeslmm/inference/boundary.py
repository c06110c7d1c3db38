"""Likelihood-ratio tests of variances, whose null value ends the range they may take.

A further effect in a term that keeps k correlated ones adds a variance and k covariances, and
the variance cannot fall below zero: half of the time the statistic is that of k parameters,
half of the time that of k + 1, a mixture of two chi-squares.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc

from bayeslmm.design import Design
from bayeslmm.design.rows import Factor
from bayeslmm.errors import ArgumentError

# Share of a column that may lie outside a space it is said to be in.
_ROUNDING = 1e-8


class RandomDifference(NamedTuple):
    """What the random part of a larger model has more than that of a smaller one.

    ``effects`` columns on a factor, and ``interior`` parameters that are not at the end of
    their range if zero: covariances. ``known`` says that the two differ in nothing else.
    """

    effects: int
    interior: int
    known: bool = True


def mixture_pvalue(statistic: float, df: int) -> float:
    """Upper tail of the even mixture of chi-squares with df - 1 and df degrees of freedom.

    Parameters
    ----------
    statistic : float
    df : int
        Parameters that the larger model has more; chi-square with 0 df is zero for sure.

    References
    ----------
    Self, S. G. and Liang, K.-Y. (1987), Journal of the American Statistical Association 82,
    605-610, case 5 and 6; Stram, D. O. and Lee, J. W. (1994), Biometrics 50, 1171-1177.

    Examples
    --------
    >>> round(mixture_pvalue(2.705543, 1), 6)
    0.05
    """
    if statistic <= 0.0:
        return 1.0
    below = chdtrc(df - 1, statistic) if df > 1 else 0.0
    return float(0.5 * below + 0.5 * chdtrc(df, statistic))


def random_difference(small: Design, large: Design) -> RandomDifference:
    """Compare the random parts of two designs of the same rows.

    Raises
    ------
    ArgumentError
        The random part of the smaller model is not one of the larger.
    """
    larger = {f.name: f for f in large.factors}
    effects, interior, known = 0, 0, True
    for f in small.factors:
        if f.name not in larger or not _nested(f, larger[f.name]):
            raise ArgumentError(
                "the smaller model has random terms that the larger one has not, so their "
                "likelihoods cannot be tested against each other.",
                found=f"{' + '.join(t.text for t in f.terms)}, of which the larger model has "
                + " + ".join(t.text for t in larger[f.name].terms)
                if f.name in larger
                else f"{f.name} is no factor of the larger model",
                fix="compare_models ranks models that are not nested, by AIC",
            )
    smaller = {f.name: f for f in small.factors}
    for g in large.factors:
        found = _added(smaller.get(g.name), g)
        effects += found.effects
        interior += found.interior
        known &= found.known
    return RandomDifference(effects, interior, known)


def _added(small: Factor | None, large: Factor) -> RandomDifference:
    """Columns and covariances that a factor has more in the larger model."""
    at = _positions(small, large)
    if at is None:
        return RandomDifference(0, 0, known=False)
    new = [k for k in range(large.n_columns) if k not in at]
    covariances = int(np.tril(large.pattern, -1).sum())
    if small is not None:
        covariances -= int(np.tril(small.pattern, -1).sum())
    return RandomDifference(len(new), covariances)


def _positions(small: Factor | None, large: Factor) -> list[int] | None:
    """Where the smaller model's columns stand in the larger; None if one is not there."""
    if small is None:
        return []
    at: list[int] = []
    for column in small.columns.T:
        same = [
            k
            for k, other in enumerate(large.columns.T)
            if k not in at and np.allclose(column, other, rtol=1e-10)
        ]
        if not same:
            return None
        at.append(same[0])
    return at


def _nested(small: Factor, large: Factor) -> bool:
    """Whether each term of the smaller lies in one of the larger, levels being the same."""
    if not np.array_equal(small.codes, large.codes):
        return False

    def inside(columns: np.ndarray, space: np.ndarray) -> bool:
        rest = columns - space @ np.linalg.lstsq(space, columns, rcond=None)[0]
        return bool((np.abs(rest).max(axis=0) <= _ROUNDING * np.abs(columns).max(axis=0)).all())

    return all(any(inside(block, space) for space in _blocks(large)) for block in _blocks(small))


def _blocks(factor: Factor) -> list[np.ndarray]:
    """Columns that are correlated with one another, a term or one column of ``||``."""
    blocks = []
    for t in factor.terms:
        columns = factor.columns[:, t.start : t.stop]
        blocks += [columns] if t.correlated else list(columns.T[:, :, None])
    return blocks
