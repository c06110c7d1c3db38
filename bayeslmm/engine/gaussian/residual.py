"""REML, ML and MAP with a residual structure: a search over its parameters around the others.

Given phi the whitened rows are those of an ordinary mixed model, whose optimum the inner
search finds; the outer one minimises what is left as a function of phi. Its derivative is
that of the criterion in phi with the other parameters held where they are best, taken by
differences of order four. phi is searched on a scale without ends: atanh of a correlation,
the logit of its place in its interval, the log of a ratio.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from bayeslmm.arrays import BoolArray, FloatArray
from bayeslmm.design import Design
from bayeslmm.design.residual import with_residual_values
from bayeslmm.design.residual_structures import VarianceBy
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.engine.estimate import Estimate, Method
from bayeslmm.engine.gaussian.estimate import (
    assemble,
    check_sigma,
    prepare_objective,
    prior_bounds,
)
from bayeslmm.engine.gaussian.objective import Objective, Point, gradient_differences
from bayeslmm.engine.gaussian.optimise import Optimum, minimise
from bayeslmm.errors import FitError
from bayeslmm.outcomes import FitStatus
from bayeslmm.priors import PriorSet

# Places from which the search begins, on its own scale, for correlations.
STARTS = (0.0, -0.4, 0.5, 1.2, 2.2)
# The end of that scale: beyond it 1 - phi, or a ratio, is lost to rounding.
END = 9.0
# Where a search that runs to the end of a prior has come near enough: 1e-5 of its width.
_END_OF_PRIOR = 6.0
# The criterion where it has no value.
_NOWHERE = 1e10
# Steps of first and of second differences.
_STEP, _WIDE = 1e-3, 1e-2
# Curvature below which the criterion is flat along a direction, and the slope it may have there.
FLAT, _SLOPE = 1e-6, 1e-5
# A Newton decrement, in units of the deviance, that no report would show.
_FAILED = 1e-6


@dataclass(frozen=True, eq=False, slots=True)
class Scale:
    """Parameters in (low, high), each (k,), and their coordinates on the whole line."""

    low: FloatArray
    high: FloatArray

    @property
    def bounded(self) -> BoolArray:
        """Which have two ends; the others are positive."""
        return np.isfinite(self.high)

    @property
    def _width(self) -> FloatArray:
        return np.where(self.bounded, self.high - self.low, 1.0)

    def values(self, x: FloatArray) -> FloatArray:
        """Parameters at coordinates."""
        step = np.where(self.bounded, self._width * expit(2.0 * x), np.exp(x))
        return np.asarray(self.low + step)

    def coordinates(self, values: FloatArray) -> FloatArray:
        """Undo `values`."""
        away = values - self.low
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.where(self.bounded, 0.5 * logit(away / self._width), np.log(away))
        return np.clip(x, -END, END)

    def slope(self, x: FloatArray) -> FloatArray:
        """Derivative of `values`."""
        share = expit(2.0 * x)
        return np.asarray(
            np.where(self.bounded, 2.0 * self._width * share * (1.0 - share), np.exp(x))
        )


@dataclass(frozen=True, eq=False, slots=True)
class Inner:
    """The optimum of everything else at given coordinates of phi."""

    x: FloatArray
    design: Design
    objective: Objective
    optimum: Optimum
    value: float

    @property
    def variances(self) -> tuple[list[FloatArray], float]:
        """T of each factor and sigma, working scale."""
        layout = self.objective.layout
        assert self.optimum.point.solved is not None
        T = layout.unpack(self.optimum.point.x[: layout.size])
        return T, self.optimum.point.solved().sigma


@dataclass(frozen=True, eq=False, slots=True)
class Curvature:
    """Second derivatives of the criterion in z = (free T, log sigma) and in phi's coordinates x.

    ``free``: entries of T that are not held at zero.
    """

    zz: FloatArray
    zx: FloatArray
    xx: FloatArray
    free: BoolArray

    def of_structure(self) -> FloatArray:
        """Those in x, all else at its best."""
        return self.xx - self.zx.T @ np.linalg.pinv(self.zz, hermitian=True) @ self.zx

    def of_variances(self) -> FloatArray:
        """Those in z, x at its best."""
        return self.zz - self.zx @ np.linalg.solve(self.xx, self.zx.T)


class ResidualSearch:
    """The criterion as a function of the coordinates of phi, all else at its best.

    Parameters
    ----------
    design : Design
    method : {"REML", "ML", "MAP"}
    priors : PriorSet or None
    start : ndarray, optional
        Values of phi that are tried as a start beside the usual ones.
    """

    def __init__(
        self,
        design: Design,
        method: Method,
        priors: PriorSet | None,
        start: FloatArray | None = None,
    ) -> None:
        assert design.residual is not None
        self.design, self.method, self.priors = design, method, priors
        self.names = design.residual.names
        self.correlated = design.residual.structure.correlated
        self.own = design.residual.structure.interval(design.residual.order(design.used))
        self.scale = self._scale()
        self.first = [] if start is None else [self.scale.coordinates(start)]
        self.trace: list[tuple[float, float]] = []
        self._latest: Inner | None = None

    def _scale(self) -> Scale:
        """The interval of each parameter; for MAP, as far as its prior goes."""
        ends = np.tile(self.own, (len(self.names), 1))
        if self.method == "MAP" and self.priors is not None:
            given = np.array([self.priors.residual[name].bounds for name in self.names])
            ends = np.column_stack(
                [np.maximum(ends[:, 0], given[:, 0]), np.minimum(ends[:, 1], given[:, 1])]
            )
        return Scale(ends[:, 0], ends[:, 1])

    def at_end(self, x: FloatArray) -> tuple[BoolArray, FloatArray]:
        """Which coordinates the search could not bound, and the ends of these parameters."""
        ends = np.where(x > 0.0, self.scale.high, self.scale.low)
        of_prior = ~np.isin(ends, self.own)
        return np.abs(x) > np.where(of_prior, _END_OF_PRIOR, END - 0.1), ends

    def bound(self, x: FloatArray) -> Design:
        """The design at coordinates."""
        return with_residual_values(self.design, self.scale.values(x))

    def log_prior(self, x: FloatArray) -> float:
        """Log prior density of phi, for MAP."""
        if self.method != "MAP" or self.priors is None:
            return 0.0
        values = self.scale.values(x)
        own = (self.priors.residual[name] for name in self.names)
        return sum(float(p.logpdf(v)) for p, v in zip(own, values, strict=True))

    def inner(self, x: FloatArray) -> Inner:
        """Optimise everything else."""
        if self._latest is not None and np.array_equal(self._latest.x, x):
            return self._latest
        bound = self.bound(x)
        objective = prepare_objective(bound, self.method, self.priors)
        bounds = prior_bounds(bound, self.method, self.priors, objective)
        optimum = minimise(
            objective, joint=self.method == "MAP", start=self._start(objective), bounds=bounds
        )
        value = optimum.point.value - 2.0 * self.log_prior(x)
        self._latest = Inner(x.copy(), bound, objective, optimum, value)
        return self._latest

    def gradient(self, at: Inner) -> FloatArray:
        """Derivative in the coordinates, the rest held where it is best."""
        return np.array([self._slope(at, k) for k in range(len(at.x))])

    def curvature(self, at: Inner) -> Curvature:
        """Second derivatives in all parameters at an optimum of the inner search."""
        objective, (T, sigma) = at.objective, at.variances
        held = [np.broadcast_to(np.diag(t) != 0.0, t.shape) for t in T]
        free = np.append(objective.layout.pack([h.astype(float) for h in held]) > 0.0, True)
        z, k = np.append(objective.layout.pack(T), np.log(sigma)), len(at.x)
        H_zz = gradient_differences(objective.joint, z, free)
        H_zx, H_xx = np.empty((int(free.sum()), k)), np.empty((k, k))
        for i in range(k):
            near = [self._joint(at.x + m * _WIDE * np.eye(k)[i], z) for m in (2, 1, -1, -2)]
            slopes = np.array([point.gradient[free] for point, _ in near])
            H_zx[:, i] = np.array([-1.0, 8.0, -8.0, 1.0]) @ slopes / (12.0 * _WIDE)
            values = np.array([value for _, value in near])
            middle = self._joint(at.x, z)[1]
            H_xx[i, i] = (np.array([-1.0, 16.0, 16.0, -1.0]) @ values - 30.0 * middle) / (
                12.0 * _WIDE**2
            )
            for j in range(i):
                H_xx[i, j] = H_xx[j, i] = self._mixed(at.x, z, i, j)
        return Curvature(H_zz, H_zx, H_xx, free[:-1])

    def minimise(self) -> tuple[Inner, float, FitStatus]:
        """The optimum, the Newton decrement left there, and how the search ended."""
        starts = self._starts()
        tried = [found for x in starts[1:] if (found := self._tried(x)) is not None]
        best = min([self.inner(starts[0]), *tried], key=lambda found: found.value)
        ended = minimize(
            self._value_and_gradient,
            best.x,
            jac=True,
            method="L-BFGS-B",
            bounds=[(-END, END)] * len(best.x),
            options={"ftol": 0.0, "gtol": 1e-7, "maxiter": 200},
        )
        at, decrement = self.inner(np.asarray(ended.x)), np.inf
        for _ in range(5):
            if self.at_end(at.x)[0].any():
                return at, np.inf, FitStatus.FAILED
            g, H = self.gradient(at), self.curvature(at).of_structure()
            values, directions = np.linalg.eigh(H)
            slopes = directions.T @ g
            curved = values > FLAT * max(float(values[-1]), 1.0)
            if (np.abs(slopes[~curved]) > _SLOPE).any():
                return at, np.inf, FitStatus.FAILED
            step = directions[:, curved] @ (slopes[curved] / values[curved])
            decrement = float(g @ step)
            if decrement < 1e-12:
                break
            at = self.inner(at.x - step)
        if not decrement <= _FAILED:
            return at, decrement, FitStatus.FAILED
        return at, decrement, FitStatus.CONVERGED if curved.all() else FitStatus.FLAT

    def _starts(self) -> list[FloatArray]:
        assert self.design.residual is not None
        if isinstance(self.design.residual.structure, VarianceBy):
            return [np.zeros(len(self.names)), *self.first]
        return [*(np.array([x]) for x in STARTS), *self.first]

    def _tried(self, x: FloatArray) -> Inner | None:
        """As `inner`; None where nothing can be computed, next to the end of an interval."""
        try:
            return self.inner(x)
        except FitError:
            return None

    def _start(self, objective: Objective) -> FloatArray | None:
        """Entries of T to start from: those of the last search, off zero."""
        if self._latest is None:
            return None
        layout = objective.layout
        T = layout.unpack(self._latest.optimum.point.x[: layout.size])
        return layout.pack([t + 0.1 * np.diag(np.diag(np.abs(t)) < 0.1) for t in T])

    def _value_and_gradient(self, x: FloatArray) -> tuple[float, FloatArray]:
        at = self._tried(np.asarray(x))
        if at is None or not np.isfinite(at.value):
            return _NOWHERE, np.zeros_like(x)
        gradient = self.gradient(at)
        self.trace.append((at.value, float(np.abs(gradient).max())))
        return at.value, gradient

    def _slope(self, at: Inner, k: int) -> float:
        total = 0.0
        for steps, weight in ((1, 8.0), (2, -1.0)):
            for sign in (1.0, -1.0):
                x = at.x.copy()
                x[k] += sign * steps * _STEP
                total += sign * weight * self._held(x, at.optimum.point.x)
        return total / (12.0 * _STEP)

    def _mixed(self, x: FloatArray, z: FloatArray, i: int, j: int) -> float:
        """Mixed second derivative, of order four: that of one step and of two, extrapolated."""
        found = []
        for wide in (_WIDE, 2.0 * _WIDE):
            total = 0.0
            for a in (1.0, -1.0):
                for b in (1.0, -1.0):
                    step = np.zeros_like(x)
                    step[i], step[j] = a * wide, b * wide
                    total += a * b * self._joint(x + step, z)[1]
            found.append(total / (4.0 * wide**2))
        return (4.0 * found[0] - found[1]) / 3.0

    def _joint(self, x: FloatArray, z: FloatArray) -> tuple[Point, float]:
        """The criterion in (T, log sigma) at coordinates of phi, and its value with phi's prior."""
        point = prepare_objective(self.bound(x), self.method, self.priors).joint(z)
        return point, point.value - 2.0 * self.log_prior(x)

    def _held(self, x: FloatArray, rest: FloatArray) -> float:
        """The criterion at coordinates of phi and given other parameters."""
        if self.method == "MAP":
            return self._joint(x, rest)[1]
        objective = prepare_objective(self.bound(x), self.method, self.priors)
        return objective.profiled_value(rest)


