"""How far a model pulls each level's own estimate towards the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Factor
from bayeslmm.design.residual import refuse_residual_structure
from bayeslmm.errors import ArgumentError
from bayeslmm.plots.drawable import DrawableFit, find_factor, is_posterior
from bayeslmm.plots.style import BLUE, GREY, INK, ORANGE, panels
from bayeslmm.prediction import linear_predictor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LABELS = 60


def no_pooling(fit: DrawableFit, factor: Factor) -> FloatArray:
    """Least-squares deviations of each level, from its own rows only.

    The response less the fixed effects, the offset and the effects of *other* factors is
    regressed on the factor's columns within each level. What the model shrinks are these.

    Returns
    -------
    ndarray, shape (J, K)
        NaN for levels whose rows do not determine all columns.
    """
    design = fit.design
    refuse_residual_structure(design, "the estimate of a level by itself", "plot_caterpillar")
    b = [
        np.zeros((f.n_levels, f.n_columns))
        if f is factor
        else fit.random_effects[f.name].to_numpy(dtype=float).reshape(f.n_levels, -1)
        for f in design.factors
    ]
    rest = design.y - linear_predictor(design, fit.fe_params.to_numpy(dtype=float), b)
    out = np.full((factor.n_levels, factor.n_columns), np.nan)
    root = np.sqrt(design.weights)
    order = np.argsort(factor.codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(factor.codes[order])) + 1):
        C = factor.columns[rows] * root[rows, None]
        solution, _, rank, _ = np.linalg.lstsq(C, rest[rows] * root[rows])
        if rank == factor.n_columns:
            out[factor.codes[rows[0]]] = solution
    return out


def plot_shrinkage(fit: DrawableFit, factor: str | None = None) -> Figure:
    """Draw each level's no-pooling estimate and where the model moves it.

    With an intercept and one slope: a plane with an arrow a level, and the population
    at the cross. Otherwise a panel a term with a line a level.

    Parameters
    ----------
    fit : PointFit or PosteriorFit
        Gaussian with identity link.
    factor : str, optional
        The first grouping factor by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        No such factor, or another family.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> plot_shrinkage(fit, "Subject").savefig("shrinkage.png")  # doctest: +SKIP
    """
    family = fit.design.family
    if family.name != "gaussian" or family.link.name != "identity":
        raise ArgumentError(
            "shrinkage is drawn for the Gaussian family with identity link only.",
            found=f"{family.name} ({family.link.name})",
            fix="plot_caterpillar shows the random effects of any family",
        )
    f = find_factor(fit.design, factor)
    own = no_pooling(fit, f)
    pooled = fit.random_effects[f.name].to_numpy(dtype=float).reshape(f.n_levels, -1)
    kind = "posterior means" if is_posterior(fit) else "BLUPs"
    title = f"{f.name}: each level's own least squares,\nand {kind}"
    if f.n_columns == 2:
        figure, (ax,) = panels(1, 1, (6.4, 5.2))
        _plane(ax, fit, f, own, pooled, kind)
    else:
        height = 1.4 + 0.19 * min(f.n_levels, 40)
        figure, axes = panels(f.n_columns, 3, (4.4, height))
        for k, ax in enumerate(axes):
            _lines(ax, f, k, own[:, k], pooled[:, k], kind)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3,
        fontsize=8, frameon=False,
    )  # fmt: skip
    figure.suptitle(title, fontsize=10)
    return figure


def _plane(
    ax: Axes, fit: DrawableFit, f: Factor, own: FloatArray, pooled: FloatArray, kind: str
) -> None:
    """Both coefficients of every level; fixed effects are added where they exist."""
    centre = np.array([fit.fe_params.get(name, 0.0) for name in f.column_names], dtype=float)
    start, end = own + centre, pooled + centre
    ax.plot(*start.T, "o", mfc="white", color=GREY, markersize=5, label="own least squares")
    for a, b in zip(start, end, strict=True):
        if np.isfinite(a).all():
            ax.annotate(
                "", b, a, arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.8}, zorder=1
            )
    ax.plot(*end.T, "o", color=BLUE, markersize=5, label=kind)
    ax.plot(*centre, "+", color=ORANGE, markersize=16, markeredgewidth=2.5, label="population")
    if f.n_levels <= 30:
        for level, at in zip(f.levels, start, strict=True):
            if np.isfinite(at).all():
                ax.annotate(
                    str(level), at, xytext=(4, 3), textcoords="offset points", fontsize=7,
                    color=INK,
                )  # fmt: skip
    names = [
        f"{name} of {fit.design.response_name}" if name == "Intercept" else f"slope of {name}"
        for name in f.column_names
    ]
    ax.set_xlabel(f"{f.name}'s {names[0]}")
    ax.set_ylabel(f"{f.name}'s {names[1]}")


def _lines(ax: Axes, f: Factor, k: int, own: FloatArray, pooled: FloatArray, kind: str) -> None:
    order = np.argsort(np.where(np.isnan(own), pooled, own))
    y = np.arange(len(order))
    ax.axvline(0.0, color=ORANGE, linewidth=1.2, zorder=0, label="population")
    ax.hlines(y, own[order], pooled[order], color=GREY, linewidth=0.8)
    size = 4.0 if f.n_levels <= _MOST_LABELS else 1.0
    ax.plot(
        own[order], y, "o", mfc="white", color=GREY, markersize=size + 1, label="own least squares"
    )
    ax.plot(pooled[order], y, "o", color=BLUE, markersize=size, label=kind)
    if f.n_levels <= _MOST_LABELS:
        ax.set_yticks(y, [str(v) for v in f.levels[order]])
    else:
        ax.set_yticks([])
    ax.set_xlabel(f"deviation from the population, {f.column_names[k]}", fontsize=8)
    if k == 0:
        ax.set_ylabel(f.name)
