"""Simulated data sets of the suite; every one has its own fixed seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

type IntArray = np.ndarray[tuple[int], np.dtype[np.int64]]


def as_factor(codes: IntArray, letter: str) -> pd.Categorical:
    """Codes 0 .. J-1 as a categorical with labels such as `s17`; only levels that occur."""
    used, compact = np.unique(codes, return_inverse=True)
    return pd.Categorical.from_codes(compact.ravel(), [f"{letter}{k}" for k in used])


def one_factor(levels: int, rows_a_level: int) -> pd.DataFrame:
    """Random intercepts, balanced, rows shuffled, one covariate."""
    rng = np.random.default_rng(1)
    g = rng.permutation(np.repeat(np.arange(levels), rows_a_level))
    x = rng.normal(size=len(g))
    y = 1.0 + 0.5 * x + rng.normal(0.0, 0.7, levels)[g] + rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "g": as_factor(g, "g")})


def nested(schools: int, rooms: int, pupils: int, rows: int) -> pd.DataFrame:
    """Rows in pupils in rooms in schools; arguments are counts within the parent."""
    rng = np.random.default_rng(2)
    n_pupils = schools * rooms * pupils
    pupil = rng.permutation(np.repeat(np.arange(n_pupils), rows))
    room, school = pupil // pupils, pupil // (pupils * rooms)
    x = rng.normal(size=len(pupil))
    y = (
        2.0
        + 0.3 * x
        + rng.normal(0.0, 0.5, schools)[school]
        + rng.normal(0.0, 0.4, schools * rooms)[room]
        + rng.normal(0.0, 0.8, n_pupils)[pupil]
        + rng.normal(size=len(pupil))
    )
    return pd.DataFrame(
        {
            "y": y,
            "x": x,
            "school": as_factor(school, "s"),
            "room": as_factor(room, "r"),
            "pupil": as_factor(pupil, "p"),
        }
    )


def crossed(n: int, levels: Sequence[int], seed: int = 3) -> pd.DataFrame:
    """Completely crossed factors f1, f2, ... with random intercepts, levels drawn uniformly."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = 1.0 + 0.5 * x + rng.normal(size=n)
    columns = {}
    for k, J in enumerate(levels, start=1):
        codes = rng.integers(J, size=n)
        y += rng.normal(0.0, 1.0 / (k + 1), J)[codes]
        columns[f"f{k}"] = as_factor(codes, "abcdefgh"[k - 1])
    return pd.DataFrame({"y": y, "x": x, **columns})


def maximal(n: int, subjects: int = 56, items: int = 32) -> pd.DataFrame:
    """Three two-level conditions (+-0.5) within subjects and within items.

    Every subject meets every item in each of the 8 cells as far as n reaches, the rest
    at random. Both factors have 8 effects with a full covariance matrix. Products of the
    conditions stand as columns of their own for peers that take only columns.
    """
    rng = np.random.default_rng(4)
    cells = subjects * items * 8
    cell = rng.permutation(cells)[: min(n, cells)]
    cell = np.concatenate([cell, rng.integers(cells, size=max(0, n - cells))])
    subj, item, condition = cell // (items * 8), cell // 8 % items, cell % 8
    a, b, c = (0.5 - (condition >> k & 1) for k in range(3))
    ones = np.ones(len(cell))
    X = np.column_stack([ones, a, b, c, a * b, a * c, b * c, a * b * c])
    sd = np.array([1.0, 0.6, 0.6, 0.5, 0.8, 0.8, 0.7, 1.2])
    y = X @ np.array([5.0, 0.4, 0.3, 0.2, 0.1, 0.0, 0.1, 0.0]) + rng.normal(size=len(cell))
    for codes, J in ((subj, subjects), (item, items)):
        mixing = rng.normal(size=(8, 12))
        mixing *= (sd / np.sqrt((mixing**2).sum(axis=1)))[:, None]
        effects = rng.normal(size=(J, 12)) @ mixing.T
        y += np.einsum("ij,ij->i", X, effects[codes])
    products = dict(zip(("ab", "ac", "bc", "abc"), X[:, 4:].T, strict=True))
    factors = {"subj": as_factor(subj, "s"), "item": as_factor(item, "i")}
    return pd.DataFrame({"y": y, "a": a, "b": b, "c": c, **products, **factors})


def ratings(n: int, users: int, films: int) -> pd.DataFrame:
    """Distinct (user, film) pairs with long-tailed counts, ratings 1 to 5.

    About MovieLens-1M's counts: every user rates some 20 films or more (fewer when n is
    small), half the films have fewer than about 120 ratings, every film is rated.
    """
    rng = np.random.default_rng(5)
    activity, popularity = rng.lognormal(0.0, 1.0, users), rng.lognormal(0.0, 1.25, films)
    least = min(20, n // (3 * users))
    pairs = [
        rng.integers(users, size=films) * films + np.arange(films),
        np.repeat(np.arange(users), least) * films + _draw(rng, popularity, least * users),
    ]
    chosen = np.unique(np.concatenate(pairs))
    while len(chosen) < n:
        more = _draw(rng, activity, n) * films + _draw(rng, popularity, n)
        fresh = np.setdiff1d(more, chosen)
        room = min(len(fresh), n - len(chosen))
        chosen = np.concatenate([chosen, rng.permutation(fresh)[:room]])
    chosen = rng.permutation(chosen)
    user, film = chosen // films, chosen % films
    mean = 3.4 + rng.normal(0.0, 0.45, users)[user] + rng.normal(0.0, 0.65, films)[film]
    y = np.clip(np.rint(mean + rng.normal(0.0, 0.9, len(chosen))), 1.0, 5.0)
    return pd.DataFrame({"y": y, "user": as_factor(user, "u"), "film": as_factor(film, "m")})


def _draw(rng: np.random.Generator, weights: np.ndarray, size: int) -> IntArray:
    """Indices in proportion to weights."""
    edges = np.cumsum(weights)
    return np.searchsorted(edges, rng.random(size) * edges[-1], side="right").astype(np.int64)
