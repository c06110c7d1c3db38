"""Effective degrees of freedom of the conditional fit, estimated variances counted.

The fitted values are y^ = y - W^-1 P y, P the projection of the estimates (relative to sigma^2).
Greven and Kneib (2010) count tr(dy^/dy), through the variance parameters too: with d the
profiled deviance in the free entries phi of T and V_k = dV/dphi_k,

    c_k = dy^/dphi_k = W^-1 P V_k P y                           s = y'Py
    d2d/dphi_j dy = -(2N/s) (W c_j - (q_j/s) P y)               q_j = y'P V_j P y
    tr(dy^/dy) = tr(H) + (2N/s) sum_kj (D^-1)_kj (c_k'W c_j - (q_j/s) c_k'P y)

N is n - p for REML and n for ML, D the Hessian of d, and
tr(H) = p + sum_f <T_f, Z_f'PZ_f T_f>, summed over levels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayeslmm.arrays import BoolArray, FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.engine.estimate import Estimate
from bayeslmm.engine.gaussian.crossproducts import compute_crossproducts
from bayeslmm.engine.gaussian.estimate import estimate_at
from bayeslmm.engine.gaussian.objective import Objective, gradient_differences
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.gaussian.prediction_error import to_user
from bayeslmm.errors import FitError


@one_blas_thread
def conditional_df(design: Design, estimate: Estimate) -> tuple[float, float]:
    """Trace of the hat matrix, and of dy^/dy with the variance parameters estimated.

    Parameters
    ----------
    design : Design
    estimate : Estimate
        By REML or ML.

    Returns
    -------
    tuple of float
        tr(H) and tr(dy^/dy). Pivots of T at exactly zero are held there.
    """
    cp = compute_crossproducts(design)
    layout = Layout.of(design, cp.coordinates)
    objective = Objective(cp, layout, reml=estimate.method == "REML")
    working = layout.to_working(estimate.T)
    f = objective.factorise(working)
    if f is None:
        raise FitError("nothing can be computed at these variance parameters.")
    G = objective.solve(f, given_fixed=False).G
    given = design.p + sum(float((t * g).sum()) for t, g in zip(working, G, strict=True))
    free = layout.pack(
        [np.tile(np.diag(t) != 0.0, (len(t), 1)).astype(np.float64) for t in working]
    ).astype(bool)
    if not free.any():
        return given, given
    D = gradient_differences(objective.profiled, layout.pack(working), free)

    used = design.used
    w = design.weights[used]
    e = _residual(design, estimate)
    s = float(w * e @ (design.y - design.offset)[used])
    changes = _covariance_changes(layout, working, free)
    responses = [_random_part(design, e, change) for change in changes]
    c = np.array([_smoothed_residual(design, estimate, v) for v in responses])
    # q_j = (Py)'V_j(Py)
    q = np.array([float(w * e @ v[used]) for v in responses])
    N = objective.df
    inner = (c * w) @ c.T - np.outer((c * w) @ e, q) / s
    return given, given + float(2.0 * N / s * np.sum(np.linalg.inv(D) * inner))


def _residual(design: Design, estimate: Estimate) -> FloatArray:
    """Y - y^ of the rows of positive weight."""
    eta = design.X @ estimate.beta + design.offset
    for factor, b in zip(design.factors, estimate.b, strict=True):
        eta += np.einsum("nk,nk->n", factor.columns, b[factor.codes])
    return np.asarray((design.y - eta)[design.used])


def _covariance_changes(
    layout: Layout, working: list[FloatArray], free: BoolArray
) -> list[list[FloatArray]]:
    """d(T T') of each factor along each free entry of the working T."""
    out = []
    for k in np.flatnonzero(free):
        step = np.zeros(layout.size)
        step[k] = 1.0
        halves = [E @ T.T for E, T in zip(layout.unpack(step), working, strict=True)]
        both = [(half + half.T)[None] for half in halves]
        out.append([to_user(R, c)[0] for R, c in zip(layout.maps, both, strict=True)])
    return out


def _random_part(design: Design, e: FloatArray, change: list[FloatArray]) -> FloatArray:
    """V_k P y of every row: the change of Z T T'Z', applied to W e."""
    We = np.zeros(design.n)
    We[design.used] = design.weights[design.used] * e
    v = np.zeros(design.n)
    for factor, d in zip(design.factors, change, strict=True):
        if not d.any():
            continue
        g = np.array(
            [np.bincount(factor.codes, column * We, factor.n_levels) for column in factor.columns.T]
        )
        v += np.einsum("nk,kn->n", factor.columns, (d @ g)[:, factor.codes])
    return v


def _smoothed_residual(design: Design, estimate: Estimate, v: FloatArray) -> FloatArray:
    """W^-1 P v: the residual of v as a response at the same relative covariance."""
    other = replace(design, y=v, offset=np.zeros(design.n))
    at = estimate_at(other, estimate.T, "REML")
    return _residual(other, at)
