"""The linear predictor X beta + Z b + offset, and the expected response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayeslmm.design import Design, NewRows
from bayeslmm.design.design import FloatArray
from bayeslmm.families import Family
from bayeslmm.results.labels import padded

# Draws are taken through the rows in pieces of about this many numbers.
_CHUNK = 4_000_000


def linear_predictor(
    rows: Design | NewRows, beta: FloatArray, b: Sequence[FloatArray] | None
) -> FloatArray:
    """Linear predictor of each row, X beta + sum_f columns_f . b_f[level] + offset.

    Parameters
    ----------
    rows : Design or NewRows
        n rows.
    beta : ndarray, shape (..., p)
        Leading dimensions (draws) are kept.
    b : sequence of ndarray, each (..., J, K), or None
        Random effects by factor; None leaves them out. A level the fit never
        saw contributes nothing.

    Returns
    -------
    ndarray, shape (..., n)
    """
    if beta.ndim == 1:
        return _one_predictor(rows, beta, b)
    eta = beta @ rows.X.T + rows.offset
    for f, effects in zip(rows.factors, b, strict=True) if b is not None else ():
        known = f.codes >= 0
        # an unseen level has code -1: read the last one, and count it as zero
        at_rows = effects[..., f.codes, :]
        eta = eta + np.where(known, np.einsum("nk,...nk->...n", f.columns, at_rows), 0.0)
    return np.asarray(eta)


def _one_predictor(
    rows: Design | NewRows, beta: FloatArray, b: Sequence[FloatArray] | None
) -> FloatArray:
    """Column by column: a row has the same value, to the bit, whatever rows stand beside it."""
    eta = np.array(rows.offset)
    for j, coefficient in enumerate(beta):
        eta += rows.X[:, j] * coefficient
    for f, effects in zip(rows.factors, b, strict=True) if b is not None else ():
        known = f.codes >= 0
        for k in range(f.n_columns):
            eta += np.where(known, f.columns[:, k] * effects[f.codes, k], 0.0)
    return eta


def rows_to_predict(design: Design, newdata: Any, *, include_re: bool) -> Design | NewRows:
    """The training rows, or a new table in their encoding."""
    return design if newdata is None else design.encoding.encode(newdata, factors=include_re)


def expected(family: Family, rows: Design | NewRows, eta: FloatArray) -> FloatArray:
    """Expected response: in units of y for training rows, a probability for new binomial ones."""
    return family.mean(eta, rows.trials if isinstance(rows, Design) else None)


def mean_over_draws(
    family: Family, rows: Design | NewRows, beta: FloatArray, b: Sequence[FloatArray] | None
) -> FloatArray:
    """Mean over draws of the expected response of each row, in bounded memory.

    Parameters
    ----------
    family : Family
    rows : Design or NewRows
    beta : ndarray, shape (draws, p)
    b : sequence of ndarray, each (draws, J, K), or None
    """
    total = np.zeros(rows.n)
    size = max(1, _CHUNK // max(rows.n, 1))
    for first in range(0, len(beta), size):
        part = slice(first, first + size)
        effects = [e[part] for e in b] if b is not None else None
        total += expected(family, rows, linear_predictor(rows, beta[part], effects)).sum(axis=0)
    return total / len(beta)


def placed(design: Design, rows: Design | NewRows, values: FloatArray) -> FloatArray:
    """Values of complete rows at their places in the table, NaN elsewhere."""
    if isinstance(rows, Design):
        return padded(design, values)
    if rows.complete.all():
        return values
    out = np.full(len(rows.complete), np.nan)
    out[rows.complete] = values
    return out
