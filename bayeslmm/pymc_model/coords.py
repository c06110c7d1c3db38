"""Labels of the dimensions of every PyMC model of a design."""

from __future__ import annotations

from typing import Any

from bayeslmm.design.design import Design
from bayeslmm.priors.names import obs_labels, term_dim, term_dim_bis


def model_coords(design: Design) -> dict[str, Any]:
    """Labels by dimension, as `pymc.Model` takes them."""
    coords: dict[str, Any] = {**design.coords, "obs": obs_labels(design)}
    if not design.p:
        del coords["fixed"]
    for f in design.factors:
        if f.has_correlations:
            coords[term_dim_bis(f.name)] = coords[term_dim(f.name)]
    return coords
