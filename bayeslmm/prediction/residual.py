"""Residuals with a structure, in predictions and simulations of a point estimate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.data.table import to_frame
from bayeslmm.design import Design
from bayeslmm.design.residual import residual_columns, residual_spread, row_labels
from bayeslmm.engine.gaussian.whitening import whitening
from bayeslmm.errors import ArgumentError, UnseenLevelError
from bayeslmm.prediction.rows import PredictionRows


def with_residual_spread(rows: PredictionRows, design: Design, newdata: Any) -> PredictionRows:
    """The rows with the residual variance of their level in their weights, w / ratio^2.

    Correlations do not matter: the variance of one new observation is sigma^2 / w.

    Parameters
    ----------
    rows : PredictionRows
    design : Design
        With the parameters of its structure.
    newdata : table, or None for the training rows

    Raises
    ------
    UnknownColumnError, UnseenLevelError
        The column of the structure is not there, or has a level the fit never saw.
    """
    structured = design.residual
    if structured is None or structured.structure.correlated:
        return rows
    if newdata is None:
        return replace(rows, weights=rows.weights / residual_spread(design) ** 2)
    frame = to_frame(newdata)
    residual_columns(structured.structure, list(frame.columns))
    labels = row_labels(frame.loc[rows.complete], structured.structure.by)
    at = {label: k for k, label in enumerate(structured.levels)}
    if unseen := [v for v in labels if v not in at]:
        raise UnseenLevelError(
            f"the residual SD of `{structured.structure.by}` {unseen[0]} is not known.",
            found=f"levels {', '.join(structured.levels)}",
            fix="predict without interval=, or for levels of the training data",
        )
    assert structured.values is not None
    ratios = np.append(1.0, structured.values)[[at[v] for v in labels]]
    return replace(rows, weights=rows.weights / ratios**2)


def residual_noise(design: Design, sigma: float, n: int, rng: np.random.Generator) -> FloatArray:
    """Residuals of the training rows, blocks drawn together, shape (rows, n).

    Rows of weight zero are drawn with weight one.

    Raises
    ------
    ArgumentError
        With them a block is too large for its negative correlation.
    """
    w = np.where(design.weights == 0.0, 1.0, design.weights)
    white = whitening(replace(design, weights=w))
    low, _ = white.structure.interval(white.order)
    if not np.min(white.values) > low:
        raise ArgumentError(
            "residuals of the rows of weight zero cannot be simulated: no block as large as theirs "
            f"has the correlation {np.min(white.values):.4g}.",
            fix="a table without these rows",
        )
    return np.asarray(sigma * white.residuals(rng.standard_normal((n, design.n))).T)
