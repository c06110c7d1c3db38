"""Akaike's criterion for the levels at hand: the conditional AIC of a Gaussian fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.design.residual import refuse_residual_structure
from bayeslmm.engine.estimate import Estimate


@dataclass(frozen=True, slots=True)
class ConditionalAIC:
    """The conditional AIC and its parts.

    Attributes
    ----------
    caic : float
        ``-2 loglik + 2 df``.
    loglik : float
        log p(y | b, beta, sigma) at the estimates.
    df : float
        tr(dy^/dy) + 1: effective parameters of the fitted values, with the estimation of the
        variance parameters counted (Greven and Kneib 2010), and one for sigma.
    df_given_variances : float
        tr(H) + 1, as if the relative variances were known (Vaida and Blanchard 2005).
    """

    caic: float
    loglik: float
    df: float
    df_given_variances: float


def conditional_aic(design: Design, estimate: Estimate, fitted: FloatArray) -> ConditionalAIC:
    """Conditional AIC of a REML or ML fit; see ``fit.conditional_aic``.

    Parameters
    ----------
    design : Design
    estimate : Estimate
    fitted : ndarray, shape (n,)
        Conditional expected responses of the rows used.
    """
    from bayeslmm.engine.gaussian.conditional_df import conditional_df

    refuse_residual_structure(design, "the conditional AIC", "fit.aic counts all parameters")
    given, estimated = conditional_df(design, estimate)
    used = design.used
    variance = estimate.sigma**2 / design.weights[used]
    e = (design.y - fitted)[used]
    loglik = -0.5 * float(np.sum(np.log(2.0 * np.pi * variance) + e**2 / variance))
    df = estimated + 1.0
    return ConditionalAIC(-2.0 * loglik + 2.0 * df, loglik, df, given + 1.0)
