"""Priors as the Gaussian criterion sees them: on working fixed effects, and on T and sigma."""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.gaussian.criterion import FixedPrior
from bayeslmm.engine.gaussian.objective import VariancePrior
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.gaussian.working import Coordinates
from bayeslmm.priors import Normal, Prior, PriorSet, Uniform


def fixed_prior(design: Design, priors: PriorSet, maps: Coordinates) -> FixedPrior:
    """The normal prior of the fixed effects in working coordinates.

    beta = F^-1 (scale beta_w + shift e), e the intercept's unit vector, so
    beta_w has precision J'PJ with J = scale F^-1, and mean (F m - shift e) / scale.

    Raises
    ------
    PriorError
        A prior is neither Normal nor Flat, which the integral needs.
    """
    mean, precision = priors.integrable_beta(
        "use bl.Normal, or sample the full model",
        "MAP integrates the fixed effects out, which needs Normal or Flat priors on them.",
    )
    shift = np.zeros(design.p)
    if design.has_intercept:
        shift[design.fixed_names.index("Intercept")] = maps.y_shift
    J = maps.y_scale * np.linalg.inv(maps.X_map)
    proper = [p.sigma for p in priors.beta if isinstance(p, Normal)]
    return FixedPrior(
        precision=J.T @ precision @ J,
        mean=(maps.X_map @ mean - shift) / maps.y_scale,
        # the centring of `PriorSet` has determinant one
        log_pseudo_determinant=-2.0 * float(np.sum(np.log(proper))),
        n_flat=design.p - len(proper),
    )


def variance_prior(
    design: Design, priors: PriorSet, layout: Layout, maps: Coordinates
) -> VariancePrior:
    """Log p(SDs, correlations, sigma), in those coordinates and with no Jacobian.

    With Cov = sigma^2 E E', E = R^-1 T_w, and D = d log p / d Cov (symmetric),
    d log p / dT_w = 2 sigma^2 R^-T D E and d log p / d log sigma = 2 tr(D Cov) + sigma p'(sigma)/p.
    Uniform priors go on beyond their ends, which are the constraints of `bounds`.
    """
    backs = [np.linalg.inv(R) for R in layout.maps]
    sigma_prior = priors.sigma
    if sigma_prior is None:
        raise ValueError("a Gaussian model has a prior of sigma")

    def log_prior(T: list[FloatArray], sigma_w: float) -> tuple[float, list[FloatArray], float]:
        sigma = sigma_w * maps.y_scale
        total, slope = _density(sigma_prior, sigma)
        d_log_sigma = sigma * slope
        gradients = []
        for f, t, back in zip(design.factors, T, backs, strict=True):
            E = back @ t
            cov = sigma**2 * E @ E.T
            value, D = _of_covariance(cov, f.name, priors)
            total += value
            gradients.append(2.0 * sigma**2 * back.T @ D @ E)
            d_log_sigma += 2.0 * float(np.sum(D * cov))
        return total, gradients, d_log_sigma

    return log_prior


def _density(prior: Prior, sd: float) -> tuple[float, float]:
    """Log density at an SD and its derivative, those of a Uniform prior everywhere."""
    if isinstance(prior, Uniform):
        return float(prior.logpdf(prior.upper)), 0.0
    return float(prior.logpdf(sd)), float(prior.dlogpdf(sd))


def _of_covariance(cov: FloatArray, factor: str, priors: PriorSet) -> tuple[float, FloatArray]:
    """Log p(SDs, correlations) of one covariance matrix and its derivative in it."""
    sd = np.sqrt(np.diag(cov))
    total, D = 0.0, np.zeros_like(cov)
    for k, prior in enumerate(priors.sd[factor]):
        value, slope = _density(prior, sd[k])
        total += value
        if sd[k] > 0:
            D[k, k] += slope / (2.0 * sd[k])
    if factor not in priors.corr:
        return total, D
    lkj = priors.corr[factor]
    for start, stop in priors.blocks[factor]:
        block = slice(start, stop)
        total += lkj.log_constant(stop - start)
        if lkj.eta != 1.0:
            sign, logdet = np.linalg.slogdet(cov[block, block])
            if sign <= 0:
                return -np.inf, D
            total += (lkj.eta - 1.0) * (logdet - 2.0 * float(np.log(sd[block]).sum()))
            D[block, block] += (lkj.eta - 1.0) * (
                np.linalg.inv(cov[block, block]) - np.diag(1.0 / sd[block] ** 2)
            )
    return total, D
