"""Data and the fitted line of every level, along one predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Factor
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
    first = [int(np.flatnonzero(f.codes == j)[0]) for j in range(f.n_levels)]
    grids = [_grid(used[x][f.codes == j]) for j in range(f.n_levels)]
    curves = _curves(fit, held, x, grids, f, used.iloc[first], include_re=True)
    alpha = float(np.clip(12.0 / f.n_levels, 0.15, 0.8))
    for j, (grid, curve) in enumerate(zip(grids, curves, strict=True)):
        label = f"each level of {f.name}" if j == 0 else None
        ax.plot(grid, curve, color=BLUE, linewidth=1.0, alpha=alpha, label=label)
    whole = [_grid(used[x])]
    population = _curves(fit, held, x, whole, f, used.iloc[:1], include_re=False)
    ax.plot(whole[0], population[0], color=ORANGE, linewidth=2.5, label="population")
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


def _held(fit: DrawableFit, used: pd.DataFrame, x: str, f: Factor) -> tuple[pd.Series[Any], str]:
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


def _curves(
    fit: DrawableFit,
    held: pd.Series[Any],
    x: str,
    grids: Sequence[FloatArray],
    f: Factor,
    levels: pd.DataFrame,
    *,
    include_re: bool,
) -> list[FloatArray]:
    """Expected response along each grid; the rows of ``levels`` say whose it is."""
    sizes = [len(g) for g in grids]
    columns: dict[Any, Any] = {k: [v] * sum(sizes) for k, v in held.items()}
    columns |= {k: np.repeat(levels[k].to_numpy(dtype=object), sizes) for k in f.source}
    columns[x] = np.concatenate(grids)
    types = {k: t for k, t in fit.definition.data.dtypes.items() if k != x}
    new = pd.DataFrame(columns).astype(types, errors="ignore")
    # curves are at offset 0; an offset given as an array could not be encoded anyway
    rows = replace(fit.design.encoding, offsets=(), offset_argument=None).encode(new)
    b = [np.zeros((g.n_levels, g.n_columns)) for g in fit.design.factors]
    if include_re:
        at = [g.name for g in fit.design.factors].index(f.name)
        b[at] = fit.random_effects[f.name].to_numpy(dtype=float).reshape(f.n_levels, -1)
    eta = linear_predictor(rows, fit.fe_params.to_numpy(dtype=float), b)
    mean = np.asarray(fit.design.family.mean(eta), dtype=float)
    return np.split(mean, np.cumsum(sizes)[:-1])


def _grid(values: pd.Series[Any]) -> FloatArray:
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high, _POINTS if high > low else 1)
