"""Tables of posterior draws: the names and units of a point estimate, from draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.results.tables import variance_keys

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


def describe_draws(draws: FloatArray, level: float) -> pd.DataFrame:
    """Mean, SD, median and equal-tailed interval of each column of draws, shape (S, k)."""
    low = (1.0 - level) / 2.0
    q = np.quantile(draws, [low, 0.5, 1.0 - low], axis=0)
    return pd.DataFrame(
        {
            "mean": draws.mean(axis=0),
            "posterior_sd": draws.std(axis=0, ddof=1),
            "median": q[1],
            "lower": q[0],
            "upper": q[2],
        }
    )


def summarise(draws: dict[str, FloatArray], level: float) -> pd.DataFrame:
    """The draws of each parameter described: a row a parameter."""
    columns = np.array(list(draws.values())).T if draws else np.empty((2, 0))
    table = describe_draws(columns, level)
    table.insert(0, "parameter", pd.Series(list(draws), dtype=object))
    return table


def variance_summary(design: Design, draws: dict[str, FloatArray], level: float) -> pd.DataFrame:
    """SDs, correlations and parameters of the family: keys of `variance_keys`, then draws."""
    keys = variance_keys(design)
    values = summarise({name: draws[name] for name in keys["parameter"]}, level)
    return keys.join(values.drop(columns="parameter"))


def random_summary(design: Design, b: list[FloatArray], level: float) -> pd.DataFrame:
    """Every random effect: factor, level, term, mean, SD, median, equal-tailed interval."""
    frames = []
    for f, draws in zip(design.factors, b, strict=True):
        table = describe_draws(draws.reshape(len(draws), -1), level)
        table.insert(0, "factor", f.name)
        table.insert(1, "level", np.repeat(f.levels.to_numpy(dtype=object), f.n_columns))
        table.insert(2, "term", np.tile(np.array(f.column_names, dtype=object), f.n_levels))
        frames.append(table)
    if not frames:
        statistics = describe_draws(np.empty((2, 0)), level)
        return pd.DataFrame(columns=["factor", "level", "term", *statistics])
    return pd.concat(frames, ignore_index=True)
