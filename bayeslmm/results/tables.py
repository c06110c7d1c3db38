"""Tidy tables of a point estimate: a row a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate
from bayeslmm.engine.gaussian.variances import correlated_pairs

if TYPE_CHECKING:
    from bayeslmm.engine.gaussian.residual_uncertainty import ResidualUncertainty


def wald_interval(estimate: pd.Series[Any], se: pd.Series[Any], level: float) -> pd.DataFrame:
    """Estimate plus and minus a normal quantile times its standard error."""
    half = -float(ndtri((1.0 - level) / 2.0)) * se
    return pd.DataFrame({"lower": estimate - half, "upper": estimate + half})


def t_pvalues(t: FloatArray, df: FloatArray) -> FloatArray:
    """Two-sided p-values of t statistics; df of infinity is the standard normal."""
    size, many = -np.abs(np.asarray(t, dtype=np.float64)), np.isinf(df)
    return np.asarray(2.0 * np.where(many, ndtr(size), stdtr(np.where(many, 1.0, df), size)))


def t_quantile(df: FloatArray | float, level: float) -> FloatArray:
    """Half width of an interval of that level in standard errors; df may be infinity."""
    many, high = np.isinf(df), 1.0 - (1.0 - level) / 2.0
    return np.asarray(np.where(many, ndtri(high), stdtrit(np.where(many, 1.0, df), high)))


def fixed_table(
    design: Design, beta: FloatArray, se: FloatArray, df: FloatArray, level: float
) -> pd.DataFrame:
    """Fixed effects: estimate, SE, df, t, p and interval; df of infinity is the normal."""
    half = t_quantile(df, level) * se
    with np.errstate(divide="ignore", invalid="ignore"):
        t = beta / se
    columns = {
        "parameter": list(design.fixed_names),
        "estimate": beta,
        "se": se,
        "df": df,
        "t": t,
        "p": t_pvalues(t, df),
        "lower": beta - half,
        "upper": beta + half,
    }
    return pd.DataFrame(columns)


def variance_keys(design: Design) -> pd.DataFrame:
    """Where each SD, correlation, parameter of family and residual structure belongs; its name.

    Columns ``factor``, ``term``, ``term2`` (of a correlation) and ``parameter``, the same
    for point estimates and posteriors.
    """
    rows: list[tuple[str, str, str | None, str]] = []
    for f in design.factors:
        c = f.column_names
        rows += [(f.name, name, None, f"sd_{f.name}[{name}]") for name in c]
        rows += [
            (f.name, c[j], c[i], f"corr_{f.name}[{c[j]}, {c[i]}]") for i, j in correlated_pairs(f)
        ]
    for name in design.family.auxiliary:
        rows.append(("Residual" if name == "sigma" else "Family", "", None, name))
    if (r := design.residual) is not None:
        levels = [""] if r.structure.correlated else r.levels[1:]
        rows += [("Residual", level, None, k) for level, k in zip(levels, r.names, strict=True)]
    return pd.DataFrame(rows, columns=["factor", "term", "term2", "parameter"])


def varcorr_table(
    design: Design,
    e: Estimate,
    variance_cov: FloatArray,
    level: float = 0.95,
    structure: ResidualUncertainty | None = None,
) -> pd.DataFrame:
    """Variance components: SD, variance or covariance, correlation, errors, intervals.

    Standard errors come from the observed information; those of variances by the
    delta method. NaN marks a component on the boundary, where none exists. Intervals
    are those of the SD or correlation, by the standard normal.

    The correlation of a residual structure is a ``corr``; its ratios of SDs have columns
    ``ratio`` and ``ratio_se`` of their own. Their intervals are normal on the scale of
    Fisher's z, or of logarithms.
    """
    table = variance_keys(design)
    names = [*e.variance_names, *e.residual_names]
    values = np.concatenate([e.variance_values, e.residual_values])
    errors = np.sqrt(np.diag(variance_cov))
    if structure is not None:
        errors = np.concatenate([errors, np.sqrt(np.diag(structure.cov))])
    value = table["parameter"].map(dict(zip(names, values, strict=True)))
    error = table["parameter"].map(dict(zip(names, errors, strict=True)))
    of_residuals = table["parameter"].isin(e.residual_names)
    ratios = design.residual is not None and not design.residual.structure.correlated
    is_ratio = of_residuals & ratios
    is_corr = table["term2"].notna() | (of_residuals & ~is_ratio)
    is_sd = ~is_corr & ~is_ratio
    table["variance"] = [*_covariances(design, e), *[np.nan] * len(e.residual_names)]
    table["variance_se"] = (2.0 * value * error).where(is_sd)
    table["sd"], table["sd_se"] = value.where(is_sd), error.where(is_sd)
    table["corr"], table["corr_se"] = value.where(is_corr), error.where(is_corr)
    if is_ratio.any():
        table["ratio"], table["ratio_se"] = value.where(is_ratio), error.where(is_ratio)
    limits = wald_interval(value, error, level)
    if structure is not None:
        limits.loc[of_residuals] = structure.limits(level)
    return table.join(limits)


def _covariances(design: Design, e: Estimate) -> list[float]:
    """Variances and covariances in the order of `variance_keys`."""
    out: list[float] = []
    for f, cov in zip(design.factors, e.covariances, strict=True):
        out += [float(v) for v in np.diag(cov)]
        out += [float(cov[i, j]) for i, j in correlated_pairs(f)]
    return [*out, e.sigma**2]


def sd_of(covariances: FloatArray) -> FloatArray:
    """SDs of covariance matrices, shape (J, K, K) to (J, K)."""
    return np.asarray(np.sqrt(np.maximum(np.einsum("jkk->jk", covariances), 0.0)))


def random_table(
    design: Design, effects: Sequence[FloatArray], cov_b: Sequence[FloatArray], level: float
) -> pd.DataFrame:
    """Every random effect: factor, level, term, BLUP, conditional SD, interval."""
    frames = []
    for f, b, cov in zip(design.factors, effects, cov_b, strict=True):
        frames.append(
            pd.DataFrame(
                {
                    "factor": f.name,
                    "level": np.repeat(f.levels.to_numpy(dtype=object), f.n_columns),
                    "term": np.tile(np.array(f.column_names, dtype=object), f.n_levels),
                    "estimate": b.ravel(),
                    "se": sd_of(cov).ravel(),
                }
            )
        )
    if not frames:
        return pd.DataFrame(columns=["factor", "level", "term", "estimate", "se", "lower", "upper"])
    table = pd.concat(frames, ignore_index=True)
    return table.join(wald_interval(table["estimate"], table["se"], level))
