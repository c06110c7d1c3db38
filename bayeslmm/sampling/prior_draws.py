"""Draws from the prior of every parameter and effect."""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.design.rows import Factor
from bayeslmm.priors import PriorSet
from bayeslmm.priors.names import corr_name, effects_name, sd_name


def sample_prior(
    design: Design, priors: PriorSet, draws: int, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Independent draws of all parameters, then of the effects given them.

    Returns
    -------
    dict of str to ndarray
        Named and shaped as in the posterior, with a leading axis of draws.

    Raises
    ------
    PriorError
        A prior is improper.
    """
    out: dict[str, FloatArray] = {}
    if priors.beta:
        beta = np.stack([p.sample(rng, draws) for p in priors.beta], axis=-1)
        out["beta"] = priors.uncentred(beta)
    for f in design.factors:
        out.update(_sample_factor(f, priors, draws, rng))
    for name, prior in priors.auxiliary.items():
        out[name] = prior.sample(rng, draws)
    return out


def _sample_factor(
    factor: Factor, priors: PriorSet, draws: int, rng: np.random.Generator
) -> dict[str, FloatArray]:
    name, K = factor.name, factor.n_columns
    sd = np.stack([p.sample(rng, draws) for p in priors.sd[name]], axis=-1)
    out = {sd_name(name): sd}
    z = rng.standard_normal((draws, factor.n_levels, K))
    if name in priors.corr:
        R = np.tile(np.eye(K), (draws, 1, 1))
        for start, stop in priors.blocks[name]:
            block = priors.corr[name].sample(rng, draws, dim=stop - start)
            R[:, start:stop, start:stop] = block
        out[corr_name(name)] = R
        z = z @ np.swapaxes(np.linalg.cholesky(R), -1, -2)
    out[effects_name(name)] = z * sd[:, None, :]
    return out
