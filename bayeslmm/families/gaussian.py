"""The Gaussian family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from bayeslmm.arrays import FloatArray
from bayeslmm.families.family import NO_AUXILIARY, Auxiliary, Family, check_finite

HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True, init=False, repr=False)
class Gaussian(Family):
    """y ~ Normal(eta, sigma / sqrt(weight)).

    Examples
    --------
    >>> Gaussian().log_density([0.0], [0.0], aux={"sigma": 1.0}).round(6)
    array([-0.918939])
    """

    name: ClassVar[str] = "gaussian"
    links: ClassVar[tuple[str, ...]] = ("identity",)
    auxiliary: ClassVar[tuple[str, ...]] = ("sigma",)
    has_scale: ClassVar[bool] = True

    def log_density(
        self,
        y: ArrayLike,
        eta: ArrayLike,
        *,
        aux: Auxiliary = NO_AUXILIARY,
        weights: ArrayLike = 1.0,
        trials: ArrayLike | None = None,
    ) -> FloatArray:
        """See `Family.log_density`."""
        sigma, w = self._aux(aux, "sigma"), np.asarray(weights, dtype=np.float64)
        z = (np.asarray(y) - np.asarray(eta)) / sigma
        log_w = np.log(np.where(w > 0, w, 1.0))
        rows = -0.5 * w * z * z + 0.5 * log_w - np.log(sigma) - HALF_LOG_2PI
        return np.where(w > 0, rows, 0.0)

    def score(
        self,
        y: ArrayLike,
        eta: ArrayLike,
        *,
        aux: Auxiliary = NO_AUXILIARY,
        weights: ArrayLike = 1.0,
        trials: ArrayLike | None = None,
    ) -> FloatArray:
        """See `Family.score`."""
        sigma = self._aux(aux, "sigma")
        distance = np.asarray(y, dtype=np.float64) - np.asarray(eta, dtype=np.float64)
        return np.asarray(weights, dtype=np.float64) * distance / sigma**2

    def information(
        self,
        eta: ArrayLike,
        *,
        aux: Auxiliary = NO_AUXILIARY,
        weights: ArrayLike = 1.0,
        trials: ArrayLike | None = None,
    ) -> FloatArray:
        """See `Family.information`."""
        sigma = self._aux(aux, "sigma")
        rows = np.asarray(weights, dtype=np.float64) / sigma**2
        return np.broadcast_to(rows, np.broadcast_shapes(rows.shape, np.shape(eta))).copy()

    def simulate(
        self,
        rng: np.random.Generator,
        eta: ArrayLike,
        *,
        aux: Auxiliary = NO_AUXILIARY,
        weights: ArrayLike = 1.0,
        trials: ArrayLike | None = None,
    ) -> FloatArray:
        """See `Family.simulate`."""
        w = np.asarray(weights, dtype=np.float64)
        sd = self._aux(aux, "sigma") / np.sqrt(np.where(w > 0, w, 1.0))
        return rng.normal(np.asarray(eta, dtype=np.float64), sd)

    def check_response(self, y: ArrayLike, trials: ArrayLike | None, name: str) -> None:
        """See `Family.check_response`."""
        check_finite(np.asarray(y, dtype=np.float64), name)
