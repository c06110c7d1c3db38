"""Tables of posterior draws: the names and units of a point estimate, from draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.results.tables import tail, variance_keys

if TYPE_CHECKING:
    import xarray as xr


def draws_of(datatree: xr.DataTree, name: str) -> FloatArray:
    """Draws of one variable, chains joined, or a refusal in words; shape (chain x draw, ...)."""
    # importing it loads xarray, and every fit loads this module
    from bayeslmm.sampling.record import draws_of as found

    return found(datatree, name)


def parameter_draws(design: Design, datatree: xr.DataTree) -> dict[str, FloatArray]:
    """Draws of every top-level parameter that was kept, by its printed name, each (draws,)."""
    out: dict[str, FloatArray] = {}
    if design.p and "beta" in datatree["posterior"].data_vars:
        beta = draws_of(datatree, "beta")
        out |= {f"beta[{name}]": beta[:, k] for k, name in enumerate(design.fixed_names)}
    for f in design.factors:
        sd = draws_of(datatree, f"sd_{f.name}")
        out |= {f"sd_{f.name}[{name}]": sd[:, k] for k, name in enumerate(f.column_names)}
        if f.has_correlations:
            corr = draws_of(datatree, f"corr_{f.name}")
            for j in range(f.n_columns):
                for i in range(j + 1, f.n_columns):
                    if f.pattern[i, j]:
                        key = f"corr_{f.name}[{f.column_names[j]}, {f.column_names[i]}]"
                        out[key] = corr[:, i, j]
    for name in design.family.auxiliary:
        out[name] = draws_of(datatree, name)
    return out | residual_draws(design, datatree)


def residual_draws(design: Design, datatree: xr.DataTree) -> dict[str, FloatArray]:
    """Draws of the parameters of the residual structure, by name, each (draws,)."""
    if design.residual is None:
        return {}
    values = draws_of(datatree, design.residual.variable)
    columns = values.reshape(len(values), -1).T
    return dict(zip(design.residual.names, columns, strict=True))


def covariance_draws(design: Design, datatree: xr.DataTree) -> list[FloatArray]:
    """Draws of the covariance matrix of one level's effects, each (draws, K, K)."""
    out = []
    for f in design.factors:
        sd = draws_of(datatree, f"sd_{f.name}")
        if f.has_correlations:
            corr = draws_of(datatree, f"corr_{f.name}")
        else:
            corr = np.broadcast_to(np.eye(f.n_columns), (len(sd), f.n_columns, f.n_columns))
        out.append(sd[:, :, None] * corr * sd[:, None, :])
    return out


def summarise(draws: dict[str, FloatArray], level: float) -> pd.DataFrame:
    """Mean, SD, median and equal-tailed interval of each parameter's draws."""
    low = (1.0 - level) / 2.0
    rows: list[dict[Any, Any]] = []
    for name, values in draws.items():
        q = np.quantile(values, [low, 0.5, 1.0 - low])
        rows.append(
            {
                "parameter": name,
                "mean": values.mean(),
                "posterior_sd": values.std(ddof=1),
                "median": q[1],
                tail(low): q[0],
                tail(1.0 - low): q[2],
            }
        )
    columns: list[Any] = ["parameter", *_statistics(level)]
    return pd.DataFrame(rows, columns=columns)


def variance_summary(design: Design, draws: dict[str, FloatArray], level: float) -> pd.DataFrame:
    """SDs, correlations and parameters of the family: keys of `variance_keys`, then draws."""
    keys = variance_keys(design)
    values = summarise({name: draws[name] for name in keys["parameter"]}, level)
    return keys.join(values.drop(columns="parameter"))


def _statistics(level: float) -> list[Any]:
    """Columns of every table of draws; ends of the interval by their probabilities."""
    low = (1.0 - level) / 2.0
    return ["mean", "posterior_sd", "median", tail(low), tail(1.0 - low)]


def random_summary(design: Design, b: list[FloatArray], level: float) -> pd.DataFrame:
    """Every random effect: factor, level, term, mean, SD, median, equal-tailed interval."""
    low = (1.0 - level) / 2.0
    frames = []
    for f, draws in zip(design.factors, b, strict=True):
        q = np.quantile(draws, [low, 0.5, 1.0 - low], axis=0)
        frames.append(
            pd.DataFrame(
                {
                    "factor": f.name,
                    "level": np.repeat(f.levels.to_numpy(dtype=object), f.n_columns),
                    "term": np.tile(np.array(f.column_names, dtype=object), f.n_levels),
                    "mean": draws.mean(axis=0).ravel(),
                    "posterior_sd": draws.std(axis=0, ddof=1).ravel(),
                    "median": q[1].ravel(),
                    tail(low): q[0].ravel(),
                    tail(1.0 - low): q[2].ravel(),
                }
            )
        )
    if not frames:
        return pd.DataFrame(columns=["factor", "level", "term", *_statistics(level)])
    return pd.concat(frames, ignore_index=True)
