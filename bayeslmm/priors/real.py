"""Priors on the real line, or on a stretch of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.errors import PriorError
from bayeslmm.priors.prior import ScalarPrior, Size, Support

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def log_student_constant(nu: float, sigma: float) -> float:
    """Log of the normalising constant of a Student t density."""
    half = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2)
    return half - 0.5 * math.log(nu * math.pi) - math.log(sigma)


@dataclass(frozen=True, repr=False)
class Normal(ScalarPrior):
    """Normal with mean ``mu`` and standard deviation ``sigma``.

    Examples
    --------
    >>> Normal(0, 10)
    Normal(mu=0, sigma=10)
    """

    mu: float = 0.0
    sigma: float = 1.0
    positive_arguments: ClassVar[tuple[str, ...]] = ("sigma",)

    @property
    def support(self) -> Support:
        """The real line."""
        return "real"

    def _log_density(self, x: FloatArray) -> FloatArray:
        z = (x - self.mu) / self.sigma
        return -0.5 * z * z - math.log(self.sigma) - HALF_LOG_2PI

    def _slope(self, x: FloatArray) -> FloatArray:
        return -(x - self.mu) / self.sigma**2

    def sample(self, rng: np.random.Generator, size: Size = None) -> FloatArray:
        """Independent draws of the given shape."""
        return np.asarray(rng.normal(self.mu, self.sigma, size))


@dataclass(frozen=True, repr=False)
class StudentT(ScalarPrior):
    """Student t with ``nu`` degrees of freedom, location ``mu`` and scale ``sigma``.

    Examples
    --------
    >>> StudentT(nu=3, mu=0, sigma=2.5).support
    'real'
    """

    nu: float
    mu: float = 0.0
    sigma: float = 1.0
    positive_arguments: ClassVar[tuple[str, ...]] = ("nu", "sigma")

    @property
    def support(self) -> Support:
        """The real line."""
        return "real"

    def _log_density(self, x: FloatArray) -> FloatArray:
        z = (x - self.mu) / self.sigma
        tail = (self.nu + 1) / 2 * np.log1p(z * z / self.nu)
        return np.asarray(log_student_constant(self.nu, self.sigma) - tail)

    def _slope(self, x: FloatArray) -> FloatArray:
        d = x - self.mu
        return -(self.nu + 1) * d / (self.nu * self.sigma**2 + d * d)

    def sample(self, rng: np.random.Generator, size: Size = None) -> FloatArray:
        """Independent draws of the given shape."""
        return np.asarray(self.mu + self.sigma * rng.standard_t(self.nu, size))


@dataclass(frozen=True, repr=False)
class Flat(ScalarPrior):
    """A constant density of 1: improper, so nothing can be drawn from it.

    On a standard deviation it is constant on the positive half line.

    Examples
    --------
    >>> Flat().logpdf(7.0)
    array(0.)
    """

    @property
    def support(self) -> Support:
        """The real line."""
        return "real"

    def _log_density(self, x: FloatArray) -> FloatArray:
        return np.zeros_like(x)

    def _slope(self, x: FloatArray) -> FloatArray:
        return np.zeros_like(x)

    def sample(self, rng: np.random.Generator, size: Size = None) -> FloatArray:
        """Refuse: an improper prior has no draws."""
        raise PriorError(
            "nothing can be drawn from a Flat prior, since it is improper.",
            fix="give the parameter a proper prior, or leave out the prior predictive draws",
        )


@dataclass(frozen=True, repr=False)
class Uniform(ScalarPrior):
    """Uniform between ``lower`` and ``upper``.

    Examples
    --------
    >>> Uniform(0, 4).support
    (0.0, 4.0)
    """

    lower: float = 0.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lower >= self.upper:
            raise PriorError(
                "Uniform: `lower` must be smaller than `upper`.",
                found=f"lower={self.lower:g}, upper={self.upper:g}",
            )

    @property
    def support(self) -> Support:
        """The interval."""
        return self.lower, self.upper

    def _log_density(self, x: FloatArray) -> FloatArray:
        return np.full_like(x, -math.log(self.upper - self.lower))

    def _slope(self, x: FloatArray) -> FloatArray:
        return np.zeros_like(x)

    def sample(self, rng: np.random.Generator, size: Size = None) -> FloatArray:
        """Independent draws of the given shape."""
        return np.asarray(rng.uniform(self.lower, self.upper, size))
