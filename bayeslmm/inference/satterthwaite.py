"""Satterthwaite's degrees of freedom."""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.engine.gaussian.fixed_covariance import FixedCovariance


def contrast_df(parts: FixedCovariance, L: FloatArray) -> FloatArray:
    """Degrees of freedom of each row of L, 2 (l'Phi l)^2 / (g'Ag).

    g is the gradient of l'Phi l in the variance parameters and A the covariance of their
    estimates. With the expected information in A this is Kenward and Roger's, too.

    Parameters
    ----------
    parts : FixedCovariance
    L : ndarray, shape (k, p)

    Returns
    -------
    ndarray, shape (k,)

    References
    ----------
    Satterthwaite, F. E. (1946), Biometrics Bulletin 2, 110-114; Giesbrecht, F. G. and
    Burns, J. C. (1985), Biometrics 41, 477-486.
    """
    variance = np.einsum("ka,ab,kb->k", L, parts.cov, L)
    gradient = np.einsum("ka,mab,kb->km", L, parts.derivatives, L, optimize=True)
    spread = np.einsum("km,mn,kn->k", gradient, parts.parameter_cov, gradient)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(2.0 * variance**2 / spread)


def joint_df(df: FloatArray) -> float:
    """Denominator df of the mean of independent squared t statistics with these df.

    An F with q and nu df has the mean nu / (nu - 2); it is matched to the mean of the
    squares, and is 2 where one of them has no mean.

    References
    ----------
    Fai, A. H.-T. and Cornelius, P. L. (1996), Journal of Statistical Computation and
    Simulation 54, 363-378.
    """
    if len(df) == 1:
        return float(df[0])
    if (df <= 2.0).any():
        return 2.0
    # E/(E - q), with E the sum of nu/(nu - 2), written without its cancellation
    excess = 2.0 / (df - 2.0)
    return float(2.0 + 2.0 * len(df) / excess.sum())
