"""Tidy tables of a point estimate: a row a parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from bayeslmm.design import Design
from bayeslmm.design.design import FloatArray
from bayeslmm.engine.estimate import Estimate
from bayeslmm.engine.gaussian.variances import correlated_pairs


def wald_interval(estimate: pd.Series[Any], se: pd.Series[Any], level: float) -> pd.DataFrame:
    """Estimate plus and minus a normal quantile times its standard error.

    Columns are named by their probabilities, ``0.025`` and ``0.975`` for 95 %.
    """
    low = (1.0 - level) / 2.0
    z = -float(ndtri(low))
    return pd.DataFrame({tail(low): estimate - z * se, tail(1.0 - low): estimate + z * se})


def tail(probability: float) -> float:
    """A column label for a quantile: ``0.025``, free of rounding noise."""
    return round(probability, 10)


def normal_pvalues(t: pd.Series[Any]) -> pd.Series[Any]:
    """Two-sided p-values of z statistics."""
    return pd.Series(2.0 * ndtr(-np.abs(t.to_numpy(dtype=float))), index=t.index)


def fixed_table(design: Design, e: Estimate, level: float) -> pd.DataFrame:
    """Fixed effects: estimate, SE, z, p, interval."""
    names = pd.Index(design.fixed_names, name="parameter")
    estimate = pd.Series(e.beta, names)
    se = pd.Series(np.sqrt(np.diag(e.cov_beta)), names)
    z = estimate / se
    table = pd.DataFrame(
        {"estimate": estimate, "std_error": se, "z_value": z, "p_value": normal_pvalues(z)}
    )
    return table.join(wald_interval(estimate, se, level)).reset_index()


def varcorr_table(design: Design, e: Estimate, variance_cov: FloatArray) -> pd.DataFrame:
    """Variance components: SD, variance or covariance, correlation, standard errors.

    Standard errors come from the observed information; those of variances by the
    delta method. NaN marks a component on the boundary, where none exists.
    """
    at = {name: k for k, name in enumerate(e.variance_names)}
    se = np.sqrt(np.diag(variance_cov))
    rows: list[dict[str, Any]] = []

    def add(factor: str, term: str, other: str | None, key: str, cov: float) -> None:
        value, error = float(e.variance_values[at[key]]), float(se[at[key]])
        row: dict[str, Any] = {"factor": factor, "term": term, "term2": other, "parameter": key}
        if other is None:
            row |= {
                "variance": cov,
                "variance_se": 2.0 * value * error,
                "sd": value,
                "sd_se": error,
            }
        else:
            row |= {"variance": cov, "corr": value, "corr_se": error}
        rows.append(row)

    for f, cov in zip(design.factors, e.covariances, strict=True):
        for k, name in enumerate(f.column_names):
            add(f.name, name, None, f"sd_{f.name}[{name}]", float(cov[k, k]))
        for i, j in correlated_pairs(f):
            a, b = f.column_names[j], f.column_names[i]
            add(f.name, a, b, f"corr_{f.name}[{a}, {b}]", float(cov[i, j]))
    add("Residual", "", None, "sigma", e.sigma**2)
    columns = ["factor", "term", "term2", "parameter", "variance", "variance_se"]
    return pd.DataFrame(rows).reindex(columns=[*columns, "sd", "sd_se", "corr", "corr_se"])


def random_table(design: Design, e: Estimate, level: float) -> pd.DataFrame:
    """Every random effect: factor, level, term, BLUP, conditional SD, interval."""
    frames = []
    for f, b, cov in zip(design.factors, e.b, e.cov_b, strict=True):
        sd = np.sqrt(np.maximum(np.einsum("jkk->jk", cov), 0.0))
        frames.append(
            pd.DataFrame(
                {
                    "factor": f.name,
                    "level": np.repeat(f.levels.to_numpy(dtype=object), f.n_columns),
                    "term": np.tile(np.array(f.column_names, dtype=object), f.n_levels),
                    "estimate": b.ravel(),
                    "std_error": sd.ravel(),
                }
            )
        )
    if not frames:
        return pd.DataFrame(columns=["factor", "level", "term", "estimate", "std_error"])
    table = pd.concat(frames, ignore_index=True)
    return table.join(wald_interval(table["estimate"], table["std_error"], level))
