"""Profiles of the likelihood: zeta of each parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.inference.profile import Profile, spline
from bayeslmm.plots.style import BLUE, GREY, ORANGE, panels, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_profile(profile: Profile) -> Figure:
    """Draw zeta of each parameter, a panel a parameter.

    A straight line means that the likelihood is quadratic, so that Wald and profile
    intervals agree. Vertical lines are the limits at the profile's level; the large dot
    is the estimate.

    Parameters
    ----------
    profile : Profile
        As ``fit.profile()`` gives it.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> bl.plot_profile(fit.profile()).savefig("profile.png")  # doctest: +SKIP
    """
    names = list(profile.limits.index)
    figure, axes = panels(len(names), 3, (3.4, 2.7))
    inside = profile.frame["zeta"].abs().max()
    for k, (ax, name) in enumerate(zip(axes, names, strict=True)):
        part = profile.frame[profile.frame["parameter"] == name]
        value, zeta = part["value"].to_numpy(), part["zeta"].to_numpy()
        limits = profile.limits.loc[name].to_numpy()
        ax.axhline(0.0, color=GREY, linewidth=0.6, zorder=0)
        if len(part) > 1:
            fine = np.linspace(value[0], value[-1], 300)
            ax.plot(fine, spline(part)(fine), color=BLUE, linewidth=1.4)
        ax.plot(value, zeta, "o", color=BLUE, markersize=2.5)
        ax.plot(profile.estimates[name], 0.0, "o", color=ORANGE, markersize=5, zorder=3)
        for end in limits[np.isfinite(limits)]:
            ax.axvline(end, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
        ax.set_title(name, fontsize=9, loc="left")
        ax.set_ylim(-1.05 * inside, 1.05 * inside)
        ax.locator_params(axis="x", nbins=5)
        if k % 3 == 0:
            ax.set_ylabel("zeta")
    figure.suptitle(
        f"Profiles of the ML deviance; dashed: {percent(profile.level)} limits", fontsize=10
    )
    return figure
