"""Prior distributions, default scales read off a Design, and their table.

Names and arguments are PyMC's, so a prior reads the same here and in a PyMC model.
Densities are normalised and derivatives are in the parameter's own units, with no
Jacobian: the same objects serve MAP estimates, the sampler and power-scaling.
"""

from bayeslmm.priors.lkj import LKJ
from bayeslmm.priors.positive import (
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    LogNormal,
)
from bayeslmm.priors.prior import Prior, Support
from bayeslmm.priors.real import Flat, Normal, StudentT, Uniform
from bayeslmm.priors.resolve import resolve_priors
from bayeslmm.priors.table import PriorSet

__all__ = [
    "LKJ",
    "Exponential",
    "Flat",
    "Gamma",
    "HalfCauchy",
    "HalfNormal",
    "HalfStudentT",
    "InverseGamma",
    "LogNormal",
    "Normal",
    "Prior",
    "PriorSet",
    "StudentT",
    "Support",
    "Uniform",
    "resolve_priors",
]
