"""From a starting vector to a certified optimum.

Stages: L-BFGS on the criterion; Newton steps with a Hessian from differences of
the exact gradient; entries of T that ended next to zero set to exactly zero
where that costs nothing; a certificate. T may change sign column by column
without changing the criterion, so zero is an interior point of an even function
and no bounds are needed; but the gradient there vanishes whether or not zero is
best, so a zero is certified by the boundary form of docs/mathematics.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from bayeslmm.engine.blocks import FloatArray
from bayeslmm.engine.gaussian.objective import Objective
from bayeslmm.outcomes import FitStatus

# Newton decrement (in units of the deviance) below which nothing is left to gain.
_DECREMENT = 1e-11
# A decrement that no report would show; beyond it the fit has failed.
_FAILED = 1e-5
# Curvature below this share of the largest is called flat.
_FLAT = 1e-9
# Diagonal entries of T (working scale) below this are tried at zero.
_NEAR_ZERO = 2e-2
_STARTS = (1.0, 0.1, 5.0)

type Criterion = Callable[[FloatArray], tuple[float, FloatArray]]


@dataclass(frozen=True, eq=False, slots=True)
class Optimum:
    """Where the search ended.

    ``x`` vector; ``value`` criterion there; ``gradient``; ``hessian`` (NaN rows
    for entries held at zero); ``free`` entries not held at zero; ``decrement``
    Newton decrement; ``status``; ``trace`` of (criterion, largest gradient).
    """

    x: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray
    free: FloatArray
    decrement: float
    status: FitStatus
    evaluations: int
    trace: tuple[tuple[float, float], ...]


class _Counted:
    """A criterion that remembers what it returned."""

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = criterion
        self.trace: list[tuple[float, float]] = []

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = self.criterion(x)
        self.trace.append((value, float(np.abs(gradient).max(initial=0.0))))
        return value, gradient


def minimise(objective: Objective, *, joint: bool) -> Optimum:
    """Minimise an objective over its variance parameters.

    Parameters
    ----------
    objective : Objective
    joint : bool
        Over (T, log sigma) as MAP needs, instead of T with sigma profiled out.
    """
    criterion = _Counted(objective.joint if joint else objective.profiled)
    base = objective.layout.start()
    scale = float(objective.cp.n)

    def start(factor: float) -> FloatArray:
        x = base * factor
        if not joint:
            return x
        f = objective.factorise(objective.layout.unpack(x))
        sigma = objective.best_sigma(f) if f is not None else 1.0
        return np.append(x, np.log(max(sigma, 1e-8)))

    best = _descend(criterion, start(_STARTS[0]), scale)
    best = _settle(objective, criterion, best, joint=joint)
    if best.status is not FitStatus.CONVERGED:
        for factor in _STARTS[1:]:
            other = _settle(
                objective, criterion, _descend(criterion, start(factor), scale), joint=joint
            )
            if other.value < best.value - 1e-9 * (1.0 + abs(best.value)):
                best = other
    return best


def _descend(criterion: _Counted, x: FloatArray, scale: float) -> FloatArray:
    if len(x) == 0:
        return x

    def scaled(x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = criterion(x)
        return value / scale, gradient / scale

    # a first step of length one, whatever the scale of the gradient
    found = minimize(
        scaled,
        x,
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 1e-9, "gtol": 1e-6, "maxiter": 1000, "maxcor": 20},
    )
    return np.asarray(found.x, dtype=np.float64)


def _settle(objective: Objective, criterion: _Counted, x: FloatArray, *, joint: bool) -> Optimum:
    """Newton, zeros, certificate; climbs out of a false boundary if it finds one."""
    for _ in range(6):
        x, free = _polish(criterion, x, np.ones(len(x), dtype=bool))[0], np.ones(len(x), dtype=bool)
        x, free = _try_zeros(objective, criterion, x, free)
        escape = _false_boundary(objective, x, free, joint=joint)
        if escape is None:
            break
        x = _descend(criterion, escape, float(objective.cp.n))
    return _certify(criterion, x, free)


def _hessian(criterion: Criterion, x: FloatArray, free: FloatArray) -> FloatArray:
    """Central differences of the exact gradient, in the free entries."""
    at = np.flatnonzero(free)
    H = np.empty((len(at), len(at)))
    for row, k in enumerate(at):
        h = 1e-4 * max(abs(x[k]), 0.05)
        step = np.zeros_like(x)
        step[k] = h
        H[row] = (criterion(x + step)[1] - criterion(x - step)[1])[at] / (2.0 * h)
    return (H + H.T) / 2.0


def _newton_step(H: FloatArray, gradient: FloatArray) -> tuple[FloatArray, float]:
    """Step and decrement with eigenvalues made positive."""
    if len(gradient) == 0:
        return gradient, 0.0
    values, vectors = np.linalg.eigh(H)
    floor = 1e-10 * max(float(np.abs(values).max()), 1e-300)
    along = vectors.T @ gradient
    damped = np.maximum(np.abs(values), floor)
    return -vectors @ (along / damped), 0.5 * float(np.sum(along**2 / damped))


def _polish(
    criterion: _Counted, x: FloatArray, free: FloatArray, most: int = 12
) -> tuple[FloatArray, float]:
    """Newton steps in the free entries until the decrement is rounding."""
    at = np.flatnonzero(free)
    value, gradient = criterion(x)
    if len(at) == 0:
        return x, value
    H, fresh = _hessian(criterion, x, free), True
    before = np.inf
    for _ in range(most):
        step, decrement = _newton_step(H, gradient[at])
        if decrement < _DECREMENT:
            break
        if decrement > 0.05 * before and not fresh:
            H, fresh = _hessian(criterion, x, free), True
            step, decrement = _newton_step(H, gradient[at])
        before = decrement
        for shrink in (1.0, 0.5, 0.1, 0.01, 1e-3):
            trial = x.copy()
            trial[at] += shrink * step
            new_value, new_gradient = criterion(trial)
            if new_value <= value + 1e-12 * abs(value):
                break
        else:
            break
        stuck = shrink == 1.0 and fresh and new_value >= value and decrement < 1e-9
        x, value, gradient, fresh = trial, new_value, new_gradient, False
        if stuck:
            break
    return x, value


def _try_zeros(
    objective: Objective, criterion: _Counted, x: FloatArray, free: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Hold at zero every diagonal entry of T that is next to zero at no cost."""
    layout = objective.layout
    k = layout.size
    canonical = x.copy()
    canonical[:k] = layout.pack(
        [_canonical(T, p) for T, p in zip(layout.unpack(x[:k]), layout.patterns, strict=True)]
    )
    value = criterion(x)[0]
    near = [i for i in layout.diagonal if abs(canonical[i]) < _NEAR_ZERO]
    near.sort(key=lambda i: abs(canonical[i]))
    for i in near:
        trial, trial_free = canonical.copy(), free.copy()
        trial[i] = 0.0
        trial_free[i] = False
        for j in _below(layout, int(i)):
            trial[j] = 0.0
            trial_free[j] = False
        trial, trial_value = _polish(criterion, trial, trial_free)
        if trial_value <= value + 1e-9 + 1e-13 * abs(value):
            canonical, free, x = trial, trial_free, trial
            value = min(value, trial_value)
    return x, free


