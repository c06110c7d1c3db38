"""Data and the fitted line of every level, along one predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.design import Factor
from bayeslmm.design.design import FloatArray
from bayeslmm.errors import ArgumentError, suggest
from bayeslmm.plots.drawable import DrawableFit, find_factor, is_posterior
from bayeslmm.plots.style import BLUE, GREY, ORANGE, panels
from bayeslmm.prediction import linear_predictor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 50


def plot_group_fits(fit: DrawableFit, x: str, factor: str | None = None) -> Axes:
    """Draw the data, a fitted line a level, and the population's line.

    Parameters
    ----------
    fit : PointFit or PosteriorFit
        Lines of a posterior are drawn at posterior means of the coefficients.
    x : str
        A numeric column of the data that the model uses.
    factor : str, optional
        The first grouping factor by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ArgumentError
        No such column or factor, or a column of labels.

    Notes
    -----
    Other predictors are held at their mean, or at their most frequent label; effects of
    other factors are left out, and so is an offset.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> plot_group_fits(fit, "Days").figure.savefig("lines.png")  # doctest: +SKIP
    """
    f = find_factor(fit.design, factor)
    data = fit.definition.data
    _check_numeric(data, x)
    used = data.loc[fit.design.rows.kept].reset_index(drop=True)
    held, words = _held(fit, used, x, f)
    figure, (ax,) = panels(1, 1, (6.4, 4.6))
    response = fit.design.y if fit.design.trials is None else fit.design.y / fit.design.trials
    ax.plot(used[x], response, "o", color=GREY, markersize=3, alpha=0.5, label="data")
    alpha = float(np.clip(12.0 / f.n_levels, 0.15, 0.8))
    for j in range(f.n_levels):
        rows = np.flatnonzero(f.codes == j)
        grid = _grid(used[x].iloc[rows])
        line = _curve(fit, held, x, grid, f, used.iloc[rows[0]], j)
        label = f"each level of {f.name}" if j == 0 else None
        ax.plot(grid, line, color=BLUE, linewidth=1.0, alpha=alpha, label=label)
    grid = _grid(used[x])
    population = _curve(fit, held, x, grid, f, used.iloc[0], None)
    ax.plot(grid, population, color=ORANGE, linewidth=2.5, label="population")
    ax.set_xlabel(x)
    ax.set_ylabel(fit.design.response_name)
    where = "posterior means" if is_posterior(fit) else "estimates"
    ax.set_title(f"Fitted lines at {where}" + (f"; {words}" if words else ""), fontsize=9)
    figure.legend(
        *ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8,
        frameon=False,
    )  # fmt: skip
    return ax


def _check_numeric(data: pd.DataFrame, x: str) -> None:
    if x not in data.columns:
        close = suggest(x, data.columns)
        raise ArgumentError(
            f"x={x!r} is not a column the model uses.",
            found=", ".join(data.columns),
            fix=f"did you mean {close!r}?" if close else None,
        )
    if not pd.api.types.is_numeric_dtype(data[x]) or pd.api.types.is_bool_dtype(data[x]):
        raise ArgumentError(
            f"x={x!r} has labels, and lines need numbers along the axis.", found=str(data[x].dtype)
        )


def _held(fit: DrawableFit, used: pd.DataFrame, x: str, f: Factor) -> tuple[pd.Series, str]:
    """A row with every column at its typical value, and words for those that matter."""
    typical, words = {}, []
    grouping = {s for g in fit.design.factors for s in g.source}
    spec = fit.design.spec
    parts = [spec.fixed, *(t.basis for t in spec.random)]
    fixed = {n.name for part in parts for n in part.names} - {x}
    for name, values in used.items():
        number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        whole = number and name in grouping
        typical[name] = values.mean() if number and not whole else values.mode().iloc[0]
        if name in fixed:
            shown = f"{typical[name]:.3g}" if number else str(typical[name])
            words.append(f"{name} = {shown}")
    return pd.Series(typical, dtype=object), ", ".join(words)


def _curve(
    fit: DrawableFit,
    held: pd.Series,
    x: str,
    grid: FloatArray,
    f: Factor,
    row: pd.Series,
    j: int | None,
) -> FloatArray:
    """Expected response along the grid: of level ``j``, or of the population if None."""
    columns = {name: [value] * len(grid) for name, value in held.items()}
    columns |= {name: [row[name]] * len(grid) for name in f.source}
    columns[x] = grid.tolist()
    new = pd.DataFrame(columns).astype(
        {k: t for k, t in fit.definition.data.dtypes.items() if k != x}, errors="ignore"
    )
    rows = fit.design.for_new(new)
    b = [np.zeros((g.n_levels, g.n_columns)) for g in fit.design.factors]
    if j is not None:
        at = [g.name for g in fit.design.factors].index(f.name)
        b[at][j] = fit.random_effects[f.name].to_numpy(dtype=float).reshape(f.n_levels, -1)[j]
    eta = linear_predictor(rows, fit.fe_params.to_numpy(dtype=float), b) - rows.offset
    return np.asarray(fit.design.family.mean(eta), dtype=float)


def _grid(values: pd.Series) -> FloatArray:
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high, _POINTS if high > low else 1)
