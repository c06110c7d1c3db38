"""The log posterior of SDs, correlations and sigma, fixed and random effects integrated out.

Unconstrained coordinates, in this order:

- of every SD, factor by factor: its log, or the logit of where it lies between the
  bounds of its prior;
- of every partial correlation (see `bayeslmm.priors.lkj`), factor by factor and block by
  block: its inverse hyperbolic tangent;
- log sigma, or its logit as for an SD.

The density is that of these coordinates: priors are of the SDs, correlations and sigma
themselves, and the Jacobian is in it.
"""

from __future__ import annotations

import math

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.engine.gaussian.coordinates import Spec, collect, expand
from bayeslmm.engine.gaussian.criterion import Factorisation
from bayeslmm.engine.gaussian.crossproducts import compute_crossproducts
from bayeslmm.engine.gaussian.densities import density_codes
from bayeslmm.engine.gaussian.draws import draw_effects
from bayeslmm.engine.gaussian.estimate import fit_gaussian
from bayeslmm.engine.gaussian.map_prior import fixed_prior
from bayeslmm.engine.gaussian.objective import Objective
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.gaussian.small import factoriser, small_draws, small_evaluate
from bayeslmm.engine.gaussian.small_problem import is_small, small_problem
from bayeslmm.engine.gaussian.values import small_values
from bayeslmm.errors import FitError
from bayeslmm.priors import PriorSet
from bayeslmm.priors.lkj import correlation_factor, partial_shapes
from bayeslmm.priors.names import corr_name, effects_name, sd_name

# SDs start at this share of the residual's at least.
_LEAST = 0.1
# Draws of effects made at once: bounds the memory of their noise.
_CHUNK = 256


type Factored = tuple[Factorisation, float]
"""M at a point, and sigma on the working scale."""


