"""The linear predictor, and what the family makes of it, over many draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.design.rows import Factor
from bayeslmm.priors.names import effects_name, informative_rows
from bayeslmm.sampling.residual import structured_log_density, structured_response

CHUNK = 2_000_000
"""Numbers in one array of draws by rows: 16 MB."""


def linear_predictor(
    X: FloatArray,
    offset: FloatArray,
    factors: Sequence[Factor],
    draws: Mapping[str, FloatArray],
) -> FloatArray:
    """The linear predictor X beta + Z b + offset, conditional on the effects b.

    Parameters
    ----------
    X : ndarray, shape (n, p)
    offset : ndarray, shape (n,)
    factors : sequence of Factor
        A code of -1, a level the fit never saw, adds nothing.
    draws : mapping of str to ndarray
        ``beta`` (S, p), if p > 0, and ``b_<factor>`` (S, J, K) for each factor.

    Returns
    -------
    ndarray, shape (S, n)
    """
    if X.shape[1]:
        eta = draws["beta"] @ X.T + offset
    else:
        n_draws = len(next(iter(draws.values())))
        eta = np.tile(np.asarray(offset, dtype=np.float64), (n_draws, 1))
    for f in factors:
        b, known = draws[effects_name(f.name)], f.codes >= 0
        for k in range(f.n_columns):
            column = np.where(known, f.columns[:, k], 0.0)
            eta += np.where(known, b[:, f.codes, k], 0.0) * column
    return eta


def informative_design(
    design: Design,
) -> tuple[FloatArray, FloatArray, tuple[Factor, ...], NDArray[np.bool_]]:
    """Fixed columns, offset and factors of the rows of positive weight, and which these are."""
    used = informative_rows(design)
    if used.all():
        return design.X, design.offset, design.factors, used
    factors = tuple(
        replace(f, codes=f.codes[used], columns=f.columns[used]) for f in design.factors
    )
    return design.X[used], design.offset[used], factors, used


def chunks(n_draws: int, n_rows: int) -> Iterator[slice]:
    """Stretches of draws whose array of draws by rows stays small."""
    step = max(1, CHUNK // max(1, n_rows))
    for start in range(0, n_draws, step):
        yield slice(start, min(start + step, n_draws))


def over_draws(
    design: Design,
    draws: Mapping[str, FloatArray],
    compute: Callable[[FloatArray, dict[str, FloatArray], NDArray[np.bool_]], FloatArray],
) -> FloatArray:
    """Apply a function of the linear predictor to every draw, a stretch at a time.

    Parameters
    ----------
    design : Design
    draws : mapping of str to ndarray
        A leading axis of S draws: ``beta``, ``b_<factor>``, ``sigma`` or ``alpha``.
    compute : callable
        Takes eta (s, n), auxiliary parameters (s,) and the rows used; returns (s, n).

    Returns
    -------
    ndarray, shape (S, n)
        Over the rows of positive weight.
    """
    X, offset, factors, used = informative_design(design)
    n_draws = len(next(iter(draws.values())))
    out = np.empty((n_draws, len(X)))
    for piece in chunks(n_draws, len(X)):
        part = {name: values[piece] for name, values in draws.items()}
        aux = {name: part[name] for name in design.family.auxiliary}
        if design.residual is not None:
            aux[design.residual.variable] = part[design.residual.variable]
        out[piece] = compute(linear_predictor(X, offset, factors, part), aux, used)
    return out


def log_likelihood(design: Design, draws: Mapping[str, FloatArray]) -> FloatArray:
    """Log density of each row of positive weight given b, shape (S, n).

    With a residual structure, given the rows of its block before it too.
    """
    trials = design.trials

    def compute(eta: FloatArray, aux: dict[str, FloatArray], used: NDArray[np.bool_]) -> FloatArray:
        if design.residual is not None:
            return structured_log_density(design, eta, aux)
        return design.family.log_density(
            design.y[used],
            eta,
            aux=aux,
            weights=design.weights[used],
            trials=None if trials is None else trials[used],
        )

    return over_draws(design, draws, compute)


def predictive(
    design: Design, draws: Mapping[str, FloatArray], rng: np.random.Generator
) -> FloatArray:
    """A simulated response for each row of positive weight given b, shape (S, n)."""
    trials = design.trials

    def compute(eta: FloatArray, aux: dict[str, FloatArray], used: NDArray[np.bool_]) -> FloatArray:
        if design.residual is not None:
            return structured_response(design, eta, aux, rng)
        return design.family.simulate(
            rng,
            eta,
            aux=aux,
            weights=design.weights[used],
            trials=None if trials is None else trials[used],
        )

    return over_draws(design, draws, compute)
