"""R-hat and effective sample sizes of many numbers at once.

The definitions of Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), and ArviZ's
numbers; ArviZ takes one number at a time, which thousands of random effects make the
longest wait of a fit.
"""

from __future__ import annotations

import numpy as np
from scipy import fft
from scipy.special import ndtri
from scipy.stats import rankdata

from bayeslmm.arrays import FloatArray

# Numbers worked on at once: bounds the memory of their ranks and spectra.
_CHUNK = 64


def convergence(draws: FloatArray) -> dict[str, FloatArray]:
    """Rank-normalised split R-hat, bulk ESS and tail ESS (5 % and 95 % quantiles).

    Parameters
    ----------
    draws : ndarray, shape (numbers, chains, draws)
        At least 4 draws.

    Returns
    -------
    dict of ndarray, shape (numbers,)
        ``rhat``, ``bulk`` and ``tail``. R-hat is NaN for one chain. Where a draw is not
        finite or a chain never moved, R-hat is infinite and the others are zero.
    """
    n = len(draws)
    found = {"rhat": np.full(n, np.inf), "bulk": np.zeros(n), "tail": np.zeros(n)}
    moving = np.isfinite(draws).all(axis=(1, 2)) & (np.ptp(draws, axis=2) > 0).all(axis=1)
    at = np.flatnonzero(moving)
    for first in range(0, len(at), _CHUNK):
        chunk = at[first : first + _CHUNK]
        for name, values in _diagnose(draws[chunk]).items():
            found[name][chunk] = values
    return found


def _diagnose(draws: FloatArray) -> dict[str, FloatArray]:
    split = _split(draws)
    flat = split.reshape(len(split), -1)
    z = _normal_scores(flat).reshape(split.shape)
    rhat = np.full(len(draws), np.nan)
    if draws.shape[1] > 1:
        folded = np.abs(flat - np.median(flat, axis=1)[:, None])
        z_folded = _normal_scores(folded).reshape(split.shape)
        rhat = np.maximum(_rhat(z), _rhat(z_folded))
    quantiles = np.quantile(draws.reshape(len(draws), -1), (0.05, 0.95), axis=1)
    tails = [_ess(_split((draws <= q[:, None, None]).astype(float))) for q in quantiles]
    return {"rhat": rhat, "bulk": _ess(z), "tail": np.minimum(*tails)}


def _split(draws: FloatArray) -> FloatArray:
    """Each chain as two."""
    half = draws.shape[2] // 2
    return np.concatenate([draws[:, :, :half], draws[:, :, -half:]], axis=1)


def _normal_scores(values: FloatArray) -> FloatArray:
    """Normal quantiles of the ranks along the last axis (Blom's, ties averaged)."""
    size = values.shape[1]
    # ranks are multiples of a half
    scores = ndtri((np.arange(2 * size + 1) / 2.0 - 0.375) / (size + 0.25))
    ranks = rankdata(values, axis=1)
    return np.asarray(scores[np.rint(2.0 * ranks).astype(np.int64)])


def _rhat(draws: FloatArray) -> FloatArray:
    n = draws.shape[2]
    between = n * draws.mean(axis=2).var(axis=1, ddof=1)
    within = draws.var(axis=2, ddof=1).mean(axis=1)
    return np.asarray(np.sqrt((between / within + n - 1) / n))


def _ess(chains: FloatArray) -> FloatArray:
    """Effective sample sizes of chains, shape (numbers, chains, draws)."""
    _, m, n = chains.shape
    means = chains.mean(axis=2)
    spectrum = fft.rfft(chains - means[:, :, None], n=fft.next_fast_len(2 * n), axis=2)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    covariance = fft.irfft(power, n=fft.next_fast_len(2 * n), axis=1)[:, :n] / n
    within = covariance[:, 0] * n / (n - 1.0)
    total = covariance[:, 0] + (means.var(axis=1, ddof=1) if m > 1 else 0.0)
    constant = np.ptp(chains, axis=(1, 2)) < np.finfo(float).resolution
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = 1.0 - (within[:, None] - covariance) / total[:, None]
    sizes = [
        m * n if same else m * n / max(_correlation_time(rho.tolist()), 1.0 / np.log10(m * n))
        for rho, same in zip(correlations, constant, strict=True)
    ]
    return np.array(sizes, dtype=float)


def _correlation_time(rho: list[float]) -> float:
    """Integrated autocorrelation time by Geyer's initial monotone sequence."""
    n = len(rho)
    even, odd = 1.0, rho[1]
    kept = [1.0, odd]
    t = 1
    while t < n - 3 and even + odd > 0.0:
        even, odd = rho[t + 1], rho[t + 2]
        kept += [even, odd] if even + odd >= 0 else [0.0, 0.0]
        t += 2
    last = t - 2
    kept += [0.0, 0.0]
    if even > 0:
        kept[last + 1] = even
    for s in range(1, last - 1, 2):
        before = kept[s - 1] + kept[s]
        if kept[s + 1] + kept[s + 2] > before:
            kept[s + 1] = kept[s + 2] = before / 2.0
    return -1.0 + 2.0 * sum(kept[: last + 1]) + kept[last + 1]
