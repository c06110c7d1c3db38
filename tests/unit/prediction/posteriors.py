"""Posteriors made by hand, for families whose sampling would take long."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

import bayeslmm as bl
from bayeslmm.sampling import check_convergence

CHAINS, DRAWS = 2, 400


def posterior_of(model: bl.Model, seed: int = 1, sd: float = 0.4) -> bl.PosteriorFit:
    """Draws with every variable of a posterior, from distributions that need no data."""
    rng = np.random.default_rng(seed)
    size, design = (CHAINS, DRAWS), model.design
    variables: dict[str, Any] = {}
    if design.p:
        beta = 0.3 + 0.2 * rng.normal(size=(*size, design.p))
        variables["beta"] = (("chain", "draw", "fixed"), beta)
    for f in design.factors:
        K, term = f.n_columns, f"{f.name}_term"
        sds = sd * np.exp(0.2 * rng.normal(size=(*size, K)))
        variables[f"sd_{f.name}"] = (("chain", "draw", term), sds)
        b = sds[:, :, None] * rng.normal(size=(*size, f.n_levels, K))
        variables[f"b_{f.name}"] = (("chain", "draw", f.name, term), b)
        if f.has_correlations:
            rho = np.tile(np.eye(K), (*size, 1, 1))
            rho[..., 0, 1] = rho[..., 1, 0] = rng.uniform(-0.5, 0.9, size)
            variables[f"corr_{f.name}"] = (("chain", "draw", term, f"{term}_bis"), rho)
    for name in design.family.auxiliary:
        variables[name] = (("chain", "draw"), np.exp(0.1 * rng.normal(size=size)))
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(variables),
            "sample_stats": xr.Dataset({"diverging": (("chain", "draw"), np.zeros(size, bool))}),
        }
    )
    return bl.PosteriorFit(design, tree, check_convergence(tree), model._definition(), model.priors)
