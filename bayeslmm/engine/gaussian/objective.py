"""Minus twice the log likelihood (or log posterior) as a function of a vector.

Two forms: `profiled`, in the entries of T alone with sigma at its optimum given
T (ML and REML), and `joint`, in (T, log sigma), which also takes priors (MAP).
Vectors hold working-scale entries (see `parameters`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from bayeslmm.arrays import BoolArray, FloatArray
from bayeslmm.engine.gaussian.bend import add_bend
from bayeslmm.engine.gaussian.criterion import (
    Factorisation,
    FixedPrior,
    Solution,
    factorise,
    solve,
)
from bayeslmm.engine.gaussian.crossproducts import CrossProducts
from bayeslmm.engine.gaussian.information import average_information
from bayeslmm.engine.gaussian.parameters import Layout

type VariancePrior = Callable[[list[FloatArray], float], tuple[float, list[FloatArray], float]]
"""(T_w, sigma_w) -> log prior, its derivatives in T_w at fixed sigma, and in log sigma_w."""


@dataclass(frozen=True, eq=False, slots=True)
class Solved:
    """Effects at a point, in working coordinates.

    ``u`` (J, K) of each factor of the design; ``beta`` (p,) and ``C_beta`` (p, p);
    ``sigma``; ``deviance`` on the user's scale, no prior of the variances in it.
    """

    u: list[FloatArray]
    beta: FloatArray
    C_beta: FloatArray
    sigma: float
    deviance: float


@dataclass(frozen=True, eq=False, slots=True)
class Point:
    """A criterion at a vector: value and gradient; curvature and effects when asked."""

    x: FloatArray
    value: float
    gradient: FloatArray
    curvature: Callable[[], FloatArray]
    solved: Callable[[], Solved] | None = None

    @classmethod
    def outside(cls, x: FloatArray) -> Point:
        """A vector at which the criterion has no value."""
        return cls(x, np.inf, np.zeros_like(x), lambda: np.eye(len(x)))


def gradient_differences(
    criterion: Callable[[FloatArray], Point], x: FloatArray, free: BoolArray
) -> FloatArray:
    """Hessian in the free entries, by central differences of the exact gradient."""
    at = np.flatnonzero(free)
    H = np.empty((len(at), len(at)))
    for row, k in enumerate(at):
        h = 1e-4 * max(abs(x[k]), 0.05)
        step = np.zeros_like(x)
        step[k] = h
        H[row] = (criterion(x + step).gradient - criterion(x - step).gradient)[at] / (2.0 * h)
    return np.asarray((H + H.T) / 2.0)


def bend_upwards(layout: Layout, x: FloatArray, gradient: FloatArray, H: FloatArray) -> FloatArray:
    """Average information plus what the slope in T T' adds, where that curves upwards.

    With d(dev) = -2 tr(N d(TT')), a step D in T adds -2 tr(N D D'), and dev' = -4 N T
    gives N without more work, term by term, where T has an inverse.
    """
    out = H.copy()
    add_bend(x, gradient, *layout.entries, out)
    return out


def in_design_order(cp: CrossProducts, items: list[FloatArray]) -> list[FloatArray]:
    """What is in the order of the cross-products, by factor of the design."""
    out = list(items)
    for position, item in zip(cp.order, items, strict=True):
        out[position] = item
    return out


@dataclass(frozen=True, eq=False)
class Objective:
    """A criterion to minimise.

    Attributes
    ----------
    cp : CrossProducts
    layout : Layout
    reml : bool
        Integrate the fixed effects out (with a flat prior unless ``fixed_prior``).
    fixed_prior : FixedPrior, optional
        Proper prior of the fixed effects; then only `joint` is defined.
    variance_prior : callable, optional
    """

    cp: CrossProducts
    layout: Layout
    reml: bool
    fixed_prior: FixedPrior | None = None
    variance_prior: VariancePrior | None = None
    # the last point and its matrices, kept for its curvature: those of one point only,
    # since they are most of the memory of a fit
    _latest: list[tuple[FloatArray, Factorisation, Solution]] = field(default_factory=list)

    @property
    def df(self) -> int:
        """Rows less integrated fixed effects: the divisor of sigma^2."""
        return self.cp.n - (self.cp.p if self.reml else 0)

    def factorise(self, T: list[FloatArray], sigma: float = 1.0) -> Factorisation | None:
        """M at T given in the order of the design."""
        ordered = [T[k] for k in self.cp.order]
        return factorise(self.cp, ordered, prior=self.fixed_prior, sigma=sigma)

    def log_determinant(self, f: Factorisation) -> float:
        """Log |M|, or log |M_uu| for ML."""
        return f.logdet_u + (f.logdet_x if self.reml else 0.0)

    @property
    def constant(self) -> float:
        """What the deviance holds beside log |M| + 2 df log sigma + r^2/sigma^2."""
        maps = self.cp.coordinates
        normaliser = self.df * np.log(2 * np.pi)
        if self.fixed_prior is not None:
            normaliser = (self.cp.n - self.fixed_prior.n_flat) * np.log(2 * np.pi)
            normaliser -= self.fixed_prior.log_pseudo_determinant
        if self.reml:
            normaliser += 2.0 * maps.X_log_determinant
        return float(normaliser + 2.0 * self.df * np.log(maps.y_scale) - self.cp.log_weights)

    def deviance(self, f: Factorisation, sigma: float) -> float:
        """-2 log p(y | theta, sigma) on the user's scale; sigma on the working scale."""
        moving = self.log_determinant(f) + 2.0 * self.df * np.log(sigma) + f.r2 / sigma**2
        return float(moving + self.constant)

    def best_sigma(self, f: Factorisation) -> float:
        """Sigma that minimises the deviance given T, on the working scale."""
        return float(np.sqrt(f.r2 / self.df))

    def profiled(self, x: FloatArray) -> Point:
        """Deviance at the best sigma given T, in the free entries of T."""
        self._latest.clear()
        f = self.factorise(self.layout.unpack(x))
        if f is None or not f.r2 > 0:
            return Point.outside(x)
        sigma2 = f.r2 / self.df
        s = solve(f, given_fixed=not self.reml, spend=True)
        self._latest[:] = [(x, f, s)]
        full = [2.0 * G - 2.0 * R / sigma2 for G, R in zip(s.G, s.R, strict=True)]
        full = in_design_order(self.cp, full)

        slope, solved = self.layout.pack(full), self._solved(f, s, np.sqrt(sigma2))

        def curvature() -> FloatArray:
            return self._expected_curvature(x, slope)

        return Point(x, solved.deviance, slope, curvature, lambda: solved)

    def profiled_value(self, x: FloatArray) -> float:
        """Deviance at the best sigma."""
        f = self.factorise(self.layout.unpack(x))
        return np.inf if f is None or not f.r2 > 0 else self.deviance(f, self.best_sigma(f))

    def _expected_curvature(self, x: FloatArray, gradient: FloatArray) -> FloatArray:
        """Curvature of the profiled deviance in the entries of T, cheap and positive."""
        if not self._latest or self._latest[0][0] is not x:
            self.profiled(x)
        _, f, s = self._latest[0]
        sigma2 = f.r2 / self.df
        ordered = [self.layout.patterns[k] for k in self.cp.order]
        AI, cross = average_information(f, s, ordered, sigma2)
        H = 2.0 * (AI - np.outer(cross, cross) * sigma2 / (2.0 * f.r2))
        starts = np.concatenate([[0], np.cumsum([int(p.sum()) for p in ordered])])
        place = np.empty(self.layout.size, dtype=np.int64)
        at = 0
        for k in np.argsort(self.cp.order):
            size = starts[k + 1] - starts[k]
            place[at : at + size] = np.arange(starts[k], starts[k + 1])
            at += size
        H = H[np.ix_(place, place)]
        return bend_upwards(self.layout, x, gradient, H)

    def joint(self, x: FloatArray) -> Point:
        """Deviance less twice the log prior, in (free entries of T, log sigma)."""
        T, sigma = self.layout.unpack(x[:-1]), float(np.exp(x[-1]))
        f = self.factorise(T, sigma)
        if f is None or not np.isfinite(sigma) or sigma == 0.0:
            return Point.outside(x)
        s = solve(f, given_fixed=not self.reml, spend=True)
        gradient = in_design_order(
            self.cp, [2.0 * G - 2.0 * R / sigma**2 for G, R in zip(s.G, s.R, strict=True)]
        )
        log_sigma = 2.0 * self.df - 2.0 * f.r2 / sigma**2
        if self.fixed_prior is not None:
            d = s.beta - self.fixed_prior.mean
            B = self.fixed_prior.precision
            log_sigma += 2.0 * float(d @ B @ d) + 2.0 * sigma**2 * float(np.sum(s.C_beta * B))
        solved = self._solved(f, s, sigma)
        value = solved.deviance
        if self.variance_prior is not None:
            log_prior, dT, dlog_sigma = self.variance_prior(T, sigma)
            value -= 2.0 * log_prior
            gradient = [g - 2.0 * d for g, d in zip(gradient, dT, strict=True)]
            log_sigma -= 2.0 * dlog_sigma
        if not np.isfinite(value):
            return Point.outside(x)

        def curvature() -> FloatArray:
            return gradient_differences(self.joint, x, np.ones(len(x), dtype=bool))

        full = np.append(self.layout.pack(gradient), log_sigma)
        return Point(x, value, full, curvature, lambda: solved)

    def solve(self, f: Factorisation, *, given_fixed: bool, curvature: bool = False) -> Solution:
        """Effects and blocks in the order of the design."""
        s = solve(f, given_fixed=given_fixed, curvature=curvature)

        def order(items: list[FloatArray]) -> list[FloatArray]:
            return in_design_order(self.cp, items)

        return replace(
            s,
            u=order(s.u),
            g=order(s.g),
            own=order(s.own),
            G=order(s.G),
            R=order(s.R),
            gg=order(s.gg),
            ZPZ=order(s.ZPZ),
        )

    def _solved(self, f: Factorisation, s: Solution, sigma: float) -> Solved:
        u = in_design_order(self.cp, s.u)
        return Solved(u, s.beta, s.C_beta, float(sigma), self.deviance(f, sigma))
