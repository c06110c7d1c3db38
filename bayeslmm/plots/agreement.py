"""Random effects of several fits against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from bayeslmm.errors import ArgumentError
from bayeslmm.plots.style import CYCLE, GREY, MARKERS, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CENTRES = ("estimate", "mean")


def plot_agreement(effects: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Draw each fit's random effects against those of the first, a panel a term.

    Points on the diagonal agree.

    Parameters
    ----------
    effects : pandas.DataFrame
        ``factor``, ``level``, ``term`` and ``<fit>_estimate`` or ``<fit>_mean`` of each fit.
    names : sequence of str
        The fits, two or more.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        One fit only, or no random effects.
    """
    if len(names) < 2 or effects.empty:
        raise ArgumentError("the plot needs random effects of two fits or more.")
    first, *others = names
    at = {k: next(f"{k}_{s}" for s in _CENTRES if f"{k}_{s}" in effects) for k in names}
    groups = list(effects.groupby(["factor", "term"], sort=False))
    figure, axes = panels(len(groups), 3, (3.6, 3.6))
    for ax, ((factor, term), part) in zip(axes, groups, strict=True):
        ends = part[list(at.values())].to_numpy()
        low, high = float(ends.min()), float(ends.max())
        ax.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=0)
        for i, name in enumerate(others, start=1):
            ax.plot(
                part[at[first]], part[at[name]], MARKERS[i % len(MARKERS)], label=name,
                markersize=4, color=CYCLE[i % len(CYCLE)], markerfacecolor="none", linestyle="",
            )  # fmt: skip
        ax.set_title(f"{factor}: {term}", fontsize=10)
        ax.set_xlabel(first)
        ax.set_ylabel(others[0] if len(others) == 1 else "other fits")
        ax.set_aspect("equal", adjustable="datalim")
    if len(others) > 1:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(
        "Random effects: BLUPs and posterior means\non the line they agree", fontsize=10
    )
    return figure
