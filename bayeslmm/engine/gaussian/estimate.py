"""REML, ML and MAP of a Gaussian design."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayeslmm.design import Design
from bayeslmm.engine.blocks import FloatArray
from bayeslmm.engine.estimate import Estimate, Method
from bayeslmm.engine.gaussian.crossproducts import CrossProducts, compute_crossproducts
from bayeslmm.engine.gaussian.map_prior import fixed_prior, variance_prior
from bayeslmm.engine.gaussian.objective import Objective
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
        The fixed part fits the response exactly, so that there is no residual.

    Notes
    -----
    A singular or a failed fit is a result with its `FitStatus`, not an error.
    Cost: one pass over the rows, then evaluations that do not depend on their number.
    """
    objective = _objective(design, method, priors)
    optimum = minimise(objective, joint=method == "MAP")
    return _assemble(design, objective, method, optimum)


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
    value, gradient = objective.profiled(x)
    free = np.ones(len(x), dtype=bool)
    H = np.full((len(x), len(x)), np.nan)
    optimum = Optimum(x, value, gradient, H, free, np.nan, FitStatus.FAILED, 1, ())
    return _assemble(design, objective, method, optimum)


def _objective(design: Design, method: Method, priors: PriorSet | None) -> Objective:
    if design.n_effective <= design.p:
        raise DataError(
            f"{design.p} fixed columns for {design.n_effective} rows: nothing is left for the residual.",
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
    jacobian = variance_jacobian(design, working, maps.Z_maps, sigma_raw)
    H = optimum.hessian if method == "MAP" else _joint_hessian(objective, optimum, f.r2, given.R)
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
        variance_cov=_variance_cov(H, optimum.free[:k], jacobian),
        status=optimum.status,
        decrement=optimum.decrement,
        evaluations=optimum.evaluations,
        trace=optimum.trace,
    )


def _joint_hessian(
    objective: Objective, optimum: Optimum, r2: float, R: list[FloatArray]
) -> FloatArray:
    """Hessian in (T, log sigma) from that of the criterion with sigma profiled out.

    With F(T) = log|M| + df log r^2 and f(T, sigma) = log|M| + 2 df log sigma + r^2/sigma^2,
    at the optimum f_TT = F'' + df r2' r2''/r^4, f_Ts = -2 r2'/sigma^2 and f_ss = 4 df.
    """
    df, k = objective.df, objective.layout.size
    d_r2 = objective.layout.pack([-2.0 * r for r in R])
    H = np.empty((k + 1, k + 1))
    H[:k, :k] = optimum.hessian + df * np.outer(d_r2, d_r2) / r2**2
    H[:k, k] = H[k, :k] = -2.0 * d_r2 * df / r2
    H[k, k] = 4.0 * df
    return H


def _variance_cov(H: FloatArray, free: FloatArray, jacobian: FloatArray) -> FloatArray:
    if not np.isfinite(H[np.ix_(np.append(free, True), np.append(free, True))]).all():
        return np.full((len(jacobian),) * 2, np.nan)
    return variance_covariance(H, free, jacobian)
