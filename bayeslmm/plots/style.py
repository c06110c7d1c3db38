"""Colours, symbols and empty panels, the same in every figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart.
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
AMBER = "#E69F00"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER)
MARKERS = ("o", "s", "D", "^", "v", "P")
INK = "#333333"
GREY = "#999999"


def panels(
    count: int, columns: int, size: tuple[float, float], **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels in rows of ``columns``; ``size`` of one, in inches."""
    # Figure itself, and not pyplot: nothing global to close, no window system needed
    from matplotlib.figure import Figure

    columns = max(1, min(columns, count))
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, **options).ravel().tolist()
    for extra in grid[count:]:
        extra.set_visible(False)
    for axes in grid[:count]:
        quiet(axes)
    return figure, grid[:count]


def quiet(axes: Axes) -> None:
    """Leave out the frame's upper and right sides."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(color=GREY, labelsize=8)


def percent(level: float) -> str:
    """A level as words: ``95 %``."""
    return f"{100 * level:g} %"
