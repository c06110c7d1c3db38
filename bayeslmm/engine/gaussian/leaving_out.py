"""Log p(y_g | y_-g, theta, sigma): rows left out, fixed and random effects integrated out.

With A = H M^-1 H'W and e = y - Hv, both of all rows,

    y_g | y_-g, theta, sigma ~ N( y_g - (I - A_gg)^-1 e_g, sigma^2 (I - A_gg)^-1 W_g^-1 ).

Rows are multiplied by sqrt(w) here, which makes A symmetric and W the identity. Effects that
only g has, those of the level left out and of levels inside it, are taken out of H_g: with
R = I + Z_g Lambda Lambda'Z_g' of these effects they come back in

    y_g | y_-g, theta, sigma ~ N( y_g - R (R - A_gg)^-1 e_g, sigma^2 R (R - A_gg)^-1 R ),

where nothing cancels if g says far more about them than their prior. Rows of g that share
their levels of every factor are rotated first: no more of them have columns than there are
columns, and the rest is a sum of squares. A set of very many rows is left out of the
cross-products instead: log p(y) - log p(y_-g).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.linalg import solve_triangular

from bayeslmm.arrays import BoolArray, FloatArray, IntArray
from bayeslmm.design import Design
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.engine.gaussian.criterion import Factorisation
from bayeslmm.engine.gaussian.crossproducts import CrossProducts, compute_crossproducts
from bayeslmm.engine.gaussian.folding import Folding
from bayeslmm.engine.gaussian.map_prior import fixed_prior
from bayeslmm.engine.gaussian.objective import Objective
from bayeslmm.engine.gaussian.parameters import Layout
from bayeslmm.engine.gaussian.working import to_working
from bayeslmm.errors import FitError
from bayeslmm.priors import PriorSet

# Rows of a set for which a system of as many equations is surely cheap; rows treated at once.
_MANY = 200
_BLOCK = 256
# Share of the information on a direction of flat fixed effects that the others must have.
_LEFT = 1e-10


@dataclass(frozen=True, eq=False, slots=True)
class Sets:
    """Disjoint sets of rows, each to be left out.

    Attributes
    ----------
    of : ndarray of int, shape (n,)
        The set of each row of the design, 0 to ``count - 1``.
    count : int
    rows : bool
        Whether every set is a row.
    """

    of: IntArray
    count: int
    rows: bool

    @classmethod
    def each_row(cls, design: Design) -> Sets:
        """Every row by itself."""
        return cls(np.arange(design.n), design.n, True)

    @classmethod
    def levels(cls, design: Design, factor: int) -> Sets:
        """The rows of each level of a factor."""
        f = design.factors[factor]
        return cls(f.codes, f.n_levels, False)


@dataclass(frozen=True, eq=False, slots=True)
class _Rows:
    """Rows times sqrt(w), in working coordinates, one set after the other.

    ``codes`` (R, factors) and ``columns`` (R, sum of K) have the factors in the order of
    the cross-products; columns of levels that occur in one set only stand in ``own``
    instead. ``start`` (sets + 1,) is where each set begins; ``n`` its rows before
    rotation, ``squares`` what rotation took out of y, ``log_weights`` sums.
    """

    start: IntArray
    codes: IntArray
    columns: FloatArray
    X: FloatArray
    y: FloatArray
    own: FloatArray
    n: IntArray
    squares: FloatArray
    log_weights: FloatArray


class LeavingOut:
    """Log density of each set of rows given all others and the variance parameters.

    Parameters
    ----------
    design : Design
        Gaussian, identity link.
    priors : PriorSet
        Normal or flat on the fixed effects.
    sets : Sets
    most_rows : int, optional
        Sets of more rows are left out of the cross-products; by default 200, or the
        columns of the remainder if they are more.

    Attributes
    ----------
    occurring : ndarray of int
        The sets that have rows of positive weight.
    """

    def __init__(
        self, design: Design, priors: PriorSet, sets: Sets, most_rows: int | None = None
    ) -> None:
        self.design, self.priors, self.sets = design, priors, sets
        self.objective = _objective(design, priors)
        rows = _sorted_rows(design, self.objective.cp, sets)
        self.occurring = np.flatnonzero(rows.n)
        most = max(_MANY, len(self.objective.cp.S)) if most_rows is None else most_rows
        self._large = np.flatnonzero(np.diff(rows.start) > most)
        self._rows = _without(rows, self._large)
        self._spread_out = _several_levels(self._rows)

    def undetermined(self) -> IntArray:
        """Sets without which the flat fixed effects are not determined."""
        return _undetermined(self.design, self.objective, self.sets)

    @one_blas_thread
    def log_likelihood(
        self, halves: Sequence[FloatArray], sigmas: FloatArray, *, progressbar: bool = False
    ) -> FloatArray:
        """Log p(y_g | y_-g, theta, sigma) of the occurring sets.

        Parameters
        ----------
        halves : sequence of ndarray, each (S, K, K)
            By factor of the design, any E with E E' the covariance of one level's effects.
        sigmas : ndarray, shape (S,)
        progressbar : bool

        Returns
        -------
        ndarray, shape (S, sets that occur)

        Raises
        ------
        FitError
            Nothing can be computed at one of the draws.
        """
        from rich.progress import track

        out = np.zeros((len(sigmas), self.sets.count))
        full = np.empty(len(sigmas))
        shown = partial(track, description="leaving out", disable=not progressbar, transient=True)
        for s in shown(range(len(sigmas))):
            f, sigma = _factorised(self.objective, halves, sigmas, s)
            full[s] = -0.5 * self.objective.deviance(f, sigma)
            self._small_sets(f, sigma, out[s])
        lost = np.flatnonzero(np.isnan(out).any(axis=0))
        for g in shown(np.union1d(self._large, lost)):
            others = _objective(_omit(self.design, self.sets, int(g)), self.priors)
            for s in range(len(sigmas)):
                f, sigma = _factorised(others, halves, sigmas, s)
                out[s, g] = full[s] + 0.5 * others.deviance(f, sigma)
        return out[:, self.occurring]

    def _small_sets(self, f: Factorisation, sigma: float, out: FloatArray) -> None:
        """Write the log densities of all but the large sets."""
        rows, cp = self._rows, f.cp
        own, k = rows.own.copy(), 0
        for T in f.T:
            own[:, k : k + len(T)] = own[:, k : k + len(T)] @ T
            k += len(T)
        found = Folding(f, products=self._spread_out)
        half_log, quadratic = np.zeros(len(out)), np.zeros(len(out))
        for first, last in _blocks(rows.start):
            at = slice(int(rows.start[first]), int(rows.start[last]))
            found.densities(
                rows.start[first : last + 1] - at.start,
                rows.codes[at],
                rows.columns[at],
                rows.X[at],
                rows.y[at],
                own[at],
                half_log[first:last],
                quadratic[first:last],
            )
        scale = math.log(2.0 * math.pi) + 2.0 * math.log(sigma * cp.coordinates.y_scale)
        out[:] = 0.5 * rows.log_weights - 0.5 * rows.n * scale + half_log
        out -= 0.5 * (quadratic + rows.squares) / sigma**2


def _objective(design: Design, priors: PriorSet) -> Objective:
    cp = compute_crossproducts(design)
    prior = fixed_prior(design, priors, cp.coordinates)
    return Objective(cp, Layout.of(design, cp.coordinates), reml=True, fixed_prior=prior)


def _factorised(
    objective: Objective, halves: Sequence[FloatArray], sigmas: FloatArray, s: int
) -> tuple[Factorisation, float]:
    """M at a draw, and sigma on the working scale of an objective."""
    sigma = float(sigmas[s])
    T = objective.layout.to_working([half[s] / sigma for half in halves])
    sigma /= objective.cp.coordinates.y_scale
    f = objective.factorise(T, sigma)
    if f is None:
        raise FitError("nothing can be computed at these variance parameters.")
    return f, sigma


def _omit(design: Design, sets: Sets, left: int) -> Design:
    """The design without the rows of one set."""
    return replace(design, weights=np.where(sets.of == left, 0.0, design.weights))


def _sorted_rows(design: Design, cp: CrossProducts, sets: Sets) -> _Rows:
    """Rows of positive weight by set; those of one cell rotated, unless each is a set."""
    counted = np.flatnonzero(design.weights > 0)
    counted = counted[np.argsort(sets.of[counted], kind="stable")]
    of, weights = sets.of[counted], design.weights[counted]
    maps, root = cp.coordinates, np.sqrt(design.weights[counted])
    factors = [design.factors[k] for k in cp.order]
    pieces = [
        to_working(f.columns[counted], maps.Z_maps[k])
        for k, f in zip(cp.order, factors, strict=True)
    ]
    columns = root[:, None] * np.hstack([np.empty((len(counted), 0)), *pieces])
    X = root[:, None] * to_working(design.X[counted], maps.X_map)
    y = root * ((design.y - design.offset)[counted] - maps.y_shift) / maps.y_scale
    codes = np.column_stack(
        [np.empty((len(counted), 0), np.int64), *(f.codes[counted] for f in factors)]
    )
    values = np.column_stack([columns, X, y])
    squares = np.zeros(sets.count)
    n = np.bincount(of, minlength=sets.count)
    if not sets.rows:
        of, codes, values = _rotate(of, codes, values, squares)
    q = columns.shape[1]
    alone = np.repeat(_in_one_set(of, codes, cp.levels), cp.widths, axis=1)
    own = np.where(alone, values[:, :q], 0.0)
    values[:, :q] -= own
    return _Rows(
        start=np.concatenate([[0], np.cumsum(np.bincount(of, minlength=sets.count))]),
        codes=np.ascontiguousarray(codes),
        columns=np.ascontiguousarray(values[:, :q]),
        X=np.ascontiguousarray(values[:, q:-1]),
        y=np.ascontiguousarray(values[:, -1]),
        own=own,
        n=n,
        squares=squares,
        log_weights=np.bincount(sets.of[counted], np.log(weights), minlength=sets.count),
    )


def _in_one_set(of: IntArray, codes: IntArray, levels: Sequence[int]) -> BoolArray:
    """Whether no other set has the level of each row, by factor: (R, factors)."""
    out = np.empty(codes.shape, dtype=bool)
    for f, J in enumerate(levels):
        least, most = np.full(J, np.iinfo(np.int64).max), np.full(J, -1)
        np.minimum.at(least, codes[:, f], of)
        np.maximum.at(most, codes[:, f], of)
        out[:, f] = (least == most)[codes[:, f]]
    return out


def _rotate(
    of: IntArray, codes: IntArray, values: FloatArray, squares: FloatArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Replace the rows of each cell, where they are more than their columns.

    A rotation turns [columns y] into a triangle: as many rows as columns, and one of y
    alone, whose square goes to the set.
    """
    width = values.shape[1] - 1
    order = np.lexsort([*codes.T[::-1], of])
    of, codes, values = of[order], codes[order], values[order]
    new = np.any(np.diff(np.column_stack([of, codes]), axis=0) != 0, axis=1)
    bounds = np.flatnonzero(np.concatenate([[True], new, [True]]))
    kept = np.ones(len(of), dtype=bool)
    for first, last in itertools.pairwise(bounds):
        if last - first > width:
            triangle = np.linalg.qr(values[first:last], mode="r")
            squares[of[first]] += triangle[-1, -1] ** 2
            values[first : first + width] = triangle[:width]
            kept[first + width : last] = False
    return of[kept], codes[kept], values[kept]


