"""Expected responses, intervals and simulated responses, for training rows and new ones."""

from bayeslmm.prediction.linear import linear_predictor
from bayeslmm.prediction.point import expected_response, predict_interval
from bayeslmm.prediction.posterior import ParameterDraws, mean_response, posterior_interval
from bayeslmm.prediction.rows import (
    IncludeRe,
    Interval,
    PredictionRows,
    rows_to_predict,
    training_rows,
    trials_name,
)
from bayeslmm.prediction.simulate import simulate_draws, simulate_estimate

__all__ = [
    "IncludeRe",
    "Interval",
    "ParameterDraws",
    "PredictionRows",
    "expected_response",
    "linear_predictor",
    "mean_response",
    "posterior_interval",
    "predict_interval",
    "rows_to_predict",
    "simulate_draws",
    "simulate_estimate",
    "training_rows",
    "trials_name",
]
