"""REML, ML and MAP of a Gaussian design."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayeslmm.arrays import BoolArray, FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.engine.estimate import Estimate, Method
from bayeslmm.engine.gaussian.bounds import Bounds, uniform_bounds
from bayeslmm.engine.gaussian.constrained import AT_END, along, curvature_along
from bayeslmm.engine.gaussian.crossproducts import CrossProducts, compute_crossproducts
from bayeslmm.engine.gaussian.map_prior import fixed_prior, variance_prior
from bayeslmm.engine.gaussian.objective import Objective, gradient_differences
from bayeslmm.engine.gaussian.optimise import Optimum, minimise
from bayeslmm.engine.gaussian.parameters import Layout, lower_factor
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


@one_blas_thread
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
    objective = prepare_objective(design, method, priors)
    bounds = prior_bounds(design, method, priors, objective)
    optimum = minimise(objective, joint=method == "MAP", bounds=bounds)
    estimate = assemble(design, objective, method, optimum)
    check_sigma(estimate, objective.cp)
    return estimate


@one_blas_thread
def estimate_at(design: Design, theta: Sequence[FloatArray], method: Method = "REML") -> Estimate:
    """Everything `fit_gaussian` gives, at variance parameters that are given, not sought.

    Parameters
    ----------
    design : Design
    theta : sequence of ndarray, each (K, K)
        T of each factor; sigma is at its optimum given them.
    method : {"REML", "ML"}
    """
    objective = prepare_objective(design, method, None)
    x = objective.layout.pack(objective.layout.to_working(theta))
    free = np.ones(len(x), dtype=bool)
    optimum = Optimum(objective.profiled(x), free, np.nan, FitStatus.FAILED, 1, ())
    return assemble(design, objective, method, optimum)


@one_blas_thread
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
        Rows and columns in the order of ``estimate.variance_names``; NaN for components
        on the boundary or at the end of a Uniform prior, which have no such standard
        error: the others' are given them.
    """
    objective = prepare_objective(design, estimate.method, priors)
    maps = objective.cp.coordinates
    working = objective.layout.to_working(estimate.T)
    x = np.append(objective.layout.pack(working), np.log(estimate.sigma / maps.y_scale))
    held = [np.diag(t) == 0.0 for t in working]
    free = objective.layout.pack(
        [np.broadcast_to(~h, t.shape).astype(float) for h, t in zip(held, working, strict=True)]
    ).astype(bool)
    jacobian = variance_jacobian(design, working, maps.Z_maps, estimate.sigma)
    bounds = prior_bounds(design, estimate.method, priors, objective)
    if bounds is not None and (bounds.slack(x) < AT_END).any():
        return _uncertainty_at_ends(objective, bounds, x, free, jacobian)
    H = gradient_differences(objective.joint, x, np.append(free, True))
    cov = variance_covariance(H, free, jacobian)
    return without_ends(cov, estimate)


def without_ends(cov: FloatArray, estimate: Estimate) -> FloatArray:
    """The covariance with NaN for correlations that stand at plus or minus one."""
    ends = np.abs(estimate.variance_values) > 1.0 - _AT_THE_END
    ends &= np.array([name.startswith("corr_") for name in estimate.variance_names])
    cov[ends, :] = np.nan
    cov[:, ends] = np.nan
    return cov


def _uncertainty_at_ends(
    objective: Objective,
    bounds: Bounds,
    x: FloatArray,
    free: BoolArray,
    jacobian: FloatArray,
) -> FloatArray:
    """`variance_covariance` along the ends of Uniform priors that the mode has reached."""
    point, everything = objective.joint(x), np.append(free, True)
    reached = bounds.slack(x) < AT_END
    _, Z, multipliers = along(bounds, point, everything, reached)
    lam = np.zeros(len(reached))
    lam[reached] = multipliers
    H = curvature_along(objective.joint, bounds, x, everything, lam)
    held = jacobian[:, :-1][:, ~free]
    moves = np.hstack([held, jacobian[:, everything] @ Z])
    cov = np.full((len(jacobian),) * 2, np.nan)
    if Z.shape[1]:
        still = np.append(np.zeros(held.shape[1], bool), np.ones(Z.shape[1] - 1, bool))
        cov = variance_covariance(Z.T @ H @ Z, still, moves)
    at = [e.position for e, r in zip(bounds.ends, reached, strict=True) if r]
    cov[at, :] = np.nan
    cov[:, at] = np.nan
    return cov


