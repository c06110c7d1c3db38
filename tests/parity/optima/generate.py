"""Simulated designs for the study of REML optima.

    python -m tests.parity.optima.generate FOLDER

writes every design as a CSV file into FOLDER for `optima.R`, and ``manifest.csv``,
its list. A design is a function of its family and its number alone.
"""

from __future__ import annotations

import csv
import math
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Codes = NDArray[np.int64]
type Columns = dict[str, Floats | list[str]]
type Made = tuple[str, Columns]


@dataclass(frozen=True)
class Simulated:
    """A design: what was drawn, and the formula to fit. A column ``w`` holds weights."""

    id: str
    family: str
    seed: int
    formula: str
    data: pd.DataFrame

    @property
    def weights(self) -> Floats | None:
        """Precision weights of the rows."""
        return self.data["w"].to_numpy() if "w" in self.data else None

    @property
    def checksum(self) -> str:
        """Finds out a generator that has changed; blind to the last bits of a float."""
        rows = np.arange(1, len(self.data) + 1) / len(self.data)
        return f"{math.fsum(self.data['y'] * rows):.8g}"


class Draw:
    """Random numbers of one design. Only the plainest streams of numpy are used."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.Generator(np.random.PCG64(seed))

    def normal(self, *shape: int) -> Floats:
        return self.rng.standard_normal(shape)

    def whole(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def codes(self, n: int, levels: int) -> Codes:
        return self.rng.integers(0, levels, n)

    def spread(self, low: float, high: float) -> float:
        """Log-uniform."""
        return float(low * (high / low) ** self.rng.random())

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def effects(self, codes: Codes, z: Floats, T: Floats) -> Floats:
        """Contribution of one factor: columns z, relative covariance factor T."""
        b = np.einsum("jk,lk->jl", self.normal(int(codes.max()) + 1, T.shape[1]), T)
        return np.asarray(np.einsum("nk,nk->n", z, b[codes]))

    def intercepts(self, codes: Codes, theta: float) -> Floats:
        return self.effects(codes, np.ones((len(codes), 1)), np.array([[theta]]))

    def lower(self, k: int, low: float = 0.2, high: float = 2.0) -> Floats:
        """A lower triangular factor with SDs between low and high."""
        L = np.tril(self.normal(k, k))
        L[np.diag_indices(k)] = np.abs(np.diag(L)) + 0.3
        sds = np.array([self.spread(low, high) for _ in range(k)])
        return np.asarray(L / np.linalg.norm(L, axis=1)[:, None] * sds[:, None])

    def zipf(self, n: int, levels: int, power: float) -> Codes:
        """Level j with chance 1/(j+1)^power; every level occurs, many of them once."""
        p = 1.0 / np.arange(1, levels + 1) ** power
        codes = np.searchsorted(np.cumsum(p / p.sum()), self.rng.random(n - levels))
        return np.append(np.arange(levels), np.minimum(codes, levels - 1)).astype(np.int64)


def names(codes: Codes, letter: str = "g") -> list[str]:
    return [f"{letter}{c:04d}" for c in codes]


def balanced(*sizes: int) -> tuple[Codes, ...]:
    """Codes of a full layout, the last size running fastest."""
    grid = np.indices(sizes).reshape(len(sizes), -1)
    return tuple(row.astype(np.int64) for row in grid)


def beside(*columns: Floats) -> Floats:
    return np.column_stack(columns)


def ones(n: int) -> Floats:
    return np.ones(n)


# ---- plain designs --------------------------------------------------------------------------


def single(d: Draw) -> Made:
    J, n = d.whole(4, 60), d.whole(60, 1200)
    g = d.codes(n, J)
    x = d.normal(n)
    y = 2 + 0.5 * x + d.intercepts(g, d.spread(0.1, 5)) + d.normal(n)
    return "y ~ x + (1 | g)", {"y": y, "x": x, "g": names(g)}


def crossed_two(d: Draw) -> Made:
    A, B = d.whole(4, 40), d.whole(4, 60)
    if d.chance(0.5):
        a, b = balanced(A, B)
    else:
        n = d.whole(3 * (A + B), 8 * (A + B))
        a, b = d.codes(n, A), d.codes(n, B)
    x = d.normal(len(a))
    y = x + d.intercepts(a, d.spread(0.1, 3)) + d.intercepts(b, d.spread(0.1, 3))
    y = y + d.normal(len(a))
    return "y ~ x + (1 | a) + (1 | b)", {"y": y, "x": x, "a": names(a, "a"), "b": names(b, "b")}


def crossed_three(d: Draw) -> Made:
    A, B, C = d.whole(3, 20), d.whole(3, 25), d.whole(3, 30)
    n = d.whole(200, 900)
    a, b, c = d.codes(n, A), d.codes(n, B), d.codes(n, C)
    y = d.normal(n)
    for codes in (a, b, c):
        y = y + d.intercepts(codes, d.spread(0.05, 2))
    return "y ~ 1 + (1 | a) + (1 | b) + (1 | c)", {
        "y": y,
        "a": names(a, "a"),
        "b": names(b, "b"),
        "c": names(c, "c"),
    }


def nested_two(d: Draw) -> Made:
    A, B, m = d.whole(4, 25), d.whole(2, 6), d.whole(2, 6)
    a, b, _ = balanced(A, B, m)
    if d.chance(0.5):
        keep = d.rng.random(len(a)) < 0.7
        a, b = a[keep], b[keep]
    x = d.normal(len(a))
    y = x + d.intercepts(a, d.spread(0.1, 3)) + d.intercepts(a * B + b, d.spread(0.1, 3))
    y = y + d.normal(len(a))
    return "y ~ x + (1 | a/b)", {"y": y, "x": x, "a": names(a, "a"), "b": names(b, "b")}


def nested_three(d: Draw) -> Made:
    A, B, C, m = d.whole(4, 12), d.whole(2, 4), d.whole(2, 4), d.whole(2, 4)
    a, b, c, _ = balanced(A, B, C, m)
    if d.chance(0.5):
        keep = d.rng.random(len(a)) < 0.8
        a, b, c = a[keep], b[keep], c[keep]
    ab = a * B + b
    y = d.intercepts(a, d.spread(0.1, 3)) + d.intercepts(ab, d.spread(0.05, 3))
    y = y + d.intercepts(ab * C + c, d.spread(0.05, 3)) + d.normal(len(a))
    return "y ~ 1 + (1 | a/b/c)", {
        "y": y,
        "a": names(a, "a"),
        "b": names(b, "b"),
        "c": names(c, "c"),
    }


def _slopes(d: Draw, k: int, bar: str) -> Made:
    J, n = d.whole(8, 50), d.whole(150, 900)
    g = d.codes(n, J)
    x = d.normal(n, k)
    z = beside(ones(n), x)
    T = np.diag([d.spread(0.1, 2) for _ in range(k + 1)]) if bar == "||" else d.lower(k + 1)
    xs = [f"x{i + 1}" for i in range(k)]
    y = 1 + x.sum(axis=1) + d.effects(g, z, T) + d.normal(n)
    formula = f"y ~ {' + '.join(xs)} + ({' + '.join(xs)} {bar} g)"
    return formula, {"y": y, "g": names(g), **{c: x[:, i] for i, c in enumerate(xs)}}


def slope(d: Draw) -> Made:
    return _slopes(d, 1, "|")


def slopes_two(d: Draw) -> Made:
    return _slopes(d, 2, "|")


def slopes_three(d: Draw) -> Made:
    return _slopes(d, 3, "|")


def independent(d: Draw) -> Made:
    return _slopes(d, d.whole(1, 3), "||")


def two_terms(d: Draw) -> Made:
    J, n = d.whole(8, 40), d.whole(150, 800)
    g, x, v = d.codes(n, J), d.normal(n), d.normal(n)
    y = x + d.effects(g, beside(ones(n), x), d.lower(2)) + d.normal(n)
    y = y + d.effects(g, v[:, None], np.array([[d.spread(0.05, 2)]]))
    formula = "y ~ x + v + (1 + x | g) + (0 + v | g)"
    if d.chance(0.5):
        formula = "y ~ x + v + (1 | g) + (0 + x + v | g)"
    return formula, {"y": y, "x": x, "v": v, "g": names(g)}


def crossed_slopes(d: Draw) -> Made:
    A, B = d.whole(8, 40), d.whole(6, 30)
    n = d.whole(300, 1500)
    a, b, x = d.codes(n, A), d.codes(n, B), d.normal(n)
    z = beside(ones(n), x)
    y = x + d.effects(a, z, d.lower(2, 0.1)) + d.effects(b, z, d.lower(2, 0.05)) + d.normal(n)
    formula = (
        "y ~ x + (x | a) + (1 | b)",
        "y ~ x + (x | a) + (x | b)",
        "y ~ x + (x || a) + (x | b)",
    )
    return formula[d.whole(0, 2)], {"y": y, "x": x, "a": names(a, "a"), "b": names(b, "b")}


def nested_slopes(d: Draw) -> Made:
    A, B, m = d.whole(6, 15), d.whole(2, 5), d.whole(4, 8)
    a, b, _ = balanced(A, B, m)
    x = d.normal(len(a))
    z = beside(ones(len(a)), x)
    y = x + d.effects(a, z, d.lower(2)) + d.effects(a * B + b, z, d.lower(2, 0.05, 1))
    formula = "y ~ x + (x | a/b)" if d.chance(0.6) else "y ~ x + (x | a) + (1 | a:b)"
    return formula, {
        "y": y + d.normal(len(a)),
        "x": x,
        "a": names(a, "a"),
        "b": names(b, "b"),
    }


# ---- awkward designs ------------------------------------------------------------------------


def unbalanced(d: Draw) -> Made:
    n, J = d.whole(150, 2500), d.whole(20, 120)
    power = 1.0 + d.rng.random()
    g, x = d.zipf(n, J, power), d.normal(n)
    z = beside(ones(n), x)
    kind = d.whole(0, 2)
    if kind == 0:
        y = x + d.intercepts(g, d.spread(0.05, 3)) + d.normal(n)
        return "y ~ x + (1 | g)", {"y": y, "x": x, "g": names(g)}
    y = x + d.effects(g, z, d.lower(2, 0.05, 2)) + d.normal(n)
    if kind == 1:
        return "y ~ x + (x | g)", {"y": y, "x": x, "g": names(g)}
    h = d.zipf(n, d.whole(10, 60), power)[d.rng.permutation(n)]
    y = y + d.intercepts(h, d.spread(0.05, 2))
    return "y ~ x + (x | g) + (1 | h)", {"y": y, "x": x, "g": names(g), "h": names(h, "h")}


def few_levels(d: Draw) -> Made:
    J, n = d.whole(2, 4), d.whole(30, 200)
    g, x = balanced(J, n // J + 1)[0][:n], d.normal(n)
    kind = d.whole(0, 3)
    if kind == 0:
        y = x + d.intercepts(g, d.spread(0.05, 2)) + d.normal(n)
        return "y ~ x + (1 | g)", {"y": y, "x": x, "g": names(g)}
    y = x + d.effects(g, beside(ones(n), x), d.lower(2, 0.05, 2)) + d.normal(n)
    if kind == 1:
        return "y ~ x + (x | g)", {"y": y, "x": x, "g": names(g)}
    h = d.codes(n, d.whole(2, 4))
    y = y + d.intercepts(h, d.spread(0.05, 1))
    formula = "y ~ x + (x | g) + (1 | h)" if kind == 2 else "y ~ 1 + (1 | g) + (1 | h) + (1 | g:h)"
    return formula, {"y": y, "x": x, "g": names(g), "h": names(h, "h")}


def scaled_predictor(d: Draw) -> Made:
    J, m = d.whole(8, 40), d.whole(5, 20)
    g, t = balanced(J, m)
    u, v = d.normal(len(g)), d.normal(len(g))
    kind = d.whole(0, 3)
    z = beside(ones(len(g)), u)
    y = u + d.effects(g, z, d.lower(2)) + d.normal(len(g))
    if kind == 0:
        x = u * 1e5
        return "y ~ x + (x | g)", {"y": y, "x": x, "g": names(g)}
    if kind == 1:
        x = u * 1e-4
        return "y ~ x + (x | g)", {"y": y, "x": x, "g": names(g)}
    if kind == 2:
        years = t - (m - 1) / 2
        T = d.lower(2) * np.array([[1.0], [0.2]])
        y = 0.3 * years + d.effects(g, beside(ones(len(g)), years), T) + d.normal(len(g))
        year = 2010.0 + t - m // 2
        formula = "y ~ year + (1 | g)" if d.chance(0.4) else "y ~ year + (year | g)"
        return formula, {"y": y, "year": year, "g": names(g)}
    y = y + d.effects(g, v[:, None], np.array([[0.5]]))
    return "y ~ x + v + (x + v | g)", {"y": y, "x": u * 1e5, "v": v * 1e-4, "g": names(g)}


def scaled_response(d: Draw) -> Made:
    formula, columns = (slope, crossed_two, nested_two)[d.whole(0, 2)](d)
    times, plus = ((1e6, 0.0), (1e-6, 0.0), (1.0, 1e4), (1e3, 1e6))[d.whole(0, 3)]
    return formula, {**columns, "y": np.asarray(columns["y"]) * times + plus}


def weighted(d: Draw) -> Made:
    formula, columns = (single, slope, crossed_two, nested_two)[d.whole(0, 3)](d)
    n = len(columns["y"])
    w = np.exp(1.5 * d.normal(n)) if d.chance(0.5) else 1.0 + d.codes(n, 5)
    residual = d.normal(n) * (1 / np.sqrt(w) - 1)
    return formula, {**columns, "y": np.asarray(columns["y"]) + residual, "w": np.asarray(w)}


# ---- at and near the boundary ---------------------------------------------------------------


def _with_thetas(d: Draw, small: Callable[[], float]) -> Made:
    """One of four layouts, some of its SDs given by ``small``."""
    kind = d.whole(0, 3)
    if kind == 0:
        J, n = d.whole(5, 40), d.whole(50, 600)
        g, x = d.codes(n, J), d.normal(n)
        y = x + d.intercepts(g, small()) + d.normal(n)
        return "y ~ x + (1 | g)", {"y": y, "x": x, "g": names(g)}
    if kind == 1:
        a, b = balanced(d.whole(5, 25), d.whole(5, 25))
        y = d.intercepts(a, small()) + d.intercepts(b, d.spread(0.2, 2)) + d.normal(len(a))
        return "y ~ 1 + (1 | a) + (1 | b)", {"y": y, "a": names(a, "a"), "b": names(b, "b")}
    if kind == 2:
        A, B = d.whole(5, 20), d.whole(2, 5)
        a, b, _ = balanced(A, B, d.whole(2, 5))
        thetas = (small(), d.spread(0.2, 2))
        if d.chance(0.5):
            thetas = thetas[::-1]
        y = d.intercepts(a, thetas[0]) + d.intercepts(a * B + b, thetas[1]) + d.normal(len(a))
        return "y ~ 1 + (1 | a/b)", {"y": y, "a": names(a, "a"), "b": names(b, "b")}
    J, n = d.whole(6, 40), d.whole(80, 600)
    g, x = d.codes(n, J), d.normal(n)
    T = np.diag([d.spread(0.2, 2), small()])
    if d.chance(0.3):
        T = T[::-1, ::-1]
    y = x + d.effects(g, beside(ones(n), x), T) + d.normal(n)
    return f"y ~ x + (x {'|' if d.chance(0.6) else '||'} g)", {"y": y, "x": x, "g": names(g)}


def zero(d: Draw) -> Made:
    return _with_thetas(d, lambda: 0.0)


def small(d: Draw) -> Made:
    return _with_thetas(d, lambda: d.spread(0.01, 0.1))


def all_zero(d: Draw) -> Made:
    """No random effect at all, under random parts of several columns and factors."""
    J, n = d.whole(5, 25), d.whole(60, 500)
    g, h, x, v = d.codes(n, J), d.codes(n, d.whole(3, 15)), d.normal(n), d.normal(n)
    formula = (
        "y ~ x + (x | g) + (1 | h)",
        "y ~ x + v + (x + v | g)",
        "y ~ x + v + (x + v || g) + (1 | h)",
        "y ~ x + (x | g) + (x | h)",
    )[d.whole(0, 3)]
    y = x + v + d.normal(n)
    return formula, {"y": y, "x": x, "v": v, "g": names(g), "h": names(h, "h")}


def perfect_correlation(d: Draw) -> Made:
    """A covariance matrix of less than full rank."""
    J, n, k = d.whole(8, 40), d.whole(100, 800), d.whole(2, 4)
    g, x = d.codes(n, J), d.normal(n, k - 1)
    rank = d.whole(1, k - 1)
    T = d.normal(k, rank) * d.spread(0.1, 2)
    y = x.sum(axis=1) + d.effects(g, beside(ones(n), x), T) + d.normal(n)
    xs = [f"x{i + 1}" for i in range(k - 1)]
    formula = f"y ~ {' + '.join(xs)} + ({' + '.join(xs)} | g)"
    return formula, {"y": y, "g": names(g), **{c: x[:, i] for i, c in enumerate(xs)}}


# Estimates of a squared SD ratio that hit, or just miss, zero.
_EDGES = (-1e-2, -1e-5, -1e-8, 0.0, 1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3)


def edge_one_way(d: Draw) -> Made:
    """Balanced, with the group means scaled so that theta squared has its estimate given."""
    J, m = d.whole(4, 30), d.whole(2, 12)
    (g, _), e = balanced(J, m), d.normal(J, m)
    e -= e.mean(axis=1, keepdims=True)
    within = float((e**2).sum()) / (J * (m - 1))
    means = d.normal(J)
    means -= means.mean()
    edge = _EDGES[d.whole(0, len(_EDGES) - 1)]
    between = within * (1 + m * edge) / m
    means *= math.sqrt(between * (J - 1) / float((means**2).sum()))
    return "y ~ 1 + (1 | g)", {"y": (means[:, None] + e).ravel(), "g": names(g)}


def edge_crossed(d: Draw) -> Made:
    """Balanced rows and columns, both scaled so that theta squared has its estimate given."""
    A, B = d.whole(4, 20), d.whole(4, 20)
    (a, b), e = balanced(A, B), d.normal(A, B)
    e = e - e.mean(axis=1, keepdims=True) - e.mean(axis=0) + e.mean()
    within = float((e**2).sum()) / ((A - 1) * (B - 1))
    y = e
    for axis, (J, m) in enumerate(((A, B), (B, A))):
        edge = _EDGES[d.whole(0, len(_EDGES) - 1)]
        if axis == 0 and d.chance(0.5):
            edge = d.spread(0.01, 4)
        means = d.normal(J)
        means -= means.mean()
        between = within * (1 + m * edge) / m
        means *= math.sqrt(between * (J - 1) / float((means**2).sum()))
        y = y + np.expand_dims(means, 1 - axis)
    columns: Columns = {"y": y.ravel(), "a": names(a, "a"), "b": names(b, "b")}
    return "y ~ 1 + (1 | a) + (1 | b)", columns


def edge_slope(d: Draw) -> Made:
    """Equal x in every group; the least eigenvalue of the covariance has its estimate given."""
    J, m = d.whole(5, 30), d.whole(4, 12)
    g, _ = balanced(J, m)
    x = np.arange(m) - (m - 1) / 2
    x /= math.sqrt(float((x**2).mean()))
    e = d.normal(J, m)
    e -= e.mean(axis=1, keepdims=True)
    e -= np.outer(np.einsum("jm,m->j", e, x) / m, x)
    within = float((e**2).sum()) / (J * (m - 2))
    b = d.normal(J, 2)
    b -= b.mean(axis=0)
    b = b @ np.linalg.inv(np.linalg.cholesky(b.T @ b / (J - 1))).T
    angle = math.pi * d.rng.random()
    V = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    edge = _EDGES[d.whole(0, len(_EDGES) - 1)]
    other = d.spread(0.05, 2) if d.chance(0.8) else edge
    target = within * (V @ np.diag([other, edge]) @ V.T + np.eye(2) / m)
    b = b @ np.linalg.cholesky(target).T
    y = b[:, :1] + b[:, 1:] * x + e
    columns: Columns = {"y": y.ravel(), "x": np.tile(x, J), "g": names(g)}
    return "y ~ x + (x | g)", columns


def trap(d: Draw) -> Made:
    """Likelihoods with more than one optimum, flat valleys, or a wrong model."""
    kind = d.whole(0, 7)
    if kind == 0:  # negative correlation within groups
        J, m = d.whole(8, 40), d.whole(2, 5)
        g, _ = balanced(J, m)
        e = d.normal(J, m)
        x = d.normal(J * m)
        y = (e - 0.8 * e.mean(axis=1, keepdims=True)).ravel() + x
        # slopes on pairs would be as many effects as rows
        formula = "y ~ x + (x | g)" if m > 2 else "y ~ x + (1 | g)"
        return formula, {"y": y, "x": x, "g": names(g)}
    if kind == 1:  # two factors that almost coincide
        J, n = d.whole(8, 30), d.whole(80, 300)
        a = d.codes(n, J)
        b = np.where(d.rng.random(n) < 0.05, d.codes(n, J), a)
        y = d.intercepts(a, d.spread(0.1, 2)) + d.normal(n)
        return "y ~ 1 + (1 | a) + (1 | b)", {"y": y, "a": names(a, "a"), "b": names(b, "b")}
    if kind == 2:  # few groups have a second subgroup
        A = d.whole(8, 30)
        sizes = 1 + (d.rng.random(A) < 0.2).astype(np.int64)
        sizes[0] = 2
        a = np.repeat(np.repeat(np.arange(A), sizes), 3)
        b = np.repeat(np.concatenate([np.arange(s) for s in sizes]), 3)
        y = d.intercepts(a, d.spread(0.1, 2)) + d.intercepts(2 * a + b, d.spread(0.1, 2))
        y = y + d.normal(len(a))
        return "y ~ 1 + (1 | a/b)", {"y": y, "a": names(a, "a"), "b": names(b, "b")}
    if kind == 3:  # heavy tails and outlying groups
        J, n = d.whole(6, 25), d.whole(60, 300)
        g, x = d.codes(n, J), d.normal(n)
        tails = 1 / np.sqrt((d.normal(n, 2) ** 2).mean(axis=1))
        y = d.intercepts(g, 0.3) + (g == 0) * 20.0 + d.normal(n) * tails
        return "y ~ x + (x | g)", {"y": y, "x": x, "g": names(g)}
    if kind == 4:  # two almost collinear random columns
        J, n = d.whole(8, 25), d.whole(100, 400)
        g, x = d.codes(n, J), d.normal(n)
        v = x + 0.05 * d.normal(n)
        y = x + d.intercepts(g, 0.5) + d.normal(n)
        return "y ~ x + (x + v | g)", {"y": y, "x": x, "v": v, "g": names(g)}
    if kind == 5:  # as many columns as rows in most groups
        J = d.whole(15, 40)
        g = np.repeat(np.arange(J), 2 + (np.arange(J) % 3 == 0))
        x = d.normal(len(g))
        y = x + d.effects(g, beside(ones(len(g)), x), d.lower(2)) + d.normal(len(g))
        return "y ~ x + (x | g)", {"y": y, "x": x, "g": names(g)}
    if kind == 6:  # interaction of factors with mostly one row a cell
        A, B = d.whole(4, 10), d.whole(4, 10)
        a, b = balanced(A, B)
        twice = d.rng.random(len(a)) < 0.15
        twice[0] = True
        a, b = np.append(a, a[twice]), np.append(b, b[twice])
        y = d.intercepts(a, d.spread(0.1, 1)) + d.normal(len(a))
        formula = "y ~ 1 + (1 | a) + (1 | b) + (1 | a:b)"
        return formula, {"y": y, "a": names(a, "a"), "b": names(b, "b")}
    # x hardly varies within a group
    J, m = d.whole(6, 20), d.whole(4, 10)
    g, _ = balanced(J, m)
    x = d.normal(J)[g] * 3 + 0.1 * d.normal(len(g))
    y = x + d.intercepts(g, d.spread(0.05, 1)) + d.normal(len(g))
    return "y ~ x + (x | g)", {"y": y, "x": x, "g": names(g)}


# Family, its function, how many.
FAMILIES: dict[str, tuple[Callable[[Draw], Made], int]] = {
    "single": (single, 14),
    "crossed_two": (crossed_two, 16),
    "crossed_three": (crossed_three, 14),
    "nested_two": (nested_two, 16),
    "nested_three": (nested_three, 14),
    "slope": (slope, 16),
    "slopes_two": (slopes_two, 12),
    "slopes_three": (slopes_three, 8),
    "independent": (independent, 16),
    "two_terms": (two_terms, 14),
    "crossed_slopes": (crossed_slopes, 16),
    "nested_slopes": (nested_slopes, 14),
    "unbalanced": (unbalanced, 24),
    "few_levels": (few_levels, 28),
    "scaled_predictor": (scaled_predictor, 24),
    "scaled_response": (scaled_response, 16),
    "weighted": (weighted, 16),
    "zero": (zero, 28),
    "small": (small, 28),
    "all_zero": (all_zero, 16),
    "perfect_correlation": (perfect_correlation, 24),
    "edge_one_way": (edge_one_way, 20),
    "edge_crossed": (edge_crossed, 16),
    "edge_slope": (edge_slope, 80),
    "trap": (trap, 60),
}


def design(family: str, number: int) -> Simulated:
    """One design of a family."""
    seed = zlib.crc32(f"{family} {number}".encode())
    formula, columns = FAMILIES[family][0](Draw(seed))
    data = pd.DataFrame({c: _short(v) for c, v in columns.items()})
    return Simulated(f"{family}-{number:02d}", family, seed, formula, data)


def all_designs() -> list[Simulated]:
    """Every design, in the order of `FAMILIES`."""
    return [design(family, i) for family, (_, many) in FAMILIES.items() for i in range(many)]


def _short(values: Floats | list[str]) -> Floats | list[str]:
    """Twelve digits: what a CSV file holds and both sides read alike."""
    if isinstance(values, list):
        return values
    return np.array([float(f"{v:.12g}") for v in values])


def main(folder: Path) -> None:
    """Write the CSV files and their list."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "family", "seed", "formula", "n", "checksum"])
        for made in all_designs():
            made.data.to_csv(folder / f"{made.id}.csv", index=False)
            row = [made.id, made.family, made.seed, made.formula, len(made.data), made.checksum]
            out.writerow(row)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