class MarginalPosterior:
    """Log posterior and gradient in unconstrained coordinates, and exact draws given them.

    Parameters
    ----------
    design : Design
        Gaussian, identity link.
    priors : PriorSet
        Normal or flat on the fixed effects.

    Attributes
    ----------
    size : int
    names : tuple of str
        A name a coordinate.

    Raises
    ------
    PriorError
        A prior of a fixed effect is neither Normal nor Flat.
    """

    def __init__(self, design: Design, priors: PriorSet) -> None:
        self.design, self.priors = design, priors
        self.cp = compute_crossproducts(design)
        self.layout = Layout.of(design, self.cp.coordinates)
        prior = fixed_prior(design, priors, self.cp.coordinates)
        self.objective = Objective(self.cp, self.layout, reml=True, fixed_prior=prior)
        self.small = (
            small_problem(self.cp, self.layout, reml=True, prior=prior)
            if is_small(self.cp)
            else None
        )
        self._spec, self._constant = _spec(design, priors, self.layout, self.cp.coordinates.y_scale)
        self._constant -= 0.5 * self.objective.constant
        self.size = len(self._spec.codes) + len(self._spec.of)
        self.names = _names(design, priors)

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log posterior density and its gradient; -inf outside."""
        spec = self._spec
        theta, Ts, Ls, sds, sigma, log_prior, slope = expand(x, spec)
        if not np.isfinite(log_prior):
            return -np.inf, np.zeros(self.size)
        if self.small is None:
            point = self._general(np.append(theta, math.log(sigma)))
            if point is None:
                return -np.inf, np.zeros(self.size)
            moving, gradient, by_sigma = point
        else:
            s2 = sigma * sigma
            logdet, r2, G, R, _, _, v, C, _ = small_evaluate(theta, self.small, s2, False)
            if not r2 > 0.0:
                return -np.inf, np.zeros(self.size)
            df = self.small.df
            moving = logdet + 2.0 * df * math.log(sigma) + r2 / s2
            gradient = 2.0 * (G - R / s2)
            by_sigma = 2.0 * (df - r2 / s2) + self._prior_slope(v, C, s2)
        collect(x, theta, -0.5 * gradient, -0.5 * by_sigma, Ts, Ls, sds, sigma, spec, slope)
        return log_prior + self._constant - 0.5 * moving, slope

    @one_blas_thread
    def values(self, X: FloatArray) -> FloatArray:
        """Log posterior density at each row of X, shape (S, size); -inf outside."""
        if self.small is not None:
            pointer = factoriser(self.small)
            return np.asarray(small_values(pointer, X, self._spec, self.small, self._constant))
        return np.array([self.value_and_factor(x)[0] for x in X])

    def _prior_slope(self, v: FloatArray, C: FloatArray, s2: float) -> float:
        """What the prior of the fixed effects adds to the slope in log sigma."""
        prior, q = self.objective.fixed_prior, self.cp.q_rest
        assert prior is not None
        d, lower = v[q:] - prior.mean, C[q:, q:]
        both = 2.0 * float(np.sum(lower * prior.precision))
        both -= float(lower.diagonal() @ prior.precision.diagonal())
        return 2.0 * float(d @ prior.precision @ d) + 2.0 * s2 * both

    def _general(self, x: FloatArray) -> tuple[float, FloatArray, float] | None:
        point = one_blas_thread(self.objective.joint)(x)
        if not np.isfinite(point.value):
            return None
        value = point.value - self.objective.constant
        return value, point.gradient[:-1], float(point.gradient[-1])

    def coordinates(self, sds: list[FloatArray], Rs: list[FloatArray], sigma: float) -> FloatArray:
        """Coordinates of SDs and correlation matrices, by factor, and sigma."""
        spec, values = self._spec, [*np.concatenate([*sds, np.empty(0)]), sigma]
        x = np.empty(self.size)
        n_sd = len(values) - 1
        for i, value in enumerate(values):
            low, high = spec.bounds[i]
            at = i if i < n_sd else self.size - 1
            if np.isfinite(high):
                share = (value - low) / (high - low)
                x[at] = math.log(share) - math.log1p(-share)
            else:
                x[at] = math.log(value - low)
        factors = [np.linalg.cholesky(R) for R in Rs]
        for i in range(len(spec.of)):
            L, r, c, start = factors[spec.of[i]], spec.row[i], spec.column[i], spec.block[i]
            left = math.sqrt(max(1.0 - float((L[r, start:c] ** 2).sum()), 1e-300))
            x[n_sd + i] = math.atanh(float(np.clip(L[r, c] / left, -1 + 1e-12, 1 - 1e-12)))
        return x

    def start(self) -> FloatArray:
        """Coordinates near the mode: REML's SDs, none of them near zero, no correlation."""
        e = fit_gaussian(self.design, "REML")
        sds = []
        for f, cov in zip(self.design.factors, e.covariances, strict=True):
            size = np.sqrt((f.columns**2).mean(axis=0))
            floor = _LEAST * e.sigma / np.where(size > 0, size, 1.0)
            sds.append(np.maximum(np.sqrt(np.diag(cov)), floor))
        bounds, at = self._spec.bounds, 0
        for sd in sds:
            for k in range(len(sd)):
                sd[k] = _within(sd[k], *bounds[at])
                at += 1
        none = [np.eye(len(sd)) for sd in sds]
        return self.coordinates(sds, none, _within(e.sigma, *bounds[at]))

    def constrained(self, x: FloatArray) -> dict[str, FloatArray]:
        """SDs, correlation matrices and sigma of draws, shape (S, size) to (S, ...)."""
        spec, out = self._spec, {}
        n_sd = len(spec.codes) - 1
        values = np.exp(np.hstack([x[:, :n_sd], x[:, -1:]]))
        for i, (low, high) in enumerate(spec.bounds):
            if np.isfinite(high):
                values[:, i] = low + (high - low) * values[:, i] / (1.0 + values[:, i])
        z, at = np.tanh(x[:, n_sd:-1]), 0
        for k, f in enumerate(self.design.factors):
            start, K = spec.sd_start[k], f.n_columns
            out[sd_name(f.name)] = values[:, start : start + K]
            if not f.has_correlations:
                continue
            L = np.tile(np.eye(K), (len(x), 1, 1))
            for first, stop in self.priors.blocks[f.name]:
                size = (stop - first) * (stop - first - 1) // 2
                L[:, first:stop, first:stop] = correlation_factor(
                    z[:, at : at + size], stop - first
                )
                at += size
            R = L @ L.transpose(0, 2, 1)
            R[:, np.arange(K), np.arange(K)] = 1.0
            out[corr_name(f.name)] = R
        out["sigma"] = values[:, -1]
        return out

    @one_blas_thread
    def draw(self, x: FloatArray, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Fixed and random effects, one exact draw given each row of x, shape (S, size).

        Returns
        -------
        dict of ndarray
            ``beta`` (S, p) and, by factor of the design, ``b_<factor>`` (S, J, K).
        """
        out = self._empty(len(x))
        for first in range(0, len(x), _CHUNK):
            piece = slice(first, first + _CHUNK)
            self._place(out, piece, *self._draw_working(x[piece], rng))
        return {k: v for k, v in out.items() if v.shape[-1]}

    @one_blas_thread
    def value_and_factor(self, x: FloatArray) -> tuple[float, Factored | None]:
        """Log posterior at x, and what `draw_given` takes; -inf and None outside."""
        theta, _, _, _, sigma, log_prior, _ = expand(np.ascontiguousarray(x), self._spec)
        if not np.isfinite(log_prior):
            return -np.inf, None
        f = self.objective.factorise(self.layout.unpack(theta), sigma)
        if f is None or not f.r2 > 0.0:
            return -np.inf, None
        deviance = self.objective.deviance(f, sigma) - self.objective.constant
        return log_prior + self._constant - 0.5 * deviance, (f, sigma)

    @one_blas_thread
    def draw_given(self, factored: Factored, rng: np.random.Generator) -> dict[str, FloatArray]:
        """One draw of the effects as `draw` gives them, of a factorisation already made."""
        out = self._empty(1)
        beta, effects = draw_effects(*factored, rng)
        self._place(out, slice(0, 1), beta[None], [e[None] for e in effects])
        return {k: v for k, v in out.items() if v.shape[-1]}

    def _empty(self, n: int) -> dict[str, FloatArray]:
        out = {"beta": np.zeros((n, self.design.p))}
        for f in self.design.factors:
            out[effects_name(f.name)] = np.zeros((n, f.n_levels, f.n_columns))
        return out

    def _place(
        self,
        out: dict[str, FloatArray],
        piece: slice,
        beta: FloatArray,
        effects: list[FloatArray],
    ) -> None:
        """Put working coefficients, factors in the order of the cross-products, into ``out``."""
        maps, d = self.cp.coordinates, self.design
        out["beta"][piece] = beta @ (maps.y_scale * np.linalg.inv(maps.X_map)).T
        if d.has_intercept:
            out["beta"][piece, d.fixed_names.index("Intercept")] += maps.y_shift
        for position, b in zip(self.cp.order, effects, strict=True):
            R = maps.Z_maps[position]
            out[effects_name(d.factors[position].name)][piece] = (
                b @ (maps.y_scale * np.linalg.inv(R)).T
            )

    def _draw_working(
        self, x: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, list[FloatArray]]:
        """Coefficients of the working columns, factors in the order of the cross-products."""
        cp, q = self.cp, self.cp.q_rest
        if self.small is None:
            found = [draw_effects(*self.factorise(row), rng) for row in x]
            beta = np.array([b for b, _ in found]).reshape(len(x), cp.p)
            return beta, [np.array(e) for e in zip(*(e for _, e in found), strict=True)]
        expanded = [expand(row, self._spec) for row in x]
        J, K = cp.levels[0], cp.widths[0]
        rest, own = small_draws(
            np.array([e[0] for e in expanded]),
            np.array([e[4] for e in expanded]),
            self.small,
            rng.standard_normal((len(x), q + cp.p)),
            rng.standard_normal((len(x), J, K)),
        )
        others = [rest[:, at].reshape(len(x), cp.levels[k], -1) for k, at in cp.remainder]
        return rest[:, q:], [own, *others]

    def factorise(self, x: FloatArray) -> Factored:
        """M at coordinates x, and sigma on the working scale."""
        theta, _, _, _, sigma, _, _ = expand(np.ascontiguousarray(x), self._spec)
        f = self.objective.factorise(self.layout.unpack(theta), sigma)
        if f is None:
            raise FitError("nothing can be computed at these variance parameters.")
        return f, sigma


def _within(value: float, low: float, high: float) -> float:
    """The value, or the nearest that is clearly inside its bounds."""
    if np.isfinite(high):
        return float(np.clip(value, low + 0.05 * (high - low), high - 0.05 * (high - low)))
    return float(max(value, 1.05 * low))


def _names(design: Design, priors: PriorSet) -> tuple[str, ...]:
    sds = [f"{sd_name(f.name)}[{c}]" for f in design.factors for c in f.column_names]
    partial = []
    for f in design.factors:
        if not f.has_correlations:
            continue
        c = f.column_names
        for start, stop in priors.blocks[f.name]:
            partial += [
                f"partial_{f.name}[{c[j]}, {c[i]}]"
                for i in range(start + 1, stop)
                for j in range(start, i)
            ]
    return (*sds, *partial, "sigma")


def _spec(design: Design, priors: PriorSet, layout: Layout, scale: float) -> tuple[Spec, float]:
    """The arrays of `Spec`, and the constant of the log priors."""
    widths = [f.n_columns for f in design.factors]
    scalar = [p for f in design.factors for p in priors.sd[f.name]]
    assert priors.sigma is not None
    codes, arguments, bounds, constant = density_codes([*scalar, priors.sigma])
    where: list[tuple[int, int, int, int]] = []
    shapes: list[float] = []
    for k, f in enumerate(design.factors):
        if not f.has_correlations:
            continue
        for start, stop in priors.blocks[f.name]:
            shapes += partial_shapes(priors.corr[f.name].eta, stop - start).tolist()
            where += [(k, i, j, start) for i in range(start + 1, stop) for j in range(start, i)]
    for shape in shapes:
        # (z + 1) / 2 ~ Beta(a, a), in the coordinate atanh z
        constant += math.lgamma(2.0 * shape) - 2.0 * math.lgamma(shape)
        constant -= (2.0 * shape - 1.0) * math.log(2.0)
    partial = np.array(where, dtype=np.int64).reshape(-1, 4)
    of, rows, columns, block = (np.ascontiguousarray(partial[:, j]) for j in range(4))
    K = max(widths, default=1)
    maps = np.zeros((len(widths), K, K))
    for k, R in enumerate(layout.maps):
        maps[k, : len(R), : len(R)] = R
    factor, row, column, _ = layout.entries
    return (
        Spec(
            np.array([0, *np.cumsum(widths)], dtype=np.int64), codes, arguments, bounds,
            of, rows, columns, block, np.array(shapes),
            maps, factor, row, column, scale,
        ),
        constant,
    )  # fmt: skip
