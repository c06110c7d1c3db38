"""The same model for other responses: design and cross-products of Z and X are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.design import Design
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.engine.estimate import Estimate, Method
from bayeslmm.engine.gaussian.crossproducts import CrossProducts, compute_crossproducts
from bayeslmm.engine.gaussian.estimate import (
    assemble,
    check_residual,
    check_sigma,
    has_residual,
)
from bayeslmm.engine.gaussian.objective import Objective
from bayeslmm.engine.gaussian.optimise import Optimum, minimise
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.gaussian.small_problem import SmallProblem, is_small, small_problem
from bayeslmm.engine.gaussian.variances import variance_names, variance_values
from bayeslmm.engine.gaussian.working import to_working
from bayeslmm.outcomes import FitStatus

# Responses worked on at once: bounds the memory of their products.
_CHUNK = 256


@dataclass(frozen=True, eq=False, slots=True)
class BatchEstimate:
    """Point estimates of a batch of responses; arrays have the batch first.

    ``beta`` (batch, p); ``loglik`` (batch,); ``variances`` (batch, parameters) SDs,
    correlations and sigma; ``status`` (batch,) how each search ended. Where it failed, or
    nothing is left for the residual, the estimates are NaN.
    """

    beta: FloatArray
    loglik: FloatArray
    variances: FloatArray
    status: list[FitStatus]


class Refitter:
    """Fits one design to other responses by REML or ML.

    Parameters
    ----------
    design : Design
    method : {"REML", "ML"}
    start : Estimate
        Where each search starts: the fit of the design's own response.
    """

    @one_blas_thread
    def __init__(self, design: Design, method: Method, start: Estimate) -> None:
        self.design = design
        self.method = method
        self.cp = compute_crossproducts(design)
        self.layout = Layout.of(design, self.cp.coordinates)
        working = self.layout.to_working(start.T)
        # a search that starts at zero never leaves it
        lifted = [t + 0.1 * np.diag(np.diag(t) < 0.1) for t in working]
        self.start = self.layout.pack(lifted)
        maps = self.cp.coordinates
        self._X = to_working(design.X, maps.X_map) * design.weights[:, None]
        self._Z = [
            to_working(f.columns, R) * design.weights[:, None]
            for f, R in zip(design.factors, maps.Z_maps, strict=True)
        ]
        self._share = design.weights / design.weights.sum()

    @one_blas_thread
    def fit(self, Y: FloatArray) -> BatchEstimate:
        """Fit every column of Y, shape (n, batch)."""
        batch, d = Y.shape[1], self.design
        out = BatchEstimate(
            beta=np.empty((batch, d.p)),
            loglik=np.empty(batch),
            variances=np.empty((batch, len(variance_names(d)))),
            status=[],
        )
        for first in range(0, batch, _CHUNK):
            for b, cp in enumerate(self._crossproducts(Y[:, first : first + _CHUNK]), first):
                self._fit(cp, b, out)
        return out

    @one_blas_thread
    def estimate(self, y: FloatArray) -> Estimate:
        """Everything of one response, shape (n,)."""
        (cp,) = self._crossproducts(y[:, None])
        check_residual(cp)
        objective, optimum = self._optimum(cp)
        estimate = assemble(self.design, objective, self.method, optimum)
        check_sigma(estimate, cp)
        return estimate

    def _optimum(self, cp: CrossProducts) -> tuple[Objective, Optimum]:
        objective = Objective(cp, self.layout, reml=self.method == "REML")
        small = self._small
        if small is not None:
            small = small._replace(dense=cp.chain[0].dense, S=cp.S)
        return objective, minimise(objective, joint=False, start=self.start, small=small)

    @cached_property
    def _small(self) -> SmallProblem | None:
        if not is_small(self.cp):
            return None
        return small_problem(self.cp, self.layout, reml=self.method == "REML")

    def _fit(self, cp: CrossProducts, b: int, out: BatchEstimate) -> None:
        found = self._optimum(cp)[1] if has_residual(cp) else None
        status = FitStatus.FAILED if found is None else found.status
        out.status.append(status)
        if found is None or found.point.solved is None or status is FitStatus.FAILED:
            for array in (out.beta, out.loglik, out.variances):
                array[b] = np.nan
            return
        solved, maps = found.point.solved(), cp.coordinates
        working = self.layout.unpack(found.point.x)
        E = [back @ t for back, t in zip(self._Z_back, working, strict=True)]
        out.beta[b] = maps.y_scale * self._back @ solved.beta
        if self.design.has_intercept:
            out.beta[b, self._intercept] += maps.y_shift
        out.loglik[b] = -0.5 * solved.deviance
        out.variances[b] = variance_values(self.design, E, solved.sigma * maps.y_scale)

    @cached_property
    def _Z_back(self) -> list[FloatArray]:
        return [np.asarray(np.linalg.inv(R)) for R in self.layout.maps]

    @cached_property
    def _back(self) -> FloatArray:
        return np.asarray(np.linalg.inv(self.cp.coordinates.X_map))

    @cached_property
    def _intercept(self) -> int:
        return self.design.fixed_names.index("Intercept")

    def _crossproducts(self, Y: FloatArray) -> list[CrossProducts]:
        """The cross-products with each column of Y in place of the response."""
        d, batch = self.design, Y.shape[1]
        y = Y - d.offset[:, None]
        shift = self._share @ y if d.has_intercept else np.zeros(batch)
        y -= shift
        scale = np.sqrt(self._share @ y**2)
        scale[scale == 0.0] = 1.0
        y /= scale
        levels = [self._level_products(k, y) for k in self.cp.order]
        rest = [a.reshape(batch, -1) for a in levels[len(self.cp.chain) :]]
        with_y = np.hstack([*rest, (self._X.T @ y).T, (d.weights @ y**2)[:, None]])
        return [
            self._with_response([a[b] for a in levels], with_y[b], float(shift[b]), float(scale[b]))
            for b in range(batch)
        ]

    @cached_property
    def _rows_by_level(self) -> list[tuple[IntArray, IntArray]]:
        """Rows of each factor sorted by level, and where each level starts."""
        out = []
        for f in self.design.factors:
            order = np.argsort(f.codes, kind="stable")
            out.append((order, np.searchsorted(f.codes[order], np.arange(f.n_levels))))
        return out

    def _level_products(self, k: int, y: FloatArray) -> FloatArray:
        """Z_k'Wy by level, shape (batch, J, K)."""
        f, columns = self.design.factors[k], self._Z[k]
        out = np.empty((y.shape[1], f.n_levels, f.n_columns))
        order, starts = self._rows_by_level[k]
        for c in range(f.n_columns):
            products = (columns[:, [c]] * y)[order]
            out[:, :, c] = np.add.reduceat(products, starts, axis=0).T
        return out

    def _with_response(
        self, levels: list[FloatArray], S_y: FloatArray, shift: float, scale: float
    ) -> CrossProducts:
        S = self.cp.S.copy()
        S[:, -1] = S_y
        S[-1, :] = S_y
        chain = []
        for c, products in zip(self.cp.chain, levels, strict=False):
            dense = c.dense.copy()
            dense[:, -1, :] = products
            full = None
            if c.full is not None:
                full = c.full.copy()
                full[:, :, -1] = products
            chain.append(replace(c, dense=dense, full=full))
        maps = replace(self.cp.coordinates, y_shift=shift, y_scale=scale)
        return replace(self.cp, chain=tuple(chain), S=S, coordinates=maps)
