"""The summary of posterior draws, in the layout of a point fit's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.comparison.kinds import PosteriorLike
from bayeslmm.comparison.parameters import Parameter, parameters
from bayeslmm.comparison.tables import Table, decimals, number, percent, tail_labels
from bayeslmm.errors import check_level
from bayeslmm.reporting.sections import Section, Summary, aliased_lines, size_lines
from bayeslmm.results.posterior import parameter_draws


def summarise_posterior(fit: PosteriorLike, level: float = 0.95) -> Summary:
    """Summarise draws: mean, SD, median, interval, R-hat and effective sample sizes.

    Parameters
    ----------
    fit : PosteriorFit
    level : float
        Level of the equal-tailed intervals.

    Returns
    -------
    Summary

    Raises
    ------
    ArgumentError
        A level outside 0 to 1.
    """
    check_level(level)
    draws = parameter_draws(fit.design, fit.datatree)
    rows = [p for p in parameters(fit.design) if p.name in draws]
    fixed = [p for p in rows if p.kind == "fixed"]
    others = [p for p in rows if p.kind != "fixed"]
    sections = [
        Section(lines=(f"Formula: {fit.formula}",)),
        _sampling(fit),
        Section(
            _heading(fit),
            _table(fit, others, draws, level, ("Groups", "Name")) if others else None,
            size_lines(fit.design),
        ),
        Section(
            "Fixed effects:" if fixed else _without_fixed(fit),
            _table(fit, fixed, draws, level, ("",)) if fixed else None,
            (
                f"{' to '.join(tail_labels(level))}: {percent(level)} equal-tailed credible "
                "interval",
                *aliased_lines(fit.design),
            ),
        ),
    ]
    if not fit.converged:
        sections.append(Section("Convergence: in doubt", lines=doubts(fit)))
    return Summary(_title(fit), tuple(sections))


def _heading(fit: PosteriorLike) -> str:
    if fit.design.factors:
        return "Random effects:"
    if not fit.design.family.auxiliary:
        return ""
    return "Residual:" if fit.design.family.has_scale else "Other parameters:"


def _without_fixed(fit: PosteriorLike) -> str:
    return "Fixed effects: draws not kept" if fit.design.p else "Fixed effects: none"


def _title(fit: PosteriorLike) -> str:
    family = fit.design.family
    mixed = " mixed" if fit.design.factors else ""
    if family.name == "gaussian" and family.link.name == "identity":
        return f"Linear{mixed} model, posterior by sampling"
    kind = f"({family.name}, {family.link.name})"
    return f"Generalised linear{mixed} model {kind}, posterior by sampling"


def _sampling(fit: PosteriorLike) -> Section:
    own = sum(1 for s in fit.priors.sources.values() if s == "user")
    priors = f"{own} of {len(fit.priors.sources)} set by the user" if own else "defaults"
    return Section(lines=(f"Sampler: {sampling_words(fit)}", f"Priors: {priors}"))


def sampling_words(fit: PosteriorLike) -> str:
    """What drew the posterior, how, how much of it, and how many transitions diverged."""
    attrs, d = fit.datatree.attrs, fit.diagnostics
    how = [str(attrs[k]) for k in ("sampler", "parameterization") if k in attrs] or ["NUTS"]
    seed = f"; seed {attrs['random_seed']}" if "random_seed" in attrs else ""
    return (
        f"{', '.join(how)}; {d.chains} chains x {d.draws} draws, {d.divergences} divergences{seed}"
    )


def doubts(fit: PosteriorLike) -> tuple[str, ...]:
    """What the checks of the chains found, line by line."""
    return tuple(line.strip() for line in fit.diagnostics.words().splitlines())


def _table(
    fit: PosteriorLike,
    rows: Sequence[Parameter],
    draws: dict[str, FloatArray],
    level: float,
    heads: tuple[str, ...],
) -> Table:
    shape = fit.diagnostics.chains, fit.diagnostics.draws
    low = (1.0 - level) / 2.0
    out, before = [], ""
    for p in rows:
        x = draws[p.name]
        sd = float(x.std(ddof=1))
        values = [x.mean(), sd, *np.quantile(x, [0.5, low, 1.0 - low])]
        places = decimals([sd], 3)
        label = _label(p, before)[-len(heads) :]
        out.append((*label, *(number(v, places) for v in values), *_quality(x.reshape(shape))))
        before = p.factor
    columns = ("Mean", "SD", "Median", *tail_labels(level), "R-hat", "ESS bulk", "ESS tail")
    return Table((*heads, *columns), tuple(out), text_columns=len(heads))


def _label(p: Parameter, before: str) -> tuple[str, str]:
    if p.kind == "fixed":
        return "", p.name.removeprefix("beta[").removesuffix("]")
    if p.kind == "residual":
        return "Residual", "SD"
    if p.kind in ("family", "structure"):
        return p.kind.replace("structure", "Residual").capitalize(), p.name
    word = "SD" if p.kind == "sd" else "Corr"
    inside = p.name.removeprefix(f"{p.kind}_{p.factor}[").removesuffix("]")
    return "" if p.factor == before else p.factor, f"{word}({inside})"


def _quality(x: Any) -> tuple[str, str, str]:
    """R-hat and effective sample sizes of the bulk and the tails; ``x`` is (chain, draw)."""
    from arviz_stats.base.array import array_stats

    stats: Any = array_stats
    axes = {"chain_axis": 0, "draw_axis": 1}
    bulk = stats.ess(x, method="bulk", **axes)
    tail = stats.ess(x, method="tail", prob=(0.05, 0.95), **axes)
    rhat = stats.rhat(x, **axes)
    return number(float(rhat), 3), number(float(bulk), 0), number(float(tail), 0)
