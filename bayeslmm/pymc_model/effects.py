"""Random effects of one factor: standard deviations, correlations, effects.

Products of small matrices are written out element by element: numba compiles each kind
of matrix product for half a minute where its cache is empty, and these take no time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm.design.rows import Factor
from bayeslmm.priors import PriorSet
from bayeslmm.priors.lkj import partial_shapes
from bayeslmm.priors.names import corr_name, effects_name, sd_name, term_dim, term_dim_bis
from bayeslmm.pymc_model.distributions import free_vector

type Entries = list[list[Any]]
"""A lower triangular matrix, row by row; the number 0 where an entry is no variable."""


def add_effects(factor: Factor, priors: PriorSet, *, centered: bool) -> list[Any]:
    """Add a factor's variables to the model at hand; its effects, K vectors of length J.

    Noncentered, the free variable is ``z_<factor>``, standard normal, and
    ``b_<factor>`` = z (diag(sd) L)'; centered, ``b_<factor>`` is free itself.
    """
    name, dims, K = factor.name, (factor.name, term_dim(factor.name)), factor.n_columns
    sd = free_vector(
        sd_name(name), priors.sd[name], factor.column_names, term_dim(name), positive=True
    )
    L = add_correlation_factor(factor, priors) if factor.has_correlations else None
    if centered:
        if L is None:
            b = pm.Normal(effects_name(name), 0.0, sd, dims=dims)
        else:
            chol = sd[:, None] * as_matrix(L)
            b = pm.MvNormal(effects_name(name), mu=np.zeros(K), chol=chol, dims=dims)
        return [b[:, k] for k in range(K)]
    z = pm.Normal(f"z_{name}", 0.0, 1.0, dims=dims)
    columns = []
    for k in range(K):
        unit = z[:, k] if L is None else sum(z[:, j] * v for j, v in enumerate(L[k]) if _there(v))
        columns.append(sd[k] * unit)
    pm.Deterministic(effects_name(name), pt.stack(columns, axis=1), dims=dims)
    return columns


def add_correlation_factor(factor: Factor, priors: PriorSet) -> Entries:
    """Cholesky factor of the correlations, K x K, with LKJ priors by term.

    The free variables are the partial correlations of `bayeslmm.priors.lkj`, on (0, 1):
    ``partial_<factor>`` = (z + 1) / 2, independent Beta variables. PyMC's ``LKJCorr``
    changed what it returns and its density between minor versions; betas do not, and
    they leave each standard deviation a prior of its own class.
    """
    name, blocks, lkj = factor.name, priors.blocks[factor.name], priors.corr[factor.name]
    a = np.concatenate([partial_shapes(lkj.eta, stop - start) for start, stop in blocks])
    share = pm.Beta(f"partial_{name}", a, a, shape=len(a))
    K = factor.n_columns
    L: Entries = [[float(i == j) for j in range(K)] for i in range(K)]
    k = 0
    for start, stop in blocks:
        for i in range(start + 1, stop):
            left: Any = 1.0
            for j in range(start, i):
                L[i][j] = (2 * share[k] - 1) * left
                left = left * 2 * pt.sqrt(share[k] * (1 - share[k]))
                k += 1
            L[i][i] = left
    full = as_matrix(L)
    R = (full[:, None, :] * full[None, :, :]).sum(axis=-1)
    pm.Deterministic(corr_name(name), R, dims=(term_dim(name), term_dim_bis(name)))
    return L


def contribution(factor: Factor, b: list[Any], used: Any) -> Any:
    """What a factor adds to the linear predictor of the rows ``used``, shape (n,)."""
    codes = factor.codes[used]
    total: Any = 0.0
    for k, effects in enumerate(b):
        column = factor.columns[used, k]
        total = total + (effects[codes] if np.all(column == 1) else column * effects[codes])
    return total


def as_matrix(L: Entries) -> Any:
    """The entries as one tensor."""
    return pt.stack([pt.stack([pt.as_tensor(v, dtype="float64") for v in row]) for row in L])


def _there(entry: Any) -> bool:
    return not (isinstance(entry, float) and entry == 0.0)
