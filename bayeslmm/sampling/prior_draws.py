"""Draws from the prior of every parameter and effect."""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.design.rows import Factor
from bayeslmm.errors import PriorError
from bayeslmm.priors import Flat, PriorSet, resolve_priors
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
    _refuse_improper(design, priors)
    out: dict[str, FloatArray] = {}
    if priors.beta:
        beta = np.stack([p.sample(rng, draws) for p in priors.beta], axis=-1)
        out["beta"] = priors.uncentred(beta)
    for f in design.factors:
        out.update(_sample_factor(f, priors, draws, rng))
    for name, prior in priors.auxiliary.items():
        out[name] = prior.sample(rng, draws)
    if priors.residual:
        own = [prior.sample(rng, draws) for prior in priors.residual.values()]
        scalar = priors.residual_variable in priors.residual
        out[priors.residual_variable] = own[0] if scalar else np.stack(own, axis=-1)
    return out


def _refuse_improper(design: Design, priors: PriorSet) -> None:
    """Name every parameter with an improper prior, and the default that could stand there."""
    flat = [name for name, prior in priors.scalar.items() if isinstance(prior, Flat)]
    if not flat:
        return
    defaults = resolve_priors(design).scalar
    given = ", ".join(f'"{name}": bl.{defaults[name]!r}' for name in flat)
    many = len(flat) > 1
    raise PriorError(
        f"nothing can be drawn from the prior{'s' if many else ''} of "
        f"{', '.join(f'`{name}`' for name in flat)}: {'they are' if many else 'it is'} flat, "
        "hence improper.",
        fix=f"{'proper ones' if many else 'a proper one'}, such as the "
        f"default{'s' if many else ''}: priors={{{given}}}",
    )


def _sample_factor(
    factor: Factor, priors: PriorSet, draws: int, rng: np.random.Generator
) -> dict[str, FloatArray]:
    name, K = factor.name, factor.n_columns
    sd = np.stack([p.sample(rng, draws) for p in priors.sd[name]], axis=-1)
    out = {sd_name(name): sd}
    z = rng.standard_normal((draws, factor.n_levels, K))
    if name in priors.corr:
        L = np.tile(np.eye(K), (draws, 1, 1))
        for start, stop in priors.blocks[name]:
            block = priors.corr[name].sample_factor(rng, draws, dim=stop - start)
            L[:, start:stop, start:stop] = block
        R = L @ np.swapaxes(L, -1, -2)
        R[:, np.arange(K), np.arange(K)] = 1.0
        out[corr_name(name)] = R
        z = z @ np.swapaxes(L, -1, -2)
    out[effects_name(name)] = z * sd[:, None, :]
    return out
