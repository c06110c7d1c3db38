"""The hypotheses of type I, II and III tests, as contrasts of the fixed columns.

Symbols: X the fixed columns as they are coded; D the columns of every term with all levels
of its factors; X_t those of D that treatment contrasts keep. A term contains another if it
has all its factors and more, and the same numeric parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.design import Design
from bayeslmm.design.rank import independent_columns
from bayeslmm.design.term_parts import TermPart, term_parts
from bayeslmm.errors import ArgumentError

TYPES = ("III", "II", "I")
# Entries of a contrast below this are rounding.
_ZERO = 1e-8


def term_contrasts(design: Design, kind: str) -> dict[str, FloatArray]:
    """Contrasts that each term of the fixed part is tested by, the intercept left out.

    Parameters
    ----------
    design : Design
    kind : {"III", "II", "I"}

    Returns
    -------
    dict of str to ndarray, shape (rows, p)
        No row for a term all of whose columns others determine.

    Notes
    -----
    A formula of one term has one hypothesis. Otherwise:

    - I: each term after those before it, by the triangular factor of X'X.
    - II: each term after all that do not contain it, likewise. For a term that no other
      contains these are its own columns.
    - III: the estimable functions that do not depend on how many rows a cell has: columns of
      ``X_t^+ D`` of a term, less their part in the columns of those that contain it.

    References
    ----------
    SAS Institute (1978), The four types of estimable functions, SAS Technical Report R-101;
    Kuznetsova, A., Brockhoff, P. B. and Christensen, R. H. B. (2017), Journal of Statistical
    Software 82(13).
    """
    parts = {t: p for t, p in term_parts(design.encoding.fixed).items() if p}
    own = {t: np.array(design.fixed_terms.get(t, ()), dtype=np.int64) for t in parts}
    if len(own) <= 1 or kind == "I":
        R = _unit_triangle(design.X[design.used])
        return {t: R[at] for t, at in own.items()}
    inside = {t: [o for o in parts if _contains(parts[o], parts[t])] for t in parts}
    if kind == "II":
        return {t: _after_others(design, own, t, inside[t]) for t in own}
    return _type_three(design, parts, inside)


def _contains(larger: tuple[TermPart, ...], smaller: tuple[TermPart, ...]) -> bool:
    names, fewer = ({p.name for p in term} for term in (larger, smaller))
    numeric, fewer_numeric = (
        {p.name for p in term if not p.categorical} for term in (larger, smaller)
    )
    return fewer < names and numeric == fewer_numeric


def _unit_triangle(X: FloatArray) -> FloatArray:
    """Upper R of X'X = R'DR with a diagonal of ones: row j is column j after those before."""
    R = np.linalg.qr(X, mode="r")
    return np.asarray(R / np.diag(R)[:, None])


def _after_others(
    design: Design, own: Mapping[str, IntArray], term: str, inside: list[str]
) -> FloatArray:
    rows = np.zeros((len(own[term]), design.p))
    if not inside:
        rows[np.arange(len(rows)), own[term]] = 1.0
        return rows
    last = np.concatenate([own[term], *(own[t] for t in inside)])
    order = np.concatenate([np.setdiff1d(np.arange(design.p), last), last])
    R = _unit_triangle(design.X[design.used][:, order])
    first = design.p - len(last)
    rows[:, order] = R[first : first + len(rows)]
    return rows


@dataclass(frozen=True, eq=False, slots=True)
class _AllLevels:
    """D, the place of each term's columns in it, and how many reference levels each has."""

    D: FloatArray
    places: dict[str, IntArray]
    references: IntArray


def _all_levels(design: Design, parts: Mapping[str, tuple[TermPart, ...]]) -> _AllLevels:
    n, used = design.n, design.used
    blocks, references, places = [], [], {}
    at = 0
    if "Intercept" in design.encoding.fixed.names:
        blocks, references, at = [np.ones((n, 1))], [np.zeros(1)], 1
    for term, made_of in parts.items():
        columns, of_reference = np.ones((n, 1)), np.zeros(1)
        for part in made_of:
            is_first = np.zeros(part.columns.shape[1])
            is_first[0] = part.categorical
            columns = (columns[:, :, None] * part.columns[:, None, :]).reshape(n, -1)
            of_reference = np.add.outer(of_reference, is_first).ravel()
        blocks.append(columns)
        references.append(of_reference)
        places[term] = np.arange(at, at + len(of_reference))
        at += len(of_reference)
    return _AllLevels(np.hstack(blocks)[used], places, np.concatenate(references).astype(np.int64))


def _type_three(
    design: Design,
    parts: Mapping[str, tuple[TermPart, ...]],
    inside: Mapping[str, list[str]],
) -> dict[str, FloatArray]:
    all_levels = _all_levels(design, parts)
    D = all_levels.D
    term_of = np.zeros(D.shape[1])
    for k, at in enumerate(all_levels.places.values(), 1):
        term_of[at] = k
    # term after term; within one, columns of reference levels come last, so that they are
    # those that the others determine
    order = np.lexsort((all_levels.references, term_of))
    kept = np.sort(order[independent_columns(D[:, order])])
    position = {int(column): k for k, column in enumerate(kept)}
    X_t = D[:, kept]
    L = np.linalg.lstsq(X_t, D, rcond=None)[0].T
    L[np.abs(L) < _ZERO] = 0.0
    own = {
        t: np.array([position[c] for c in at.tolist() if c in position], dtype=np.int64)
        for t, at in all_levels.places.items()
    }
    for term in sorted(own, key=lambda t: -len(parts[t])):
        if inside[term]:
            others = L[:, np.concatenate([own[t] for t in inside[term]])]
            mine = L[:, own[term]]
            L[:, own[term]] = mine - others @ np.linalg.lstsq(others, mine, rcond=None)[0]
    to_coded = _recoding(design, X_t)
    tests = {}
    for term, at in own.items():
        rows = L[kept][:, at].T
        tests[term] = rows[np.abs(rows).sum(axis=1) > _ZERO] @ to_coded
    return tests


def _recoding(design: Design, X_t: FloatArray) -> FloatArray:
    """C with X = X_t C: coefficients of X_t are C times those of the columns as coded."""
    X = design.X[design.used]
    C, *_ = np.linalg.lstsq(X_t, X, rcond=None)
    size = np.sqrt((X * X).sum(axis=0))
    if X.shape[1] != X_t.shape[1] or (np.abs(X - X_t @ C).max(axis=0) > 1e-7 * size).any():
        raise ArgumentError(
            "type III tests need fixed columns that span all levels of their factors.",
            found=", ".join(design.fixed_names),
            fix='type="II" or "I"; or write the lower-order terms of the interactions, too',
        )
    return np.asarray(C)