def _without(rows: _Rows, sets: IntArray) -> _Rows:
    """The same sets, some of them without rows."""
    sizes = np.diff(rows.start)
    if len(sets) == 0:
        return rows
    gone = np.isin(np.repeat(np.arange(len(sizes)), sizes), sets)
    sizes = sizes.copy()
    sizes[sets] = 0
    return replace(
        rows,
        start=np.concatenate([[0], np.cumsum(sizes)]),
        codes=rows.codes[~gone],
        columns=rows.columns[~gone],
        X=rows.X[~gone],
        y=rows.y[~gone],
        own=rows.own[~gone],
    )


def _several_levels(rows: _Rows) -> bool:
    """Whether the rows of some set are of several levels of the first factor."""
    if rows.codes.shape[1] == 0:
        return False
    changes = rows.codes[1:, 0] != rows.codes[:-1, 0]
    changes[rows.start[1:-1][np.diff(rows.start)[1:] > 0] - 1] = False
    return bool(changes.any())


def _blocks(start: IntArray) -> list[tuple[int, int]]:
    """Runs of whole sets with few rows together: first set, and the one after the last."""
    out, first = [], 0
    while first < len(start) - 1:
        last = int(np.searchsorted(start, start[first] + _BLOCK, side="right")) - 1
        last = max(last, first + 1)
        out.append((first, last))
        first = last
    return out


def _undetermined(design: Design, objective: Objective, sets: Sets) -> IntArray:
    """Sets that hold all the information on some direction of the fixed effects."""
    prior, cp = objective.fixed_prior, objective.cp
    if prior is None or prior.n_flat == 0:
        return np.empty(0, dtype=np.int64)
    used: BoolArray = design.weights > 0
    flat = np.linalg.eigh(prior.precision)[1][:, : prior.n_flat]
    X = to_working(design.X[used], cp.coordinates.X_map) @ flat
    X = np.sqrt(design.weights[used])[:, None] * X
    L = np.linalg.cholesky(X.T @ X)
    share = solve_triangular(L, X.T, lower=True).T
    if sets.rows:
        return sets.of[used][(share**2).sum(axis=1) > 1.0 - _LEFT]
    order = np.argsort(sets.of[used], kind="stable")
    sizes = np.bincount(sets.of[used], minlength=sets.count)
    parts = np.split(share[order], np.cumsum(sizes)[:-1])
    most = [np.linalg.norm(part, 2) ** 2 if len(part) else 0.0 for part in parts]
    return np.flatnonzero(np.array(most) > 1.0 - _LEFT)
