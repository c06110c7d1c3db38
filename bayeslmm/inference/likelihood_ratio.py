"""The likelihood-ratio test of two nested models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError
from bayeslmm.inference.boundary import mixture_pvalue, random_difference
from bayeslmm.inference.null_distribution import bootstrap_statistics, exact_statistics

# What of a column of the smaller model the larger one may leave over.
_ROUNDING = 1e-7


@dataclass(frozen=True, eq=False, slots=True)
class Fitted:
    """A design with its estimate."""

    design: Design
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """The test of a smaller model against a larger.

    Attributes
    ----------
    statistic : float
        Twice the difference of log likelihoods, not below 0.
    df : int
        Parameters that the larger has more.
    p_chi2 : float
        By chi-square with df degrees of freedom: too large where a variance is tested.
    p_mixture : float
        By the mixture for one variance; NaN where none, or several, are tested.
    p_simulated : float
        NaN unless asked for.
    simulated : str
        How: ``"exact"``, ``"bootstrap"`` or nothing.
    """

    statistic: float
    df: int
    p_chi2: float
    p_mixture: float
    p_simulated: float = np.nan
    simulated: str = ""


def likelihood_ratio(
    small: Fitted, large: Fitted, *, simulate: int = 0, rng: np.random.Generator | None = None
) -> LikelihoodRatio:
    """Test a smaller model against a larger of the same data, by the same method.

    Parameters
    ----------
    small, large : Fitted
        REML estimates need the same fixed part.
    simulate : int
        Statistics to draw from their distribution under the smaller model: from the exact
        finite-sample one if the larger has one variance and the smaller none, by refitting
        responses simulated from the smaller model otherwise.
    rng : numpy.random.Generator, optional

    Raises
    ------
    ArgumentError
        The smaller model is not within the larger, or ``simulate`` is no number of statistics.
    """
    _check_simulate(simulate)
    df = large.estimate.n_params - small.estimate.n_params
    _check_fixed(small.design, large.design)
    _check_residual(small.design, large.design)
    added = random_difference(small.design, large.design)
    statistic = max(2.0 * (large.estimate.loglik - small.estimate.loglik), 0.0)
    mixture = np.nan
    if added.known and added.effects == 1:
        mixture = mixture_pvalue(statistic, df)
    plain = float(chdtrc(df, statistic))
    if simulate == 0:
        return LikelihoodRatio(statistic, df, plain, mixture)
    rng = np.random.default_rng() if rng is None else rng
    exact = _is_only_variance(small.design, large.design)
    if exact:
        drawn = exact_statistics(large.design, large.estimate.method, simulate, rng)
    else:
        drawn = bootstrap_statistics(
            small.design, small.estimate, large.design, large.estimate, simulate, rng
        )
    p = float((1 + np.count_nonzero(drawn >= statistic)) / (1 + len(drawn)))
    return LikelihoodRatio(statistic, df, plain, mixture, p, "exact" if exact else "bootstrap")


def _check_simulate(simulate: Any) -> None:
    whole = isinstance(simulate, int | np.integer) and not isinstance(simulate, bool)
    if not whole or simulate < 0:
        raise ArgumentError(
            f"simulate={simulate!r} is no number of statistics to draw.",
            fix="a whole number such as 1000; 0, the default, draws none",
        )


def _is_only_variance(small: Design, large: Design) -> bool:
    """Whether the larger model has one variance, the smaller none, and nothing else differs."""
    one = [f.n_columns for f in large.factors] == [1] and large.residual is None
    return not small.factors and one and small.p == large.p


def same_fixed_part(a: Design, b: Design) -> bool:
    """Whether REML likelihoods can be compared: the same space, and columns of the same volume.

    With X A in place of X a restricted likelihood is multiplied by |det A|, other codings of
    a factor for instance.
    """
    if a.p != b.p or not np.allclose(a.offset, b.offset, rtol=1e-10):
        return False
    if a.p == 0 or np.array_equal(a.X, b.X):
        return True
    volumes = [np.log(np.abs(np.diag(np.linalg.qr(d.X, mode="r")))).sum() for d in (a, b)]
    return spans(b.X, a.X) and abs(float(volumes[0] - volumes[1])) < _ROUNDING


def spans(X: FloatArray, columns: FloatArray) -> bool:
    """Whether every one of some columns is a combination of those of X."""
    if columns.shape[1] == 0:
        return True
    size = np.sqrt((columns**2).sum(axis=0))
    scales = np.sqrt((X**2).sum(axis=0))
    space = X / np.where(scales > 0.0, scales, 1.0)
    rest = columns - space @ np.linalg.lstsq(space, columns, rcond=None)[0]
    return bool((np.sqrt((rest**2).sum(axis=0)) <= _ROUNDING * size).all())


def _check_residual(small: Design, large: Design) -> None:
    """Independent residuals are within every structure, and no structure within another."""
    if small.residual is None:
        return
    if large.residual is None or small.residual.structure != large.residual.structure:
        raise ArgumentError(
            "the smaller model has a residual structure that the larger one has not.",
            found=repr(small.residual.structure),
            fix="compare_models ranks models that are not nested, by AIC",
        )


def _check_fixed(small: Design, large: Design) -> None:
    if not np.allclose(small.offset, large.offset, rtol=1e-10):
        raise ArgumentError(
            "the models have different offsets, so neither is within the other.",
            fix="compare_models ranks them by AIC",
        )
    if not spans(large.X, small.X):
        raise ArgumentError(
            "the smaller model has fixed effects that the larger one has not, so their "
            "likelihoods cannot be tested against each other.",
            found=f"{', '.join(small.fixed_names)}; and {', '.join(large.fixed_names)}",
            fix="compare_models ranks models that are not nested, by AIC",
        )
