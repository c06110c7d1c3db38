"""The summary of point estimates."""

from __future__ import annotations

import numpy as np

from bayeslmm.comparison.kinds import PointLike
from bayeslmm.comparison.tables import (
    Table,
    column,
    decimals,
    number,
    p_value,
    percent,
    tail_labels,
)
from bayeslmm.design import Factor
from bayeslmm.design.residual import residual_spread
from bayeslmm.errors import check_level
from bayeslmm.inference.degrees_of_freedom import is_ordinary
from bayeslmm.outcomes import FitStatus
from bayeslmm.reporting.sections import Section, Summary, aliased_lines, size_lines

_TITLES = {
    "REML": "fit by REML",
    "ML": "fit by maximum likelihood",
    "MAP": "fit by MAP (joint posterior mode of SDs, correlations and sigma)",
}

_REFERENCES = {
    "satterthwaite": "t with Satterthwaite's degrees of freedom",
    "kenward-roger": "t with Kenward and Roger's degrees of freedom and standard errors",
    "normal": "the standard normal",
}


def summarise_point(fit: PointLike, level: float = 0.95) -> Summary:
    """Summarise point estimates as lme4 does, with standard errors of the SDs.

    Parameters
    ----------
    fit : PointFit
    level : float
        Level of the intervals of the fixed effects.

    Returns
    -------
    Summary

    Raises
    ------
    ArgumentError
        A level outside 0 to 1.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
    >>> print(str(summarise_point(fit)).splitlines()[0])
    Linear mixed model fit by REML
    """
    check_level(level)
    kind = "Linear mixed model" if fit.design.factors else "Linear model"
    sections = [
        Section(lines=(f"Formula: {fit.formula}",)),
        _criterion(fit),
        _residuals(fit),
        _random(fit),
        *_structure(fit),
        _fixed(fit, level),
    ]
    if (doubt := _convergence(fit)) is not None:
        sections.append(doubt)
    return Summary(f"{kind} {_TITLES[fit.estimate.method]}", tuple(sections))


def _criterion(fit: PointLike) -> Section:
    method, llf = fit.estimate.method, fit.llf
    if method == "MAP":
        words = f"log p(y | SDs, correlations, sigma) at the mode: {llf:.1f}"
        return Section(lines=(words, "AIC and BIC are not defined for a posterior mode"))
    name = "REML criterion" if method == "REML" else "deviance"
    values = (fit.aic, fit.bic, llf, -2.0 * llf)
    cells = (*(f"{v:.1f}" for v in values), str(fit.estimate.n_params))
    return Section(table=Table(("AIC", "BIC", "logLik", name, "npar"), (cells,), text_columns=0))


def _residuals(fit: PointLike) -> Section:
    design = fit.design
    used = design.weights > 0
    raw = fit.fittedvalues
    fitted = raw if len(raw) == design.n else raw[design.rows.kept]
    scaled = (np.sqrt(design.weights) * (design.y - fitted) / fit.estimate.sigma)[used]
    if design.residual is not None:
        scaled = scaled / residual_spread(design)[used]
    quantiles = np.quantile(scaled, [0.0, 0.25, 0.5, 0.75, 1.0])
    cells = tuple(f"{q:.4f}" for q in quantiles)
    table = Table(("Min", "1Q", "Median", "3Q", "Max"), (cells,), text_columns=0)
    return Section("Scaled residuals:", table)


def _random(fit: PointLike) -> Section:
    sds = fit.to_frame("variance")
    sds = sds[sds["sd"].notna()]
    cells = [
        [*np.where(sds["factor"].duplicated(), "", sds["factor"])],
        [str(t) for t in sds["term"]],
        column(sds["variance"]),
        column(sds["sd"]),
        column(sds["sd_se"], 3),
    ]
    corr = {f.name: _correlations(fit, f) for f in fit.design.factors}
    width = max((len(r) for rows in corr.values() for r in rows), default=0)
    lists = [[*r, *[""] * (width - len(r))] for rows in corr.values() for r in rows]
    lists.append([""] * width)  # sigma
    heads = ("Groups", "Name", "Variance", "Std.Dev.", "SE(SD)", *["Corr", *[""] * width][:width])
    rows = [(*row, *c) for row, c in zip(zip(*cells, strict=True), lists, strict=True)]
    lines = size_lines(fit.design)
    if sds["sd_se"].isna().any():
        lines += ("SE(SD) is empty on the boundary, where there is none",)
    heading = "Random effects:" if fit.design.factors else "Residual:"
    return Section(heading, Table(heads, tuple(rows), text_columns=2), lines)


def _structure(fit: PointLike) -> list[Section]:
    """Parameters of the residual structure, where there is one."""
    if fit.design.residual is None:
        return []
    errors = fit.residual_parameters_se
    names, values = fit.estimate.residual_names, fit.estimate.residual_values
    rows = tuple(
        (name, number(float(v), 4), number(float(se), 3))
        for name, v, se in zip(names, values, errors, strict=True)
    )
    structure = fit.design.residual.structure
    heading = f"Residual structure: {structure.words} by {structure.by}"
    return [Section(heading, Table(("", "Estimate", "Std. Error"), rows))]


def _correlations(fit: PointLike, f: Factor) -> list[list[str]]:
    """Below the diagonal, row by row; empty where two terms are independent."""
    if not f.has_correlations:
        return [[] for _ in f.column_names]
    names = list(f.column_names)
    values = dict(zip(fit.estimate.variance_names, fit.estimate.variance_values, strict=True))
    return [
        [number(values.get(f"corr_{f.name}[{names[j]}, {names[i]}]", np.nan), 2) for j in range(i)]
        for i in range(len(names))
    ]


def _fixed(fit: PointLike, level: float) -> Section:
    table = fit.to_frame("fixed", level)
    if table.empty:
        return Section("Fixed effects: none")
    normal = fit.df_method == "normal"
    tests = ("z value", "Pr(>|z|)") if normal else ("df", "t value", "Pr(>|t|)")
    heads = ("Estimate", "Std. Error", *tests, *tail_labels(level))
    # as in R, the smallest standard error decides the decimals of estimates
    places = decimals(table["se"])
    rows = tuple(
        (
            str(r["parameter"]),
            number(r["estimate"], places),
            number(r["se"], places),
            *(() if normal else (_df(r["df"]),)),
            f"{r['t']:.3f}",
            p_value(float(r["p"])),
            number(r["lower"], places),
            number(r["upper"], places),
        )
        for r in table.to_dict("records")
    )
    note = f"p-values and {percent(level)} intervals by {_REFERENCES[fit.df_method]}"
    if is_ordinary(fit.design) and not normal:
        note = f"p-values and {percent(level)} intervals by t with n - p degrees of freedom"
    lines = (f'{note} (df_method "{fit.df_method}")', *aliased_lines(fit.design))
    return Section("Fixed effects:", Table(("", *heads), rows), lines)


def _df(value: float) -> str:
    """Degrees of freedom as lmerTest prints them; without decimals where they say nothing."""
    return f"{value:.2f}" if value < 1e4 else f"{value:.0f}"


def _convergence(fit: PointLike) -> Section | None:
    status = fit.estimate.status
    if status is FitStatus.CONVERGED:
        return None
    return Section(
        f"Convergence: {status.label}",
        lines=(f"meaning: {status.words}", f"advice: {status.advice}"),
    )
