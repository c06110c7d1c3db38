"""Minus twice the log likelihood (or log posterior) as a function of a vector.

Two forms: `profiled`, in the entries of T alone with sigma at its optimum given
T (ML and REML), and `joint`, in (T, log sigma), which also takes priors (MAP).
Vectors hold working-scale entries (see `parameters`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayeslmm.engine.blocks import FloatArray
from bayeslmm.engine.gaussian.criterion import (
    Factorisation,
    FixedPrior,
    Solution,
    factorise,
    solve,
)
from bayeslmm.engine.gaussian.crossproducts import CrossProducts
from bayeslmm.engine.gaussian.parameters import Layout

type VariancePrior = Callable[[list[FloatArray], float], tuple[float, list[FloatArray], float]]
"""(T_w, sigma_w) -> log prior, its derivatives in T_w at fixed sigma, and in log sigma_w."""


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

    def deviance(self, f: Factorisation, sigma: float) -> float:
        """-2 log p(y | theta, sigma) on the user's scale; sigma on the working scale."""
        maps = self.cp.coordinates
        n, p = self.cp.n, self.cp.p
        jacobian = 2.0 * maps.X_log_determinant if self.reml and self.fixed_prior is None else 0.0
        flat = p if self.reml else 0
        normaliser = (n - flat) * np.log(2 * np.pi)
        if self.fixed_prior is not None:
            normaliser = (n - self.fixed_prior.n_flat) * np.log(2 * np.pi)
            normaliser -= self.fixed_prior.log_pseudo_determinant
            scale_power = n - self.fixed_prior.n_flat
        else:
            scale_power = n - flat
        return float(
            self.log_determinant(f)
            + jacobian
            + normaliser
            + 2.0 * self.df * np.log(sigma)
            + 2.0 * scale_power * np.log(maps.y_scale)
            + f.r2 / sigma**2
            - self.cp.log_weights
        )

    def best_sigma(self, f: Factorisation) -> float:
        """Sigma that minimises the deviance given T, on the working scale."""
        return float(np.sqrt(f.r2 / self.df))

    def profiled(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Deviance at the best sigma, and its gradient."""
        T = self.layout.unpack(x)
        f = self.factorise(T)
        if f is None or not f.r2 > 0:
            return np.inf, np.zeros_like(x)
        sigma2 = f.r2 / self.df
        s = solve(f, given_fixed=not self.reml)
        gradient = [2.0 * G - 2.0 * R / sigma2 for G, R in zip(s.G, s.R, strict=True)]
        return self.deviance(f, np.sqrt(sigma2)), self.layout.pack(self._in_design_order(gradient))

    def profiled_value(self, x: FloatArray) -> float:
        """Deviance at the best sigma."""
        f = self.factorise(self.layout.unpack(x))
        return np.inf if f is None or not f.r2 > 0 else self.deviance(f, self.best_sigma(f))

    def joint(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Deviance less twice the log prior at (T, log sigma), and its gradient."""
        T, sigma = self.layout.unpack(x[:-1]), float(np.exp(x[-1]))
        f = self.factorise(T, sigma)
        if f is None or not np.isfinite(sigma) or sigma == 0.0:
            return np.inf, np.zeros_like(x)
        s = solve(f, given_fixed=not self.reml)
        gradient = self._in_design_order(
            [2.0 * G - 2.0 * R / sigma**2 for G, R in zip(s.G, s.R, strict=True)]
        )
        log_sigma = 2.0 * self.df - 2.0 * f.r2 / sigma**2
        if self.fixed_prior is not None:
            d = s.beta - self.fixed_prior.mean
            B = self.fixed_prior.precision
            log_sigma += 2.0 * float(d @ B @ d) + 2.0 * sigma**2 * float(np.sum(s.C_beta * B))
        value = self.deviance(f, sigma)
        if self.variance_prior is not None:
            log_prior, dT, dlog_sigma = self.variance_prior(T, sigma)
            value -= 2.0 * log_prior
            gradient = [g - 2.0 * d for g, d in zip(gradient, dT, strict=True)]
            log_sigma -= 2.0 * dlog_sigma
        if not np.isfinite(value):
            return np.inf, np.zeros_like(x)
        return value, np.append(self.layout.pack(gradient), log_sigma)

    def solve(self, f: Factorisation, *, given_fixed: bool, curvature: bool = False) -> Solution:
        """Effects and blocks in the order of the design."""
        s = solve(f, given_fixed=given_fixed, curvature=curvature)
        order = self._in_design_order
        return Solution(
            order(s.u),
            order(s.C),
            order(s.G),
            order(s.R),
            order(s.gg),
            order(s.ZPZ),
            s.beta,
            s.C_beta,
        )

    def _in_design_order(self, items: list[FloatArray]) -> list[FloatArray]:
        out = list(items)
        for position, item in zip(self.cp.order, items, strict=True):
            out[position] = item
        return out
