"""Responses and designs that a bootstrap draws from a fit and its data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.design import Design, Factor
from bayeslmm.design.residual import ResidualRows, with_residual_values
from bayeslmm.design.rows import Rows
from bayeslmm.engine.estimate import Estimate
from bayeslmm.engine.gaussian.whitening import blocks_within, whitening
from bayeslmm.errors import ArgumentError, suggest
from bayeslmm.prediction.linear import linear_predictor
from bayeslmm.prediction.rows import training_rows
from bayeslmm.prediction.simulate import simulate_estimate


def simulated_responses(
    design: Design, estimate: Estimate, n: int, rng: np.random.Generator
) -> FloatArray:
    """Responses of the fitted model: new random effects, and residuals by its structure.

    Returns
    -------
    ndarray, shape (n rows, n)
        With a residual structure, rows of weight zero have no residual.
    """
    noise = None
    if design.residual is not None:
        used = design.weights > 0
        white = whitening(with_residual_values(design, estimate.residual_values))
        noise = np.zeros((design.n, n))
        noise[used] = estimate.sigma * white.residuals(rng.standard_normal((n, used.sum()))).T
    return simulate_estimate(training_rows(design), estimate, n, rng, use_re=False, noise=noise)


def residual_responses(
    design: Design, estimate: Estimate, n: int, rng: np.random.Generator
) -> FloatArray:
    """Responses made of resampled BLUPs and residuals, both reflated.

    BLUPs of each factor and residuals are centred, and stretched so that their empirical
    covariance is the estimated one (shrunk as they are, their own is too small); then
    levels and rows are drawn with replacement. (Carpenter, Goldstein and Rasbash 2003.)
    Residuals with a structure are whitened before, and the drawn ones correlated again.

    Returns
    -------
    ndarray, shape (n rows, n)
    """
    fitted = linear_predictor(design, estimate.beta, estimate.b)
    out = np.repeat(linear_predictor(design, estimate.beta, None)[:, None], n, axis=1)
    for f, b, cov in zip(design.factors, estimate.b, estimate.covariances, strict=True):
        effects = reflated(b, cov)
        drawn = effects[rng.integers(0, f.n_levels, (n, f.n_levels))]
        out += np.einsum("nk,bnk->nb", f.columns, drawn[:, f.codes])
    used = np.flatnonzero(design.weights > 0)
    root, e = np.sqrt(design.weights[used]), (design.y - fitted)[used, None]
    picked = rng.integers(0, len(used), (len(used), n))
    variance = np.array([[estimate.sigma**2]])
    if design.residual is not None:
        white = whitening(with_residual_values(design, estimate.residual_values))
        independent = reflated(white.columns(e), variance)
        out[used] += white.residuals(independent[picked.T, 0]).T
        return out
    out[used] += reflated(e * root[:, None], variance)[picked, 0] / root[:, None]
    return out


def reflated(effects: FloatArray, covariance: FloatArray) -> FloatArray:
    """Effects (J, K), centred and transformed to the covariance matrix given.

    Directions in which the effects do not vary stay at zero.
    """
    centred = effects - effects.mean(axis=0)
    own = centred.T @ centred / len(centred)
    values, vectors = np.linalg.eigh(own)
    seen = values > 1e-12 * max(float(values.max(initial=0.0)), 1e-300)
    inverse_root = (vectors[:, seen] / np.sqrt(values[seen])) @ vectors[:, seen].T
    wanted, axes = np.linalg.eigh(covariance)
    root = (axes * np.sqrt(np.maximum(wanted, 0.0))) @ axes.T
    return np.asarray(centred @ inverse_root @ root)


def top_factor(design: Design, factor: str | None, fix: str) -> tuple[Factor, bool]:
    """The factor whose levels are resampled, and whether it was a choice among crossed ones.

    By default one that is not nested in another; of several, which are crossed, that with
    the most levels.

    Raises
    ------
    ArgumentError
        No such factor, or none at all.
    """
    if not design.factors:
        raise ArgumentError(
            "there are no levels to resample: the model has no grouping factor.", fix=fix
        )
    if factor is not None:
        known = {f.name: f for f in design.factors}
        if factor not in known:
            close = suggest(factor, known)
            raise ArgumentError(
                f"{factor!r} is not a grouping factor of the model.",
                found=", ".join(known),
                fix=f"did you mean {close!r}?" if close else None,
            )
        return known[factor], False
    tops = [
        f
        for f in design.factors
        if not any(g is not f and g.n_levels < f.n_levels and nested(f, g) for g in design.factors)
    ]
    return max(tops, key=lambda f: f.n_levels), len(tops) > 1


def nested(inner: Factor, outer: Factor) -> bool:
    """Whether every level of one factor lies in one level of the other."""
    of = np.empty(inner.n_levels, dtype=np.int64)
    of[inner.codes] = outer.codes
    return bool((of[inner.codes] == outer.codes).all())


def rows_by_level(factor: Factor) -> list[IntArray]:
    """Rows of each level."""
    order = np.argsort(factor.codes, kind="stable")
    ends = np.cumsum(np.bincount(factor.codes, minlength=factor.n_levels))
    return np.split(order, ends[:-1])


def resampled_levels(
    design: Design, factor: Factor, rng: np.random.Generator
) -> tuple[Design, IntArray, IntArray]:
    """A design with the levels of a factor drawn with replacement; see `copied_levels`."""
    return copied_levels(design, factor, rng.integers(0, factor.n_levels, factor.n_levels))


def copied_levels(
    design: Design, factor: Factor, drawn: IntArray
) -> tuple[Design, IntArray, IntArray]:
    """A design whose levels of a factor are copies of some of its levels, each a new level.

    Levels of factors nested in it are copied with it; those of crossed factors stay what
    they are, and are shared by the copies. Blocks of correlated residuals are copied.

    Parameters
    ----------
    design : Design
    factor : Factor
    drawn : ndarray of int
        Which level each new one is a copy of.

    Returns
    -------
    Design
    rows : ndarray of int
        Rows of the old design that are the new one's.
    copy : ndarray of int
        Which draw each row belongs to.

    Raises
    ------
    ArgumentError
        A residual structure whose blocks are cut by levels, or whose SDs belong to them.
    """
    groups = rows_by_level(factor)
    rows = np.concatenate([groups[j] for j in drawn])
    copy = np.repeat(np.arange(len(drawn)), [len(groups[j]) for j in drawn])
    factors, coding = [], dict(design.encoding.coding)
    for f in design.factors:
        inside = f is factor or nested(f, factor)
        key = copy * f.n_levels + f.codes[rows] if inside else f.codes[rows]
        found, codes = np.unique(key, return_inverse=True)
        labels = f.levels[found % f.n_levels]
        if inside:
            copies = found // f.n_levels
            labels = pd.Index([f"{v}#{c}" for v, c in zip(labels, copies, strict=True)])
        known = coding[f.name]
        # new tables have none of the copies: -2 is no level's number
        at = np.full(len(found), -2) if inside else known.occurring[found]
        coding[f.name] = replace(known, occurring=at, levels=labels)
        factors.append(
            replace(f, codes=codes.astype(np.int64), columns=f.columns[rows], levels=labels)
        )
    changed = replace(
        design,
        y=design.y[rows],
        X=np.ascontiguousarray(design.X[rows]),
        offset=design.offset[rows],
        weights=design.weights[rows],
        factors=tuple(factors),
        rows=Rows(pd.RangeIndex(len(rows)), np.ones(len(rows), dtype=bool), "drop", {}),
        encoding=replace(design.encoding, coding=coding),
        residual=_copied_blocks(design.residual, factor, rows, copy),
    )
    return changed, rows, copy


def _copied_blocks(
    residual: ResidualRows | None, factor: Factor, rows: IntArray, copy: IntArray
) -> ResidualRows | None:
    """The rows' residual structure: correlated blocks are copied, levels with an SD are kept."""
    if residual is None:
        return None
    inside = blocks_within(residual.codes, factor.codes)
    if residual.structure.correlated != inside:
        raise ArgumentError(
            f"levels of `{factor.name}` cannot be drawn or copied: blocks of correlated residuals "
            "would be cut."
            if residual.structure.correlated
            else f"levels of `{factor.name}` cannot be drawn or copied: each has residual SDs of "
            "its own.",
            found=repr(residual.structure),
            fix="a factor whose levels hold whole blocks"
            if residual.structure.correlated
            else "a factor whose levels share the SDs",
        )
    codes = residual.codes[rows]
    if not residual.structure.correlated:
        return replace(residual, codes=codes, position=residual.position[rows])
    found, own = np.unique(copy * len(residual.levels) + codes, return_inverse=True)
    labels = tuple(
        f"{residual.levels[k % len(residual.levels)]}#{k // len(residual.levels)}" for k in found
    )
    return replace(
        residual, levels=labels, codes=own.astype(np.int64), position=residual.position[rows]
    )


def resampled_table(
    data: pd.DataFrame, design: Design, factor: Factor, rows: IntArray, copy: IntArray
) -> pd.DataFrame:
    """The rows of the model's table that `resampled_levels` drew, copies told apart."""
    table: Any = data.iloc[np.flatnonzero(design.rows.kept)[rows]].reset_index(drop=True)
    names = [factor.source[0]]
    if design.residual is not None and design.residual.structure.correlated:
        by = design.residual.structure.by
        names += [by] if by in table.columns else by.split(":")[:1]
    told_apart = {
        name: [f"{v}#{c}" for v, c in zip(table[name].astype(str), copy, strict=True)]
        for name in names
    }
    return table.assign(**told_apart)  # type: ignore[no-any-return]
