"""Default priors, scaled to the data.

Let m and s be the mean and SD of the response (offset taken off) on the scale of the
linear predictor, and s_j the SD of a column.

- ``beta[Intercept]`` ~ Normal(m, 2.5 s), and it is the expected response where *every
  other fixed column is at its mean*. Left uncentred, ``year`` near 2010 would need an
  intercept thousands of SDs from the data.
- ``beta[j]`` ~ Normal(0, 2.5 s / s_j): one SD of the column moves the response by at
  most a few of its own SDs.
- ``sd_g[Intercept]`` ~ HalfStudentT(3, s) and ``sd_g[x]`` ~ HalfStudentT(3, s / s_x). If
  the factor has no random intercept (full dummy coding), the root mean square of the
  column takes the place of s_x: the column then carries the level's whole effect.
- correlations ~ LKJ(1), uniform; ``sigma`` ~ HalfStudentT(3, s).
- Without a fixed intercept nothing is centred, and each coefficient may have to carry
  the level of the response: Normal(0, 2.5 max(s, |m|) / rms(x_j)).

Links other than the identity have s = 1 by their own nature (a unit of logit or log is
a large effect whatever the data), and m is the link of the pooled mean.

``alpha`` of the negative binomial ~ HalfStudentT(3, 10). It has no unit: rates scatter
around their mean with coefficient of variation 1 / sqrt(alpha). The density is all but
flat up to 10 (a scatter of 32 %), so strong overdispersion costs nothing; its tail
reaches the hundreds (under 10 %, Poisson in all but name). Heavier tails in use
elsewhere leave the posterior mean infinite when the data are Poisson, because the
likelihood is then flat in large ``alpha``; with this one mean and SD exist.

Of a residual structure, ``ar1`` and ``rho`` ~ Uniform over all values they may take, and
each ``sd_ratio[level]`` ~ LogNormal(0, 1): 95 % between a seventh and seven.

Rows of weight zero are left out of every moment. Scales are rounded to three digits and
locations to a hundredth of the scale or better, and the rounded numbers are the prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.priors.lkj import LKJ
from bayeslmm.priors.names import INTERCEPT
from bayeslmm.priors.positive import HalfStudentT, LogNormal
from bayeslmm.priors.prior import Prior
from bayeslmm.priors.real import Normal, Uniform

if TYPE_CHECKING:
    from bayeslmm.design.design import Design
    from bayeslmm.design.rows import Factor

CORRELATION = LKJ(1.0)
OVERDISPERSION = HalfStudentT(3, 10)


@dataclass(frozen=True, slots=True)
class Scale:
    """Location and spread of the response on the scale of the linear predictor."""

    mean: float
    sd: float


def response_scale(design: Design) -> Scale:
    """Location and spread of the response, offset taken off, rows of weight zero left out."""
    used = design.used
    y, offset, family = design.y[used], design.offset[used], design.family
    if family.link.name == "identity":
        y = y - offset
        return Scale(float(y.mean()), spread(y))
    if family.link.name == "log":
        pooled = max(float(y.sum()), 0.5) / float(np.exp(offset).sum())
        return Scale(math.log(pooled), 1.0)
    trials = np.ones_like(y) if design.trials is None else design.trials[used]
    # half a success and half a failure more keep the link finite
    p = (float(y.sum()) + 0.5) / (float(trials.sum()) + 1.0)
    return Scale(float(family.link.link(p)) - float(offset.mean()), 1.0)


def default_centre(design: Design) -> FloatArray:
    """Means of the fixed columns, 0 for the intercept; zeros without one. Shape (p,)."""
    if not design.has_intercept:
        return np.zeros(design.p)
    columns = zip(design.fixed_names, design.X[design.used].T, strict=True)
    return np.array([0.0 if name == INTERCEPT else x.mean() for name, x in columns])


def default_beta(design: Design, y: Scale) -> tuple[Prior, ...]:
    """Prior of each fixed coefficient."""
    X = design.X[design.used]
    priors: list[Prior] = []
    for j, name in enumerate(design.fixed_names):
        if not design.has_intercept:
            reach = 2.5 * max(y.sd, abs(y.mean)) / root_mean_square(X[:, j])
            priors.append(Normal(0.0, round_scale(reach)))
        elif name == INTERCEPT:
            scale = round_scale(2.5 * y.sd)
            priors.append(Normal(round_location(y.mean, scale), scale))
        else:
            priors.append(Normal(0.0, round_scale(2.5 * y.sd / spread(X[:, j]))))
    return tuple(priors)


def default_sd(design: Design, factor: Factor, y: Scale) -> tuple[Prior, ...]:
    """Prior of each standard deviation of a factor."""
    columns = factor.columns[design.used]
    has_intercept = INTERCEPT in factor.column_names
    priors: list[Prior] = []
    for k, name in enumerate(factor.column_names):
        if name == INTERCEPT:
            unit = 1.0 / _reach(factor, columns)
        elif has_intercept:
            unit = spread(columns[:, k])
        else:
            unit = root_mean_square(columns[:, k])
        priors.append(HalfStudentT(3, round_scale(y.sd / unit)))
    return tuple(priors)


def _reach(factor: Factor, columns: FloatArray) -> float:
    """How much wider than in mid-data effects spread where the slopes' columns are zero.

    An effect of SD s at the mean of x, and an independent slope of SD s / sd(x), make an
    SD of s sqrt(1 + mean(x)^2 / sd(x)^2) at x = 0, which may be far outside the data.
    Only slopes correlated with the intercept can carry that.
    """
    at = factor.column_names.index(INTERCEPT)
    own = next(t for t in factor.terms if t.start <= at < t.stop)
    if not own.correlated:
        return 1.0
    slopes = [k for k in range(own.start, own.stop) if k != at]
    away = [(columns[:, k].mean() / spread(columns[:, k])) ** 2 for k in slopes]
    return float(np.sqrt(1.0 + sum(away)))


def default_auxiliary(design: Design, y: Scale) -> dict[str, Prior]:
    """Priors of the family's own parameters."""
    known: dict[str, Prior] = {
        "sigma": HalfStudentT(3, round_scale(y.sd)),
        "alpha": OVERDISPERSION,
    }
    return {name: known[name] for name in design.family.auxiliary}


