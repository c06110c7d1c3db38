"""Kenward and Roger's F test of several contrasts."""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.engine.gaussian.fixed_covariance import FixedCovariance


def joint_df(parts: FixedCovariance, L: FloatArray) -> tuple[float, float]:
    """Denominator df, and the factor that scales the F statistic.

    Parameters
    ----------
    parts : FixedCovariance
        With the expected information.
    L : ndarray, shape (q, p)
        Of full row rank.

    Returns
    -------
    df, scale : float

    Notes
    -----
    Two moments of the Wald statistic, expanded in the uncertainty of the variance
    parameters, are matched to those of a scaled F, exactly so for Hotelling's T^2 and for
    balanced analyses of variance.

    References
    ----------
    Kenward, M. G. and Roger, J. H. (1997), Biometrics 53, 983-997; Halekoh, U. and
    Højsgaard, S. (2014), Journal of Statistical Software 59(9).
    """
    q = len(L)
    middle = np.linalg.solve(L @ parts.cov @ L.T, np.eye(q))
    moved = middle @ (L @ parts.derivatives @ L.T)
    traces = np.einsum("mii->m", moved)
    W = parts.parameter_cov
    A1 = float(traces @ W @ traces)
    A2 = float(np.einsum("mn,mab,nba->", W, moved, moved, optimize=True))
    B = (A1 + 6.0 * A2) / (2.0 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    below = 3.0 * q + 2.0 * (1.0 - g)
    V0 = 1.0 + g / below * B
    V1 = 1.0 - (q - g) / below * B
    V2 = 1.0 - (q + 2.0 - g) / below * B
    # for one contrast V1 and 1 - A2/q are the same, and may vanish together
    ratio = 1.0 if q == 1 else (1.0 - A2 / q) / V1
    rho = ratio**2 * V0 / V2 / q
    df = 4.0 + (q + 2.0) / (q * rho - 1.0)
    scale = 1.0 if abs(df - 2.0) < 1e-2 else df * (1.0 - A2 / q) / (df - 2.0)
    return float(df), float(scale)
