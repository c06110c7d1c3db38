"""Expected responses and new observations over the draws of a posterior."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayeslmm.arrays import BoolArray, FloatArray, IntArray
from bayeslmm.design import Factor
from bayeslmm.prediction.linear import linear_predictor
from bayeslmm.prediction.point import interval_frame
from bayeslmm.prediction.rows import Interval, PredictionRows

# Numbers in one array of rows by draws: 16 MB.
CHUNK = 2_000_000


@dataclass(frozen=True, eq=False)
class ParameterDraws:
    """S draws of the parameters of a model.

    Attributes
    ----------
    beta : ndarray, shape (S, p)
    b : sequence of ndarray, each (S, J, K)
        Empty where no effect is needed.
    covariances : sequence of ndarray, each (S, K, K)
        Of the effects of one level.
    auxiliary : mapping of str to ndarray, each (S,)
        ``sigma``, ``alpha``.
    """

    beta: FloatArray
    b: Sequence[FloatArray]
    covariances: Sequence[FloatArray]
    auxiliary: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return len(self.beta)

    def take(self, at: IntArray) -> ParameterDraws:
        """Some of the draws."""
        return ParameterDraws(
            self.beta[at],
            [b[at] for b in self.b],
            [c[at] for c in self.covariances],
            {name: values[at] for name, values in self.auxiliary.items()},
        )


def mean_response(
    rows: PredictionRows, draws: ParameterDraws, *, average: bool, trials: bool
) -> FloatArray:
    """Posterior mean of the expected response of each row, shape (n,).

    Effects of new levels, and with ``average`` all those left out, are integrated over
    their distribution in each draw.

    Parameters
    ----------
    rows : PredictionRows
    draws : ParameterDraws
    average : bool
    trials : bool
        Whether a binomial row is in units of successes, or of a probability.
    """
    if rows.family.link.name == "identity":
        # linear in the effects: the mean of the draws is that at their means
        return linear_predictor(rows, draws.beta.mean(0), [b.mean(0) for b in draws.b])
    out = np.empty(rows.n)
    for at in _parts(rows.n, len(draws)):
        part = rows.part(at)
        eta = predictor(part, draws)
        left_out = part.left_out if average else ()
        out[at] = _averaged(part, draws, eta, part.factors, left_out, trials=trials).mean(axis=1)
    return out


def posterior_interval(
    rows: PredictionRows,
    draws: ParameterDraws,
    *,
    average: bool,
    trials: bool,
    interval: Interval,
    level: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Posterior means, SDs and equal-tailed intervals.

    Parameters
    ----------
    rows : PredictionRows
    draws : ParameterDraws
    average : bool
        Whether the expected response is averaged over the effects left out.
    trials : bool
        Whether a binomial row is in units of successes, or of a probability.
    interval : {"confidence", "prediction"}
        Of the expected response, or of a new observation. New levels have an effect of
        their own in each draw, shared by their rows; so has the one new group to which a
        new observation belongs as far as effects are left out.
    level : float
    rng : numpy.random.Generator

    Returns
    -------
    DataFrame
        ``fit``, ``se``, ``lower``, ``upper`` by the index of the table.
    """
    low = 0.5 - 0.5 * level
    new = new_effects(rows, draws, rng)
    group = _one_group(rows, draws, rng) if interval == "prediction" else []
    table = np.empty((rows.n, 3))
    for at in _parts(rows.n, len(draws)):
        part = rows.part(at)
        eta = predictor(part, draws, new)
        if interval == "prediction":
            for f, effects in zip(part.left_out, group, strict=True):
                add_effects(eta, f, np.zeros(part.n, dtype=np.int64), effects)
            values = simulated(part, eta, draws.auxiliary, rng)
        else:
            left_out = part.left_out if average else ()
            values = _averaged(part, draws, eta, left_out, trials=trials)
        table[at, 0] = values.std(axis=1, ddof=1)
        table[at, 1:] = np.quantile(values, [low, 1.0 - low], axis=1).T
    fit = mean_response(rows, draws, average=average, trials=trials)
    return interval_frame(rows, fit=fit, se=table[:, 0], lower=table[:, 1], upper=table[:, 2])


