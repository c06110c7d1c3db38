"""The Gaussian engine: y | beta, u ~ N(X beta + Z Lambda u, sigma^2 W^-1), u ~ N(0, sigma^2 I).

Symbols, the same in every file (formulas in docs/mathematics.md):

========  =========================================================================
n, p, q   rows, fixed columns, random effects
J, K      levels of a factor, effects a level
T         relative covariance factor of one level, lower triangular; b = T u
Lambda    block diagonal of I_J (x) T over the factors
M         [[Lambda'Z'WZ Lambda + I, Lambda'Z'WX], [., X'WX]]
r2        y'Wy - c'M^-1 c, the penalised residual sum of squares
C         M^-1
R         map of working coordinates, Z_level = Z_w R
========  =========================================================================

Files: `working` (coordinates), `sums` and `crossproducts` (rows to sums), `criterion`
(value and gradient at given T), `parameters` (vectors and matrices), `objective` (what is
minimised), `moments`, `information`, `bend`, `newton`, `search`, `boundary`, `optimise`
(how), `map_prior`, `variances` (SDs and correlations), `estimate` (the record), `refit`
(other responses of the same design), `small` (an evaluation in one compiled call),
`marginal`, `coordinates`, `densities` and `draws` (the posterior of the variance
parameters, and of the effects given them), `leaving_out` and `folding` (rows given the
others), `whitening` and `spanning` (rows and cross-products with a residual structure),
`residual` (the search over its parameters), `fixed_covariance` (how the covariance of the
fixed effects moves with the variances), `ml_deviance`, `reordered`, `held` and `profile`
(likelihood profiles).
"""

from bayeslmm.engine.first_compilation import announce_compilation
from bayeslmm.engine.gaussian.estimate import (
    conditional_covariances,
    estimate_at,
    fit_gaussian,
    variance_uncertainty,
)
from bayeslmm.engine.gaussian.marginal import MarginalPosterior
from bayeslmm.engine.gaussian.refit import Refitter

__all__ = [
    "MarginalPosterior",
    "Refitter",
    "conditional_covariances",
    "estimate_at",
    "fit_gaussian",
    "variance_uncertainty",
]

announce_compilation()
