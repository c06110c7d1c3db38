"""Ends of Uniform priors, as smooth constraints on (free entries of T, log sigma).

The density of a Uniform prior is the same everywhere between its ends, so the mode is that
of the density continued beyond them, or lies at an end. With E = R^-1 T_w a standard
deviation is sigma |E_a|, and its ends are the constraints

    1 - sd^2 / upper^2 >= 0,        1 - lower^2 / sd^2 >= 0,

which are smooth where T is singular too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.gaussian.parameters import Layout, lower_factor
from bayeslmm.engine.gaussian.variances import correlated_pairs
from bayeslmm.engine.gaussian.working import Coordinates
from bayeslmm.priors import Prior, PriorSet, Uniform

# How far inside, as a share of the prior's width, a search starts that was outside.
_INSIDE = 0.05
# Below this share of a lower end its constraint no longer falls.
_LOWEST = 1e-6
# Ends are drawn in by this share: rounding shall not carry an estimate out of its prior.
_ROUNDING = 1e-13


@dataclass(frozen=True, slots=True)
class End:
    """One end of one prior: ``factor`` is -1 for sigma, ``value`` on the working scale.

    ``position`` is that of the parameter among the reported ones.
    """

    factor: int
    row: int
    position: int
    value: float
    upper: bool


@dataclass(frozen=True, eq=False, slots=True)
class Bounds:
    """The ends that matter, and where SDs stand between them.

    Attributes
    ----------
    layout : Layout
    backs : tuple of ndarray
        R^-1 of each factor.
    ends : tuple of End
    """

    layout: Layout
    backs: tuple[FloatArray, ...]
    ends: tuple[End, ...]

    def slack(self, x: FloatArray) -> FloatArray:
        """Every constraint at (free entries of T, log sigma); negative outside."""
        squares = self._squares(x)
        return np.array(
            [
                1.0 - s / e.value**2 if e.upper else 1.0 - 1.0 / max(s / e.value**2, _LOWEST**2)
                for s, e in zip(squares, self.ends, strict=True)
            ]
        )

    def jacobian(self, x: FloatArray) -> FloatArray:
        """Derivatives of `slack`, shape (ends, size)."""
        T, sigma2 = self.layout.unpack(x[:-1]), float(np.exp(2.0 * x[-1]))
        out = np.zeros((len(self.ends), len(x)))
        for i, (e, s) in enumerate(zip(self.ends, self._squares(x), strict=True)):
            d = np.append(np.zeros(self.layout.size), 2.0 * s)
            if e.factor >= 0:
                by_T = [np.zeros_like(t) for t in T]
                own = self.backs[e.factor][e.row]
                by_T[e.factor] = 2.0 * sigma2 * np.outer(own, own @ T[e.factor])
                d[:-1] = self.layout.pack(by_T)
            relative = d / e.value**2
            out[i] = -relative if e.upper else relative / max(s / e.value**2, _LOWEST**2) ** 2
        return out

    def inside(self, x: FloatArray) -> FloatArray:
        """The vector, with SDs and sigma that are outside moved clearly inside."""
        T, sigma = self.layout.unpack(x[:-1]), float(np.exp(np.clip(x[-1], -50.0, 50.0)))
        sigma = self._within(sigma, -1, 0)
        for k, (t, back) in enumerate(zip(T, self.backs, strict=True)):
            E = back @ t
            sd = sigma * np.linalg.norm(E, axis=1)
            target = np.array([self._within(v, k, a) for a, v in enumerate(sd)])
            if (target == sd).all():
                continue
            E *= (target / np.where(sd > 0.0, sd, 1.0))[:, None]
            dead = np.flatnonzero(sd == 0.0)
            E[dead, dead] = target[dead] / sigma
            T[k] = lower_factor(np.linalg.solve(back, E)) * self.layout.patterns[k]
        return np.append(self.layout.pack(T), np.log(sigma))

    def _squares(self, x: FloatArray) -> list[float]:
        T, sigma2 = self.layout.unpack(x[:-1]), float(np.exp(2.0 * x[-1]))
        rows = [
            self.backs[e.factor][e.row] @ T[e.factor] if e.factor >= 0 else np.ones(1)
            for e in self.ends
        ]
        return [sigma2 * float(row @ row) for row in rows]

    def _within(self, sd: float, factor: int, row: int) -> float:
        ends = [e for e in self.ends if (e.factor, e.row) == (factor, row)]
        low = max([e.value for e in ends if not e.upper], default=0.0)
        high = min([e.value for e in ends if e.upper], default=np.inf)
        if sd > high:
            return high - _INSIDE * (high - low)
        return low + _INSIDE * (min(high, 2.0 * low) - low) if sd < low else sd


def uniform_bounds(
    design: Design, priors: PriorSet, layout: Layout, maps: Coordinates
) -> Bounds | None:
    """The ends of every Uniform prior of an SD or of sigma; None if there is none."""
    ends: list[End] = []
    position = 0
    for k, f in enumerate(design.factors):
        for row, prior in enumerate(priors.sd[f.name]):
            ends += _ends(prior, k, row, position + row, maps.y_scale)
        position += f.n_columns + len(correlated_pairs(f))
    assert priors.sigma is not None
    ends += _ends(priors.sigma, -1, 0, position, maps.y_scale)
    if not ends:
        return None
    return Bounds(layout, tuple(np.linalg.inv(R) for R in layout.maps), tuple(ends))


def _ends(prior: Prior, factor: int, row: int, position: int, scale: float) -> Sequence[End]:
    if not isinstance(prior, Uniform):
        return ()
    upper = End(factor, row, position, prior.upper * (1.0 - _ROUNDING) / scale, True)
    if prior.lower <= 0.0:
        return (upper,)
    low = prior.lower * (1.0 + _ROUNDING) / scale
    return End(factor, row, position, low, False), upper
