"""The marginal log posterior of a small model at many points, in one compiled call."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.engine.compiled import kernel
from bayeslmm.engine.gaussian.coordinates import Spec, expand
from bayeslmm.engine.gaussian.small_problem import SmallProblem


@kernel
def small_values(
    factorise: Any, X: FloatArray, spec: Spec, given: SmallProblem, constant: float
) -> FloatArray:
    """Log posterior density at each row of X, shape (S, size); -inf outside.

    ``factorise`` is a `Pointer` to `small_factorise`.
    """
    out = np.empty(len(X))
    for s in range(len(X)):
        theta, _, _, _, sigma, log_prior, _ = expand(X[s], spec)
        out[s] = -np.inf
        if not np.isfinite(log_prior):
            continue
        s2 = sigma * sigma
        inside, logdet, r2, _, _, _, _ = factorise(theta, given, s2)
        if inside and r2 > 0.0:
            moving = logdet + 2.0 * given.df * np.log(sigma) + r2 / s2
            out[s] = log_prior + constant - 0.5 * moving
    return out
