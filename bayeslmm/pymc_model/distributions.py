"""Prior objects as PyMC distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm.priors import (
    Exponential,
    Flat,
    Gamma,
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    LogNormal,
    Normal,
    Prior,
    StudentT,
    Uniform,
)
from bayeslmm.priors.names import of

DISTRIBUTIONS: dict[type[Prior], Any] = {
    Normal: pm.Normal,
    StudentT: pm.StudentT,
    Flat: pm.Flat,
    Uniform: pm.Uniform,
    HalfNormal: pm.HalfNormal,
    HalfStudentT: pm.HalfStudentT,
    HalfCauchy: pm.HalfCauchy,
    Exponential: pm.Exponential,
    Gamma: pm.Gamma,
    InverseGamma: pm.InverseGamma,
    LogNormal: pm.LogNormal,
}


def distribution(prior: Prior, *, positive: bool) -> Any:
    """PyMC's class for a prior; a flat prior of a positive number is HalfFlat."""
    if positive and isinstance(prior, Flat):
        return pm.HalfFlat
    return DISTRIBUTIONS[type(prior)]


def free_scalar(name: str, prior: Prior, *, positive: bool) -> Any:
    """A free variable of one number."""
    return distribution(prior, positive=positive)(name, **prior.arguments)


def free_vector(
    name: str, priors: Sequence[Prior], labels: Sequence[str], dim: str, *, positive: bool
) -> Any:
    """A vector with its own prior for each element.

    One free variable where all priors are of one class, otherwise one a label, named
    ``name[label]``, stacked into a deterministic variable ``name``.
    """
    if len({type(p) for p in priors}) == 1:
        arguments = {
            key: np.array([p.arguments[key] for p in priors]) for key in priors[0].arguments
        }
        return distribution(priors[0], positive=positive)(name, **arguments, dims=dim)
    parts = [
        free_scalar(of(name, label), prior, positive=positive)
        for label, prior in zip(labels, priors, strict=True)
    ]
    return pm.Deterministic(name, pt.stack(parts), dims=dim)
