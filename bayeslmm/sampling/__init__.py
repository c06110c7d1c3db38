"""Posterior draws as an ArviZ DataTree, whichever sampler made them.

Sampling itself happens in `bayeslmm.pymc_model`; this room names the draws, computes
what goes with them (pointwise log likelihood, log prior, predictive draws) with our own
families and priors in NumPy, and says whether the chains can be trusted.
"""

from bayeslmm.sampling.diagnostics import (
    Diagnostics,
    check_convergence,
    record_diagnostics,
    recorded_diagnostics,
)
from bayeslmm.sampling.linear import linear_predictor
from bayeslmm.sampling.sample import sample_posterior
from bayeslmm.sampling.settings import SAMPLERS

__all__ = [
    "SAMPLERS",
    "Diagnostics",
    "check_convergence",
    "linear_predictor",
    "record_diagnostics",
    "recorded_diagnostics",
    "sample_posterior",
]
