"""Algebra of one level: K x K matrices, as small as a random term has columns.

Loops stand where NumPy calls would: compiled, a call for a few numbers costs more than they do.
"""

from __future__ import annotations

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.engine.compiled import kernel


@kernel
def factor_level(A: FloatArray, i: int, T: FloatArray, AT: FloatArray, L: FloatArray) -> float:
    """Cholesky factor of T'A_iT + I into L, A_iT beside it; log-determinant returned."""
    K = T.shape[0]
    for a in range(K):
        for b in range(K):
            s = 0.0
            for c in range(K):
                s += A[i, a, c] * T[c, b]
            AT[a, b] = s
    logdet = 0.0
    for a in range(K):
        for b in range(a + 1):
            s = 1.0 if a == b else 0.0
            for c in range(K):
                s += T[c, a] * AT[c, b]
            for c in range(b):
                s -= L[a, c] * L[b, c]
            if a == b:
                L[a, a] = np.sqrt(s)
                logdet += np.log(s)
            else:
                L[a, b] = s / L[b, b]
    return logdet


@kernel
def forward(L: FloatArray, T: FloatArray, x: FloatArray, r: int, out: FloatArray, o: int) -> None:
    """Solve L out = T'x, row r of x into row o of out (a view of a row would cost more)."""
    K = L.shape[0]
    for a in range(K):
        s = 0.0
        for c in range(K):
            s += T[c, a] * x[r, c]
        for c in range(a):
            s -= L[a, c] * out[o, c]
        out[o, a] = s / L[a, a]


@kernel
def backward(L: FloatArray, x: FloatArray, r: int) -> None:
    """Solve L'x = x in place, for row r of x."""
    K = L.shape[0]
    for a in range(K - 1, -1, -1):
        s = x[r, a]
        for c in range(a + 1, K):
            s -= L[c, a] * x[r, c]
        x[r, a] = s / L[a, a]


@kernel
def invert(M: FloatArray, out: FloatArray) -> None:
    """Inverse of a small square matrix, which is overwritten."""
    K = M.shape[0]
    for a in range(K):
        for b in range(K):
            out[a, b] = 1.0 if a == b else 0.0
    for c in range(K):
        best = c
        for a in range(c + 1, K):
            if abs(M[a, c]) > abs(M[best, c]):
                best = a
        for b in range(K):
            M[c, b], M[best, b] = M[best, b], M[c, b]
            out[c, b], out[best, b] = out[best, b], out[c, b]
        pivot = M[c, c]
        for b in range(K):
            M[c, b] /= pivot
            out[c, b] /= pivot
        for a in range(K):
            x = M[a, c]
            if a != c and x != 0.0:
                for b in range(K):
                    M[a, b] -= x * M[c, b]
                    out[a, b] -= x * out[c, b]
