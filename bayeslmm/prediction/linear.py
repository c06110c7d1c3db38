"""The linear predictor X beta + Z b + offset, and the expected response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design, NewRows
from bayeslmm.families import Family
from bayeslmm.priors.names import effects_name
from bayeslmm.results.labels import padded
from bayeslmm.sampling.linear import chunks
from bayeslmm.sampling.linear import linear_predictor as predictor_of_draws


def linear_predictor(
    rows: Design | NewRows, beta: FloatArray, b: Sequence[FloatArray] | None
) -> FloatArray:
    """Linear predictor of each row, X beta + sum_f columns_f . b_f[level] + offset.

    Parameters
    ----------
    rows : Design or NewRows
        n rows.
    beta : ndarray, shape (p,) or (draws, p)
    b : sequence of ndarray, each (J, K) or (draws, J, K), or None
        Random effects by factor; None leaves them out. A level the fit never
        saw contributes nothing.

    Returns
    -------
    ndarray, shape (n,) or (draws, n)
    """
    effects = list(zip(rows.factors, b, strict=True)) if b is not None else []
    if beta.ndim > 1:
        draws = {"beta": beta} | {effects_name(f.name): e for f, e in effects}
        return predictor_of_draws(rows.X, rows.offset, [f for f, _ in effects], draws)
    # column by column: a row has the same value, to the bit, whatever rows stand beside it
    eta = np.array(rows.offset)
    for j, coefficient in enumerate(beta):
        eta += rows.X[:, j] * coefficient
    for f, values in effects:
        known = f.codes >= 0
        for k in range(f.n_columns):
            eta += np.where(known, f.columns[:, k] * values[f.codes, k], 0.0)
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
    for part in chunks(len(beta), rows.n):
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
