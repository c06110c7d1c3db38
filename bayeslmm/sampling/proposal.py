"""Independent proposals for SDs, correlations and sigma: split t around their mode.

The log of an SD whose posterior reaches zero has a long tail, along which the SD no longer
moves the other parameters. Its coordinate is therefore u = asinh(SD / SD at the mode): linear
near zero, a logarithm far from it. Proposals below zero are reflected, so their density there
is positive, as that of the SD is, and weights are bounded. The mode is found in logarithms,
where it never is at zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from bayeslmm.arrays import FloatArray
from bayeslmm.engine.gaussian import MarginalPosterior

# Degrees of freedom of the proposal: tails heavier than any posterior's in logs of SDs.
_TAILS = 6.0
# It is as heavy as the posterior this many SDs from the mode; its width stays between a
# third of the SD and three times it.
_FAR = np.array([1.5, 3.0, 5.0])
_MOST = 3.0
# How much wider the second t is, and how often it proposes a coordinate: few levels leave
# tails that the first is late to reach. It costs proposals, so rarely where they are dear.
_WIDER = 3.0
_SHARE, _SHARE_DEAR = 0.1, 0.02
# The mode of an SD is here in its own coordinate, and the center at most a step from it.
_MODE = float(np.arcsinh(1.0))
_STEP = 0.5


@dataclass(frozen=True, eq=False, slots=True)
class Proposal:
    """Mixtures of split t distributions, of each coordinate given those before it.

    Attributes
    ----------
    center : ndarray, shape (size,)
        Of SDs (as asinh, see the module), partial correlations and sigma (as the posterior
        has them), in this order.
    root : ndarray, shape (size, size)
        Lower triangular, of their covariance: how far each moves with those before it, and
        on the diagonal by itself.
    up, down : ndarray, shape (size,)
        Width on either side, in units of that diagonal.
    share : float
        Of each mixture that is wider.
    log_modes : ndarray, shape (SDs,)
        The posterior's coordinates of SDs at its mode.
    """

    center: FloatArray
    root: FloatArray
    up: FloatArray
    down: FloatArray
    share: float
    log_modes: FloatArray

    def sample(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draws (n, size) in the posterior's coordinates and their log densities (n,)."""
        size = len(self.center)
        t = np.abs(rng.standard_t(_TAILS, (n, size)))
        t = np.where(rng.uniform(size=(n, size)) < self.share, _WIDER * t, t)
        upward = rng.uniform(size=(n, size)) < self.up / (self.up + self.down)
        z = np.where(upward, t * self.up, -t * self.down)
        u, log_density = np.empty((n, size)), np.zeros(n)
        for k in range(size):
            at, own = self.center[k] + z[:, :k] @ self.root[k, :k], self.root[k, k]
            u[:, k] = at + own * z[:, k]
            density = self._density(k, z[:, k])
            if k < len(self.log_modes):
                density += self._density(k, (-u[:, k] - at) / own)
                u[:, k] = np.abs(u[:, k])
                z[:, k] = (u[:, k] - at) / own
            log_density += np.log(density / own)
        x, log_slope = logs_of(u, self.log_modes)
        return x, log_density - log_slope

    def _density(self, k: int, z: FloatArray) -> FloatArray:
        """Density of the k-th step, before it is reflected."""
        t = np.where(z > 0.0, z / self.up[k], -z / self.down[k])
        both = (1.0 - self.share) * _folded_t(t) + self.share * _folded_t(t / _WIDER) / _WIDER
        return np.asarray(both / (self.up[k] + self.down[k]))


