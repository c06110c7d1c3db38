"""Random effects of every level, in order, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.plots.drawable import DrawableFit, find_factor, is_posterior
from bayeslmm.plots.style import BLUE, GREY, panels, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_LABELS = 60


def plot_caterpillar(fit: DrawableFit, factor: str | None = None, *, level: float = 0.95) -> Figure:
    """Draw each level's random effects, sorted, a panel a term.

    Parameters
    ----------
    fit : PointFit or PosteriorFit
    factor : str, optional
        The first grouping factor by default.
    level : float
        Level of the intervals. For a point fit: BLUP +- normal quantile x conditional
        SD, given the estimated variances. For a posterior: equal-tailed.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        No such factor.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> plot_caterpillar(fit).savefig("subjects.png")  # doctest: +SKIP
    """
    f = find_factor(fit.design, factor)
    table = fit.to_frame("random", level)
    table = table[table["factor"] == f.name]
    centre = "mean" if is_posterior(fit) else "estimate"
    labelled = f.n_levels <= _MOST_LABELS
    height = 1.3 + (0.19 * f.n_levels if labelled else 5.0)
    figure, axes = panels(f.n_columns, 3, (4.2, height))
    for k, (ax, term) in enumerate(zip(axes, f.column_names, strict=True)):
        part = table[table["term"] == term].sort_values(centre)
        y, x = np.arange(len(part)), part[centre].to_numpy()
        ax.axvline(0.0, color=GREY, linewidth=0.8, zorder=0)
        alpha = 0.7 if labelled else 0.1
        ax.hlines(y, part["lower"], part["upper"], color=BLUE, linewidth=1.0, alpha=alpha)
        ax.plot(x, y, "o", color=BLUE, markersize=4 if labelled else 1)
        if labelled:
            ax.set_yticks(y, [str(v) for v in part["level"]])
        else:
            ax.set_yticks([])
        ax.set_ylim(-0.8, len(part) - 0.2)
        ax.set_title(term, fontsize=10)
        unit = "" if term == "Intercept" else f" a unit of {term}"
        ax.set_xlabel(f"deviation of {_response(fit)}{unit}", fontsize=8)
        if k == 0:
            ax.set_ylabel(f.name if labelled else f"{f.n_levels} levels of {f.name}")
    kind = (
        f"posterior means\n{percent(level)} equal-tailed intervals"
        if is_posterior(fit)
        else f"BLUPs\n{percent(level)} normal intervals, given the estimated variances"
    )
    figure.suptitle(f"{f.name}: {kind}", fontsize=10)
    return figure


def _response(fit: DrawableFit) -> str:
    link = fit.design.family.link.name
    name = fit.design.response_name
    return name if link == "identity" else f"{link} of {name}"
