"""Lambda on the dense remainder, and traces of its products, from lower triangles.

The remainder is what elimination (see `blocks`) leaves: factors outside the chain, fixed
columns, response. Its factors are described by their first columns, columns a level and T.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.compiled import kernel


@kernel
def mirror(S: FloatArray) -> None:
    """Copy the lower triangle of a square matrix onto its upper one, in place, tile by tile."""
    n, tile = len(S), 32
    for first in range(0, n, tile):
        last = min(first + tile, n)
        for start in range(0, first + 1, tile):
            for i in range(first, last):
                for j in range(start, min(start + tile, i)):
                    S[j, i] = S[i, j]


@kernel
def scale_square(
    S: FloatArray, bounds: IntArray, widths: IntArray, Ts: FloatArray, M: FloatArray
) -> None:
    """M = Lambda'S Lambda, lower triangles, each factor's diagonal blocks of levels full.

    Parameters
    ----------
    S, M : ndarray, shapes (m, m), (n, n)
        M, overwritten, takes the first n columns.
    bounds, widths, Ts : ndarray, shapes (f + 1,), (f,), (f, K, K)
        First column, columns a level and T of each factor. What follows the last
        factor is taken as it stands.
    """
    m, n_factors = M.shape[0], len(widths)
    q = bounds[n_factors]
    f = 0
    for i in range(m):
        while f < n_factors and i >= bounds[f + 1]:
            f += 1
        if f == n_factors or widths[f] == 1:
            scale = 1.0 if f == n_factors else Ts[f, 0, 0]
            for j in range(i + 1):
                M[i, j] = scale * S[i, j]
        else:
            K = widths[f]
            base = i - (i - bounds[f]) % K
            c = i - base
            for j in range(base + K):
                s = 0.0
                for r in range(c, K):
                    # upper entries of the diagonal block are those below it
                    s += Ts[f, r, c] * (S[base + r, j] if j <= base + r else S[j, base + r])
                M[i, j] = s
        for h in range(n_factors):
            first, last, K = bounds[h], min(bounds[h + 1], i + 1), widths[h]
            if first > i:
                break
            if K == 1:
                t = Ts[h, 0, 0]
                for j in range(first, last):
                    M[i, j] *= t
                continue
            for base in range(first, last, K):
                # T is lower triangular: column c needs rows c and after, so go upwards
                for c in range(K):
                    s = 0.0
                    for r in range(c, K):
                        s += M[i, base + r] * Ts[h, r, c]
                    M[i, base + c] = s
    for i in range(q):
        M[i, i] += 1.0


@kernel
def scale_entries(
    start: IntArray,
    column: IntArray,
    value: FloatArray,
    bounds: IntArray,
    widths: IntArray,
    Ts: FloatArray,
) -> FloatArray:
    """Sparse couplings of `eliminate` times Lambda of the remainder; as `scale_square`."""
    out = np.empty_like(value)
    width = value.shape[1]
    for i in range(len(start) - 1):
        f, e = 0, start[i]
        while e < start[i + 1]:
            while column[e] >= bounds[f + 1]:
                f += 1
            K = widths[f]
            for c in range(K):
                for a in range(width):
                    s = 0.0
                    for r in range(c, K):
                        s += value[e + r, a] * Ts[f, r, c]
                    out[e + c, a] = s
            e += K
    return out


@kernel
def trace_products(
    S: FloatArray, C: FloatArray, bounds: IntArray, widths: IntArray, Ts: FloatArray
) -> FloatArray:
    """sum_j of the diagonal blocks of S Lambda C of each factor, from lower triangles.

    Half of d log|M|/dT for the factors of the remainder. C has the columns of S but the
    last, the response; the last factor in ``bounds`` is the fixed columns, with T = 1.
    """
    n_factors = len(widths)
    out = np.zeros((n_factors, Ts.shape[1], Ts.shape[1]))
    both, back = np.zeros(Ts.shape[1:]), np.zeros(Ts.shape[1:])
    for f in range(n_factors):
        for h in range(f + 1):
            Kf, Kh = widths[f], widths[h]
            if Kf == 1 and Kh == 1:
                total = 0.0
                for i in range(bounds[f], bounds[f + 1]):
                    last = min(i, bounds[h + 1])
                    total += np.dot(S[i, bounds[h] : last], C[i, bounds[h] : last])
                out[f, 0, 0] += total * Ts[h, 0, 0]
                out[h, 0, 0] += total * Ts[f, 0, 0]
                if f == h:
                    for i in range(bounds[f], bounds[f + 1]):
                        out[f, 0, 0] += S[i, i] * C[i, i] * Ts[f, 0, 0]
                continue
            for i in range(bounds[f], bounds[f + 1], Kf):
                for j in range(bounds[h], min(i + 1, bounds[h + 1]), Kh):
                    # S_ij T_h C_ji for f, and S_ji T_f C_ij for h
                    for a in range(Kf):
                        for c in range(Kh):
                            s = 0.0
                            for r in range(c, Kh):
                                s += _lower(S, i + a, j + r) * Ts[h, r, c]
                            both[a, c] = s
                    for a in range(Kf):
                        for b in range(Kf):
                            s = 0.0
                            for c in range(Kh):
                                s += both[a, c] * _lower(C, i + b, j + c)
                            out[f, a, b] += s
                    if i == j:
                        continue
                    for a in range(Kh):
                        for c in range(Kf):
                            s = 0.0
                            for r in range(c, Kf):
                                s += S[i + r, j + a] * Ts[f, r, c]
                            back[a, c] = s
                    for a in range(Kh):
                        for b in range(Kh):
                            s = 0.0
                            for c in range(Kf):
                                s += back[a, c] * C[i + c, j + b]
                            out[h, a, b] += s
    return out


@kernel
def _lower(S: FloatArray, i: int, j: int) -> Any:
    return S[i, j] if j <= i else S[j, i]
