"""Families of counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from bayeslmm.arrays import FloatArray
from bayeslmm.families.family import NO_AUXILIARY, Auxiliary, Family, check_counts


@dataclass(frozen=True, init=False, repr=False)
class Poisson(Family):
    """y ~ Poisson(exp(eta)).

    Examples
    --------
    >>> Poisson().score([3.0], [0.0])
    array([2.])
    """

    name: ClassVar[str] = "poisson"
    links: ClassVar[tuple[str, ...]] = ("log",)

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
        from scipy.special import gammaln

        k, x = np.asarray(y, dtype=np.float64), np.asarray(eta, dtype=np.float64)
        w = np.asarray(weights, dtype=np.float64)
        return np.where(w > 0, w * (k * x - np.exp(x) - gammaln(k + 1)), 0.0)

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
        return np.asarray(weights) * (np.asarray(y) - self.link.inverse(eta))

    def information(
        self,
        eta: ArrayLike,
        *,
        aux: Auxiliary = NO_AUXILIARY,
        weights: ArrayLike = 1.0,
        trials: ArrayLike | None = None,
    ) -> FloatArray:
        """See `Family.information`."""
        return np.asarray(weights) * self.link.inverse(eta)

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
        return draw_poisson(rng, self.link.inverse(eta))

    def check_response(self, y: ArrayLike, trials: ArrayLike | None, name: str) -> None:
        """See `Family.check_response`."""
        values = np.asarray(y, dtype=np.float64)
        check_counts(values, name, self.name, 'recode it, or use family="gaussian"')


@dataclass(frozen=True, init=False, repr=False)
class NegativeBinomial(Family):
    """y ~ NegativeBinomial(mu = exp(eta), alpha): mean mu, variance mu + mu^2 / alpha.

    ``alpha`` is PyMC's; large values approach the Poisson.

    Examples
    --------
    >>> NegativeBinomial().information([0.0], aux={"alpha": 1.0})
    array([0.5])
    """

    name: ClassVar[str] = "negativebinomial"
    links: ClassVar[tuple[str, ...]] = ("log",)
    auxiliary: ClassVar[tuple[str, ...]] = ("alpha",)

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
        from scipy.special import betaln

        k, x = np.asarray(y, dtype=np.float64), np.asarray(eta, dtype=np.float64)
        alpha, w = self._aux(aux, "alpha"), np.asarray(weights, dtype=np.float64)
        log_alpha = np.log(alpha)
        log_total = np.logaddexp(log_alpha, x)
        # betaln keeps its digits where gammaln(k + alpha) - gammaln(alpha) cancels
        choose = -betaln(alpha, k + 1) - np.log(alpha + k)
        rows = choose + alpha * (log_alpha - log_total) + k * (x - log_total)
        return np.where(w > 0, w * rows, 0.0)

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
        alpha, mu = self._aux(aux, "alpha"), self.link.inverse(eta)
        return np.asarray(weights) * (np.asarray(y) - mu) / (1.0 + mu / alpha)

    def information(
        self,
        eta: ArrayLike,
        *,
        aux: Auxiliary = NO_AUXILIARY,
        weights: ArrayLike = 1.0,
        trials: ArrayLike | None = None,
    ) -> FloatArray:
        """See `Family.information`."""
        mu = self.link.inverse(eta)
        return np.asarray(weights) * mu / (1.0 + mu / self._aux(aux, "alpha"))

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
        alpha, mu = self._aux(aux, "alpha"), self.link.inverse(eta)
        shape = np.broadcast_to(alpha, np.broadcast_shapes(alpha.shape, mu.shape))
        return draw_poisson(rng, mu * rng.gamma(shape) / alpha)

    def check_response(self, y: ArrayLike, trials: ArrayLike | None, name: str) -> None:
        """See `Family.check_response`."""
        values = np.asarray(y, dtype=np.float64)
        check_counts(values, name, self.name, 'recode it, or use family="gaussian"')


LARGEST_MEAN = 1e15
"""NumPy's Poisson refuses means near 2^63; a prior on the log scale can ask for them."""


def draw_poisson(rng: np.random.Generator, mu: FloatArray) -> FloatArray:
    """Poisson draws; the mean is capped where the generator would refuse it."""
    return rng.poisson(np.minimum(mu, LARGEST_MEAN)).astype(np.float64)
