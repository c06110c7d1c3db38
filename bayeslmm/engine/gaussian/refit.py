"""The same model for other responses: design and cross-products of Z and X are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate, Method
from bayeslmm.engine.gaussian.criterion import flatten_above
from bayeslmm.engine.gaussian.crossproducts import CrossProducts, compute_crossproducts
from bayeslmm.engine.gaussian.objective import Objective
from bayeslmm.engine.gaussian.optimise import minimise
from bayeslmm.engine.gaussian.parameters import Layout, term_blocks
from bayeslmm.engine.gaussian.small import small_batch
from bayeslmm.engine.gaussian.variances import variance_names, variance_values
from bayeslmm.engine.gaussian.working import to_working

# A remainder of at most so many columns is fitted by the compiled small path.
_SMALL = 40
# Diagonal entries of T below this may belong at zero, which the general path decides.
_PERHAPS_ZERO = 3e-2


@dataclass(frozen=True, eq=False, slots=True)
class BatchEstimate:
    """Point estimates of a batch of responses; arrays have the batch first.

    ``beta`` (batch, p); ``theta`` (batch, k) free entries of T; ``sigma`` and
    ``loglik`` (batch,); ``variances`` (batch, parameters) SDs, correlations and sigma.
    """

    beta: FloatArray
    theta: FloatArray
    sigma: FloatArray
    loglik: FloatArray
    variances: FloatArray


class Refitter:
    """Fits one design to many responses by REML or ML.

    Parameters
    ----------
    design : Design
    method : {"REML", "ML"}
    start : Estimate
        Where each search starts: the fit of the design's own response.
    """

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

    def fit(self, Y: FloatArray) -> BatchEstimate:
        """Fit every column of Y, shape (n, batch)."""
        maps, d = self.cp.coordinates, self.design
        share = d.weights / d.weights.sum()
        y = Y - d.offset[:, None]
        shift = share @ y if d.has_intercept else np.zeros(Y.shape[1])
        y = y - shift
        scale = np.sqrt(share @ y**2)
        scale[scale == 0.0] = 1.0
        y = y / scale
        batch = Y.shape[1]
        levels = [self._level_products(k, y) for k in self.cp.order]
        m = len(self.cp.S)
        S_y = np.empty((batch, m))
        rest = [a.reshape(batch, -1) for a in levels[len(self.cp.chain) :]]
        S_y[:, :-1] = np.hstack([*rest, (self._X.T @ y).T])
        S_y[:, -1] = d.weights @ y**2
        back = np.linalg.inv(maps.X_map)
        out = BatchEstimate(
            beta=np.empty((batch, d.p)),
            theta=np.empty((batch, self.layout.size)),
            sigma=np.empty(batch),
            loglik=np.empty(batch),
            variances=np.empty((batch, len(variance_names(d)))),
        )
        settled = self._small(levels, S_y, out) if self._is_small else np.zeros(batch, dtype=bool)
        for b in np.flatnonzero(~settled).tolist():
            self._general([a[b] for a in levels], S_y[b], b, out)
        out.beta[:] = (scale[:, None] * out.beta) @ back.T
        if d.has_intercept:
            out.beta[:, d.fixed_names.index("Intercept")] += shift
        out.sigma[:] *= scale
        df = self._objective(self.cp).df
        out.loglik[:] -= df * np.log(scale / maps.y_scale)
        for b in range(batch):
            T = self.layout.unpack(out.theta[b])
            out.variances[b] = variance_values(d, T, out.sigma[b])
        return out

    @property
    def _is_small(self) -> bool:
        chain = self.cp.chain
        return len(chain) == 1 and chain[0].full is None and len(self.cp.S) <= _SMALL

    def _objective(self, cp: CrossProducts) -> Objective:
        return Objective(cp, self.layout, reml=self.method == "REML")

    def _level_products(self, k: int, y: FloatArray) -> FloatArray:
        """Z_k'Wy by level, shape (batch, J, K)."""
        f, columns = self.design.factors[k], self._Z[k]
        out = np.empty((y.shape[1], f.n_levels, f.n_columns))
        order = np.argsort(f.codes, kind="stable")
        starts = np.searchsorted(f.codes[order], np.arange(f.n_levels))
        for c in range(f.n_columns):
            products = (columns[:, [c]] * y)[order]
            out[:, :, c] = np.add.reduceat(products, starts, axis=0).T
        return out

    def _small(self, levels: list[FloatArray], S_y: FloatArray, out: BatchEstimate) -> Any:
        """Fill ``out`` by the compiled path; True where its optimum is beyond doubt."""
        x = self.start[self._permutation]
        problem = self._problem
        xs, values, decrements, r2, v = small_batch(x, problem, levels[0], S_y)
        q = self.cp.q_rest
        objective = self._objective(self.cp)
        inverse = np.argsort(self._permutation)
        diagonal = np.abs(xs[:, inverse][:, self.layout.diagonal])
        settled = (decrements < 1e-8) & (diagonal > _PERHAPS_ZERO).all(axis=1)
        out.sigma[:] = np.sqrt(r2 / objective.df)
        out.beta[:] = v[:, q:]
        df = objective.df
        out.loglik[:] = -0.5 * (values + objective.constant + df - df * np.log(df))
        for b in np.flatnonzero(settled).tolist():
            raw = self.layout.to_raw(self.layout.unpack(xs[b, inverse]))
            out.theta[b] = self.layout.pack(raw)
        return settled

    @cached_property
    def _permutation(self) -> IntArray:
        """Free entries in the order of the cross-products, as positions in the layout's."""
        starts = np.cumsum([0, *(int(p.sum()) for p in self.layout.patterns)])
        parts = [np.arange(starts[k], starts[k + 1]) for k in self.cp.order]
        return np.concatenate(parts).astype(np.int64)

    @cached_property
    def _problem(self) -> tuple[Any, ...]:
        """Arguments of `small_point` after ``x``."""
        cp, c = self.cp, self.cp.chain[0]
        ordered = [self.design.factors[k] for k in cp.order]
        entries = np.vstack(
            [np.column_stack([np.full(f.pattern.sum(), i), *np.nonzero(f.pattern)])
             for i, f in enumerate(ordered)]
        ).astype(np.int64)  # fmt: skip
        labels = np.zeros((len(ordered), max(cp.widths)), dtype=np.int64)
        for i, f in enumerate(ordered):
            for number, block in enumerate(term_blocks(f.pattern)):
                labels[i, block] = number
        where = (np.ascontiguousarray(entries[:, j]) for j in range(3))
        return (
            c.A, c.start, c.column, c.value, c.dense.copy(), cp.S.copy(),
            np.array(cp.levels, dtype=np.int64), np.array(cp.widths, dtype=np.int64),
            *where, labels, cp.p, float(self._objective(cp).df), self.method == "REML",
            flatten_above([], c),
        )  # fmt: skip

    def _general(
        self, levels: list[FloatArray], S_y: FloatArray, b: int, out: BatchEstimate
    ) -> None:
        """Fit one response as `fit_gaussian` does."""
        cp = self._with_response(levels, S_y)
        objective = self._objective(cp)
        optimum = minimise(objective, joint=False)
        T = self.layout.unpack(optimum.x)
        f = objective.factorise(T)
        if f is None:
            out.theta[b], out.beta[b], out.sigma[b], out.loglik[b] = (np.nan,) * 4
            return
        out.theta[b] = self.layout.pack(self.layout.to_raw(T))
        out.beta[b] = objective.solve(f, given_fixed=False).beta
        out.sigma[b] = objective.best_sigma(f)
        out.loglik[b] = -0.5 * optimum.value

    def _with_response(self, levels: list[FloatArray], S_y: FloatArray) -> CrossProducts:
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
        return replace(self.cp, chain=tuple(chain), S=S)
