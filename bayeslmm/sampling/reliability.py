"""How well the data know the effects of a level, against their prior."""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design.rows import Factor
from bayeslmm.sampling.approximation import Approximation


def level_reliabilities(approximation: Approximation) -> dict[str, FloatArray]:
    """Share of a level's effects that the likelihood knows, by factor, each (J,).

    With ``A_j = Z_j'WZ_j / sigma^2`` the information of the rows of level j about its
    effects, everything else given, and ``T`` a factor of their prior covariance,

        r_j = tr(I - (I + T'A_jT)^-1) / K

    the mean eigenvalue of what multiplies a least squares estimate when it is shrunk: 0
    where the level is known from its prior alone, 1 where from its rows alone. It does not
    depend on how the columns of a term are coded.
    """
    fit = approximation.estimate
    factors = approximation.design.factors
    return {
        f.name: _of_levels(information_of_levels(f, approximation.information), fit.sigma * T)
        for f, T in zip(factors, fit.T, strict=True)
    }


def information_of_levels(factor: Factor, information: FloatArray) -> FloatArray:
    """``Z_j' diag(information) Z_j`` of each level, shape (J, K, K)."""
    J, K = factor.n_levels, factor.n_columns
    A = np.empty((J, K, K))
    for k in range(K):
        for m in range(k + 1):
            rows = information * factor.columns[:, k] * factor.columns[:, m]
            A[:, k, m] = A[:, m, k] = np.bincount(factor.codes, weights=rows, minlength=J)
    return A


def _of_levels(A: FloatArray, T: FloatArray) -> FloatArray:
    known = T.T @ A @ T
    eigenvalues = np.linalg.eigvalsh(known).clip(0.0)
    return np.asarray((eigenvalues / (1.0 + eigenvalues)).mean(axis=1))
