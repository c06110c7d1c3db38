"""Rows against a factorisation of M: what a set of rows says that the others do not.

A row h of H = [Z Lambda, X] is folded as elimination folds columns: what its level of an
eliminated factor explains, level x of Xz with X = T D^-1 T', leaves its ancestors' columns
and those of the remainder, w. Then h_i'M^-1 h_j, of which A is made, is
w_i'Cw_j + sum of z_i'Xz_j over the
eliminated factors of which both have one level, with C the inverse of the remainder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import lapack, solve_triangular

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.compiled import kernel
from bayeslmm.engine.gaussian.criterion import Factorisation, scale_columns, scale_rows
from bayeslmm.engine.remainder import mirror

# Numbers in the couplings of eliminated levels times C, kept if they are no more.
_KEPT = 20_000_000


class Folding:
    """One factorisation, ready for rows.

    Parameters
    ----------
    f : Factorisation
    products : bool
        Whether to keep couplings times C, which pays where a set has many rows.
    """

    def __init__(self, f: Factorisation, *, products: bool) -> None:
        cp, mm = f.cp, f.cp.q_rest + f.cp.p
        self.f, self.depth = f, len(f.chain)
        self.offsets = np.concatenate([[0], np.cumsum(cp.widths)]).astype(np.int64)
        sizes = [0, *(cp.levels[e] * cp.widths[e] for e in range(self.depth))]
        self.bases = np.cumsum(sizes).astype(np.int64)
        v = solve_triangular(f.L, f.Ly, lower=True, trans="T", check_finite=False)
        self.coefficients = scale_rows(v[:, None], cp, f.T)[:, 0]
        C = np.ascontiguousarray(lapack.dpotri(f.L.T, lower=0)[0].T) if mm else np.empty((0, 0))
        mirror(C)
        self.C = scale_columns(scale_rows(C, cp, f.T), cp, f.T)
        self.X = [
            T @ np.linalg.solve(T.T @ c.A @ T + np.eye(len(T)), np.ascontiguousarray(T.T))
            for T, c in zip(f.T, f.chain, strict=False)
        ]
        kept = products and self.bases[-1] * mm <= _KEPT
        self.products = np.zeros((int(self.bases[-1]) if kept else 0, mm))
        if kept:
            for e, c in enumerate(f.chain):
                own = self.products[self.bases[e] : self.bases[e + 1]]
                multiply_couplings(c.start, c.column, c.value, c.dense, self.C, own, cp.p)

    def densities(
        self,
        start: IntArray,
        codes: IntArray,
        columns: FloatArray,
        X: FloatArray,
        y: FloatArray,
        own: FloatArray,
        half_log: FloatArray,
        quadratic: FloatArray,
    ) -> None:
        """Half log-determinants and quadratic forms of the sets in a block of rows.

        Parameters
        ----------
        start : ndarray, shape (sets + 1,)
            Where each set begins in the block.
        codes : ndarray, shape (R, factors)
        columns : ndarray, shape (R, sum of K)
            Times sqrt(w), as X and y; factors in the order of the cross-products.
        X, y : ndarray, shapes (R, p), (R,)
        own, half_log, quadratic
            As `set_densities` takes them.
        """
        f, depth = self.f, self.depth
        w = np.zeros((len(y), len(self.C)))
        spread(codes, columns, X, f.scales[0], self.offsets[depth:], depth, w)
        z, x = columns.copy(), np.zeros_like(columns)
        fitted = np.zeros(len(y))
        for e, c in enumerate(f.chain):
            first, above = int(self.offsets[e]), int(self.offsets[depth] - self.offsets[e + 1])
            fold(
                self.X[e], c.start, c.column, c.value, c.dense, codes[:, e], first, above,
                z, x, w, fitted,
            )  # fmt: skip
        set_densities(
            start, codes, self.offsets, depth, f.scales[0], z, x, X, w, y - fitted, own,
            self.C, self.coefficients, self.bases, self.products, half_log, quadratic,
        )  # fmt: skip


@kernel
def multiply_couplings(
    start: IntArray,
    column: IntArray,
    value: FloatArray,
    dense: FloatArray,
    C: FloatArray,
    out: FloatArray,
    p: int,
) -> None:
    """Couplings of each level's columns with the remainder's, times C: (J K, m), onto out."""
    K, m, d = value.shape[1], len(C), dense.shape[1] - 1
    for j in range(len(start) - 1):
        for c in range(K):
            row = j * K + c
            for e in range(start[j], start[j + 1]):
                s, a = value[e, c], column[e]
                for b in range(m):
                    out[row, b] += s * C[a, b]
            for k in range(p):
                s, a = dense[j, d - p + k, c], m - p + k
                for b in range(m):
                    out[row, b] += s * C[a, b]


@kernel
def spread(
    codes: IntArray,
    columns: FloatArray,
    X: FloatArray,
    bounds: IntArray,
    offsets: IntArray,
    depth: int,
    w: FloatArray,
) -> None:
    """Write each row's entries in the remainder's columns into w, shape (R, m)."""
    n_rest, q = len(bounds) - 1, w.shape[1] - X.shape[1]
    for i in range(len(X)):
        for f in range(n_rest):
            K = offsets[f + 1] - offsets[f]
            first = bounds[f] + codes[i, depth + f] * K
            for a in range(K):
                w[i, first + a] = columns[i, offsets[f] + a]
        for a in range(X.shape[1]):
            w[i, q + a] = X[i, a]


@kernel
def fold(
    X: FloatArray,
    start: IntArray,
    column: IntArray,
    value: FloatArray,
    dense: FloatArray,
    codes: IntArray,
    first: int,
    above: int,
    z: FloatArray,
    x: FloatArray,
    w: FloatArray,
    fitted: FloatArray,
) -> None:
    """Take what a row's level of one eliminated factor explains from its other columns.

    Parameters
    ----------
    X : ndarray, shape (J, K, K)
        T D^-1 T' of each level.
    start, column, value, dense
        Couplings as elimination of those before left them (see `blocks.eliminate`).
    codes : ndarray, shape (R,)
    first, above : int
        First of the factor's columns in z; columns of its ancestors, which follow.
    z, x : ndarray, shape (R, columns)
        Entries in the factors' columns, changed; Xz, written.
    w : ndarray, shape (R, m)
        Entries in the remainder's columns; changed.
    fitted : ndarray, shape (R,)
        What the response itself adds is added.
    """
    K, d = X.shape[1], dense.shape[1] - 1
    q = w.shape[1] - (d - above)
    for i in range(len(codes)):
        j = codes[i]
        for a in range(K):
            s = 0.0
            for c in range(K):
                s += X[j, a, c] * z[i, first + c]
            x[i, first + a] = s
        for e in range(start[j], start[j + 1]):
            s = 0.0
            for c in range(K):
                s += value[e, c] * x[i, first + c]
            w[i, column[e]] -= s
        for a in range(d + 1):
            s = 0.0
            for c in range(K):
                s += dense[j, a, c] * x[i, first + c]
            if a < above:
                z[i, first + K + a] -= s
            elif a < d:
                w[i, q + a - above] -= s
            else:
                fitted[i] += s


@kernel
def set_densities(
    start: IntArray,
    codes: IntArray,
    offsets: IntArray,
    depth: int,
    bounds: IntArray,
    z: FloatArray,
    x: FloatArray,
    X: FloatArray,
    w: FloatArray,
    rest: FloatArray,
    own: FloatArray,
    C: FloatArray,
    coefficients: FloatArray,
    bases: IntArray,
    products: FloatArray,
    half_log: FloatArray,
    quadratic: FloatArray,
) -> None:
    """Half log |R - A| - log |R| and e'(R - A)^-1 e of each set of rows.

    Parameters
    ----------
    start : ndarray, shape (sets + 1,)
    codes, offsets, depth, bounds
        Level of each row, first column of each factor in z, number of eliminated
        factors, first column in w of each other factor.
    z, x, w
        As `fold` left them; X the fixed columns.
    rest : ndarray, shape (R,)
        Responses less what eliminated levels explain of them.
    own : ndarray, shape (R, columns)
        h_i'Lambda of the effects that no other set has, which z and w leave out;
        R = I + own own', levels apart.
    C, coefficients : ndarray, shapes (m, m), (m,)
        Lambda M^-1 Lambda' and Lambda v of the remainder.
    bases, products
        Couplings of eliminated levels times C, and first row of each factor in them;
        without rows where they are not kept.
    half_log, quadratic : ndarray, shape (sets,)
        Written; NaN where R - A is lost to rounding.
    """
    m, widest = len(C), 0
    for g in range(len(start) - 1):
        widest = max(widest, start[g + 1] - start[g])
    at, entry = np.empty((widest, m), np.int64), np.empty((widest, m))
    count = np.empty(widest, np.int64)
    seen, union, moved = np.full(m, -1), np.empty(m, np.int64), np.zeros(m)
    B, R, e = np.empty((widest, widest)), np.empty((widest, widest)), np.empty(widest)
    for g in range(len(start) - 1):
        first, r = start[g], start[g + 1] - start[g]
        reach = 0
        for i in range(r):
            count[i], e[i] = 0, rest[first + i]
            for a in range(m):
                if w[first + i, a] != 0.0:
                    at[i, count[i]], entry[i, count[i]] = a, w[first + i, a]
                    count[i] += 1
                    e[i] -= w[first + i, a] * coefficients[a]
                    if seen[a] != g:
                        seen[a] = g
                        union[reach] = a
                        reach += 1
        # whole rows of C are read faster than most of their entries one by one
        whole = 3 * reach > m
        for i in range(r):
            if whole and len(products) > 0:
                _row_from_products(
                    first + i, codes, offsets, depth, bounds, z, x, X, C, bases, products, moved
                )
            else:
                _row_times(entry, at, i, count[i], C, union, reach, whole, moved)
            for j in range(i + 1):
                s = 1.0 if j == i else 0.0
                for f in range(len(offsets) - 1):
                    if codes[first + i, f] == codes[first + j, f]:
                        for c in range(offsets[f], offsets[f + 1]):
                            s += own[first + i, c] * own[first + j, c]
                R[j, i] = s
                for k in range(count[j]):
                    s -= entry[j, k] * moved[at[j, k]]
                for f in range(depth):
                    if codes[first + i, f] == codes[first + j, f]:
                        for c in range(offsets[f], offsets[f + 1]):
                            s -= z[first + i, c] * x[first + j, c]
                B[j, i] = s
        half_log[g], quadratic[g] = _evaluate(B, e, r)
        half_log[g] -= 2.0 * _evaluate(R, e, r)[0]


@kernel
def _row_times(
    entry: FloatArray,
    at: IntArray,
    i: int,
    count: int,
    C: FloatArray,
    union: IntArray,
    reach: int,
    whole: bool,
    moved: FloatArray,
) -> None:
    """C w_i into moved, at the columns of ``union`` or at all."""
    m = len(C)
    if whole:
        for b in range(m):
            moved[b] = 0.0
        for k in range(count):
            s, a = entry[i, k], at[i, k]
            for b in range(m):
                moved[b] += s * C[a, b]
        return
    for b in range(reach):
        moved[union[b]] = 0.0
    for k in range(count):
        s, a = entry[i, k], at[i, k]
        for b in range(reach):
            moved[union[b]] += s * C[a, union[b]]


@kernel
def _row_from_products(
    row: int,
    codes: IntArray,
    offsets: IntArray,
    depth: int,
    bounds: IntArray,
    z: FloatArray,
    x: FloatArray,
    X: FloatArray,
    C: FloatArray,
    bases: IntArray,
    products: FloatArray,
    moved: FloatArray,
) -> None:
    """C w_i into moved: the row's own columns less its levels' couplings, all times C."""
    m, p = len(C), X.shape[1]
    for b in range(m):
        moved[b] = 0.0
    for f in range(len(offsets) - 1):
        K = offsets[f + 1] - offsets[f]
        for c in range(K):
            if f < depth:
                s, a = x[row, offsets[f] + c], bases[f] + codes[row, f] * K + c
                for b in range(m):
                    moved[b] -= s * products[a, b]
            else:
                s, a = z[row, offsets[f] + c], bounds[f - depth] + codes[row, f] * K + c
                for b in range(m):
                    moved[b] += s * C[a, b]
    for k in range(p):
        s, a = X[row, k], m - p + k
        for b in range(m):
            moved[b] += s * C[a, b]


@kernel
def _evaluate(B: FloatArray, e: FloatArray, r: int) -> Any:
    """Half log |B| and e'B^-1 e, from the upper triangle; B and e are overwritten.

    NaN where a set holds so much of the information that B is left to rounding.
    """
    half, total = 0.0, 0.0
    for i in range(r):
        own = B[i, i:r]
        for k in range(i):
            s, above = B[k, i], B[k, i:r]
            for j in range(len(own)):
                own[j] -= s * above[j]
        if not own[0] > 0.0:
            return np.nan, np.nan
        half += 0.5 * np.log(own[0])
        root = np.sqrt(own[0])
        for j in range(len(own)):
            own[j] /= root
        s = e[i]
        for k in range(i):
            s -= B[k, i] * e[k]
        e[i] = s / root
        total += e[i] * e[i]
    return half, total
