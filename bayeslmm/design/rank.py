"""Columns that other columns determine, fixed and random."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bayeslmm.arrays import BoolArray, FloatArray, IntArray
from bayeslmm.design.basis import Basis
from bayeslmm.design.failures import place_of
from bayeslmm.errors import DataError
from bayeslmm.formula.allowed import quote
from bayeslmm.formula.spec import RandomTerm

# lm and lme4 call a fixed column aliased when less than this share of it is its own.
_FIXED = 1e-7
# Random columns are refused, not dropped, so what is left of them must be rounding.
_RANDOM = 1e-10
# Of X'X, in which rounding is n machine precisions at the most.
_CLEAR = 1e-6
# Rows that stay in the processor's cache.
_ROWS_AT_ONCE = 8192


def independent_columns(X: FloatArray) -> IntArray:
    """Positions of the columns no earlier column determines, as R's pivoted QR finds them.

    A column is dropped when the part of it orthogonal to the columns kept before
    it is shorter than 1e-7 of the column itself.
    """
    if _clearly_independent(X):
        return np.arange(X.shape[1])
    return _independent(_triangle(X), _FIXED)


def check_random_columns(
    random: Sequence[RandomTerm], bases: Sequence[Basis], used: BoolArray | slice
) -> None:
    """Refuse random columns whose variances no data can tell apart.

    They are columns of zeros, columns that others of one correlated term determine,
    and multiples of another column on the same factor. A column that is constant
    within levels is none of these.

    Parameters
    ----------
    random : sequence of RandomTerm
    bases : sequence of Basis
        Columns of each term.
    used : ndarray of bool, shape (n,), or slice
        Rows of positive weight.

    Raises
    ------
    DataError
    """
    by_factor: dict[str, list[int]] = {}
    for i, term in enumerate(random):
        by_factor.setdefault(term.factor, []).append(i)
    for at in by_factor.values():
        owners = [(i, k) for i in at for k in range(len(bases[i].names))]
        if [bases[i].names[k] for i, k in owners] in ([], ["Intercept"]):
            continue
        R = _triangle(np.hstack([bases[i].values[used] for i in at]))
        start = 0
        for i in at:
            stop = start + len(bases[i].names)
            _check_term(random[i], bases[i], R[:, start:stop])
            start = stop
        for later, (i, _) in enumerate(owners):
            for earlier, (before, _) in enumerate(owners[:later]):
                # one correlated term: `_check_term` has compared each with all before it
                if i == before and random[i].correlated:
                    continue
                if len(_independent(R[:, [earlier, later]], _RANDOM)) < 2:
                    raise _multiple(random, bases, owners[earlier], owners[later])


def _check_term(term: RandomTerm, basis: Basis, R: FloatArray) -> None:
    """One term: no column of zeros, and none that the others determine."""
    for k in np.flatnonzero(np.abs(R).max(axis=0, initial=0.0) == 0.0):
        name = basis.names[k]
        raise DataError(
            f"`{name}` in {term.text} is zero in every row, so its random effects do nothing.",
            place=place_of(name, basis.expression),
            fix=_without(term, basis, name),
        )
    kept = _independent(R, _RANDOM) if term.correlated else range(len(basis.names))
    for k in sorted({*range(len(basis.names))} - {*kept}):
        name, x = basis.names[k], basis.values[:, k]
        others = ", ".join(f"`{basis.names[j]}`" for j in kept if j < k)
        constant = "Intercept" in basis.names and bool((x == x[0]).all())
        raise DataError(
            f"`{name}` in {term.text} is determined by other columns of the term: their "
            "variances and correlations cannot be told apart.",
            place=place_of(name, basis.expression),
            found=f"`{name}` is {x[0]:g} in every row, a multiple of the intercept"
            if constant
            else f"`{name}` is a combination of {others} in every row",
            fix=_without(term, basis, name),
        )


def _multiple(
    random: Sequence[RandomTerm],
    bases: Sequence[Basis],
    first: tuple[int, int],
    second: tuple[int, int],
) -> DataError:
    (i, j), (k, m) = first, second
    known, name = bases[i].names[j], bases[k].names[m]
    where = "" if i == k else f" in {random[i].text}"
    return DataError(
        f"`{name}` in {random[k].text} is a multiple of `{known}`{where}: their variances "
        "cannot be told apart.",
        place=place_of(name, bases[k].expression),
        fix=_without(random[k], bases[k], name),
    )


def _without(term: RandomTerm, basis: Basis, column: str) -> str:
    """The advice to leave a column out, with the term that is left."""
    at = basis.names.index(column)
    owner = next(text for text, positions in basis.terms.items() if at in positions)
    rest = [text for text in basis.terms if text != owner]
    if len(basis.terms[owner]) > 1:
        return f"leave out `{owner}`, or the columns that determine it"
    if not rest:
        return f"leave {term.text} out"
    parts = ["1" if "Intercept" in rest else "0"]
    parts += [t if "(" in t or ":" in t else quote(t) for t in rest if t != "Intercept"]
    bar = "|" if term.correlated or len(rest) == 1 else "||"
    group = ":".join(quote(c.name) for c in term.columns)
    return f"leave it out: ({' + '.join(parts)} {bar} {group})"


def _clearly_independent(X: FloatArray) -> bool:
    """Whether one pass over the rows shows that no column is near a combination of others.

    With columns of length one, the square of what the others leave of any column is at
    least the smallest eigenvalue of X'X, here a thousand times its rounding.
    """
    with np.errstate(all="ignore"):
        G = X.T @ X
        lengths = np.sqrt(G.diagonal())
        G /= np.outer(lengths, lengths)
    return len(G) > 0 and bool(np.isfinite(G).all()) and bool(np.linalg.eigvalsh(G)[0] > _CLEAR)


def _triangle(X: FloatArray) -> FloatArray:
    """R of X = Q R: columns of the same lengths and angles, in few rows."""
    R = X[:0]
    for start in range(0, len(X), _ROWS_AT_ONCE):
        R = np.linalg.qr(np.vstack([R, X[start : start + _ROWS_AT_ONCE]]), mode="r")
    return R


def _independent(R: FloatArray, tolerance: float) -> IntArray:
    """Positions of the columns with a share above ``tolerance`` that no earlier one has."""
    if R.shape[1] == 0:
        return np.empty(0, dtype=np.int64)
    norms = np.linalg.norm(R, axis=0)
    R = R / np.where(norms > 0, norms, 1.0)
    basis = np.empty(R.shape)
    kept: list[int] = []
    for j in range(R.shape[1]):
        before = basis[:, : len(kept)]
        rest = R[:, j] - before @ (before.T @ R[:, j])
        rest -= before @ (before.T @ rest)
        length = math.sqrt(rest @ rest)
        if length > tolerance:
            basis[:, len(kept)] = rest / length
            kept.append(j)
    return np.array(kept, dtype=np.int64)
