"""REML, ML and MAP of a Gaussian design."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate, Method
from bayeslmm.engine.gaussian.crossproducts import CrossProducts, compute_crossproducts
from bayeslmm.engine.gaussian.map_prior import fixed_prior, variance_prior
from bayeslmm.engine.gaussian.objective import Objective, gradient_differences
from bayeslmm.engine.gaussian.optimise import Optimum, minimise
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.gaussian.variances import (
    variance_covariance,
    variance_jacobian,
    variance_names,
    variance_values,
)
from bayeslmm.errors import DataError, FitError
from bayeslmm.outcomes import FitStatus
from bayeslmm.priors import PriorSet

# A correlation this close to plus or minus one stands there but for rounding.
_AT_THE_END = 1e-9


def fit_gaussian(
    design: Design, method: Method = "REML", priors: PriorSet | None = None
) -> Estimate:
    """Estimate a Gaussian mixed model.

    REML maximises the likelihood with the fixed effects integrated out under a
    flat prior; ML profiles them; MAP is the joint mode of (SDs, correlations,
    sigma) under their priors, in those coordinates and without a Jacobian, the
    fixed effects integrated out under theirs.

    Parameters
    ----------
    design : Design
    method : {"REML", "ML", "MAP"}
    priors : PriorSet
        Needed for MAP, ignored otherwise.

    Returns
    -------
    Estimate

    Raises
    ------
    DataError
        No more rows than fixed columns.
    FitError
        The model fits the response exactly, so that there is no residual.

    Notes
    -----
    A singular or a failed fit is a result with its `FitStatus`, not an error.
    Cost: one pass over the rows, then evaluations that do not depend on their number.
    """
    objective = _objective(design, method, priors)
    optimum = minimise(objective, joint=method == "MAP")
    estimate = _assemble(design, objective, method, optimum)
    _check_sigma(estimate, objective.cp)
    return estimate


def estimate_at(design: Design, theta: Sequence[FloatArray], method: Method = "REML") -> Estimate:
    """Everything `fit_gaussian` gives, at variance parameters that are given, not sought.

    Parameters
    ----------
    design : Design
    theta : sequence of ndarray, each (K, K)
        T of each factor; sigma is at its optimum given them.
    method : {"REML", "ML"}
    """
    objective = _objective(design, method, None)
    x = objective.layout.pack(objective.layout.to_working(theta))
    point = objective.profiled(x)
    free = np.ones(len(x), dtype=bool)
    optimum = Optimum(x, point.value, free, np.nan, FitStatus.FAILED, 1, ())
    return _assemble(design, objective, method, optimum)


def variance_uncertainty(
    design: Design, estimate: Estimate, priors: PriorSet | None = None
) -> FloatArray:
    """Covariance of the reported variance parameters: inverse observed information.

    The Hessian of -2 log likelihood (log posterior for MAP) in (T, log sigma), by
    differences of the exact gradient, carried to SDs, correlations and sigma by the
    delta method.

    Parameters
    ----------
    design : Design
    estimate : Estimate
    priors : PriorSet
        Needed for MAP.

    Returns
    -------
    ndarray
        Rows and columns in the order of ``estimate.variance_names``; NaN for
        components on the boundary, which have no such standard error.
    """
    objective = _objective(design, estimate.method, priors)
    maps = objective.cp.coordinates
    working = objective.layout.to_working(estimate.T)
    x = np.append(objective.layout.pack(working), np.log(estimate.sigma / maps.y_scale))
    held = [np.diag(t) == 0.0 for t in working]
    free = objective.layout.pack(
        [np.broadcast_to(~h, t.shape).astype(float) for h, t in zip(held, working, strict=True)]
    ).astype(bool)
    H = gradient_differences(objective.joint, x, np.append(free, True))
    jacobian = variance_jacobian(design, working, maps.Z_maps, estimate.sigma)
    cov = variance_covariance(H, free, jacobian)
    ends = np.abs(estimate.variance_values) > 1.0 - _AT_THE_END
    ends &= np.array([name.startswith("corr_") for name in estimate.variance_names])
    cov[ends, :] = np.nan
    cov[:, ends] = np.nan
    return cov


def _objective(design: Design, method: Method, priors: PriorSet | None) -> Objective:
    if design.n_effective <= design.p:
        raise DataError(
            f"{design.p} fixed columns for {design.n_effective} rows: nothing is left for the "
            "residual.",
            fix="simplify the fixed part, or bring more data",
        )
    cp = compute_crossproducts(design)
    _check_residual(cp)
    layout = Layout.of(design, cp.coordinates)
    if method != "MAP":
        return Objective(cp, layout, reml=method == "REML")
    if priors is None:
        raise ValueError("MAP needs priors")
    return Objective(
        cp,
        layout,
        reml=True,
        fixed_prior=fixed_prior(design, priors, cp.coordinates),
        variance_prior=variance_prior(design, priors, layout, cp.coordinates),
    )


def _check_residual(cp: CrossProducts) -> None:
    """Refuse a response that the fixed columns reproduce to rounding."""
    Xy = cp.S[cp.q_rest :, cp.q_rest :]
    X, y = Xy[:-1, :-1], Xy[:-1, -1]
    rest = Xy[-1, -1] - (y @ np.linalg.solve(X, y) if len(y) else 0.0)
    if rest <= 1e-13 * Xy[-1, -1]:
        raise FitError(
            "the fixed part reproduces the response exactly: there is no residual to model.",
            fix="check whether a predictor is the response itself, rescaled",
        )


def _check_sigma(estimate: Estimate, cp: CrossProducts) -> None:
    """Refuse a search that failed because sigma ran to zero."""
    if estimate.status is FitStatus.FAILED and estimate.sigma < 1e-6 * cp.coordinates.y_scale:
        raise FitError(
            "the fixed and random effects together reproduce the response exactly: "
            "there is no residual to model.",
            fix="check whether the response is constant within the levels of a factor",
        )


def _assemble(design: Design, objective: Objective, method: Method, optimum: Optimum) -> Estimate:
    layout, maps = objective.layout, objective.cp.coordinates
    k = layout.size
    working = layout.unpack(optimum.x[:k])
    sigma = float(np.exp(optimum.x[-1])) if method == "MAP" else None
    f = objective.factorise(working, sigma or 1.0)
    if f is None:
        raise FitError(
            "the variance parameters reached values at which nothing can be computed.",
            fix="rescale predictors that differ by orders of magnitude",
        )
    sigma = sigma or objective.best_sigma(f)
    fixed = objective.solve(f, given_fixed=False)
    given = objective.solve(f, given_fixed=True)
    T = layout.to_raw(working)
    sigma_raw = sigma * maps.y_scale
    back = np.linalg.inv(maps.X_map)
    shift = np.zeros(design.p)
    if design.has_intercept:
        shift[design.fixed_names.index("Intercept")] = maps.y_shift
    b, cov_b = [], []
    for t, R, u, C in zip(working, maps.Z_maps, given.u, given.C, strict=True):
        E = np.linalg.solve(R, t)
        b.append(maps.y_scale * u @ E.T)
        cov_b.append(sigma_raw**2 * E @ C @ E.T)
    return Estimate(
        method=method,
        beta=back @ (maps.y_scale * fixed.beta) + shift,
        cov_beta=sigma_raw**2 * back @ fixed.C_beta @ back.T,
        T=tuple(T),
        sigma=sigma_raw,
        b=tuple(b),
        cov_b=tuple(cov_b),
        loglik=-0.5 * objective.deviance(f, sigma),
        n_params=design.p + k + 1,
        variance_names=variance_names(design),
        variance_values=variance_values(design, T, sigma_raw),
        status=optimum.status,
        decrement=optimum.decrement,
        evaluations=optimum.evaluations,
        trace=optimum.trace,
    )
