"""Sets of contrasts among means, by name or as the user writes them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.errors import ArgumentError, suggest

type ContrastMethod = str | Mapping[str, Any] | Sequence[Sequence[float]] | FloatArray
"""A name, a dict of contrasts, or a matrix with a row a contrast."""

NAMED = ("pairwise", "treatment", "sum")


def contrast_set(
    method: ContrastMethod, labels: Sequence[str], reference: str | None = None
) -> tuple[list[str], FloatArray]:
    """Names and coefficients of a set of contrasts among m means.

    Parameters
    ----------
    method : str, mapping or matrix
        ``"pairwise"``, all differences, an earlier mean less a later one; ``"treatment"``,
        each mean less that of ``reference``; ``"sum"``, each mean less the average of all;
        or contrasts of one's own, see `MarginalMeans.contrast`.
    labels : sequence of str, length m
    reference : str, optional
        The first label by default; of treatment contrasts only.

    Returns
    -------
    list of str, length k
    ndarray, shape (k, m)

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> contrast_set("pairwise", ["A", "B"])
    (['A - B'], array([[ 1., -1.]]))
    """
    m, eye = len(labels), np.eye(len(labels))
    if reference is not None and (not isinstance(method, str) or method != "treatment"):
        raise ArgumentError("reference= belongs to treatment contrasts.", fix='"treatment"')
    if not isinstance(method, str):
        return _own(method, labels)
    if method == "pairwise":
        pairs = list(itertools.combinations(range(m), 2))
        names = [f"{labels[i]} - {labels[j]}" for i, j in pairs]
        return names, np.array([eye[i] - eye[j] for i, j in pairs]).reshape(-1, m)
    if method == "treatment":
        r = _position(labels[0] if reference is None else str(reference), labels)
        others = [i for i in range(m) if i != r]
        names = [f"{labels[i]} - {labels[r]}" for i in others]
        return names, np.array([eye[i] - eye[r] for i in others]).reshape(-1, m)
    if method == "sum":
        return [f"{label} - mean" for label in labels], eye - 1.0 / m
    raise ArgumentError(
        f"contrasts {method!r} are not known.",
        fix=f"one of {', '.join(map(repr, NAMED))}, a dict, or a matrix",
    )


def _own(method: Any, labels: Sequence[str]) -> tuple[list[str], FloatArray]:
    if isinstance(method, Mapping):
        if not method:
            raise ArgumentError("the dict has no contrast.", fix='{"name": [1, -1, ...]}')
        rows = [_coefficients(name, row, labels) for name, row in method.items()]
        return [str(name) for name in method], np.array(rows)
    matrix = np.atleast_2d(_numbers(method))
    if matrix.ndim != 2 or matrix.shape[1] != len(labels) or not np.isfinite(matrix).all():
        raise ArgumentError(
            "a matrix of contrasts has a row of numbers a contrast and a column a mean.",
            found=f"{method!r} for {', '.join(labels)}",
            fix='for instance [[1, -1, 0]]; by name: {"A - B": {"A": 1, "B": -1}}',
        )
    names = [
        " ".join(f"{c:+g}*{label}" for c, label in zip(row, labels, strict=True) if c)
        for row in matrix
    ]
    return names, matrix


def _coefficients(name: Any, row: Any, labels: Sequence[str]) -> FloatArray:
    if isinstance(row, Mapping):
        out = np.zeros(len(labels))
        for label, value in row.items():
            number = _numbers(value)
            out[_position(str(label), labels)] = number if number.ndim == 0 else np.nan
    else:
        out = _numbers(row)
    if out.shape != (len(labels),) or not np.isfinite(out).all():
        raise ArgumentError(
            f"contrast {name!r} needs a number for each mean.",
            found=f"{row!r} for {', '.join(labels)}",
            fix=f"{len(labels)} numbers, or a dict of those that are not zero",
        )
    return out


def _numbers(given: Any) -> FloatArray:
    """The numbers, or a NaN for what is none."""
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        return np.array(np.nan)


def _position(label: str, labels: Sequence[str]) -> int:
    if label in labels:
        return list(labels).index(label)
    close = suggest(label, labels)
    raise ArgumentError(
        f"there is no mean {label!r}.",
        found=", ".join(labels),
        fix=f"did you mean {close!r}?" if close else None,
    )
