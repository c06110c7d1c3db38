"""The ML deviance as a function of (theta, log sigma), with gradient and expected curvature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.gaussian.criterion import solve
from bayeslmm.engine.gaussian.crossproducts import CrossProducts
from bayeslmm.engine.gaussian.information import average_information
from bayeslmm.engine.gaussian.objective import Objective, bend_upwards, in_design_order
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.gaussian.small import small_evaluate
from bayeslmm.engine.gaussian.small_problem import is_small, small_problem
from bayeslmm.errors import FitError


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """The deviance at z with its gradient, shape (k + 1,); the curvature when asked."""

    deviance: float
    gradient: FloatArray
    curvature: Callable[[], FloatArray]


class Deviance:
    """The ML deviance of cross-products as a function of (theta, log sigma), working scale.

    The curvature is the expected one: twice the average information, with log sigma.
    """

    def __init__(self, cp: CrossProducts, layout: Layout) -> None:
        self.objective = Objective(cp, layout, reml=False)
        self.layout, self.n = layout, cp.n
        self.small = small_problem(cp, layout, reml=False) if is_small(cp) else None
        self.constant = self.objective.constant

    def __call__(self, z: FloatArray) -> Value | None:
        """Evaluate; None where M is not positive definite."""
        theta, log_sigma = np.ascontiguousarray(z[:-1]), float(z[-1])
        s2 = math.exp(2.0 * log_sigma) if abs(log_sigma) < 300.0 else 0.0
        found = self._terms(theta) if s2 > 0.0 else None
        if found is None:
            return None
        logdet, r2, G, R, form = found
        value = logdet + 2.0 * self.n * log_sigma + r2 / s2 + self.constant
        slope = 2.0 * G - (2.0 / s2) * R
        gradient = np.append(slope, 2.0 * self.n - 2.0 * r2 / s2)

        def curvature() -> FloatArray:
            H = np.empty((len(z), len(z)))
            H[:-1, :-1] = bend_upwards(self.layout, theta, slope, form() / s2)
            H[-1, :-1] = H[:-1, -1] = (4.0 / s2) * R
            H[-1, -1] = 4.0 * r2 / s2
            return H

        return Value(value, gradient, curvature)

    def _terms(
        self, theta: FloatArray
    ) -> tuple[float, float, FloatArray, FloatArray, Callable[[], FloatArray]] | None:
        """Log |M_uu|, r^2, G, R, and the form that is twice AI times sigma^2."""
        if self.small is not None:
            logdet, r2, G, R, H, *_ = small_evaluate(theta, self.small, 0.0, True)
            if not r2 > 0.0:
                return None
            return logdet, r2, G, R, lambda: H * (r2 / self.n) + (4.0 / r2) * np.outer(R, R)
        o, layout = self.objective, self.layout
        f = o.factorise(layout.unpack(theta))
        if f is None or not f.r2 > 0.0:
            return None
        s = solve(f, given_fixed=True, spend=True)
        order = f.cp.order
        G, R = (layout.pack(in_design_order(f.cp, part)) for part in (s.G, s.R))

        def form() -> FloatArray:
            AI, _ = average_information(f, s, [layout.patterns[k] for k in order], 0.5)
            return AI[np.ix_(self._from_order, self._from_order)]

        return f.logdet_u, f.r2, G, R, form

    @cached_property
    def _from_order(self) -> IntArray:
        """Positions, among entries in the order of the cross-products, of the layout's."""
        order = list(self.objective.cp.order)
        owner = self.layout.entries[0]
        return np.argsort(np.argsort([order.index(k) for k in owner], kind="stable"))

    def fixed_effects(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Working fixed effects at theta, and (X'V^-1X)^-1."""
        f = self.objective.factorise(self.layout.unpack(theta))
        if f is None:
            raise FitError("nothing can be computed at these variance parameters.")
        s = solve(f, given_fixed=True)
        return s.beta, s.C_beta


def with_columns(cp: CrossProducts, Q: FloatArray) -> CrossProducts:
    """The cross-products with [X y] Q in place of [X y]."""
    q, kept = cp.q_rest, Q.shape[1] - 1
    S = np.zeros((q + kept + 1,) * 2)
    S[:q, :q] = cp.S[:q, :q]
    S[q:, :q] = Q.T @ cp.S[q:, :q]
    S[:q, q:] = S[q:, :q].T
    S[q:, q:] = Q.T @ cp.S[q:, q:] @ Q
    chain = []
    for c in cp.chain:
        before = c.dense.shape[1] - len(Q)
        dense = np.concatenate([c.dense[:, :before], Q.T @ c.dense[:, before:]], axis=1)
        full = c.full
        if full is not None:
            full = np.concatenate([full[:, :, :q], full[:, :, q:] @ Q], axis=2)
        chain.append(replace(c, dense=dense, full=full))
    maps = replace(cp.coordinates, X_map=np.eye(kept))
    return replace(cp, p=kept, chain=tuple(chain), S=S, coordinates=maps)