def predictor(
    rows: PredictionRows,
    draws: ParameterDraws,
    new: Sequence[FloatArray] | None = None,
) -> FloatArray:
    """X beta + Z b + offset, shape (n, S); new levels at zero unless their effects are given."""
    # term by term: a row has the same values whatever rows stand beside it
    eta = np.repeat(rows.offset[:, None], len(draws), axis=1)
    for j in range(rows.X.shape[1]):
        eta += rows.X[:, [j]] * draws.beta[:, j]
    for f, b in zip(rows.factors, draws.b, strict=False):
        add_effects(eta, f, f.codes, b.transpose(1, 2, 0))
    for f, levels, b in zip(rows.factors, rows.new_levels, new or (), strict=False):
        add_effects(eta, f, levels, b)
    return eta


def add_effects(eta: FloatArray, factor: Factor, codes: IntArray, effects: FloatArray) -> None:
    """Add columns . effects[code] to eta (n, S), in place; effects are (J, K, S), code -1 none."""
    there = codes >= 0
    rows: BoolArray | slice = slice(None) if there.all() else there
    for k in range(factor.n_columns):
        eta[rows] += factor.columns[rows, k][:, None] * effects[codes[rows], k]


def new_effects(
    rows: PredictionRows, draws: ParameterDraws, rng: np.random.Generator
) -> list[FloatArray]:
    """Effects of every new level in each draw, b ~ N(0, Sigma of the draw), each (J, K, S)."""
    return [
        draw_effects(cov, int(levels.max(initial=-1)) + 1, len(draws), rng)
        for levels, cov in zip(rows.new_levels, draws.covariances, strict=False)
    ]


def _one_group(
    rows: PredictionRows, draws: ParameterDraws, rng: np.random.Generator
) -> list[FloatArray]:
    return [
        draw_effects(cov, 1, len(draws), rng)
        for _, cov in zip(rows.left_out, draws.covariances, strict=False)
    ]


def draw_effects(covariance: FloatArray, J: int, S: int, rng: np.random.Generator) -> FloatArray:
    """Independent effects of J levels, N(0, covariance (K, K) or (S, K, K)), shape (J, K, S)."""
    values, vectors = np.linalg.eigh(covariance)
    # rounding may leave a zero eigenvalue below zero
    root = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
    noise = rng.standard_normal((S, J, covariance.shape[-1]))
    return np.ascontiguousarray((noise @ root.swapaxes(-1, -2)).transpose(1, 2, 0))


def _averaged(
    rows: PredictionRows,
    draws: ParameterDraws,
    eta: FloatArray,
    *groups: Sequence[Factor],
    trials: bool,
) -> FloatArray:
    """Expected responses (n, S), averaged over the unseen levels' effects in groups of factors."""
    mean = rows.family.link.inverse(eta)
    pairs = [p for group in groups for p in zip(group, draws.covariances, strict=False)]
    unseen = np.zeros(rows.n, dtype=bool)
    for f, _ in pairs:
        unseen |= f.codes < 0
    if unseen.any():
        v = np.zeros((np.count_nonzero(unseen), len(draws)))
        for f, cov in pairs:
            z = np.where(f.codes[unseen, None] < 0, f.columns[unseen], 0.0)
            v += np.einsum("ia,sab,ib->is", z, cov, z, optimize=True)
        mean[unseen] = rows.family.link.averaged_inverse(eta[unseen], np.maximum(v, 0.0))
    if trials and rows.trials is not None:
        mean = mean * rows.trials[:, None]
    return mean


def simulated(
    rows: PredictionRows,
    eta: FloatArray,
    auxiliary: Mapping[str, FloatArray],
    rng: np.random.Generator,
) -> FloatArray:
    """A response for each entry of eta, shape (n, S); auxiliary parameters are (S,)."""
    trials = None if rows.trials is None else np.nan_to_num(rows.trials)
    weights = np.nan_to_num(rows.weights)
    drawn = rows.family.simulate(rng, eta.T, aux=auxiliary, weights=weights, trials=trials)
    out = np.ascontiguousarray(drawn.T)
    out[np.isnan(rows.weights)] = np.nan
    if rows.trials is not None:
        out[np.isnan(rows.trials)] = np.nan
    return out


def _parts(n: int, S: int) -> Iterator[slice]:
    size = max(1, CHUNK // max(1, S))
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
