"""Slopes of a covariate, averaged over the reference grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayeslmm.errors import ArgumentError
from bayeslmm.inference.grid_notes import Scale
from bayeslmm.inference.marginal_means import MarginalMeans, means_over
from bayeslmm.inference.reference_grid import (
    Weights,
    check_predictor,
    made_categorical,
    reference_grid,
)

# Half the difference, as a share of the range of the covariate: emmeans's 0.001 in all.
_STEP = 5e-4
# Central differences over one and two steps, combined so that cubics are exact.
_POINTS = np.array([-2.0, -1.0, 1.0, 2.0])
_FACTORS = np.array([1.0, -8.0, 8.0, -1.0]) / 12.0


def marginal_trends(
    fit: Any,
    specs: str | Sequence[str],
    var: str,
    by: str | Sequence[str] | None,
    at: Mapping[str, Any] | None,
    weights: Weights,
    scale: Scale,
    level: float,
) -> MarginalMeans:
    """Derivatives of the linear predictor in one covariate; see ``fit.emtrends``.

    The columns of the design are differentiated by five-point differences, exact up to
    rounding where they are polynomials of degree four or less in the covariate.
    """
    design, data = fit.design, fit.definition.data
    known = reference_grid(design, data, at).predictors
    check_predictor(var, [p.name for p in known])
    factors = made_categorical(design.encoding.fixed.expression)
    if design.encoding.kinds[var].categories is not None or var in factors:
        raise ArgumentError(
            f"`{var}` is a factor, which has no slope.", fix=f'fit.emmeans("{var}")'
        )
    values = data.loc[design.rows.kept, var].to_numpy(dtype=float)[design.weights > 0]
    size = float(np.ptp(values))
    h = _STEP * (size if size > 0.0 else 1.0)
    held = dict(at or {})
    if var not in held:
        held[var] = float(values.mean())
    grids = [reference_grid(design, data, held, {var: k * h}) for k in _POINTS]
    return means_over(fit, grids, _FACTORS / h, specs, by, weights, scale, level, "trend", var)
