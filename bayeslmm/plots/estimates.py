"""Estimates of several fits, a small panel a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from bayeslmm.plots.drawable import DrawableComparison
from bayeslmm.plots.style import CYCLE, INK, panels, percent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BOUNDS = {"sd": (0.0, np.inf), "residual": (0.0, np.inf), "corr": (-1.0, 1.0), "icc": (0.0, 1.0)}


def plot_estimates(comparison: DrawableComparison) -> Figure:
    """Draw each fit's estimate and interval, a panel a parameter, as units differ.

    Point fits have normal intervals, estimate +- quantile x SE, cut where the parameter
    ends (0 for an SD, +-1 for a correlation). Posteriors have equal-tailed intervals
    with the median as a dot, the joint mode as a diamond and the mean as a bar.

    Parameters
    ----------
    comparison : EstimateComparison

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import bayeslmm as bl
    >>> model = bl.Model("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
    >>> both = bl.compare_estimates(model.fit("REML"), model.fit("ML"))
    >>> plot_estimates(both).savefig("estimates.png")  # doctest: +SKIP
    """
    long, names = comparison.long, list(comparison.names)
    rows = long.drop_duplicates("parameter")[["parameter", "kind"]]
    height = 0.75 + 0.27 * len(names)
    figure, axes = panels(len(rows), 3, (3.4, height))
    values = long.set_index(["parameter", "fit", "statistic"])["value"].sort_index()
    for k, (ax, (parameter, kind)) in enumerate(
        zip(axes, rows.itertuples(index=False), strict=True)
    ):
        for i, name in enumerate(names):
            at = values[parameter][name]
            _draw(ax, at, len(names) - 1 - i, CYCLE[i % len(CYCLE)], kind, comparison.level)
        ax.set_title(parameter, fontsize=9, loc="left")
        ax.set_ylim(-0.6, len(names) - 0.4)
        labels = names[::-1] if k % 3 == 0 else [""] * len(names)
        ax.set_yticks(range(len(names)), labels)
        ax.locator_params(axis="x", nbins=5)
    _explain(figure, "posterior" in set(long["method"]), comparison)
    return figure


def _draw(ax: Axes, at: pd.Series[float], y: int, colour: str, kind: str, level: float) -> None:
    if "estimate" in at.index:
        z = -float(ndtri((1.0 - level) / 2.0))
        ends = np.array([at["estimate"] - z * at["se"], at["estimate"] + z * at["se"]])
        ends = np.clip(ends, *_BOUNDS.get(kind, (-np.inf, np.inf)))
        ax.plot(at["estimate"], y, "o", color=colour, markersize=5, clip_on=False, zorder=3)
    else:
        ends = np.array([at["lower"], at["upper"]])
        ax.plot(at["median"], y, "o", color=colour, markersize=5, zorder=3)
        ax.plot(
            at["mode"], y, "D", color=colour, markerfacecolor="white", markersize=5,
            clip_on=False, zorder=4,
        )  # fmt: skip
        ax.plot(at["mean"], y, "|", color=colour, markersize=13, markeredgewidth=1.8, zorder=2)
    if np.isfinite(ends).all():
        ax.hlines(y, *ends, color=colour, linewidth=1.5)


def _explain(figure: Figure, has_posterior: bool, comparison: DrawableComparison) -> None:
    from matplotlib.lines import Line2D

    level = percent(comparison.level)
    keys = [Line2D([], [], marker="o", color=INK, label=f"estimate, {level} normal interval")]
    if has_posterior:
        label = f"posterior median, {level} equal-tailed interval"
        keys[0].set_label(f"point fit: estimate, {level} normal interval\n{label}")
        mode, mean = (Line2D([], [], color=INK, linestyle="") for _ in range(2))
        mode.set(marker="D", markersize=5, markerfacecolor="white", label="posterior mode")
        mean.set(marker="|", markersize=12, markeredgewidth=1.8, label="posterior mean")
        keys += [mode, mean]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
