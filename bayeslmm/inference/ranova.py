"""Tests of the random terms, each dropped or reduced in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from bayeslmm.design import Design
from bayeslmm.design.rows import Factor, TermColumns
from bayeslmm.errors import ArgumentError
from bayeslmm.fitting import fit_point
from bayeslmm.inference.contrasts import EstimatedFit
from bayeslmm.inference.likelihood_ratio import Fitted, LikelihoodRatio, likelihood_ratio
from bayeslmm.inference.printed import PrintedTable

COLUMNS = ["term", "npar", "llf", "aic", "lrt", "df", "p_chi2", "p_mixture"]


def ranova_table(
    fit: EstimatedFit, simulate: int = 0, random_seed: int | None = None
) -> PrintedTable:
    """Drop each random term in turn, or the last of its effects, and test what it explains.

    Parameters
    ----------
    fit : PointFit
        By REML or ML; the smaller models are fitted by the same method.
    simulate : int
        As in `likelihood_ratio`.
    random_seed : int, optional

    Returns
    -------
    PrintedTable
        ``table`` with the columns ``term``, ``npar``, ``llf``, ``aic``, ``lrt``, ``df``,
        ``p_chi2``, ``p_mixture`` (and ``p_simulated``); the first row is the model itself.

    Raises
    ------
    ArgumentError
        No random terms, or a MAP fit.
    """
    if not fit.design.factors:
        raise ArgumentError(
            "the model has no random term to drop.", fix="anova() tests the terms of the fixed part"
        )
    if fit.estimate.method == "MAP":
        raise ArgumentError(
            "likelihood-ratio tests need maximised likelihoods, and this fit is a posterior mode.",
            fix='model.fit("REML").ranova()',
        )
    rng = np.random.default_rng(random_seed)
    whole = Fitted(fit.design, fit.estimate)
    rows = [_row("<none>", whole, None)]
    tests = []
    for name, design in reduced_designs(fit.design):
        small = Fitted(design, fit_point(design, fit.estimate.method, None))
        tests.append(likelihood_ratio(small, whole, simulate=simulate, rng=rng))
        rows.append(_row(name, small, tests[-1]))
    table = pd.DataFrame(rows, columns=[*COLUMNS, "p_simulated"])
    if not simulate:
        table = table.drop(columns="p_simulated")
    caption = (
        f"{fit.estimate.method} likelihoods, each term dropped or reduced in turn. p_chi2: "
        "chi-square, too large since a variance cannot fall below zero. p_mixture: half chi-square "
        "with df - 1, half with df degrees of freedom; empty where more than one variance goes."
    )
    return PrintedTable(table, caption + simulation_words(tests, simulate))


def simulation_words(tests: list[LikelihoodRatio], simulate: int) -> str:
    """What the column ``p_simulated`` is, for captions."""
    if not simulate:
        return ""
    ways = {t.simulated for t in tests}
    parts = []
    if "exact" in ways:
        parts.append("from the exact distribution under the smaller model")
    if "bootstrap" in ways:
        parts.append("by refitting responses simulated from the smaller model")
    return f" p_simulated: {simulate:,} statistics drawn {', or '.join(parts)}."


def reduced_designs(design: Design) -> Iterator[tuple[str, Design]]:
    """Designs with one random term less, or with an effect less in it.

    A correlated term loses, one at a time, the effects that no other effect of it contains,
    ``(1 + x | g)`` becoming ``(1 | g)``. An effect of a single column, an indicator of each
    level of a factor, becomes an intercept, ``(0 + a | g)`` becoming ``(1 | g)``.
    """
    for k, f in enumerate(design.factors):
        for t in f.terms:
            for name, smaller in _reduced(design, f, t):
                others = list(design.factors)
                others[k : k + 1] = [smaller] if smaller is not None else []
                yield name, replace(design, factors=tuple(others))


def _reduced(design: Design, f: Factor, t: TermColumns) -> Iterator[tuple[str, Factor | None]]:
    effects = _effects(design, f, t)
    whole = list(range(t.start, t.stop))
    # without correlations every effect is a term of its own
    last = [e for e in effects if not t.correlated or not any(e < o for o in effects)]
    for e in last:
        columns = effects[e]
        name = f"{':'.join(sorted(e)) or '1'} in {t.text}" if len(effects) > 1 else t.text
        constant = f.columns[:, columns].sum(axis=1)
        if columns == whole and len(columns) > 1 and t.correlated and np.ptp(constant) == 0.0:
            yield f"{name} to (1 | {f.name})", _intercept_instead(f, t)
        else:
            yield name, _without(f, columns)


def _effects(design: Design, f: Factor, t: TermColumns) -> dict[frozenset[str], list[int]]:
    """Columns of each effect of a term, by the parts it is a product of."""
    encoding = design.encoding
    at = [i for i, r in enumerate(encoding.random) if r.factor == f.name]
    place = at[list(f.terms).index(t)]
    basis = encoding.bases[place]
    return {
        frozenset() if name == "Intercept" else frozenset(name.split(":")): [
            t.start + i for i in positions
        ]
        for name, positions in basis.terms.items()
    }


def _without(f: Factor, columns: list[int]) -> Factor | None:
    kept = [k for k in range(f.n_columns) if k not in columns]
    if not kept:
        return None
    terms, at = [], 0
    for t in f.terms:
        size = sum(t.start <= k < t.stop for k in kept)
        if size:
            terms.append(replace(t, start=at, stop=at + size))
            at += size
    return replace(
        f,
        columns=np.ascontiguousarray(f.columns[:, kept]),
        column_names=tuple(f.column_names[k] for k in kept),
        terms=tuple(terms),
    )


def _intercept_instead(f: Factor, t: TermColumns) -> Factor:
    before, after = f.columns[:, : t.start], f.columns[:, t.stop :]
    columns = np.hstack([before, np.ones((len(before), 1)), after])
    names = (*f.column_names[: t.start], "Intercept", *f.column_names[t.stop :])
    lost = t.stop - t.start - 1
    terms = tuple(
        replace(
            o,
            start=o.start - (lost if o.start > t.start else 0),
            stop=o.stop - (lost if o.stop >= t.stop else 0),
        )
        for o in f.terms
    )
    return replace(f, columns=columns, column_names=names, terms=terms)


def _row(
    name: str, fitted: Fitted, test: LikelihoodRatio | None
) -> tuple[str, int, float, float, float, float, float, float, float]:
    e = fitted.estimate
    aic = -2.0 * e.loglik + 2.0 * e.n_params
    if test is None:
        return (name, e.n_params, e.loglik, aic, np.nan, np.nan, np.nan, np.nan, np.nan)
    return (
        name,
        e.n_params,
        e.loglik,
        aic,
        test.statistic,
        test.df,
        test.p_chi2,
        test.p_mixture,
        test.p_simulated,
    )
