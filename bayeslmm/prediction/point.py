"""Expected responses of a point estimate, and intervals around them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design, Factor
from bayeslmm.engine.estimate import Estimate
from bayeslmm.fitting import prediction_variance
from bayeslmm.prediction.linear import linear_predictor
from bayeslmm.prediction.rows import PredictionRows
from bayeslmm.priors import PriorSet
from bayeslmm.results.tables import t_quantile


def expected_response(rows: PredictionRows, estimate: Estimate) -> FloatArray:
    """Expected response of each row, effects of new levels at zero, shape (n,)."""
    eta = linear_predictor(rows, estimate.beta, estimate.b)
    return rows.family.mean(eta)


def predict_interval(
    rows: PredictionRows,
    design: Design,
    estimate: Estimate,
    priors: PriorSet,
    *,
    interval: Literal["confidence", "prediction"],
    level: float,
    cov_beta: FloatArray,
    df: FloatArray | float = np.inf,
) -> pd.DataFrame:
    """Expected responses with their standard errors and intervals, given the variance parameters.

    With e = (beta^ - beta, b^ - b), whose covariance is sigma^2 M^-1 (Henderson 1975), the
    variance about the expected response is

        x'Cov(beta^)x                     no effect counts
        (x, z)'Cov(e)(x, z) + z'Sigma z   effects count; the second for new levels

    and a prediction adds sigma^2 / w and z'Sigma z of the effects left out.

    Parameters
    ----------
    rows : PredictionRows
    design : Design
    estimate : Estimate
    priors : PriorSet
        Read for MAP only.
    interval : {"confidence", "prediction"}
        For the expected response, or for a new observation.
    level : float
    cov_beta : ndarray, shape (p, p)
        Used where no effect counts.
    df : float or ndarray, shape (n,)
        Degrees of freedom of t; infinity is the normal.

    Returns
    -------
    DataFrame
        ``fit``, ``se``, ``lower``, ``upper`` by the index of the table; NaN for rows
        with missing values.
    """
    variance = _expected_variance(rows, design, estimate, priors, cov_beta)
    if interval == "prediction":
        # a weight of zero has no variance: such a row is predicted as one of weight one
        w = np.where(rows.weights == 0.0, 1.0, rows.weights)
        variance = variance + own_variance(rows.left_out, estimate) + estimate.sigma**2 / w
    fit, se = expected_response(rows, estimate), np.sqrt(variance)
    half = t_quantile(df, level) * se
    return interval_frame(rows, fit=fit, se=se, lower=fit - half, upper=fit + half)


def _expected_variance(
    rows: PredictionRows,
    design: Design,
    estimate: Estimate,
    priors: PriorSet,
    cov_beta: FloatArray,
) -> FloatArray:
    if not rows.factors:
        return np.asarray(np.einsum("ij,jk,ik->i", rows.X, cov_beta, rows.X, optimize=True))
    seen = prediction_variance(design, estimate, rows.X, rows.factors, priors)
    return seen + own_variance(rows.factors, estimate)


def own_variance(factors: tuple[Factor, ...], estimate: Estimate) -> FloatArray | float:
    """Variance z'Sigma z of each row, over the factors of which its level is new, shape (n,)."""
    total: FloatArray | float = 0.0
    for f, T in zip(factors, estimate.T, strict=False):
        half = f.columns @ (estimate.sigma * T)
        total = total + np.where(f.codes < 0, (half * half).sum(axis=1), 0.0)
    return total


def interval_frame(rows: PredictionRows, **columns: FloatArray) -> pd.DataFrame:
    """Columns of n values at their places in the table."""
    placed = {name: rows.placed(values) for name, values in columns.items()}
    return pd.DataFrame(placed, index=rows.index)
