"""A Design and its priors as a PyMC model. The only room that imports PyMC.

Importing this room imports PyMC, which takes seconds: do so inside the function that
needs it.
"""

from bayeslmm.pymc_model.build import Parameterization, build_pymc_model
from bayeslmm.pymc_model.marginal import add_marginal_likelihood

__all__ = ["Parameterization", "add_marginal_likelihood", "build_pymc_model"]
