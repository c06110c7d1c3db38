"""New responses from an estimate, or from the draws of a posterior."""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.engine.estimate import Estimate
from bayeslmm.prediction.linear import linear_predictor
from bayeslmm.prediction.posterior import (
    ParameterDraws,
    add_effects,
    draw_effects,
    new_effects,
    predictor,
    simulated,
)
from bayeslmm.prediction.rows import PredictionRows


def simulate_estimate(
    rows: PredictionRows,
    estimate: Estimate,
    n: int,
    rng: np.random.Generator,
    *,
    use_re: bool,
    noise: FloatArray | None = None,
) -> FloatArray:
    """Simulate n responses of each row at the estimated parameters.

    Parameters
    ----------
    rows : PredictionRows
        With all effects: `training_rows` of a design, for instance.
    estimate : Estimate
    n : int
    rng : numpy.random.Generator
    use_re : bool
        True keeps the BLUPs of known levels; False draws the effects of all levels.
    noise : ndarray, shape (rows, n), optional
        Residuals with a structure; independent ones are drawn by default.

    Returns
    -------
    ndarray, shape (rows, n)
        A column a response; within it the rows of a level share its effects.
    """
    if not use_re:
        rows = rows.with_new_effects()
    expected = linear_predictor(rows, estimate.beta, estimate.b)
    eta = np.repeat(expected[:, None], n, axis=1)
    for f, levels, cov in zip(rows.factors, rows.new_levels, estimate.covariances, strict=False):
        J = int(levels.max(initial=-1)) + 1
        add_effects(eta, f, levels, draw_effects(cov, J, n, rng))
    if noise is not None:
        return eta + noise
    return simulated(rows, eta, {"sigma": np.full(n, estimate.sigma)}, rng)


def simulate_draws(
    rows: PredictionRows, draws: ParameterDraws, rng: np.random.Generator, *, use_re: bool
) -> FloatArray:
    """Simulate one response of each row in each of S draws, shape (rows, S).

    Parameters
    ----------
    rows : PredictionRows
        With all effects.
    draws : ParameterDraws
    rng : numpy.random.Generator
    use_re : bool
        True keeps each draw's effects of known levels; False draws those of all levels.
    """
    if not use_re:
        rows = rows.with_new_effects()
    eta = predictor(rows, draws, new_effects(rows, draws, rng))
    return simulated(rows, eta, draws.auxiliary, rng)