def default_residual(design: Design) -> dict[str, Prior]:
    """Priors of the parameters of the residual structure, by name."""
    if design.residual is None:
        return {}
    structure, order = design.residual.structure, design.residual.order(design.used)
    prior: Prior = LogNormal(0.0, 1.0)
    if structure.correlated:
        prior = Uniform(*structure.interval(order))
    return dict.fromkeys(design.residual.names, prior)


def root_mean_square(x: FloatArray) -> float:
    """Root mean square; 1 for a column of zeros."""
    value = math.sqrt(float(x @ x) / len(x))
    return value if value > 0 else 1.0


def spread(x: FloatArray) -> float:
    """Standard deviation; the root mean square of a constant column."""
    mean = float(x.mean())
    away = x - mean
    squares = float(away @ away)
    rms = math.hypot(mean, math.sqrt(squares / len(x))) or 1.0
    sd = math.sqrt(squares / (len(x) - 1)) if len(x) > 1 else 0.0
    return sd if sd > 1e-10 * rms else rms


def round_scale(scale: float) -> float:
    """Three significant digits.

    Examples
    --------
    >>> round_scale(140.8211)
    141.0
    """
    return float(f"{scale:.3g}")


def round_location(location: float, scale: float) -> float:
    """Rounded where the third digit of the scale stands.

    Examples
    --------
    >>> round_location(100234.56, 141.0)
    100235.0
    """
    return round(location, 2 - math.floor(math.log10(scale)))
