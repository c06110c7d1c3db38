"""Families of a probability: one trial a row, or several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike

from bayeslmm.arrays import FloatArray
from bayeslmm.errors import DataError
from bayeslmm.families.family import (
    NO_AUXILIARY,
    Auxiliary,
    Family,
    check_counts,
    check_finite,
)
from bayeslmm.families.links import ProbabilityLink


@dataclass(frozen=True, init=False, repr=False)
class _Probability(Family):
    """What one trial and many have in common: y ~ Binomial(m, p), p = g^-1(eta)."""

    links: ClassVar[tuple[str, ...]] = ("logit", "probit", "cloglog")

    def _trials(self, trials: ArrayLike | None) -> FloatArray:
        return np.asarray(1.0 if trials is None else trials, dtype=np.float64)

    @property
    def _link(self) -> ProbabilityLink:
        return cast(ProbabilityLink, self.link)

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

        k, m = np.asarray(y, dtype=np.float64), self._trials(trials)
        w = np.asarray(weights, dtype=np.float64)
        log_p, log_q = self._link.log_inverse(eta), self._link.log_complement(eta)
        # 0 * -inf is 0 here: an impossible outcome that did not occur
        rows = np.where(k > 0, k * log_p, 0.0) + np.where(m > k, (m - k) * log_q, 0.0)
        rows = rows + gammaln(m + 1) - gammaln(k + 1) - gammaln(m - k + 1)
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
        k, m, g = np.asarray(y, dtype=np.float64), self._trials(trials), self._link
        slope = g.log_derivative(eta)
        up, down = np.exp(slope - g.log_inverse(eta)), np.exp(slope - g.log_complement(eta))
        return np.asarray(weights) * (k * up - (m - k) * down)

    def information(
        self,
        eta: ArrayLike,
        *,
        aux: Auxiliary = NO_AUXILIARY,
        weights: ArrayLike = 1.0,
        trials: ArrayLike | None = None,
    ) -> FloatArray:
        """See `Family.information`."""
        g = self._link
        log_information = 2 * g.log_derivative(eta) - g.log_inverse(eta) - g.log_complement(eta)
        return np.asarray(weights) * self._trials(trials) * np.exp(log_information)

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
        m = self._trials(trials).astype(np.int64)
        return rng.binomial(m, self.link.inverse(eta)).astype(np.float64)


@dataclass(frozen=True, init=False, repr=False)
class Bernoulli(_Probability):
    """y is 1 with probability p = g^-1(eta), else 0.

    Examples
    --------
    >>> Bernoulli(link="probit").mean([0.0])
    array([0.5])
    """

    name: ClassVar[str] = "bernoulli"

    def check_response(self, y: ArrayLike, trials: ArrayLike | None, name: str) -> None:
        """See `Family.check_response`."""
        values = np.asarray(y, dtype=np.float64)
        check_finite(values, name)
        bad = (values != 0) & (values != 1)
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(
                f"the response `{name}` of a bernoulli model must be 0 or 1 (or false / true).",
                found=f"{values[row]:g} in row {row}; {int(bad.sum())} such of {values.size}",
                fix='recode it; for counts out of several trials use family="binomial"',
            )


@dataclass(frozen=True, init=False, repr=False)
class Binomial(_Probability):
    """y successes out of ``trials``, each with probability p = g^-1(eta).

    Examples
    --------
    >>> Binomial().log_density([1.0], [0.0], trials=[2.0]).round(6)
    array([-0.693147])
    """

    name: ClassVar[str] = "binomial"
    needs_trials: ClassVar[bool] = True

    def check_response(self, y: ArrayLike, trials: ArrayLike | None, name: str) -> None:
        """See `Family.check_response`."""
        values = np.asarray(y, dtype=np.float64)
        check_counts(
            values, name, "binomial", "write proportion(successes, trials) ~ ..., with counts"
        )
        if trials is None:
            raise DataError(
                f"the response `{name}` of a binomial model needs its number of trials.",
                fix='write proportion(successes, trials) ~ ...; for 0 / 1 use family="bernoulli"',
            )
        m = np.asarray(trials, dtype=np.float64)
        check_counts(m, "trials", "binomial", "trials are successes plus failures")
        bad = np.broadcast_to(values > m, values.shape)
        if bad.any():
            row = int(np.argmax(bad))
            here = np.broadcast_to(m, values.shape)[row]
            raise DataError(
                f"the response `{name}` has more successes than trials.",
                found=f"{values[row]:g} of {here:g} in row {row}; {int(bad.sum())} such rows",
                fix="proportion(successes, trials): trials are successes plus failures",
            )
