"""What the terms of the fixed part are made of, before any coding of their factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design.basis import Basis
from bayeslmm.formula.allowed import display


@dataclass(frozen=True, eq=False, slots=True)
class TermPart:
    """A factor or a numeric expression of a term, rows of the training table.

    Attributes
    ----------
    name : str
    categorical : bool
    columns : ndarray, shape (n, k)
        An indicator of each level, the reference first; or the numbers.
    """

    name: str
    categorical: bool
    columns: FloatArray


def term_parts(basis: Basis) -> dict[str, tuple[TermPart, ...]]:
    """Parts of each term; the intercept has none.

    Whatever contrasts code a factor, its rows are those of their matrix, a level each.
    """
    if basis._matrix is None:
        return {}
    made: dict[str, TermPart] = {}
    return {
        display(name): tuple(_part(c, made) for c in getattr(term, "components", ()))
        for name, term in basis._matrix.terms.items()
    }


def _part(component: Any, made: dict[str, TermPart]) -> TermPart:
    name = display(component.name)
    if name in made:
        return made[name]
    values = np.asarray(component.value, dtype=np.float64)
    values = values.reshape(len(values), -1)
    categorical = component.kind == "categoric"
    if categorical:
        coded = np.asarray(component.contrast_matrix.matrix, dtype=np.float64)
        coded = coded.reshape(len(component.levels), -1)
        values = np.stack([(values == row).all(axis=1) for row in coded], axis=1).astype(float)
    made[name] = TermPart(name, categorical, values)
    return made[name]
