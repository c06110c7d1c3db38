"""Curves of power."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.inference.power import Power
from bayeslmm.plots.style import BLUE, GREY, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The power that studies are usually planned for.
_USUAL = 0.8


def plot_power(power: Power) -> Figure:
    """Draw power against size, with its Monte Carlo interval.

    The dashed lines are at 0.8 and at the level of the test, which the power has at a size
    of zero. Sizes of several coefficients stand side by side in their order.

    Parameters
    ----------
    power : Power
        As `bayeslmm.power` gives it.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> bl.plot_power(bl.power(fit, "Days", [0, 2, 4])).savefig("power.png")  # doctest: +SKIP
    """
    figure, (axes,) = panels(1, 1, (5.2, 3.6))
    table, joint = power.table, power.along is None and len(power.effect) > 1
    sizes = np.arange(len(table)) if joint else table["size"].to_numpy(dtype=float)
    order = np.argsort(sizes, kind="stable")
    share = table["power"].to_numpy()
    away = np.abs(table[["lower", "upper"]].to_numpy().T - share)
    axes.errorbar(
        sizes[order], share[order], yerr=away[:, order],
        fmt="o" if joint else "o-", color=BLUE, markersize=5, linewidth=1.4,
        capsize=2.5, elinewidth=1.0,
    )  # fmt: skip
    for height, words in ((_USUAL, "0.8"), (power.level, f"level {power.level:g}")):
        axes.axhline(height, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
        axes.annotate(
            words, (1.0, height), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            fontsize=7, color=GREY,
        )  # fmt: skip
    if joint:
        labels = ["(" + ", ".join(f"{v:.3g}" for v in size) + ")" for size in table["size"]]
        axes.set_xticks(sizes, labels, fontsize=7)
        axes.margins(x=0.2)
    axes.set_ylim(-0.02, 1.03)
    axes.set_ylabel("power")
    axes.set_xlabel(f"levels of {power.along}" if power.along else ", ".join(power.effect))
    axes.set_title(f"Power for {', '.join(power.effect)}, {power.words}", fontsize=9, loc="left")
    return figure
