"""Independence sampling: few variance parameters whose posterior is dear to evaluate.

A split Student t around the mode, wider on the side where the posterior falls slowly,
with a share of wider ones, proposes; Metropolis steps correct it, so the draws are of the
posterior whatever the proposal. Where a proposal costs a large factorisation, that also
gives its draw of the effects.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import minimize
from scipy.special import gammaln

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.design.design import Design
from bayeslmm.engine.gaussian import MarginalPosterior
from bayeslmm.priors import PriorSet
from bayeslmm.sampling.drawn import Drawn

# Degrees of freedom of the proposal: tails heavier than any posterior's in logs of SDs.
_TAILS = 6.0
# It is as heavy as the posterior this many SDs from the mode; its width stays between a
# third of the SD and three times it.
_FAR = (1.5, 3.0, 5.0)
_MOST = 3.0
# How much wider the second t is, and how often it proposes along an axis: few levels leave
# tails that the first is late to reach. It costs proposals, so rarely where they are dear.
_WIDER = 3.0
_SHARE, _SHARE_DEAR = 0.1, 0.02
# Proposals to a kept draw where they cost microseconds: draws are then next to independent.
_CHEAP_PROPOSALS = 8
# Pareto k above which importance weights of the proposal have no finite variance to speak of.
LARGEST_K = 0.7


@dataclass(frozen=True, eq=False, slots=True)
class Proposal:
    """A product of mixtures of split t distributions along the axes of the Hessian.

    ``mode`` (size,); ``axes`` (size, size), in columns; ``up``, ``down`` (size,): scale on
    either side of the mode; ``share`` of each mixture that is wider.
    """

    mode: FloatArray
    axes: FloatArray
    up: FloatArray
    down: FloatArray
    share: float

    def sample(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draws (n, size) and their log densities (n,)."""
        size = len(self.mode)
        t = np.abs(rng.standard_t(_TAILS, (n, size)))
        t = np.where(rng.uniform(size=(n, size)) < self.share, _WIDER * t, t)
        upward = rng.uniform(size=(n, size)) < self.up / (self.up + self.down)
        z = np.where(upward, t * self.up, -t * self.down)
        density = (1.0 - self.share) * _folded_t(t) + self.share * _folded_t(t / _WIDER) / _WIDER
        log_density = (np.log(density) - np.log(self.up + self.down)).sum(axis=1)
        return self.mode + z @ self.axes.T, log_density


def _folded_t(t: FloatArray) -> FloatArray:
    """Density of the absolute value of a t variable, twice that of the variable."""
    log_constant = gammaln(0.5 * (_TAILS + 1.0)) - gammaln(0.5 * _TAILS)
    log_constant += np.log(2.0) - 0.5 * np.log(_TAILS * np.pi)
    return np.asarray(np.exp(log_constant - 0.5 * (_TAILS + 1.0) * np.log1p(t**2 / _TAILS)))


def _where_t_falls(drop: float) -> float:
    """Where the log density of a t has fallen by ``drop`` from its peak."""
    return float(np.sqrt(_TAILS * np.expm1(2.0 * drop / (_TAILS + 1.0))))


def find_proposal(posterior: MarginalPosterior) -> Proposal | None:
    """Mode, Hessian and skewness of a posterior; None where it has no proper mode."""

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
    mode = mode + np.linalg.lstsq(H, posterior(mode)[1], rcond=None)[0].clip(-0.1, 0.1)
    values, axes = np.linalg.eigh(H)
    if values[0] <= 1e-8 * values[-1]:
        return None
    sd, peak = 1.0 / np.sqrt(values), posterior(mode)[0]
    widths = np.empty((2, posterior.size))
    for side, sign in enumerate((1.0, -1.0)):
        for k in range(posterior.size):
            there = mode + np.outer(sign * sd[k] * np.array(_FAR), axes[:, k])
            drops = peak - np.array([posterior(x)[0] for x in there])
            widest = 1.0 / _MOST
            for far, drop in zip(_FAR, drops, strict=True):
                if np.isfinite(drop):
                    widest = max(widest, far / _where_t_falls(drop) if drop > 0 else _MOST)
            widths[side, k] = sd[k] * min(widest, _MOST)
    share = _SHARE if posterior.small is not None else _SHARE_DEAR
    return Proposal(mode, axes, widths[0], widths[1], share)


def metropolis(
    log_weights: FloatArray, chains: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Independence Metropolis over proposals in their order, chain after chain.

    Parameters
    ----------
    log_weights : ndarray, shape (chains * (steps + 1),)
        Log posterior less log proposal density; the first of each chain is where it starts.

    Returns
    -------
    kept : ndarray, shape (chains, steps)
        Position of the proposal each chain is at.
    chance : ndarray, shape (chains, steps)
        Probability with which each step was accepted.
    """
    weights = log_weights.reshape(chains, -1)
    n = weights.shape[1] - 1
    kept, chance = np.empty((chains, n), dtype=np.int64), np.empty((chains, n))
    uniform = rng.uniform(size=(chains, n))
    for chain in range(chains):
        # plain numbers: a step costs less than a call of NumPy
        w, thresholds = weights[chain].tolist(), np.log(uniform[chain]).tolist()
        at, places, gains = 0, [], []
        for step, threshold in enumerate(thresholds, 1):
            gain = w[step] - w[at]
            gains.append(gain)
            if threshold < gain:
                at = step
            places.append(at)
        kept[chain] = chain * (n + 1) + np.array(places)
        chance[chain] = np.exp(np.minimum(np.nan_to_num(gains, nan=-np.inf), 0.0))
    return kept, chance


def sample_independence(
    design: Design,
    priors: PriorSet,
    *,
    draws: int,
    chains: int,
    random_seed: int,
    progressbar: bool,
    rng: np.random.Generator,
) -> Drawn | None:
    """Sample a posterior by independence Metropolis; None where the proposal does not fit it."""
    array_stats: Any = import_module("arviz_stats.base").array_stats
    began = time.perf_counter()
    posterior = MarginalPosterior(design, priors)
    proposal = find_proposal(posterior)
    if proposal is None:
        return None
    generator = np.random.default_rng(random_seed)
    cheap = posterior.small is not None
    thin = _CHEAP_PROPOSALS if cheap else 1
    x, density = proposal.sample(chains * (draws * thin + 1), generator)
    if cheap:
        log_posterior = posterior.values(x)
    else:
        log_posterior, effects = posterior.evaluate_and_draw(x, rng, progressbar=progressbar)
    log_weights = np.where(np.isfinite(log_posterior), log_posterior - density, -np.inf)
    # it takes log likelihoods to leave out, the negatives of log weights
    k = float(array_stats.psislw(-log_weights[np.isfinite(log_weights)])[1])
    if k > LARGEST_K:
        return None
    kept, chance = metropolis(log_weights, chains, generator)
    kept, acceptance = kept[:, thin - 1 :: thin], float(chance.mean())
    flat = kept.ravel()
    if cheap:
        effects = posterior.draw(x[flat], rng)
    else:
        effects = {name: values[flat] for name, values in effects.items()}
    variables = {**posterior.constrained(x[flat]), **effects}
    dims = ("chain", "draw")
    stats = xr.Dataset(
        {
            "acceptance_rate": (dims, chance[:, thin - 1 :: thin]),
            "lp": (dims, log_posterior[kept]),
            "diverging": (dims, np.zeros(kept.shape, dtype=bool)),
        }
    )
    options = {"pareto_k": k, "acceptance": acceptance}
    return Drawn(variables, stats, chains, 0, options, time.perf_counter() - began)