def _canonical(T: FloatArray, pattern: FloatArray) -> FloatArray:
    """The same T T' with non-negative diagonal and small columns moved to small pivots."""
    from bayeslmm.engine.gaussian.parameters import lower_factor

    return np.asarray(lower_factor(T) * pattern)


def _below(layout: object, position: int) -> list[int]:
    """Positions of the free entries below a diagonal entry, in its column."""
    at = 0
    for p in layout.patterns:  # type: ignore[attr-defined]
        rows, columns = np.nonzero(p)
        if position < at + len(rows):
            here = position - at
            return [
                at + i
                for i in range(len(rows))
                if columns[i] == columns[here] and rows[i] > columns[i]
            ]
        at += len(rows)
    return []


def _false_boundary(
    objective: Objective, x: FloatArray, free: FloatArray, *, joint: bool
) -> FloatArray | None:
    """A start off the boundary in a direction that improves, or None if there is none.

    With N = (1/2) sum_j [g_j g_j'/sigma^2 - Z_j'(W - WHM^-1H'W)Z_j] the log
    likelihood gains tr(N d(TT')) to first order, so on the null space of T' N
    must be negative semidefinite.
    """
    if free.all() or objective.variance_prior is not None:
        return None
    k = objective.layout.size
    T = objective.layout.unpack(x[:k])
    sigma = float(np.exp(x[-1])) if joint else None
    f = objective.factorise(T, sigma or 1.0)
    if f is None:
        return None
    sigma = sigma or objective.best_sigma(f)
    s = objective.solve(f, given_fixed=not objective.reml, curvature=True)
    escape, moved = [t.copy() for t in T], False
    for i, (t, p) in enumerate(zip(T, objective.layout.patterns, strict=True)):
        N = 0.5 * (s.gg[i] / sigma**2 - s.ZPZ[i])
        for block in _blocks(p):
            held = np.diag(t)[block] == 0.0
            if not held.any():
                continue
            square = np.ix_(block, block)
            direction = _ascent(N[square], t[square], correlated=bool(np.tril(p[square], -1).any()))
            if direction is not None:
                escape[i][square] = _canonical(
                    np.hstack([t[square], 0.1 * direction[:, None]]), np.ones_like(t[square])
                )
                moved = True
    if not moved:
        return None
    start = x.copy()
    start[:k] = objective.layout.pack(escape)
    return start


