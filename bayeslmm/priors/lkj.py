"""The LKJ prior of a correlation matrix.

p(R) = c_K(eta) |R|^(eta - 1) for K x K correlation matrices R (Lewandowski, Kurowicka
and Joe 2009). Through partial correlations z_ij, i > j, of row i and column j given
the columns before j, R = L L' with

    L_ij = z_ij prod_{l < j} sqrt(1 - z_il^2),   L_ii = prod_{l < i} sqrt(1 - z_il^2),

and the z are independent, (z_ij + 1) / 2 ~ Beta(a_j, a_j), a_j = eta + (K - 2 - j) / 2
with columns counted from 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from bayeslmm.arrays import FloatArray
from bayeslmm.priors.prior import Prior, Size, Support


def partial_shapes(eta: float, dim: int) -> FloatArray:
    """Beta shapes of the partial correlations, row by row below the diagonal.

    Parameters
    ----------
    eta : float
    dim : int
        Size K of the matrix.

    Returns
    -------
    ndarray, shape (K (K - 1) / 2,)

    Examples
    --------
    >>> partial_shapes(1.0, 3)
    array([1.5, 1.5, 1. ])
    """
    _, columns = np.tril_indices(dim, -1)
    return np.asarray(eta + (dim - 2 - columns) / 2, dtype=np.float64)


def correlation_factor(partial: ArrayLike, dim: int) -> FloatArray:
    """Lower triangular L, with unit rows, of partial correlations row by row.

    Parameters
    ----------
    partial : array_like, shape (..., K (K - 1) / 2)
    dim : int
        Size K of the matrix.

    Returns
    -------
    ndarray, shape (..., K, K)
    """
    z = np.asarray(partial, dtype=np.float64)
    L = np.zeros((*z.shape[:-1], dim, dim))
    k = 0
    for i in range(dim):
        left = np.ones(z.shape[:-1])
        for j in range(i):
            L[..., i, j] = z[..., k] * left
            left = left * np.sqrt(1 - z[..., k] ** 2)
            k += 1
        L[..., i, i] = left
    return L


@dataclass(frozen=True, repr=False)
class LKJ(Prior):
    """Density of a correlation matrix proportional to |R|^(``eta`` - 1).

    1 is uniform over correlation matrices; larger values favour small correlations.

    Examples
    --------
    >>> LKJ(1.0).logpdf([[1.0, 0.3], [0.3, 1.0]]).round(4)
    np.float64(-0.6931)
    """

    eta: float = 1.0
    positive_arguments: ClassVar[tuple[str, ...]] = ("eta",)

    @property
    def support(self) -> Support:
        """Correlation matrices."""
        return "correlation"

    def log_constant(self, dim: int) -> float:
        """Log of c_K(eta), for matrices of size ``dim``."""
        total = (dim - 1) * math.lgamma(self.eta + 0.5 * (dim - 1))
        for k in range(1, dim):
            total -= 0.5 * k * math.log(math.pi) + math.lgamma(self.eta + 0.5 * (dim - 1 - k))
        return total

    def logpdf(self, x: ArrayLike) -> FloatArray:
        """Log density over the entries below the diagonal.

        Parameters
        ----------
        x : array_like, shape (..., K, K)
            Symmetric with a unit diagonal.

        Returns
        -------
        ndarray, shape (...)
            -inf where the matrix is not positive definite.
        """
        R = np.asarray(x, dtype=np.float64)
        values = np.linalg.eigvalsh(R)
        inside = values[..., 0] > 0
        log_det = np.log(np.where(inside[..., None], values, 1.0)).sum(axis=-1)
        density = self.log_constant(R.shape[-1]) + (self.eta - 1) * log_det
        return np.where(inside, density, -np.inf)

    def dlogpdf(self, x: ArrayLike) -> FloatArray:
        """Matrix G = (eta - 1) R^-1 with d logpdf = sum(G * dR) for symmetric dR.

        Parameters
        ----------
        x : array_like, shape (..., K, K)

        Returns
        -------
        ndarray, shape (..., K, K)
        """
        R = np.asarray(x, dtype=np.float64)
        if self.eta == 1:
            return np.zeros_like(R)
        return np.asarray((self.eta - 1) * np.linalg.inv(R))

    def sample(self, rng: np.random.Generator, size: Size = None, *, dim: int = 2) -> FloatArray:
        """Independent correlation matrices, shape (*size, dim, dim)."""
        L = self.sample_factor(rng, size, dim=dim)
        return L @ np.swapaxes(L, -1, -2)

    def sample_factor(
        self, rng: np.random.Generator, size: Size = None, *, dim: int = 2
    ) -> FloatArray:
        """Lower triangular L of independent correlation matrices L L', shape (*size, dim, dim).

        For ``eta`` well below 1 many matrices are singular but for rounding, and have no
        computed Cholesky factor; L is made without one.
        """
        shape = () if size is None else (size,) if isinstance(size, int) else tuple(size)
        a = partial_shapes(self.eta, dim)
        return correlation_factor(2 * rng.beta(a, a, (*shape, len(a))) - 1, dim)
