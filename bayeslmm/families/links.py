"""Links: the function between the mean of a response and the linear predictor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from bayeslmm.arrays import FloatArray
from bayeslmm.errors import ArgumentError, suggest


@dataclass(frozen=True, slots=True)
class Link(ABC):
    """A monotone map g from the mean ``mu`` to the linear predictor ``eta = g(mu)``."""

    name: ClassVar[str]

    @abstractmethod
    def link(self, mu: ArrayLike) -> FloatArray:
        """The linear predictor of a mean, g(mu)."""

    @abstractmethod
    def inverse(self, eta: ArrayLike) -> FloatArray:
        """The mean of a linear predictor, g^-1(eta)."""

    @abstractmethod
    def derivative(self, eta: ArrayLike) -> FloatArray:
        """Slope of the mean, d mu / d eta."""

    def averaged_inverse(self, eta: ArrayLike, variance: ArrayLike) -> FloatArray:
        """Mean of g^-1(eta + e) over e ~ N(0, variance), shapes as they broadcast.

        By the trapezoidal rule in 65 points unless there is a formula. Its error falls
        geometrically with the step (Trefethen and Weideman 2014): below 1e-8 up to a
        standard deviation of 4 for the logit, and of 2 for the complementary log-log.
        """
        at = np.asarray(eta, dtype=np.float64)
        sd = np.sqrt(np.asarray(variance, dtype=np.float64))
        nodes = np.linspace(-8.0, 8.0, 65)
        weights = np.exp(-0.5 * nodes**2)
        weights /= weights.sum()
        total = np.zeros(np.broadcast_shapes(at.shape, sd.shape))
        for node, weight in zip(nodes, weights, strict=True):
            total += weight * self.inverse(at + node * sd)
        return total


@dataclass(frozen=True, slots=True)
class Identity(Link):
    """mu = eta."""

    name: ClassVar[str] = "identity"

    def link(self, mu: ArrayLike) -> FloatArray:
        """The linear predictor of a mean, g(mu)."""
        return np.asarray(mu, dtype=np.float64)

    def inverse(self, eta: ArrayLike) -> FloatArray:
        """The mean of a linear predictor, g^-1(eta)."""
        return np.asarray(eta, dtype=np.float64)

    def derivative(self, eta: ArrayLike) -> FloatArray:
        """Slope of the mean, d mu / d eta."""
        return np.ones_like(np.asarray(eta, dtype=np.float64))

    def averaged_inverse(self, eta: ArrayLike, variance: ArrayLike) -> FloatArray:
        """Mean of g^-1(eta + e) over e ~ N(0, variance): eta."""
        return np.asarray(eta, dtype=np.float64) + np.zeros_like(variance, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Log(Link):
    """mu = exp(eta)."""

    name: ClassVar[str] = "log"

    def link(self, mu: ArrayLike) -> FloatArray:
        """The linear predictor of a mean, g(mu)."""
        return np.log(np.asarray(mu, dtype=np.float64))

    def inverse(self, eta: ArrayLike) -> FloatArray:
        """The mean of a linear predictor, g^-1(eta)."""
        return np.exp(np.asarray(eta, dtype=np.float64))

    def derivative(self, eta: ArrayLike) -> FloatArray:
        """Slope of the mean, d mu / d eta."""
        return self.inverse(eta)

    def averaged_inverse(self, eta: ArrayLike, variance: ArrayLike) -> FloatArray:
        """Mean of g^-1(eta + e) over e ~ N(0, variance): exp(eta + variance / 2)."""
        half = 0.5 * np.asarray(variance, dtype=np.float64)
        return self.inverse(np.asarray(eta, dtype=np.float64) + half)


@dataclass(frozen=True, slots=True)
class ProbabilityLink(Link):
    """A link of a probability p, with what stays exact where p is all but 0 or 1."""

    @abstractmethod
    def log_inverse(self, eta: ArrayLike) -> FloatArray:
        """Log of p."""

    @abstractmethod
    def log_complement(self, eta: ArrayLike) -> FloatArray:
        """Log of 1 - p."""

    @abstractmethod
    def log_derivative(self, eta: ArrayLike) -> FloatArray:
        """Log of d p / d eta."""

    def inverse(self, eta: ArrayLike) -> FloatArray:
        """The mean of a linear predictor, g^-1(eta)."""
        return np.exp(self.log_inverse(eta))

    def derivative(self, eta: ArrayLike) -> FloatArray:
        """Slope of the mean, d mu / d eta."""
        return np.exp(self.log_derivative(eta))


@dataclass(frozen=True, slots=True)
class Logit(ProbabilityLink):
    """p = 1 / (1 + exp(-eta))."""

    name: ClassVar[str] = "logit"

    def link(self, mu: ArrayLike) -> FloatArray:
        """The linear predictor of a mean, g(mu)."""
        p = np.asarray(mu, dtype=np.float64)
        return np.log(p) - np.log1p(-p)

    def log_inverse(self, eta: ArrayLike) -> FloatArray:
        """Log of p."""
        return -np.logaddexp(0.0, -np.asarray(eta, dtype=np.float64))

    def log_complement(self, eta: ArrayLike) -> FloatArray:
        """Log of 1 - p."""
        return -np.logaddexp(0.0, np.asarray(eta, dtype=np.float64))

    def log_derivative(self, eta: ArrayLike) -> FloatArray:
        """Log of d p / d eta."""
        return self.log_inverse(eta) + self.log_complement(eta)


@dataclass(frozen=True, slots=True)
class Probit(ProbabilityLink):
    """p = Phi(eta), the normal distribution function."""

    name: ClassVar[str] = "probit"

    def link(self, mu: ArrayLike) -> FloatArray:
        """The linear predictor of a mean, g(mu)."""
        from scipy.special import ndtri

        return np.asarray(ndtri(np.asarray(mu, dtype=np.float64)))

    def log_inverse(self, eta: ArrayLike) -> FloatArray:
        """Log of p."""
        from scipy.special import log_ndtr

        return np.asarray(log_ndtr(np.asarray(eta, dtype=np.float64)))

    def log_complement(self, eta: ArrayLike) -> FloatArray:
        """Log of 1 - p."""
        return self.log_inverse(np.negative(np.asarray(eta, dtype=np.float64)))

    def log_derivative(self, eta: ArrayLike) -> FloatArray:
        """Log of d p / d eta."""
        x = np.asarray(eta, dtype=np.float64)
        return np.asarray(-0.5 * x * x - 0.5 * np.log(2 * np.pi))

    def averaged_inverse(self, eta: ArrayLike, variance: ArrayLike) -> FloatArray:
        """Mean of g^-1(eta + e) over e ~ N(0, variance): Phi(eta / sqrt(1 + variance))."""
        spread = np.sqrt(1.0 + np.asarray(variance, dtype=np.float64))
        return self.inverse(np.asarray(eta, dtype=np.float64) / spread)


@dataclass(frozen=True, slots=True)
class Cloglog(ProbabilityLink):
    """p = 1 - exp(-exp(eta)), the complementary log-log."""

    name: ClassVar[str] = "cloglog"

    def link(self, mu: ArrayLike) -> FloatArray:
        """The linear predictor of a mean, g(mu)."""
        return np.log(-np.log1p(-np.asarray(mu, dtype=np.float64)))

    def log_inverse(self, eta: ArrayLike) -> FloatArray:
        """Log of p."""
        x = np.asarray(eta, dtype=np.float64)
        # below -40 exp(x) is smaller than half an ulp, and p = exp(x) to all digits
        body = np.log(-np.expm1(-np.exp(np.clip(x, -40.0, 700.0))))
        return np.where(x < -40.0, x, body)

    def log_complement(self, eta: ArrayLike) -> FloatArray:
        """Log of 1 - p."""
        return -np.exp(np.minimum(np.asarray(eta, dtype=np.float64), 700.0))

    def log_derivative(self, eta: ArrayLike) -> FloatArray:
        """Log of d p / d eta."""
        return np.asarray(eta, dtype=np.float64) + self.log_complement(eta)


LINKS: dict[str, type[Link]] = {c.name: c for c in (Identity, Log, Logit, Probit, Cloglog)}


def resolve_link(link: Link | str, allowed: Iterable[str] | None = None) -> Link:
    """The link of a name, if it is one of those ``allowed``.

    Parameters
    ----------
    link : Link or str
    allowed : iterable of str, optional
        Names that may be used; all of them by default.

    Raises
    ------
    ArgumentError
        Not a known link, or not one that is allowed.

    Examples
    --------
    >>> resolve_link("probit")
    Probit()
    """
    names = list(LINKS if allowed is None else allowed)
    name = link.name if isinstance(link, Link) else str(link)
    if name not in names:
        near = suggest(name, names)
        raise ArgumentError(
            f"link `{name}` cannot be used here.",
            found=f"{link!r}",
            fix=f"did you mean `{near}`?" if near else f"use one of {', '.join(names)}",
        )
    return link if isinstance(link, Link) else LINKS[name]()