def _blocks(pattern: FloatArray) -> list[FloatArray]:
    """Columns of each term: runs joined by correlations."""
    groups: list[list[int]] = []
    for j in range(len(pattern)):
        if groups and pattern[j, groups[-1][0]]:
            groups[-1].append(j)
        else:
            groups.append([j])
    return [np.array(g) for g in groups]


def _ascent(N: FloatArray, t: FloatArray, *, correlated: bool) -> FloatArray | None:
    """Unit direction in the null space of t' along which the likelihood rises, if any."""
    size = max(1.0, float(np.abs(N).max()))
    if not correlated:
        return np.ones(1) if N[0, 0] > 1e-7 * size else None
    values, vectors = np.linalg.eigh(t @ t.T)
    null = vectors[:, values < 1e-10 * max(float(values.max()), 1e-10)]
    if null.shape[1] == 0:
        return None
    gains, directions = np.linalg.eigh(null.T @ N @ null)
    if gains[-1] <= 1e-6 * size:
        return None
    return np.asarray(null @ directions[:, -1])


def _certify(criterion: _Counted, x: FloatArray, free: FloatArray) -> Optimum:
    value, gradient = criterion(x)
    at = np.flatnonzero(free)
    inner = _hessian(criterion, x, free)
    H = np.full((len(x), len(x)), np.nan)
    H[np.ix_(at, at)] = inner
    _, decrement = _newton_step(inner, gradient[at])
    curvature = np.linalg.eigvalsh(inner) if len(at) else np.ones(1)
    largest = max(float(np.abs(curvature).max()), 1e-300)
    if not np.isfinite(value) or decrement > _FAILED or curvature.min() < -1e-6 * largest:
        status = FitStatus.FAILED
    elif not free.all():
        status = FitStatus.SINGULAR
    elif curvature.min() < _FLAT * largest:
        status = FitStatus.FLAT
    else:
        status = FitStatus.CONVERGED
    return Optimum(
        x=x,
        value=value,
        gradient=gradient,
        hessian=H,
        free=free,
        decrement=decrement,
        status=status,
        evaluations=len(criterion.trace),
        trace=tuple(criterion.trace),
    )
