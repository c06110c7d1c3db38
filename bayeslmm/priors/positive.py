"""Priors on the positive half line: standard deviations, overdispersion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.priors.prior import ScalarPrior, Size, Support
from bayeslmm.priors.real import HALF_LOG_2PI, log_student_constant


@dataclass(frozen=True, repr=False)
class PositivePrior(ScalarPrior):
    """A prior of one positive number."""

    @property
    def support(self) -> Support:
        """The positive half line."""
        return "positive"


@dataclass(frozen=True, repr=False)
class HalfNormal(PositivePrior):
    """The positive half of a Normal(0, ``sigma``).

    Examples
    --------
    >>> HalfNormal(50)
    HalfNormal(sigma=50)
    """

    sigma: float = 1.0
    positive_arguments: ClassVar[tuple[str, ...]] = ("sigma",)

    def _log_density(self, x: FloatArray) -> FloatArray:
        z = x / self.sigma
        return math.log(2) - 0.5 * z * z - math.log(self.sigma) - HALF_LOG_2PI

    def _slope(self, x: FloatArray) -> FloatArray:
        return -x / self.sigma**2

    def sample(self, rng: np.random.Generator, size: Size = None) -> FloatArray:
        """Independent draws of the given shape."""
        return np.abs(rng.normal(0.0, self.sigma, size))


@dataclass(frozen=True, repr=False)
class HalfStudentT(PositivePrior):
    """The positive half of a Student t with ``nu`` degrees of freedom and scale ``sigma``.

    Examples
    --------
    >>> HalfStudentT(nu=3, sigma=56.3).bounds
    (0.0, inf)
    """

    nu: float
    sigma: float = 1.0
    positive_arguments: ClassVar[tuple[str, ...]] = ("nu", "sigma")

    def _log_density(self, x: FloatArray) -> FloatArray:
        z = x / self.sigma
        tail = (self.nu + 1) / 2 * np.log1p(z * z / self.nu)
        return np.asarray(math.log(2) + log_student_constant(self.nu, self.sigma) - tail)

    def _slope(self, x: FloatArray) -> FloatArray:
        return -(self.nu + 1) * x / (self.nu * self.sigma**2 + x * x)

    def sample(self, rng: np.random.Generator, size: Size = None) -> FloatArray:
        """Independent draws of the given shape."""
        return np.abs(self.sigma * rng.standard_t(self.nu, size))


@dataclass(frozen=True, repr=False)
class HalfCauchy(PositivePrior):
    """The positive half of a Cauchy with scale ``beta``.

    Examples
    --------
    >>> HalfCauchy(2.5)
    HalfCauchy(beta=2.5)
    """

    beta: float = 1.0
    positive_arguments: ClassVar[tuple[str, ...]] = ("beta",)

    def _log_density(self, x: FloatArray) -> FloatArray:
        z = x / self.beta
        return np.asarray(math.log(2 / (math.pi * self.beta)) - np.log1p(z * z))

    def _slope(self, x: FloatArray) -> FloatArray:
        return -2 * x / (self.beta**2 + x * x)

    def sample(self, rng: np.random.Generator, size: Size = None) -> FloatArray:
        """Independent draws of the given shape."""
        return np.abs(self.beta * rng.standard_cauchy(size))


@dataclass(frozen=True, repr=False)
class Exponential(PositivePrior):
    """Exponential with rate ``lam``, mean 1 / ``lam``.

    Examples
    --------
    >>> Exponential(2.0).logpdf(0.0).round(4)
    np.float64(0.6931)
    """

    lam: float = 1.0
    positive_arguments: ClassVar[tuple[str, ...]] = ("lam",)

    def _log_density(self, x: FloatArray) -> FloatArray:
        return math.log(self.lam) - self.lam * x

    def _slope(self, x: FloatArray) -> FloatArray:
        return np.full_like(x, -self.lam)

    def sample(self, rng: np.random.Generator, size: Size = None) -> FloatArray:
        """Independent draws of the given shape."""
        return np.asarray(rng.exponential(1 / self.lam, size))


@dataclass(frozen=True, repr=False)
class Gamma(PositivePrior):
    """Gamma with shape ``alpha`` and rate ``beta``, mean ``alpha / beta``.

    Examples
    --------
    >>> Gamma(2, 0.1)
    Gamma(alpha=2, beta=0.1)
    """

    alpha: float
    beta: float = 1.0
    positive_arguments: ClassVar[tuple[str, ...]] = ("alpha", "beta")

    def _log_density(self, x: FloatArray) -> FloatArray:
        constant = self.alpha * math.log(self.beta) - math.lgamma(self.alpha)
        power = (self.alpha - 1) * np.log(x) if self.alpha != 1 else 0.0
        return np.asarray(constant + power - self.beta * x)

    def _slope(self, x: FloatArray) -> FloatArray:
        power = (self.alpha - 1) / x if self.alpha != 1 else 0.0
        return np.asarray(power - self.beta)

    def sample(self, rng: np.random.Generator, size: Size = None) -> FloatArray:
        """Independent draws of the given shape."""
        return np.asarray(rng.gamma(self.alpha, 1 / self.beta, size))


@dataclass(frozen=True, repr=False)
class InverseGamma(PositivePrior):
    """The reciprocal of a Gamma(``alpha``, ``beta``), mean ``beta / (alpha - 1)``.

    Examples
    --------
    >>> InverseGamma(3, 2)
    InverseGamma(alpha=3, beta=2)
    """

    alpha: float
    beta: float = 1.0
    positive_arguments: ClassVar[tuple[str, ...]] = ("alpha", "beta")

    def _log_density(self, x: FloatArray) -> FloatArray:
        constant = self.alpha * math.log(self.beta) - math.lgamma(self.alpha)
        safe = np.where(x > 0, x, 1.0)
        inner = constant - (self.alpha + 1) * np.log(safe) - self.beta / safe
        return np.where(x > 0, inner, -np.inf)

    def _slope(self, x: FloatArray) -> FloatArray:
        safe = np.where(x > 0, x, 1.0)
        return np.where(x > 0, (self.beta / safe - (self.alpha + 1)) / safe, np.inf)

    def sample(self, rng: np.random.Generator, size: Size = None) -> FloatArray:
        """Independent draws of the given shape."""
        return np.asarray(self.beta / rng.gamma(self.alpha, 1.0, size))


@dataclass(frozen=True, repr=False)
class LogNormal(PositivePrior):
    """A number whose log is Normal(``mu``, ``sigma``).

    Examples
    --------
    >>> LogNormal(0, 1)
    LogNormal(mu=0, sigma=1)
    """

    mu: float = 0.0
    sigma: float = 1.0
    positive_arguments: ClassVar[tuple[str, ...]] = ("sigma",)

    def _log_density(self, x: FloatArray) -> FloatArray:
        log_x = np.log(np.where(x > 0, x, 1.0))
        z = (log_x - self.mu) / self.sigma
        inner = -0.5 * z * z - log_x - math.log(self.sigma) - HALF_LOG_2PI
        return np.where(x > 0, inner, -np.inf)

    def _slope(self, x: FloatArray) -> FloatArray:
        safe = np.where(x > 0, x, 1.0)
        inner = -(1 + (np.log(safe) - self.mu) / self.sigma**2) / safe
        return np.where(x > 0, inner, np.inf)

    def sample(self, rng: np.random.Generator, size: Size = None) -> FloatArray:
        """Independent draws of the given shape."""
        return np.asarray(rng.lognormal(self.mu, self.sigma, size))
