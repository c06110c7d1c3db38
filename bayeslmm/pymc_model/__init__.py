"""A Design and its priors as a PyMC model. The only room that imports PyMC.

Importing this room imports PyMC, which takes seconds: do so inside the function that
needs it.
"""

from bayeslmm.pymc_model.build import Parameterization, build_pymc_model

__all__ = ["Parameterization", "build_pymc_model"]
