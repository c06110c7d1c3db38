"""The figures that suit a fit, by file name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bayeslmm.design import Factor
from bayeslmm.plots.caterpillar import plot_caterpillar
from bayeslmm.plots.drawable import DrawableFit
from bayeslmm.plots.group_fits import plot_group_fits
from bayeslmm.plots.shrinkage import plot_shrinkage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gallery(fit: DrawableFit) -> dict[str, Figure]:
    """Random effects, shrinkage and fitted lines of each grouping factor.

    Shrinkage is of Gaussian responses with independent residuals.

    Parameters
    ----------
    fit : PointFit or PosteriorFit

    Returns
    -------
    dict of str to Figure
        By names fit for files: ``caterpillar_Subject``, ``shrinkage_Subject``,
        ``lines_Subject``. Lines are drawn along the first numeric predictor, if any.
    """
    figures: dict[str, Figure] = {}
    family = fit.design.family
    identity = family.name == "gaussian" and family.link.name == "identity"
    for f in fit.design.factors:
        name = "".join(c if c.isalnum() else "_" for c in f.name)
        figures[f"caterpillar_{name}"] = plot_caterpillar(fit, f.name)
        if identity and fit.design.residual is None:
            figures[f"shrinkage_{name}"] = plot_shrinkage(fit, f.name)
        if (x := _predictor(fit, f)) is not None:
            axes = plot_group_fits(fit, x, f.name)
            figures[f"lines_{name}"] = axes.figure.get_figure(root=True)
    return figures


def _predictor(fit: DrawableFit, f: Factor) -> str | None:
    """A numeric column of the data: one with a slope over the factor first."""
    data, spec = fit.definition.data, fit.design.spec
    sloped = [n.name for t in spec.random if t.factor == f.name for n in t.basis.names]
    for name in [*sloped, *(n.name for n in spec.fixed.names)]:
        values = data.get(name)
        if values is None or not pd.api.types.is_numeric_dtype(values):
            continue
        if values.nunique() > 2:
            return name
    return None