@one_blas_thread
def conditional_covariances(
    design: Design, estimate: Estimate, priors: PriorSet | None = None
) -> tuple[FloatArray, ...]:
    """Covariance of each level's effects given fixed effects and variance parameters.

    Parameters
    ----------
    design : Design
    estimate : Estimate
    priors : PriorSet
        Needed for MAP.

    Returns
    -------
    tuple of ndarray, each (J, K, K)
        lme4's condVar, factors in the order of the design.
    """
    objective = prepare_objective(design, estimate.method, priors)
    maps = objective.cp.coordinates
    f = objective.factorise(objective.layout.to_working(estimate.T), estimate.sigma / maps.y_scale)
    if f is None:
        raise FitError("nothing can be computed at these variance parameters.")
    given = objective.solve(f, given_fixed=True)
    out = []
    for R, own in zip(maps.Z_maps, given.own, strict=True):
        half = np.linalg.solve(R, own)
        out.append(estimate.sigma**2 * np.linalg.solve(R, half.transpose(0, 2, 1)))
    return tuple(out)


def prepare_objective(design: Design, method: Method, priors: PriorSet | None) -> Objective:
    """The criterion of a design, and a refusal where nothing is left for the residual."""
    if design.n_effective <= design.p:
        raise DataError(
            f"{design.p} fixed columns for {design.n_effective} rows: nothing is left for the "
            "residual.",
            fix="simplify the fixed part, or bring more data",
        )
    cp = compute_crossproducts(design)
    check_residual(cp)
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


def prior_bounds(
    design: Design, method: Method, priors: PriorSet | None, objective: Objective
) -> Bounds | None:
    """Ends of Uniform priors of SDs, for MAP."""
    if method != "MAP" or priors is None:
        return None
    return uniform_bounds(design, priors, objective.layout, objective.cp.coordinates)


def check_residual(cp: CrossProducts) -> None:
    """Refuse a response that the fixed columns reproduce to rounding."""
    if not has_residual(cp):
        raise FitError(
            "the fixed part reproduces the response exactly: there is no residual to model.",
            fix="check whether a predictor is the response itself, rescaled",
        )


def has_residual(cp: CrossProducts) -> bool:
    """Whether the fixed columns leave more of the response than rounding."""
    Xy = cp.S[cp.q_rest :, cp.q_rest :]
    X, y = Xy[:-1, :-1], Xy[:-1, -1]
    rest = Xy[-1, -1] - (y @ np.linalg.solve(X, y) if len(y) else 0.0)
    return bool(rest > 1e-13 * Xy[-1, -1])


def check_sigma(estimate: Estimate, cp: CrossProducts) -> None:
    """Refuse a search that failed because sigma ran to zero."""
    if estimate.status is FitStatus.FAILED and estimate.sigma < 1e-6 * cp.coordinates.y_scale:
        raise FitError(
            "the fixed and random effects together reproduce the response exactly: "
            "there is no residual to model.",
            fix="check whether the response is constant within the levels of a factor",
        )


def assemble(design: Design, objective: Objective, method: Method, optimum: Optimum) -> Estimate:
    """The record of an optimum, on the user's scale."""
    layout, maps = objective.layout, objective.cp.coordinates
    k = layout.size
    if optimum.point.solved is None:
        raise FitError(
            "the variance parameters reached values at which nothing can be computed.",
            fix="rescale predictors that differ by orders of magnitude",
        )
    solved = optimum.point.solved()
    working = layout.unpack(optimum.point.x[:k])
    halves = [np.linalg.solve(R, t) for R, t in zip(maps.Z_maps, working, strict=True)]
    T = [lower_factor(E) * p for E, p in zip(halves, layout.patterns, strict=True)]
    sigma = solved.sigma * maps.y_scale
    back = np.linalg.inv(maps.X_map)
    shift = np.zeros(design.p)
    if design.has_intercept:
        shift[design.fixed_names.index("Intercept")] = maps.y_shift
    b = [maps.y_scale * u @ E.T for E, u in zip(halves, solved.u, strict=True)]
    return Estimate(
        method=method,
        beta=back @ (maps.y_scale * solved.beta) + shift,
        cov_beta=sigma**2 * back @ solved.C_beta @ back.T,
        T=tuple(T),
        sigma=sigma,
        b=tuple(b),
        loglik=-0.5 * solved.deviance,
        n_params=design.p + k + 1,
        variance_names=variance_names(design),
        variance_values=variance_values(design, T, sigma),
        status=optimum.status,
        decrement=optimum.decrement,
        evaluations=optimum.evaluations,
        trace=optimum.trace,
    )
