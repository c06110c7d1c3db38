"""Linear combinations of fixed effects: estimates, errors, degrees of freedom, joint tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError
from bayeslmm.inference.degrees_of_freedom import f_pvalue

if TYPE_CHECKING:
    from bayeslmm.engine.gaussian.fixed_covariance import FixedCovariance

# Singular values of contrasts of unit length below this are zero: rows depend on others.
_RANK = 1e-10


class EstimatedFit(Protocol):
    """What tests of fixed effects ask of a point fit."""

    design: Design
    estimate: Estimate
    df_method: str

    @property
    def fixed_covariance(self) -> FixedCovariance | None: ...  # noqa: D102


@dataclass(frozen=True, eq=False, slots=True)
class Contrasts:
    """Estimates of k linear combinations of the fixed effects.

    Attributes
    ----------
    estimate, se : ndarray, shape (k,)
        In units of the response.
    df : ndarray, shape (k,)
        Degrees of freedom of t; infinity for the standard normal.
    cov : ndarray, shape (k, k)
        Adjusted under Kenward-Roger.
    """

    estimate: FloatArray
    se: FloatArray
    df: FloatArray
    cov: FloatArray


class JointTest(NamedTuple):
    """Test of several contrasts at once.

    ``scale`` is the factor Kenward and Roger put to the F statistic, which has it; 1 for
    the others. ``df_den`` is infinity for the chi-square test.
    """

    F: float
    df_num: int
    df_den: float
    p: float
    scale: float = 1.0


def estimate_contrasts(fit: EstimatedFit, L: FloatArray) -> Contrasts:
    """Estimate linear combinations of the fixed effects.

    Parameters
    ----------
    fit : PointFit
        Its ``df_method`` chooses degrees of freedom, and the covariance.
    L : ndarray, shape (k, p)
        A row a combination, in the columns of the design.

    Returns
    -------
    Contrasts

    Raises
    ------
    ArgumentError
        L has not as many columns as the design.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> estimate_contrasts(fit, [[0.0, 1.0]]).df.round(3).tolist()
    [17.0]
    """
    L = _checked(fit.design, L)
    cov = L @ covariance(fit) @ L.T
    se = np.sqrt(np.maximum(np.diag(cov), 0.0))
    return Contrasts(L @ fit.estimate.beta, se, contrast_df(fit, L), cov)


def joint_test(fit: EstimatedFit, L: FloatArray) -> JointTest:
    """Test that every one of some linear combinations of the fixed effects is zero.

    Satterthwaite's way splits the F statistic into independent squares of t and matches its
    mean (Fai and Cornelius 1996, as lmerTest::contestMD does); Kenward and Roger's scales it
    (as pbkrtest::KRmodcomp does); the normal approximation is Wald's chi-square over its df.

    Parameters
    ----------
    fit : PointFit
    L : ndarray, shape (k, p)
        Rows that depend on others count once.

    Returns
    -------
    JointTest
    """
    L = _checked(fit.design, L)
    parts = fit.fixed_covariance
    L = _uncorrelated(L, fit.estimate.cov_beta)
    q, scale = len(L), 1.0
    if q == 0:
        return JointTest(np.nan, 0, np.nan, np.nan)
    if parts is None or fit.df_method != "kenward-roger":
        df = _joint_satterthwaite(fit, L)
    else:
        from bayeslmm.inference.kenward_roger import joint_df

        df, scale = joint_df(parts, L)
    F = scale * _wald(L @ fit.estimate.beta, L @ covariance(fit) @ L.T) / q
    return JointTest(F, q, df, f_pvalue(F, q, df), scale)


def _uncorrelated(L: FloatArray, cov_beta: FloatArray) -> FloatArray:
    """As many combinations of the rows as are independent, their estimates uncorrelated."""
    scaled = L * np.sqrt(np.diag(cov_beta))
    lengths = np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    unit = scaled / np.where(lengths > 0.0, lengths, 1.0)
    rank = int((np.linalg.svd(unit, compute_uv=False) > _RANK).sum())
    return np.asarray(np.linalg.eigh(L @ cov_beta @ L.T)[1][:, len(L) - rank :].T @ L)


def _wald(estimate: FloatArray, cov: FloatArray) -> float:
    scales = np.sqrt(np.diag(cov))
    scaled = estimate / scales
    return float(scaled @ np.linalg.solve(cov / np.outer(scales, scales), scaled))


def covariance(fit: EstimatedFit) -> FloatArray:
    """Covariance of the fixed effects that goes with the fit's ``df_method``, (p, p)."""
    if fit.df_method != "kenward-roger" or (parts := fit.fixed_covariance) is None:
        return fit.estimate.cov_beta
    return parts.adjusted


def contrast_df(fit: EstimatedFit, L: FloatArray) -> FloatArray:
    """Degrees of freedom of each row of L, shape (k,)."""
    from bayeslmm.inference import satterthwaite

    if fit.df_method == "normal":
        return np.full(len(L), np.inf)
    if (parts := fit.fixed_covariance) is None:
        return np.full(len(L), float(fit.design.n_effective - fit.design.p))
    return satterthwaite.contrast_df(parts, L)


def _joint_satterthwaite(fit: EstimatedFit, L: FloatArray) -> float:
    from bayeslmm.inference.satterthwaite import joint_df

    df = contrast_df(fit, L)
    return float(df[0]) if np.isinf(df).all() or fit.fixed_covariance is None else joint_df(df)


def _checked(design: Design, L: FloatArray) -> FloatArray:
    rows = np.atleast_2d(np.asarray(L, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != design.p:
        raise ArgumentError(
            "a matrix of contrasts has a column for each fixed effect.",
            found=f"shape {np.shape(L)} for {design.p} fixed effects",
            fix=", ".join(design.fixed_names),
        )
    return rows
