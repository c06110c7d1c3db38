"""How the covariance of the fixed effects depends on the variance parameters.

With Phi = (X'V^-1X)^-1 and dV/dpsi_i = G_i, dPhi/dpsi_i = Phi X'V^-1 G_i V^-1 X Phi. The
rows of X'V^-1 Z come from the factorisation of the fit: X less its BLUPs, level by level.
Everything is in working coordinates until the last line, which carries it to the user's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import lu_factor, lu_solve, solve_triangular
from scipy.sparse import csr_array

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.engine.estimate import Estimate
from bayeslmm.engine.gaussian.criterion import Factorisation, scale_rows
from bayeslmm.engine.gaussian.crossproducts import compute_crossproducts
from bayeslmm.engine.gaussian.objective import (
    Objective,
    gradient_differences,
    in_design_order,
)
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.gaussian.working import Coordinates, choose_coordinates, to_working
from bayeslmm.errors import ArgumentError, FitError

# Eigenvalues below this share of the largest belong to directions without information.
_NO_INFORMATION = 1e-10
# Random effects beyond which the square matrices of Kenward and Roger are refused.
_MOST_EFFECTS = 10_000
_SQUARES_HELD = 6


@dataclass(frozen=True, eq=False, slots=True)
class FixedCovariance:
    """The covariance of the fixed effects and its uncertainty, on the user's scale.

    Attributes
    ----------
    cov : ndarray, shape (p, p)
        Phi = (X'V^-1X)^-1 at the estimates.
    adjusted : ndarray, shape (p, p)
        Phi with the adjustment of Kenward and Roger; Phi itself without.
    derivatives : ndarray, shape (m, p, p)
        Of Phi in each of m variance parameters.
    parameter_cov : ndarray, shape (m, m)
        Asymptotic covariance of the estimates of these parameters.
    """

    cov: FloatArray
    adjusted: FloatArray
    derivatives: FloatArray
    parameter_cov: FloatArray


@one_blas_thread
def observed_fixed_covariance(design: Design, estimate: Estimate) -> FixedCovariance:
    """For Satterthwaite's df: parameters (T, log sigma), covariance by observed information.

    The Hessian is that of the criterion of the fit (REML or ML). Entries of T that belong
    to a pivot of exactly zero are held there: the uncertainty is that within covariance
    matrices of the same rank, where the optimum is an inner point.

    Parameters
    ----------
    design : Design
    estimate : Estimate
        By REML or ML.
    """
    cp = compute_crossproducts(design)
    layout = Layout.of(design, cp.coordinates)
    objective = Objective(cp, layout, reml=estimate.method == "REML")
    working = layout.to_working(estimate.T)
    sigma = estimate.sigma / cp.coordinates.y_scale
    _, every = derivatives_in_variances(objective, working, sigma)
    free = layout.pack(
        [np.broadcast_to(np.diag(t) != 0.0, t.shape).astype(float) for t in working]
    ).astype(bool)
    free = np.append(free, True)
    H = gradient_differences(objective.joint, np.append(layout.pack(working), np.log(sigma)), free)
    return on_users_scale(cp.coordinates, estimate, every[free], 2.0 * inverse_information(H))


def derivatives_in_variances(
    objective: Objective, working: list[FloatArray], sigma: float
) -> tuple[FloatArray, FloatArray]:
    """The working covariance Phi of the fixed effects, and its derivatives.

    Returns
    -------
    Phi : ndarray, shape (p, p)
    derivatives : ndarray, shape (k + 1, p, p)
        In the k entries of T that are no fixed zeros, and in log sigma.
    """
    f = _factorised(objective, working, sigma)
    Phi = _fixed_covariance(f, sigma)
    derivatives = []
    for k, g in enumerate(in_design_order(objective.cp, random_by_fixed(f))):
        t = np.matmul(working[k].T, g)
        products = np.einsum("jrp,jcs->rcps", g, t, optimize=True) / sigma**2
        moved = products[objective.layout.patterns[k]]
        derivatives.append(Phi @ (moved + moved.transpose(0, 2, 1)) @ Phi)
    return Phi, np.concatenate([*derivatives, 2.0 * Phi[None]])


def fixed_covariance_at(
    objective: Objective, working: list[FloatArray], sigma: float
) -> FloatArray:
    """The working covariance of the fixed effects at given variances, (p, p)."""
    return _fixed_covariance(_factorised(objective, working, sigma), sigma)


def random_by_fixed(f: Factorisation) -> list[FloatArray]:
    """sigma^2 Z_j'V^-1 X of each level, (J, K, p) a factor, in the order of the cross-products.

    V^-1 X sigma^2 = W (X - Z b), b = Lambda u the BLUPs of the columns of X as responses.
    """
    cp, q, mm, p = f.cp, f.cp.q_rest, f.cp.q_rest + f.cp.p, f.cp.p
    right = np.zeros((mm, p))
    right[q:] = np.tril(f.L[q:, q:]).T
    v = solve_triangular(f.L, right, lower=True, trans="T", check_finite=False)
    coefficients = scale_rows(v, cp, f.T)
    chain: list[FloatArray] = []
    above: list[FloatArray] = []
    for e in reversed(range(len(f.chain))):
        c = f.chain[e]
        J, K = cp.levels[e], cp.widths[e]
        if c.full is not None:
            reach = (c.full[:, :, :mm].reshape(J * K, mm) @ coefficients).reshape(J, K, p)
        else:
            first, reach = 0, np.empty((J, K, p))
            for k in range(K):
                coupling = csr_array((c.value[:, k], c.column, c.start), shape=(J, q))
                reach[:, k] = coupling @ coefficients[:q]
            for n, b in enumerate(above):
                dense = c.dense[:, first : first + b.shape[1]]
                reach += np.einsum("jak,jap->jkp", dense, b[c.parents[n]], optimize=True)
                first += b.shape[1]
            reach += np.einsum(
                "jxk,xp->jkp", c.dense[:, first : first + p], coefficients[q:], optimize=True
            )
        square = f.T[e] @ f.T[e].T
        g = np.linalg.solve(c.A @ square + np.eye(K), reach)
        chain.insert(0, g)
        above.insert(0, -square @ g)
    if not cp.remainder:
        return chain
    lower = np.tril(f.S[:mm, :mm])
    rest = (lower + np.tril(lower, -1).T) @ coefficients
    blocks = [rest[at].reshape(cp.levels[k], cp.widths[k], p) for k, at in cp.remainder]
    return [*chain, *blocks]


@one_blas_thread
def expected_fixed_covariance(design: Design, estimate: Estimate) -> FixedCovariance:
    """For Kenward and Roger: parameters the entries of the covariances, and sigma^2.

    V is linear in these, and their covariance comes from the expected information of REML,
    ``tr(P G_i P G_j) / 2``. The adjustment is ``2 Phi (sum_ij w_ij (Q_ij - P_i Phi P_j)) Phi``
    with ``P_i = X'V^-1 G_i V^-1 X`` and ``Q_ij = X'V^-1 G_i V^-1 G_j V^-1 X``. It costs
    matrices with a row and a column for each random effect, and none with one for each row.

    Parameters
    ----------
    design : Design
    estimate : Estimate
        By REML.

    Raises
    ------
    ArgumentError
        More random effects than memory allows.

    References
    ----------
    Kenward, M. G. and Roger, J. H. (1997), Biometrics 53, 983-997.
    """
    _check_memory(design)
    maps = choose_coordinates(design)
    working = Layout.of(design, maps).to_working(estimate.T)
    parts = _moments_of_v(design, maps, working)
    P, Q, traces = _component_products(design, parts)
    Phi = np.linalg.inv(parts.XVX)
    PhiP = Phi @ P
    information = traces - 2.0 * np.einsum("ab,ijab->ij", Phi, Q)
    information += np.einsum("iab,jba->ij", PhiP, PhiP)
    W = 2.0 * inverse_information(information)
    middle = np.einsum("ij,ijab->ab", W, Q)
    middle -= np.einsum("ij,iab,jbc->ac", W, P, PhiP, optimize=True)
    # relative to sigma^2, as V and its components were
    scale = (estimate.sigma / maps.y_scale) ** 2
    adjustment = 2.0 * scale * Phi @ middle @ Phi
    return on_users_scale(maps, estimate, scale * PhiP @ Phi, W, adjustment)


@dataclass(frozen=True, eq=False, slots=True)
class _MomentsOfV:
    """Products with V^-1, V relative to sigma^2; U = V^-1 W^-1 V^-1."""

    ZVZ: FloatArray
    ZVX: FloatArray
    XVX: FloatArray
    ZUZ: FloatArray
    ZUX: FloatArray
    XUX: FloatArray
    XUWVX: FloatArray
    trace: float


def _moments_of_v(design: Design, maps: Coordinates, T: list[FloatArray]) -> _MomentsOfV:
    """With S = Z'WZ and Y = (I + S Psi)^-1: Z'V^-1Z = Y S, and U puts one more Y in front."""
    w, X = design.weights[design.used], to_working(design.X[design.used], maps.X_map)
    Z = _working_columns(design, maps)
    weighted = Z.T * w
    S, ZtX = (weighted @ Z).toarray(), weighted @ X
    cuts = np.cumsum([f.n_levels * f.n_columns for f in design.factors])[:-1]

    def times_psi(rows: FloatArray) -> FloatArray:
        if not T:
            return rows
        return np.vstack(
            [_by_level(t @ t.T, part) for t, part in zip(T, np.split(rows, cuts), strict=True)]
        )

    # S Psi is the transpose of Psi S, since both are symmetric
    factor = lu_factor(np.eye(len(S)) + times_psi(S).T) if len(S) else None

    def solved(right: FloatArray) -> FloatArray:
        return right if factor is None else np.asarray(lu_solve(factor, right))

    ZVZ, ZVX = solved(S), solved(ZtX)
    ZUZ, ZUX = solved(ZVZ), solved(ZVX)
    XVX = (X.T * w) @ X - ZtX.T @ times_psi(ZVX)
    XUX = XVX - ZVX.T @ times_psi(ZVX)
    return _MomentsOfV(
        ZVZ=ZVZ,
        ZVX=ZVX,
        XVX=XVX,
        ZUZ=ZUZ,
        ZUX=ZUX,
        XUX=XUX,
        XUWVX=XUX - ZUX.T @ times_psi(ZVX),
        trace=float(len(w) - np.trace(times_psi(ZVZ)) - np.trace(times_psi(ZUZ))),
    )


def _working_columns(design: Design, maps: Coordinates) -> csr_array:
    """Z in working coordinates, rows that count only."""
    factors = tuple(
        replace(f, columns=to_working(f.columns, R))
        for f, R in zip(design.factors, maps.Z_maps, strict=True)
    )
    return csr_array(replace(design, factors=factors).Z()[design.used])


def _component_products(
    design: Design, v: _MomentsOfV
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """P_i, Q_ij and tr(V^-1 G_i V^-1 G_j); the last component is the residual's."""
    p = v.XVX.shape[0]
    components: list[tuple[slice, FloatArray]] = []
    starts = np.cumsum([0, *(f.n_levels * f.n_columns for f in design.factors)])
    for f, a, b in zip(design.factors, starts, starts[1:], strict=False):
        for i, j in np.argwhere(f.pattern):
            E = np.zeros((f.n_columns, f.n_columns))
            E[i, j] = E[j, i] = 1.0
            components.append((slice(int(a), int(b)), E))
    m = len(components) + 1
    P, Q, traces = np.zeros((m, p, p)), np.zeros((m, m, p, p)), np.zeros((m, m))
    moved = [_by_level(E, v.ZVX[at]) for at, E in components]
    for j, (at, E) in enumerate(components):
        P[j] = v.ZVX[at].T @ moved[j]
        onward = v.ZVZ[:, at] @ moved[j]
        for i, (other, _) in enumerate(components):
            Q[i, j] = moved[i].T @ onward[other]
        Q[-1, j] = v.ZUX[at].T @ moved[j]
        Q[j, -1] = Q[-1, j].T
        traces[j, -1] = traces[-1, j] = np.trace(_by_level(E, v.ZUZ[at, at]))
    P[-1], Q[-1, -1], traces[-1, -1] = v.XUX, v.XUWVX, v.trace
    for i, (at, E) in enumerate(components):
        left = _by_level(E, v.ZVZ[at])
        for j, (other, D) in enumerate(components[: i + 1]):
            right = _by_level(D, v.ZVZ[other, at])
            traces[i, j] = traces[j, i] = np.vdot(left[:, other], right.T)
    return P, Q, traces


def _by_level(E: FloatArray, rows: FloatArray) -> FloatArray:
    """(I (x) E) times a matrix whose rows are effects, level by level."""
    K = len(E)
    return np.asarray(np.matmul(E, rows.reshape(-1, K, rows.shape[1])).reshape(rows.shape))


def _check_memory(design: Design) -> None:
    if design.q > _MOST_EFFECTS:
        size = _SQUARES_HELD * 8 * design.q**2 / 1e9
        raise ArgumentError(
            f"Kenward-Roger needs square matrices of all {design.q:,} random effects, "
            f"about {size:,.0f} GB in all.",
            found=", ".join(f"{f.name}: {f.n_levels:,} levels" for f in design.factors),
            fix='df_method="satterthwaite" needs none, and with so many levels they agree',
        )


def _factorised(objective: Objective, T: list[FloatArray], sigma: float) -> Factorisation:
    f = objective.factorise(T, sigma)
    if f is None:
        raise FitError("nothing can be computed at these variance parameters.")
    return f


def _fixed_covariance(f: Factorisation, sigma: float) -> FloatArray:
    """sigma^2 C_ββ from the last rows of the Cholesky factor."""
    q = f.cp.q_rest
    half = solve_triangular(f.L[q:, q:], np.eye(f.cp.p), lower=True, check_finite=False)
    return np.asarray(sigma**2 * half.T @ half)


def inverse_information(H: FloatArray) -> FloatArray:
    """Inverse on the directions that carry information: others are taken as known."""
    size = np.sqrt(np.abs(np.diag(H)))
    size[size == 0.0] = 1.0
    values, vectors = np.linalg.eigh(H / np.outer(size, size))
    keep = values > _NO_INFORMATION * values.max(initial=0.0)
    half = vectors[:, keep] / np.sqrt(values[keep]) / size[:, None]
    return np.asarray(half @ half.T)


def on_users_scale(
    maps: Coordinates,
    estimate: Estimate,
    derivatives: FloatArray,
    parameter_cov: FloatArray,
    adjustment: FloatArray | None = None,
) -> FixedCovariance:
    """The record, from derivatives and an adjustment of the working covariance."""
    back = maps.y_scale * np.linalg.inv(maps.X_map)
    cov = estimate.cov_beta
    return FixedCovariance(
        cov=cov,
        adjusted=cov if adjustment is None else cov + back @ adjustment @ back.T,
        derivatives=back @ derivatives @ back.T,
        parameter_cov=parameter_cov,
    )
