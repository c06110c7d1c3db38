"""Random effects of one factor: standard deviations, correlations, effects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm.design.design import Factor
from bayeslmm.priors import PriorSet
from bayeslmm.priors.lkj import partial_shapes
from bayeslmm.priors.names import corr_name, effects_name, sd_name, term_dim, term_dim_bis
from bayeslmm.pymc_model.distributions import free_vector


def add_effects(factor: Factor, priors: PriorSet, *, centered: bool) -> Any:
    """Add a factor's variables to the model at hand; its effects, shape (J, K).

    Noncentered, the free variable is ``z_<factor>``, standard normal, and
    ``b_<factor>`` = z (diag(sd) L)'; centered, ``b_<factor>`` is free itself.
    """
    name, dims = factor.name, (factor.name, term_dim(factor.name))
    sd = free_vector(
        sd_name(name), priors.sd[name], factor.column_names, term_dim(name), positive=True
    )
    L = add_correlation_factor(factor, priors) if factor.has_correlations else None
    if centered:
        if L is None:
            return pm.Normal(effects_name(name), 0.0, sd, dims=dims)
        return pm.MvNormal(
            effects_name(name), mu=np.zeros(factor.n_columns), chol=sd[:, None] * L, dims=dims
        )
    z = pm.Normal(f"z_{name}", 0.0, 1.0, dims=dims)
    b = z * sd if L is None else z @ (sd[:, None] * L).T
    return pm.Deterministic(effects_name(name), b, dims=dims)


def add_correlation_factor(factor: Factor, priors: PriorSet) -> Any:
    """Cholesky factor of the correlations, shape (K, K), with LKJ priors by term.

    The free variables are the partial correlations of `bayeslmm.priors.lkj`, on (0, 1):
    ``partial_<factor>`` = (z + 1) / 2, independent Beta variables. PyMC's ``LKJCorr``
    changed what it returns and its density between minor versions; betas do not, and
    they leave each standard deviation a prior of its own class.
    """
    name, blocks, lkj = factor.name, priors.blocks[factor.name], priors.corr[factor.name]
    a = np.concatenate([partial_shapes(lkj.eta, stop - start) for start, stop in blocks])
    share = pm.Beta(f"partial_{name}", a, a, shape=len(a))
    K = factor.n_columns
    entries: list[list[Any]] = [[float(i == j) for j in range(K)] for i in range(K)]
    k = 0
    for start, stop in blocks:
        for i in range(start + 1, stop):
            left: Any = 1.0
            for j in range(start, i):
                entries[i][j] = (2 * share[k] - 1) * left
                left = left * 2 * pt.sqrt(share[k] * (1 - share[k]))
                k += 1
            entries[i][i] = left
    L = pt.stack([pt.stack([pt.as_tensor(v, dtype="float64") for v in row]) for row in entries])
    pm.Deterministic(corr_name(name), L @ L.T, dims=(term_dim(name), term_dim_bis(name)))
    return L


def contribution(factor: Factor, b: Any, used: Any) -> Any:
    """What a factor adds to the linear predictor of the rows ``used``, shape (n,)."""
    codes = factor.codes[used]
    total: Any = 0.0
    for k in range(factor.n_columns):
        column = factor.columns[used, k]
        effect = b[codes, k]
        total = total + (effect if np.all(column == 1) else column * effect)
    return total
