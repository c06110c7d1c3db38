"""A criterion as the optimiser meets it: counted, and compiled where the model is small."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.engine.gaussian.descent import small_descend
from bayeslmm.engine.gaussian.newton import MOST, descend
from bayeslmm.engine.gaussian.objective import (
    Objective,
    Point,
    Solved,
    bend_upwards,
    in_design_order,
)
from bayeslmm.engine.gaussian.small import evaluator, small_evaluate
from bayeslmm.engine.gaussian.small_problem import SmallProblem, is_small, small_problem


class Search:
    """An objective, and a trace of (criterion, largest gradient entry) of its evaluations.

    Parameters
    ----------
    objective : Objective
    joint : bool
        Over (T, log sigma) as MAP needs, instead of T with sigma profiled out.
    small : SmallProblem, optional
        The problem for the compiled path, where it is made already.
    """

    def __init__(
        self, objective: Objective, *, joint: bool, small: SmallProblem | None = None
    ) -> None:
        self.objective, self.joint = objective, joint
        self.trace: list[tuple[float, float]] = []
        if small is None and not joint and is_small(objective.cp):
            small = small_problem(objective.cp, objective.layout, reml=objective.reml)
        self.small = small

    def __call__(self, x: FloatArray) -> Point:
        """Evaluate, and remember."""
        if self.small is not None:
            point = self._evaluate(self.small, x)
        else:
            point = self.objective.joint(x) if self.joint else self.objective.profiled(x)
        self.trace.append((point.value, max(map(abs, point.gradient.tolist()), default=0.0)))
        return point

    @cached_property
    def _constant(self) -> float:
        """What log |M| + df log r^2 leaves out of the deviance."""
        df = self.objective.df
        return float(self.objective.constant + df - df * np.log(df))

    def _evaluate(self, small: SmallProblem, x: FloatArray) -> Point:
        logdet, r2, G, R, H, *effects = small_evaluate(x, small, 0.0, True)
        if not r2 > 0.0:
            return Point.outside(x)
        value = logdet + small.df * math.log(r2) + self._constant
        gradient = 2.0 * G - (2.0 * small.df / r2) * R
        return self._point(x, value, gradient, H, math.sqrt(r2 / small.df), effects)

    def _point(
        self,
        x: FloatArray,
        value: float,
        gradient: FloatArray,
        H: FloatArray,
        sigma: float,
        effects: Sequence[FloatArray],
    ) -> Point:
        def curvature() -> FloatArray:
            return bend_upwards(self.objective.layout, x, gradient, H)

        return Point(x, value, gradient, curvature, lambda: self._solved(value, sigma, *effects))

    def descend(self, x: FloatArray) -> tuple[Point, FloatArray]:
        """The end of a walk from x with every entry free, and the curvature there."""
        free = np.ones(len(x), dtype=bool)
        if self.small is None:
            return descend(self, self(x), free)
        x, trace = x.copy(), np.empty((MOST, 2))
        entries = self.objective.layout.entries
        ended, count, value, gradient, H, found = small_descend(
            evaluator(self.small), x, self.small, self._constant, *entries, trace
        )
        if not ended:
            count -= 1  # the point reached is evaluated again
        self.trace += map(tuple, trace[:count].tolist())
        if not ended:
            return descend(self, self(x), free)
        sigma = math.sqrt(found[1] / self.small.df)
        return self._point(x, value, gradient, found[4], sigma, found[5:]), H

    def _solved(
        self,
        deviance: float,
        sigma: float,
        u: FloatArray,
        v: FloatArray,
        C: FloatArray,
        L: FloatArray,
    ) -> Solved:
        cp, q = self.objective.cp, self.objective.cp.q_rest
        if self.objective.reml:
            lower = C[q:, q:]
            C_beta = lower + np.tril(lower, -1).T
        else:
            half = np.linalg.inv(np.tril(L[q:-1, q:-1]))
            C_beta = half.T @ half
        effects = [u, *(v[at].reshape(cp.levels[k], -1) for k, at in cp.remainder)]
        return Solved(in_design_order(cp, effects), v[q:], C_beta, sigma, deviance)
