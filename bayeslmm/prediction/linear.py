"""The linear predictor X beta + Z b + offset of one set of coefficients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design, NewRows
from bayeslmm.prediction.rows import PredictionRows


def linear_predictor(
    rows: Design | NewRows | PredictionRows, beta: FloatArray, b: Sequence[FloatArray] | None
) -> FloatArray:
    """Linear predictor of each row, X beta + sum_f columns_f . b_f[level] + offset.

    Parameters
    ----------
    rows : Design, NewRows or PredictionRows
        n rows.
    beta : ndarray, shape (p,)
    b : sequence of ndarray, each (J, K), or None
        Random effects by factor; None leaves them out. A level the fit never
        saw contributes nothing.

    Returns
    -------
    ndarray, shape (n,)
    """
    # column by column: a row has the same value, to the bit, whatever rows stand beside it
    eta = np.array(rows.offset)
    for j, coefficient in enumerate(beta):
        eta += rows.X[:, j] * coefficient
    for f, values in zip(rows.factors, b if b is not None else (), strict=False):
        known = f.codes >= 0
        for k in range(f.n_columns):
            eta += np.where(known, f.columns[:, k] * values[f.codes, k], 0.0)
    return eta
