"""Prediction error covariances of the random effects, level by level.

Given the variance parameters, Cov(b^ - b) = sigma^2 Lambda C_uu Lambda' (Henderson 1975): the
uncertainty of the fixed effects is in it, unlike in lme4's condVar.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.engine.gaussian.crossproducts import compute_crossproducts
from bayeslmm.engine.gaussian.map_prior import fixed_prior
from bayeslmm.engine.gaussian.objective import Objective
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.errors import FitError
from bayeslmm.priors import PriorSet


class PredictionError:
    """Prediction error covariances of one design at any variance parameters.

    Parameters
    ----------
    design : Design
    priors : PriorSet, optional
        Normal or flat priors of the fixed effects; flat by default.
    """

    @one_blas_thread
    def __init__(self, design: Design, priors: PriorSet | None = None) -> None:
        cp = compute_crossproducts(design)
        prior = None if priors is None else fixed_prior(design, priors, cp.coordinates)
        layout = Layout.of(design, cp.coordinates)
        self._objective = Objective(cp, layout, reml=True, fixed_prior=prior)

    @one_blas_thread
    def at(self, T: Sequence[FloatArray], sigma: float) -> tuple[FloatArray, ...]:
        """Covariance of b^ - b of each level.

        Parameters
        ----------
        T : sequence of ndarray, each (K, K)
            Relative covariance factors in the design's order.
        sigma : float

        Returns
        -------
        tuple of ndarray, each (J, K, K)
        """
        objective = self._objective
        maps = objective.cp.coordinates
        f = objective.factorise(objective.layout.to_working(T), sigma / maps.y_scale)
        if f is None:
            raise FitError("nothing can be computed at these variance parameters.")
        own = objective.solve(f, given_fixed=False).own
        return tuple(
            sigma**2 * to_user(R, block) for R, block in zip(maps.Z_maps, own, strict=True)
        )


def to_user(R: FloatArray, blocks: FloatArray) -> FloatArray:
    """R^-1 B R^-T of each block: from working columns to the user's."""
    half = np.linalg.solve(R, blocks)
    return np.asarray(np.linalg.solve(R, half.transpose(0, 2, 1)))
