"""SDs, correlations and sigma from T, with standard errors by the delta method."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayeslmm.arrays import BoolArray, FloatArray
from bayeslmm.design import Design, Factor


def correlated_pairs(factor: Factor) -> list[tuple[int, int]]:
    """Pairs (row, column), column first, whose correlation is estimated."""
    return [
        (i, j)
        for j in range(factor.n_columns)
        for i in range(j + 1, factor.n_columns)
        if factor.pattern[i, j]
    ]


def variance_names(design: Design) -> tuple[str, ...]:
    """Names of the reported variance parameters, in order."""
    names = []
    for f in design.factors:
        c = f.column_names
        names += [f"sd_{f.name}[{name}]" for name in c]
        names += [f"corr_{f.name}[{c[j]}, {c[i]}]" for i, j in correlated_pairs(f)]
    return (*names, "sigma")


def variance_values(design: Design, T: Sequence[FloatArray], sigma: float) -> FloatArray:
    """SDs, correlations (NaN where an SD is zero) and sigma."""
    values: list[float] = []
    for f, t in zip(design.factors, T, strict=True):
        size = np.sqrt((t * t).sum(axis=1))
        values += (sigma * size).tolist()
        pairs = correlated_pairs(f)
        if pairs:
            # rows of unit length: a pivot of zero gives a correlation of exactly one
            unit = t / np.where(size > 0.0, size, np.nan)[:, None]
            values += [min(max(float(unit[i] @ unit[j]), -1.0), 1.0) for i, j in pairs]
    return np.array([*values, sigma])


def variance_jacobian(
    design: Design,
    working: Sequence[FloatArray],
    maps: Sequence[FloatArray],
    sigma: float,
) -> FloatArray:
    """Derivatives of `variance_values` in (free entries of T_w, log sigma).

    With E = R^-1 T_w, Cov = sigma^2 E E', so dCov = sigma^2 (dE E' + E dE') and
    d Cov / d log sigma = 2 Cov.
    """
    n_free = int(sum(f.pattern.sum() for f in design.factors))
    rows = []
    at = 0
    for f, t, R in zip(design.factors, working, maps, strict=True):
        back = np.linalg.inv(R)
        E = back @ t
        cov = sigma**2 * E @ E.T
        sd = np.sqrt(np.diag(cov))
        entries = np.argwhere(f.pattern)
        d_cov = np.zeros((n_free + 1, *cov.shape))
        for k, (i, j) in enumerate(entries):
            half = np.outer(back[:, i], E[:, j])
            d_cov[at + k] = sigma**2 * (half + half.T)
        d_cov[-1] = 2.0 * cov
        at += len(entries)
        with np.errstate(divide="ignore", invalid="ignore"):
            d_var = np.einsum("kii->ki", d_cov)
            rows += list((d_var / (2.0 * sd)).T)
            for i, j in correlated_pairs(f):
                corr = cov[i, j] / (sd[i] * sd[j])
                relative = d_var[:, i] / (2 * cov[i, i]) + d_var[:, j] / (2 * cov[j, j])
                rows.append(d_cov[:, i, j] / (sd[i] * sd[j]) - corr * relative)
    rows.append(np.append(np.zeros(n_free), sigma))
    return np.array(rows)


def variance_covariance(hessian: FloatArray, free: BoolArray, jacobian: FloatArray) -> FloatArray:
    """Covariance of the reported parameters from the Hessian of -2 log L.

    Parameters
    ----------
    hessian : ndarray, shape (f + 1, f + 1)
        In the f free entries of T and log sigma.
    free : ndarray of bool, shape (k,)
        Entries of T held at zero are conditioned on; parameters that depend on
        them (an SD of zero, a correlation of plus or minus one) get NaN.
    jacobian : ndarray, shape (parameters, k + 1)
    """
    values, vectors = np.linalg.eigh(hessian / 2.0)
    with np.errstate(divide="ignore"):
        inverse = np.where(values > 1e-12 * max(values.max(), 1e-300), 1.0 / values, np.nan)
    J = jacobian[:, np.append(free, True)]
    finite = np.isfinite(jacobian).all(axis=1)
    J = np.where(finite[:, None], J, 0.0)
    out = J @ (vectors * inverse) @ vectors.T @ J.T
    held = jacobian[:, :-1][:, np.logical_not(free)]
    bad = ~finite | (held != 0.0).any(axis=1) | (J == 0.0).all(axis=1)
    out[bad, :] = np.nan
    out[:, bad] = np.nan
    return np.asarray(out)
