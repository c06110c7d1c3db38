"""What the search for a residual structure's parameters adds to the uncertainty of a fit.

All variance parameters have one observed information: in z = (free T, log sigma) and in the
coordinates x of phi. Covariances of phi and of the others are blocks of its inverse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.engine.estimate import Estimate
from bayeslmm.engine.gaussian.estimate import prepare_objective, without_ends
from bayeslmm.engine.gaussian.fixed_covariance import (
    FixedCovariance,
    derivatives_in_variances,
    fixed_covariance_at,
    inverse_information,
    on_users_scale,
)
from bayeslmm.engine.gaussian.residual import FLAT, Curvature, Inner, ResidualSearch, Scale
from bayeslmm.engine.gaussian.variances import variance_covariance, variance_jacobian
from bayeslmm.priors import PriorSet

# Step of first differences in the coordinates of phi.
_STEP = 1e-3


@dataclass(frozen=True, eq=False)
class ResidualUncertainty:
    """How well phi is known, and what that adds to the other variance parameters.

    Attributes
    ----------
    cov : ndarray, shape (parameters, parameters)
        Covariance of phi, from the observed information of all parameters; NaN where phi is at
        the end of its interval or prior, or the criterion is flat in it.
    variance_cov : ndarray
        Covariance of SDs, correlations and sigma.
    scale : Scale
    x, x_se : ndarray, shape (parameters,)
        Coordinates of phi on that scale, and their standard errors.
    """

    cov: FloatArray
    variance_cov: FloatArray
    scale: Scale
    x: FloatArray
    x_se: FloatArray

    def limits(self, level: float) -> FloatArray:
        """Normal limits on the scale of the coordinates, carried to phi, (parameters, 2).

        For a correlation between -1 and 1 the coordinate is Fisher's z, for one between
        other ends the same of its place there, for a ratio the logarithm.
        """
        half = -float(ndtri((1.0 - level) / 2.0)) * self.x_se
        return np.column_stack([self.scale.values(self.x + s * half) for s in (-1.0, 1.0)])


@one_blas_thread
def residual_uncertainty(
    design: Design, estimate: Estimate, priors: PriorSet | None = None
) -> ResidualUncertainty:
    """Covariances of phi and of the other variance parameters, phi estimated too.

    Inverse observed information of all variance parameters together, as for a model with
    independent residuals.
    """
    search = ResidualSearch(design, estimate.method, priors)
    x = search.scale.coordinates(estimate.residual_values)
    at = search.inner(x)
    second = search.curvature(at)
    known = not _is_open(search, x, second)
    cov = np.full((len(x),) * 2, np.nan) if known else 2.0 * np.linalg.inv(second.of_structure())
    layout, maps = at.objective.layout, at.objective.cp.coordinates
    working = layout.to_working(estimate.T)
    jacobian = variance_jacobian(at.design, working, maps.Z_maps, estimate.sigma)
    hessian = second.zz if known else second.of_variances()
    variances = variance_covariance(hessian, second.free, jacobian)
    slope = search.scale.slope(x)
    return ResidualUncertainty(
        cov=slope[:, None] * cov * slope,
        variance_cov=without_ends(variances, estimate),
        scale=search.scale,
        x=x,
        x_se=np.sqrt(np.diag(cov)),
    )


def _is_open(search: ResidualSearch, x: FloatArray, second: Curvature) -> bool:
    """Whether the data say how far phi may be from its estimate."""
    if search.at_end(x)[0].any():
        return False
    return bool(np.linalg.eigvalsh(second.of_structure())[0] > FLAT)


@one_blas_thread
def structured_fixed_covariance(design: Design, estimate: Estimate) -> FixedCovariance:
    """For Satterthwaite's df: parameters (T, log sigma, x), x the coordinates of phi.

    Derivatives of the covariance in T and log sigma are exact, those in x central
    differences of order four, at T and sigma held. Where phi has no standard error it is
    taken as known.

    Parameters
    ----------
    design : Design
    estimate : Estimate
        By REML or ML.
    """
    search = ResidualSearch(design, estimate.method, None)
    x = search.scale.coordinates(estimate.residual_values)
    at = search.inner(x)
    second = search.curvature(at)
    T, sigma = at.variances
    _, every = derivatives_in_variances(at.objective, T, sigma)
    every, H = every[np.append(second.free, True)], second.zz
    if _is_open(search, x, second):
        every = np.concatenate([every, _derivatives_in_structure(search, at)])
        H = np.block([[second.zz, second.zx], [second.zx.T, second.xx]])
    maps = at.objective.cp.coordinates
    return on_users_scale(maps, estimate, every, 2.0 * inverse_information(H))


def _derivatives_in_structure(search: ResidualSearch, at: Inner) -> FloatArray:
    """Of the working covariance of the fixed effects in each coordinate, (k, p, p)."""
    T, sigma = at.variances
    out = []
    for k in range(len(at.x)):
        total = np.zeros((at.design.p,) * 2)
        for steps, weight in ((1.0, 8.0), (2.0, -1.0)):
            for sign in (1.0, -1.0):
                x = at.x.copy()
                x[k] += sign * steps * _STEP
                objective = prepare_objective(search.bound(x), search.method, None)
                total += sign * weight * fixed_covariance_at(objective, T, sigma)
        out.append(total / (12.0 * _STEP))
    return np.array(out)