def logs_of(u: FloatArray, log_modes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The posterior's coordinates at u (n, size), and the log determinant of dx/du (n,)."""
    n_sd, x = len(log_modes), u.copy()
    sds = u[:, :n_sd]
    # log sinh, without overflow and exact near zero
    x[:, :n_sd] = log_modes + sds + np.log(-np.expm1(-2.0 * sds)) - np.log(2.0)
    return x, -np.log(np.tanh(sds)).sum(axis=1)


def find_proposal(posterior: MarginalPosterior) -> Proposal | None:
    """Mode, Hessian and skewness of a posterior; None where it has no proper mode."""
    found = _find_mode(posterior)
    if found is None:
        return None
    mode, covariance = found
    n_sd = sum(f.n_columns for f in posterior.design.factors)
    is_sd = np.arange(posterior.size) < n_sd
    slope = np.where(is_sd, np.tanh(_MODE), 1.0)
    covariance = slope[:, None] * covariance * slope
    # the density of u falls at the mode of x, by the determinant's part: one Newton step
    falls = np.where(is_sd, 1.0 / (np.sinh(_MODE) * np.cosh(_MODE)), 0.0)
    center = np.where(is_sd, _MODE, mode) - (covariance @ falls).clip(-_STEP, _STEP)
    root = np.linalg.cholesky(covariance)

    def log_density(u: FloatArray) -> FloatArray:
        x, log_slope = logs_of(u, mode[:n_sd])
        return np.asarray(posterior.values(x) + log_slope)

    peak = log_density(center[None])[0]
    widths = np.empty((2, posterior.size))
    for side, sign in enumerate((1.0, -1.0)):
        for k in range(posterior.size):
            there = center + sign * np.outer(_FAR, root[:, k])
            # reflected ones would say nothing of this side
            inside = (there[:, :n_sd] > 0.0).all(axis=1)
            drops = np.full(len(_FAR), np.inf)
            drops[inside] = peak - log_density(there[inside])
            widths[side, k] = _width(drops)
    share = _SHARE if posterior.small is not None else _SHARE_DEAR
    return Proposal(center, root, widths[0], widths[1], share, mode[:n_sd])


def _find_mode(posterior: MarginalPosterior) -> tuple[FloatArray, FloatArray] | None:
    """Mode of a posterior in its own coordinates, and its inverse Hessian."""

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        value, slope = posterior(x)
        return (-value, -slope) if np.isfinite(value) else (1e300, np.zeros_like(x))

    found: Any = minimize(objective, posterior.start(), jac=True, method="L-BFGS-B")
    mode = np.asarray(found.x, dtype=np.float64)
    h = 1e-3
    H = np.empty((posterior.size, posterior.size))
    for k, step in enumerate(h * np.eye(posterior.size)):
        H[k] = (posterior(mode - step)[1] - posterior(mode + step)[1]) / (2.0 * h)
    H = (H + H.T) / 2.0
    if not np.isfinite(H).all():
        return None
    values = np.linalg.eigvalsh(H)
    if values[0] <= 1e-8 * values[-1]:
        return None
    covariance = np.linalg.inv(H)
    return mode + (covariance @ posterior(mode)[1]).clip(-0.1, 0.1), covariance


def _width(drops: FloatArray) -> float:
    """Width of a t that falls no sooner than a log density that drops so much at `_FAR`."""
    seen = np.isfinite(drops)
    if not seen.any():
        return 1.0
    # where the log density of a t has fallen as much
    drops = drops[seen].clip(1e-12, 1e3)
    falls = np.sqrt(_TAILS * np.expm1(2.0 * drops / (_TAILS + 1.0)))
    return float(np.max(_FAR[seen] / falls).clip(1.0 / _MOST, _MOST))


def _folded_t(t: FloatArray) -> FloatArray:
    """Density of the absolute value of a t variable, twice that of the variable."""
    log_constant = gammaln(0.5 * (_TAILS + 1.0)) - gammaln(0.5 * _TAILS)
    log_constant += np.log(2.0) - 0.5 * np.log(_TAILS * np.pi)
    return np.asarray(np.exp(log_constant - 0.5 * (_TAILS + 1.0) * np.log1p(t**2 / _TAILS)))
