"""The record every point-estimate engine returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.outcomes import FitStatus

Method = Literal["REML", "ML", "MAP"]


@dataclass(frozen=True, eq=False, slots=True)
class Estimate:
    """Point estimates of one model, on the user's scale; factors in the design's order.

    Attributes
    ----------
    method : {"REML", "ML", "MAP"}
    beta : ndarray, shape (p,)
    cov_beta : ndarray, shape (p, p)
    T : tuple of ndarray, each (K, K)
        Relative covariance factors: Cov(b_level) = sigma^2 T T'.
    sigma : float
        Residual standard deviation.
    b : tuple of ndarray, each (J, K)
        Conditional modes (BLUPs).
    loglik : float
        log p(y | theta, sigma): restricted for REML, maximised over beta for ML,
        integrated over the prior of beta for MAP.
    n_params : int
        Fixed effects, free entries of T, and sigma: lme4's count; and those of the
        residual structure.
    variance_names : tuple of str
        ``sd_Subject[Days]``, ``corr_Subject[Intercept, Days]``, ..., ``sigma``.
    variance_values : ndarray
    status : FitStatus
    decrement : float
        Newton decrement left at the end, in units of the deviance.
    evaluations : int
    trace : tuple of (float, float)
        Criterion and largest gradient entry at each evaluation.
    residual_names : tuple of str
        Parameters of the residual structure: ``ar1``, ``rho`` or ``sd_ratio[level]``, ...
    residual_values : ndarray
    """

    method: Method
    beta: FloatArray
    cov_beta: FloatArray
    T: tuple[FloatArray, ...]
    sigma: float
    b: tuple[FloatArray, ...]
    loglik: float
    n_params: int
    variance_names: tuple[str, ...]
    variance_values: FloatArray
    status: FitStatus
    decrement: float
    evaluations: int
    trace: tuple[tuple[float, float], ...]
    residual_names: tuple[str, ...] = ()
    residual_values: FloatArray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        for array in (self.beta, self.cov_beta, *self.T, *self.b):
            array.setflags(write=False)
        self.variance_values.setflags(write=False)
        self.residual_values.setflags(write=False)

    @property
    def covariances(self) -> tuple[FloatArray, ...]:
        """Covariance matrix of one level's effects, for each factor, shape (K, K)."""
        return tuple(self.sigma**2 * T @ T.T for T in self.T)

    @property
    def singular(self) -> bool:
        """Whether some covariance matrix has no full rank: a pivot of T is exactly zero.

        Zeros are exact here, so no tolerance is needed, which would depend on the units
        of the slopes (lme4 asks whether a pivot is below 1e-4).
        """
        return any(bool((np.diag(T) == 0.0).any()) for T in self.T)
