"""Linear predictors and expected responses, for training rows and new ones."""

from bayeslmm.prediction.linear import (
    expected,
    linear_predictor,
    mean_over_draws,
    placed,
    rows_to_predict,
)

__all__ = ["expected", "linear_predictor", "mean_over_draws", "placed", "rows_to_predict"]
