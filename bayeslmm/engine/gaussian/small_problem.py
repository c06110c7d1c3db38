"""A model with a small remainder, packed for compiled functions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.gaussian.criterion import FixedPrior
from bayeslmm.engine.gaussian.crossproducts import SMALL, CrossProducts
from bayeslmm.engine.gaussian.parameters import Layout


class SmallProblem(NamedTuple):
    """Arguments of the compiled functions; factors in the order of the cross-products.

    ``A`` to ``S``: see `CrossProducts`. ``bounds``, ``widths``: first column and columns
    a level of the remainder's factors, then of the fixed columns. ``factor``, ``row``,
    ``col``: where each free entry stands; ``sequence``: entries of the eliminated factor
    first, ``n_first`` of them. ``precision`` and ``pull``: those of a normal prior of the
    fixed effects, P, and (P m, m'P m); zero where it is flat.
    """

    A: FloatArray
    start: IntArray
    column: IntArray
    value: FloatArray
    dense: FloatArray
    S: FloatArray
    bounds: IntArray
    widths: IntArray
    factor: IntArray
    row: IntArray
    col: IntArray
    sequence: IntArray
    n_first: int
    p: int
    df: float
    reml: bool
    precision: FloatArray
    pull: FloatArray


def is_small(cp: CrossProducts) -> bool:
    """Whether the compiled path takes these cross-products."""
    return len(cp.chain) == 1 and cp.chain[0].full is None and len(cp.S) <= SMALL


def small_problem(
    cp: CrossProducts, layout: Layout, *, reml: bool, prior: FixedPrior | None = None
) -> SmallProblem:
    """Pack cross-products for the compiled functions."""
    precision, pull = np.zeros((cp.p, cp.p)), np.zeros(cp.p + 1)
    if prior is not None:
        precision[:] = prior.precision
        pull[:-1] = prior.precision @ prior.mean
        pull[-1] = pull[:-1] @ prior.mean
    c = cp.chain[0]
    position = np.argsort(cp.order)
    entries = [np.empty((0, 3), dtype=np.int64)]
    for k, pattern in enumerate(layout.patterns):
        rows, columns = np.nonzero(pattern)
        entries.append(np.column_stack([np.full(len(rows), position[k]), rows, columns]))
    where = np.ascontiguousarray(np.vstack(entries).T.astype(np.int64))
    stops = [at.stop for _, at in cp.remainder]
    return SmallProblem(
        c.A, c.start, c.column, c.value, c.dense, cp.S,
        np.array([0, *stops, cp.q_rest + cp.p], dtype=np.int64),
        np.array([*cp.widths[1:], 1], dtype=np.int64),
        where[0], where[1], where[2],
        np.argsort(where[0] > 0, kind="stable").astype(np.int64),
        int((where[0] == 0).sum()),
        cp.p, float(cp.n - (cp.p if reml else 0)), reml,
        precision, pull,
    )  # fmt: skip
