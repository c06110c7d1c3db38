"""Estimates of one model by several methods, side by side."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayeslmm.comparison.kinds import Fit, check_fits, is_posterior, name_fits, text_of
from bayeslmm.comparison.parameters import (
    all_draws,
    has_icc,
    joint_mode,
    parameters,
    point_values,
    posterior_values,
)
from bayeslmm.comparison.random_effects import random_effects_frame
from bayeslmm.comparison.remarks import find_remarks
from bayeslmm.comparison.same import check_same_model
from bayeslmm.comparison.tables import (
    STYLE,
    Table,
    decimals,
    number,
    percent,
    tail_labels,
)
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import check_level

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 100


@dataclass(frozen=True, eq=False, repr=False)
class EstimateComparison:
    """Point estimates and posteriors of one model, a row a parameter.

    Prints itself. A point fit has ``estimate`` and ``se``; a posterior has
    ``mode``, ``median``, ``mean``, ``sd`` and the equal-tailed interval ``lower``,
    ``upper``. The mode is the *joint* mode of SDs, correlations and sigma without a
    Jacobian, which is what a REML estimate is comparable with; fixed effects and ICCs
    in that column are evaluated there. It is NaN where none is computed (see ``notes``).

    The ICC of a factor is its variance over the sum of all variances and sigma^2. It has
    a row only if every factor has an intercept alone: with random slopes it depends on
    the value of the slope's predictor.

    Attributes
    ----------
    fits : mapping of str to fit
    level : float
        Level of every interval.
    long : pandas.DataFrame
        Tidy: ``parameter``, ``kind``, ``fit``, ``method``, ``statistic``, ``value``.
    remarks : pandas.DataFrame
        ``parameter``, ``fit``, ``reason``, ``remark``: where the columns differ for a
        known reason, in plain words (thresholds in `bayeslmm.comparison.remarks`).
    notes : tuple of str
        What the table leaves out, and why.
    """

    fits: Mapping[str, Fit]
    level: float
    long: pd.DataFrame
    remarks: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fits, in the order of the columns."""
        return tuple(self.fits)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a parameter; columns ``<fit>_<statistic>``."""
        rows = self.long.drop_duplicates("parameter")[["parameter", "kind"]]
        table = rows.reset_index(drop=True)
        for (fit, statistic), part in self.long.groupby(["fit", "statistic"], sort=False):
            values = part.set_index("parameter")["value"]
            table[f"{fit}_{statistic}"] = table["parameter"].map(values)
        return table

    @property
    def caption(self) -> str:
        """What the columns are, with the kind and level of every interval."""
        parts = ["SE: standard error of a point estimate (normal theory)."]
        if any(is_posterior(f) for f in self.fits.values()):
            low, high = tail_labels(self.level)
            parts.append(
                f"{low} to {high}: {percent(self.level)} equal-tailed credible interval. "
                "Mode: joint mode of SDs, correlations and sigma, no Jacobian; compare a REML "
                "estimate with it, not with the mean."
            )
        if self.long["value"].isna().any():
            parts.append("-: there is none (on the boundary, or not computed).")
        return " ".join([*parts, *self.notes])

    def random_effects(self) -> pd.DataFrame:
        """BLUPs of the point fits beside posterior means.

        Returns
        -------
        pandas.DataFrame
            ``factor``, ``level``, ``term``; of a point fit ``<fit>_estimate`` and
            ``<fit>_se``; of a posterior ``<fit>_mean``, ``<fit>_sd``, ``<fit>_lower``
            and ``<fit>_upper``, at the comparison's level. In units of the response (of the
            link, if the family has one) a unit of the term.
        """
        return random_effects_frame(self.fits, self.level)

    def plot(self) -> Figure:
        """Estimates and intervals, a panel a parameter.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from bayeslmm.plots import plot_estimates

        return plot_estimates(self)

    def plot_random_effects(self) -> Figure:
        """Random effects of each fit against those of the first, a panel a term.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from bayeslmm.plots import plot_agreement

        return plot_agreement(self.random_effects(), self.names)

    def __repr__(self) -> str:
        parts = [f"Estimates of {next(iter(self.fits.values())).formula}", ""]
        parts += [self._rendered().text(), "", *textwrap.wrap(self.caption, _WIDTH)]
        if len(self.remarks):
            parts += ["", "Remarks"]
            for words in self._remark_lines():
                parts += textwrap.wrap(words, _WIDTH, initial_indent="- ", subsequent_indent="  ")
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        remarks = "".join(f"<li>{html.escape(r)}</li>" for r in self._remark_lines())
        return (
            f"<style>{STYLE}</style>{self._rendered().html()}"
            f"<p>{html.escape(self.caption)}</p>" + (f"<ul>{remarks}</ul>" if remarks else "")
        )

    def _remark_lines(self) -> list[str]:
        same = self.remarks.groupby("remark", sort=False)["parameter"].agg(", ".join)
        return [f"{parameter}: {remark}" for remark, parameter in same.items()]

    def _rendered(self) -> Table:
        low, high = tail_labels(self.level)
        heads = {"se": "SE", "lower": low, "upper": high, "sd": "SD"}
        columns = self.long.drop_duplicates(["fit", "statistic"])
        pairs = list(zip(columns["fit"].map(str), columns["statistic"].map(str), strict=True))
        sizes = pd.Series([fit for fit, _ in pairs]).value_counts(sort=False)
        spread = self.long[self.long["statistic"].isin(["se", "sd"])]
        largest = spread.groupby("parameter")["value"].max()
        rows = []
        for row in self.table.itertuples(index=False):
            name, _, *values = row
            # three digits of the largest SE decide; without one, four of the values
            places = decimals([largest[name]], 3)
            if not largest[name] > 0:
                places = decimals(values, 4)
            rows.append((str(name), *(number(v, places) or "-" for v in values)))
        return Table(
            columns=("", *(heads.get(s, s) for _, s in pairs)),
            rows=tuple(rows),
            groups=tuple((str(k), int(v)) for k, v in sizes.items()),
            caption=f"Estimates of {next(iter(self.fits.values())).formula}",
        )


def compare_estimates(
    *fits: Any, names: Sequence[str] | None = None, level: float = 0.95
) -> EstimateComparison:
    """Put fits of one model side by side: REML, ML, MAP and posterior.

    Parameters
    ----------
    *fits : PointFit or PosteriorFit
        Of the same response, fixed columns and random terms; or one list of them, or one
        dict by name.
    names : sequence of str, optional
        One a fit; by default the keys of a dict, else the method, or ``posterior``.
    level : float
        Level of the posterior's equal-tailed intervals.

    Returns
    -------
    EstimateComparison

    Raises
    ------
    ArgumentError
        Not fits, not the same model, names missing or given twice.

    Notes
    -----
    The posterior's mode costs one MAP fit of the same design.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> model = bl.Model("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
    >>> both = compare_estimates(model.fit("REML"), model.fit("ML"))
    >>> both.table[["parameter", "REML_estimate", "ML_estimate"]].round(2).head(2)
                 parameter  REML_estimate  ML_estimate
    0      beta[Intercept]         1527.5      1527.50
    1  sd_Batch[Intercept]           42.0        37.26
    """
    check_level(level)
    named = name_fits(fits, names, lambda fit: text_of(fit, "method"))
    check_fits(named)
    check_same_model(named)
    frames, notes = [], []
    modes: dict[str, Estimate | None] = {}
    draws = {}
    kinds = {p.name: p.kind for p in parameters(next(iter(named.values())).design)}
    for name, fit in named.items():
        if is_posterior(fit):
            modes[name], why = joint_mode(fit)
            if why:
                notes.append(f"{name} has {why}.")
            draws[name] = all_draws(fit)
            values, method = posterior_values(fit, draws[name], modes[name], level), "posterior"
        else:
            values, method = point_values(fit), fit.estimate.method
        frames.append(_long(values, kinds, name, method))
    first = next(iter(named.values())).design
    if first.family.name == "gaussian" and first.factors and first.residual is not None:
        notes.append("No ICC: with a residual structure residuals share variance as well.")
    elif first.family.name == "gaussian" and first.factors and not has_icc(first):
        notes.append("No ICC: with random slopes it depends on the slope's predictor.")
    long = pd.concat(frames, ignore_index=True)
    remarks = find_remarks(named, long, modes, draws)
    return EstimateComparison(named, level, long, remarks, tuple(notes))


def _long(values: pd.DataFrame, kinds: Mapping[str, str], fit: str, method: str) -> pd.DataFrame:
    long = values.rename_axis("parameter").reset_index()
    long = long.melt("parameter", var_name="statistic", value_name="value")
    long.insert(1, "kind", long["parameter"].map(kinds))
    long.insert(2, "fit", fit)
    long.insert(3, "method", method)
    return long