@one_blas_thread
def fit_structured(
    design: Design,
    method: Method,
    priors: PriorSet | None = None,
    start: FloatArray | None = None,
) -> Estimate:
    """Estimate a Gaussian model with a residual structure.

    Parameters
    ----------
    design : Design
    method : {"REML", "ML", "MAP"}
    priors : PriorSet
        Needed for MAP.
    start : ndarray, optional
        Parameters of the structure to try first, those of another response's fit.

    Returns
    -------
    Estimate
        Its fixed effects' covariance and BLUPs are those given the variance parameters;
        ``n_params`` counts the structure's.

    Notes
    -----
    Each evaluation of the outer search takes passes over the rows.
    """
    search = ResidualSearch(design, method, priors, start)
    found, decrement, status = search.minimise()
    estimate = assemble(found.design, found.objective, method, found.optimum)
    check_sigma(estimate, found.objective.cp)
    values, (reached, ends) = search.scale.values(found.x), search.at_end(found.x)
    status = estimate.status if status is FitStatus.CONVERGED else status
    if reached.any() and not np.isin(ends[reached], search.own).any():
        values, status, decrement = np.where(reached, ends, values), FitStatus.AT_END, 0.0
    return replace(
        estimate,
        n_params=estimate.n_params + len(search.names),
        residual_names=search.names,
        residual_values=values,
        status=status,
        decrement=estimate.decrement + decrement,
        evaluations=len(search.trace),
        trace=tuple(search.trace),
    )
