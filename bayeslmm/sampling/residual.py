"""Densities and draws of responses whose residuals have a structure, over many draws."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.engine.gaussian.whitening import Whitening, whitening


def structured_log_density(
    design: Design, eta: FloatArray, aux: Mapping[str, FloatArray]
) -> FloatArray:
    """Log density of each row given the rows of its block before it, shape (S, n).

    Their sum over rows is the joint log density.

    Parameters
    ----------
    design : Design
    eta : ndarray, shape (S, n)
        Linear predictor of the rows of positive weight.
    aux : mapping of str to ndarray
        ``sigma`` (S,), and the variable of the structure, (S,) or (S, parameters).
    """
    e = design.y[design.used] - eta
    mean, spread = _whitening(design, aux).conditional(e)
    sd = aux["sigma"][:, None] * spread
    return np.asarray(-0.5 * ((e - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2.0 * np.pi))


def structured_response(
    design: Design, eta: FloatArray, aux: Mapping[str, FloatArray], rng: np.random.Generator
) -> FloatArray:
    """A simulated response of each row, residuals of a block drawn together, shape (S, n)."""
    z = rng.standard_normal(eta.shape)
    return np.asarray(eta + aux["sigma"][:, None] * _whitening(design, aux).residuals(z))


def _whitening(design: Design, aux: Mapping[str, FloatArray]) -> Whitening:
    assert design.residual is not None
    values = np.asarray(aux[design.residual.variable])
    columns = values.reshape(len(values), -1).T
    return whitening(design, [column[:, None] for column in columns])
