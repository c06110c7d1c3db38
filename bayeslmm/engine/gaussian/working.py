"""Working coordinates: centred, scaled columns in which cross-products lose nothing.

Cross-products square the condition of their columns, so the response, the fixed
columns and the random columns are centred (where an intercept absorbs it) and
scaled first. Every map is linear and exact:

    y = shift + scale * y_w,   X = X_w F,   Z_level = Z_w R,   T_w = R T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design, Factor
from bayeslmm.engine.gaussian.sums import centre_and_scale, moments


@dataclass(frozen=True, eq=False, slots=True)
class Coordinates:
    """The maps between the user's columns and the working ones.

    Attributes
    ----------
    y_shift, y_scale : float
    X_map : ndarray, shape (p, p)
        F, upper triangular up to the position of the intercept.
    Z_maps : tuple of ndarray, each (K, K)
        R of each factor, block diagonal by term.
    """

    y_shift: float
    y_scale: float
    X_map: FloatArray
    Z_maps: tuple[FloatArray, ...]

    @property
    def X_log_determinant(self) -> float:
        """Log |det F|: off the diagonal F has one row only."""
        return float(np.log(self.X_map.diagonal()).sum())


def choose_coordinates(design: Design) -> Coordinates:
    """Centre and scale by weighted moments of the rows that count."""
    w = design.weights
    intercept = design.fixed_names.index("Intercept") if design.has_intercept else None
    y = (design.y - design.offset)[:, None]
    (y_shift,), (y_scale,) = moments(y, w, intercept is not None)
    return Coordinates(
        y_shift=float(y_shift),
        y_scale=float(y_scale) or 1.0,
        X_map=_column_map(design.X, w, intercept),
        Z_maps=tuple(_factor_map(f, w) for f in design.factors),
    )


def _column_map(columns: FloatArray, w: FloatArray, intercept: int | None) -> FloatArray:
    """F with columns = columns_w F: centred on the intercept, unit root mean square."""
    means, scales = moments(np.ascontiguousarray(columns), w, intercept is not None)
    scales[~(scales > 0)] = 1.0
    F = np.diag(scales)
    if intercept is not None:
        F[intercept] = means
        F[intercept, intercept] = 1.0
    return F


def _factor_map(factor: Factor, w: FloatArray) -> FloatArray:
    """R of a factor; a diagonal term can be scaled only, a correlated one centred too."""
    R = np.zeros((factor.n_columns, factor.n_columns))
    for t in factor.terms:
        names = factor.column_names[t.start : t.stop]
        centre = names.index("Intercept") if t.correlated and "Intercept" in names else None
        R[t.start : t.stop, t.start : t.stop] = _column_map(
            factor.columns[:, t.start : t.stop], w, centre
        )
    return R


def to_working(columns: FloatArray, F: FloatArray) -> FloatArray:
    """Columns in working coordinates, columns F^-1.

    F is diagonal but for one row, so that centring is a subtraction (which is
    exact where a matrix product would cancel).
    """
    if columns.shape[1] == 0:
        return np.ascontiguousarray(columns)
    diagonal = np.diag(F).copy()
    off = F - np.diag(diagonal)
    if not off.any() and (diagonal == 1.0).all():
        return np.ascontiguousarray(columns)
    row = int(np.argmax(np.abs(off).sum(axis=1)))
    out = np.empty(columns.shape)
    centre_and_scale(np.ascontiguousarray(columns), row, off[row], diagonal, out)
    return out
