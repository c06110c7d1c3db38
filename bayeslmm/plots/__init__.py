"""Matplotlib figures of fits; matplotlib is imported when one is drawn."""

from bayeslmm.plots.agreement import plot_agreement
from bayeslmm.plots.caterpillar import plot_caterpillar
from bayeslmm.plots.estimates import plot_estimates
from bayeslmm.plots.gallery import gallery
from bayeslmm.plots.group_fits import plot_group_fits
from bayeslmm.plots.power import plot_power
from bayeslmm.plots.profile import plot_profile
from bayeslmm.plots.shrinkage import plot_shrinkage

__all__ = [
    "gallery",
    "plot_agreement",
    "plot_caterpillar",
    "plot_estimates",
    "plot_group_fits",
    "plot_power",
    "plot_profile",
    "plot_shrinkage",
]
