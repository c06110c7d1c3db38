"""Likelihood-ratio statistics drawn from their distribution under the smaller model."""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError
from bayeslmm.fitting import refitter
from bayeslmm.inference.resampling import simulated_responses

# The ratio of variances is sought on a grid of logarithms, in units in which the largest
# eigenvalue is one, from where it does nothing to where it does all it can.
_GRID = np.concatenate([[-np.inf], np.linspace(-12.0, 12.0, 193)])
_CHUNK = 2_000


def exact_statistics(
    large: Design, method: str, draws: int, rng: np.random.Generator
) -> FloatArray:
    """Statistics of the test that the only variance is zero, from the exact distribution.

    With mu the eigenvalues of ``Z'(W - WX(X'WX)^-1 X'W)Z`` and w independent standard normal,
    the restricted statistic is the largest value over lambda >= 0 of ::

        (n - p) log(1 + N/D) - sum log(1 + lambda mu_s)
        N = sum lambda mu_s/(1 + lambda mu_s) w_s^2
        D = sum w_s^2/(1 + lambda mu_s) + sum of the other w^2

    and by ML n is in place of n - p, and the eigenvalues of Z'WZ in the last sum.

    Returns
    -------
    ndarray, shape (draws,)

    References
    ----------
    Crainiceanu, C. M. and Ruppert, D. (2004), Journal of the Royal Statistical Society B 66,
    165-185, theorem 1.
    """
    reml, used = method == "REML", large.used
    w = np.sqrt(large.weights[used])
    Q = np.linalg.qr(large.X[used] * w[:, None])[0]
    Z = large.Z()[used].multiply(w[:, None]).tocsr()
    ZtQ = Z.T @ Q
    sizes = np.asarray(Z.multiply(Z).sum(axis=0)).ravel()
    mu = np.linalg.eigvalsh(np.diag(sizes) - ZtQ @ ZtQ.T)
    mu = mu[mu > 1e-12 * sizes.max()]
    rest = large.n_effective - large.p - len(mu)
    other = mu if reml else sizes
    n = large.n_effective - (large.p if reml else 0)
    ratio = np.exp(_GRID) / mu.max()
    shrunk = 1.0 / (1.0 + np.outer(mu, ratio))
    penalty = np.log1p(np.outer(other, ratio)).sum(axis=0)
    out = np.empty(draws)
    for first in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - first)
        squares = rng.chisquare(1.0, (size, len(mu)))
        more = rng.chisquare(rest, size)[:, None] if rest else np.zeros((size, 1))
        total = squares.sum(axis=1, keepdims=True) + more
        # N + D is the same for every lambda
        value = n * np.log(total / (squares @ shrunk + more)) - penalty
        out[first : first + size] = _peak(value)
    return out


def _peak(values: FloatArray) -> FloatArray:
    """Largest value of each row, by the parabola through the best of the grid and its sides."""
    rows, at = np.arange(len(values)), values.argmax(axis=1)
    best = values[rows, at]
    inner = (at > 1) & (at < values.shape[1] - 1)
    left = values[rows, np.maximum(at - 1, 0)]
    right = values[rows, np.minimum(at + 1, values.shape[1] - 1)]
    bend = left - 2.0 * best + right
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = -((right - left) ** 2) / (8.0 * bend)
    return np.asarray(best + np.where(inner & (bend < 0.0), gain, 0.0))


def bootstrap_statistics(
    small: Design,
    small_estimate: Estimate,
    large: Design,
    large_estimate: Estimate,
    draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Statistics of responses simulated from the smaller model, refitted by both.

    Returns
    -------
    ndarray
        One a draw, less those of searches that failed.
    """
    lower, upper = refitter(small, small_estimate), refitter(large, large_estimate)
    found = []
    for first in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - first)
        Y = simulated_responses(small, small_estimate, size, rng)
        found.append(2.0 * (upper.fit(Y).loglik - lower.fit(Y).loglik))
    statistics = np.concatenate(found)
    statistics = np.maximum(statistics[np.isfinite(statistics)], 0.0)
    if len(statistics) == 0:
        raise ArgumentError(
            "no simulated response could be fitted by both models.",
            fix="the chi-square tests need no simulation",
        )
    return np.asarray(statistics)
