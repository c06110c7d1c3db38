"""Estimated marginal means, their contrasts, and the same from posterior draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from bayeslmm.arrays import FloatArray
from bayeslmm.errors import ArgumentError, check_level
from bayeslmm.families import Family
from bayeslmm.inference.adjust import (
    Adjust,
    adjusted_pvalues,
    check_adjust,
    critical_values,
)
from bayeslmm.inference.contrast_sets import ContrastMethod, contrast_set
from bayeslmm.inference.contrasts import Contrasts, estimate_contrasts
from bayeslmm.inference.degrees_of_freedom import is_ordinary
from bayeslmm.inference.draws import beta_draws, describe_with_sign
from bayeslmm.inference.grid_notes import (
    Scale,
    averaged_over,
    grid_note,
    interactions_note,
    value_text,
)
from bayeslmm.inference.printed import PrintedTable
from bayeslmm.inference.reference_grid import (
    LinearFunctions,
    ReferenceGrid,
    Weights,
    check_predictor,
    reference_grid,
)

type Estimator = Callable[[FloatArray], Contrasts]

_CHUNK = 2_000_000
_REFERENCES = {
    "satterthwaite": "t with Satterthwaite's degrees of freedom",
    "kenward-roger": "t with Kenward and Roger's covariance and degrees of freedom",
    "normal": "the standard normal",
}
_ADJUSTED = {
    "tukey": "adjusted by Tukey's method",
    "holm": "adjusted by Holm's method (intervals by Bonferroni's)",
    "bonferroni": "adjusted by Bonferroni's method",
    "none": "not adjusted",
}


@dataclass(frozen=True, eq=False, repr=False)
class MarginalMeans(PrintedTable, ABC):
    """Marginal means, or slopes, one a row; prints itself.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns for the levels; then ``emmean`` (or ``trend``), ``se``, ``df``, ``lower``,
        ``upper`` of a point fit, or ``mean``, ``posterior_sd``, ``median``, ``lower``,
        ``upper``, ``prob_positive`` of a posterior.
    caption : str
    specs, by : tuple of str
        Predictors whose values stand in the rows; contrasts compare means within the
        same values of ``by``.
    level : float
        Level of the intervals.
    """

    specs: tuple[str, ...]
    by: tuple[str, ...]
    level: float

    def contrast(
        self,
        method: ContrastMethod = "pairwise",
        adjust: Adjust | None = None,
        reference: str | None = None,
    ) -> PrintedTable:
        """Contrasts among the means, within each combination of ``by``.

        Parameters
        ----------
        method : str, mapping or matrix
            ``"pairwise"``: all differences. ``"treatment"``: each mean less that of the
            reference. ``"sum"``: each mean less their average. Or a dict by name, of one
            coefficient a mean or of a dict by label such as ``{"B - A": {"B": 1, "A": -1}}``;
            or a matrix with a row a contrast. Coefficients need not sum to zero.
        adjust : {"tukey", "holm", "bonferroni", "none"}, optional
            For the family of tests within one combination of ``by``; intervals likewise.
            By default Tukey for all pairs, Holm for treatment and sum, and none for one's
            own. Posterior probabilities are not adjusted, and it is refused there.
        reference : str, optional
            Label of the reference of ``"treatment"``, the first by default.

        Returns
        -------
        PrintedTable
            Its ``table`` has the columns of ``by``, ``contrast``, and ``estimate``, ``se``,
            ``df``, ``t``, ``p``, ``lower``, ``upper``; or those of draws.

        Raises
        ------
        ArgumentError
            An unknown method or adjustment, Tukey for other sets than all pairs, or
            coefficients that do not fit the means.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> data = bl.load_dataset("cake")
        >>> fit = bl.fit("angle ~ recipe + temperature + (1 | recipe:replicate)", data)
        >>> fit.emmeans("recipe").contrast().table["estimate"].round(3).tolist()
        [1.478, 1.522, 0.044]
        """
        pairwise = isinstance(method, str) and method == "pairwise"
        if adjust is not None:
            check_adjust(adjust, pairwise)
        if adjust is None:
            named = isinstance(method, str)
            adjust_or_default: Adjust = "tukey" if pairwise else "holm" if named else "none"
        else:
            adjust_or_default = adjust
        self._check_contrast(adjust)
        tables = []
        for values, rows in self._groups():
            labels = [self._label(r) for r in rows]
            names, coefficients = contrast_set(method, labels, reference)
            C = np.zeros((len(names), len(self.table)))
            C[:, rows] = coefficients
            keys = pd.DataFrame([values] * len(names), columns=list(self.by))
            keys["contrast"] = names
            tables.append(keys.join(self._contrasted(C, adjust_or_default, len(rows))))
        table = pd.concat(tables, ignore_index=True)
        if table.empty:
            return PrintedTable(table, "There is one mean only, and nothing to compare it with.")
        return PrintedTable(table, self._contrast_caption(adjust_or_default))

    def _groups(self) -> list[tuple[tuple[Any, ...], list[int]]]:
        """Rows with equal values of ``by``, and these values."""
        groups: dict[tuple[Any, ...], list[int]] = {}
        for row, values in enumerate(zip(*(self.table[b] for b in self.by), strict=True)):
            groups.setdefault(values, []).append(row)
        return list(groups.items()) or [((), list(range(len(self.table))))]

    def _label(self, row: int) -> str:
        return " ".join(value_text(self.table[s].iloc[row]) for s in self.specs) or "overall"

    def _check_contrast(self, adjust: Adjust | None) -> None:
        """Refuse what this kind of means cannot do."""

    @abstractmethod
    def _contrasted(self, C: FloatArray, adjust: Adjust, n_means: int) -> pd.DataFrame:
        """The table of the contrasts C, shape (k, m), one family."""

    @abstractmethod
    def _contrast_caption(self, adjust: Adjust) -> str: ...


@dataclass(frozen=True, eq=False, repr=False)
class EstimatedMeans(MarginalMeans):
    """Marginal means of a point fit."""

    functions: LinearFunctions
    estimator: Estimator
    reference: str

    def _contrasted(self, C: FloatArray, adjust: Adjust, n_means: int) -> pd.DataFrame:
        e = estimates(self.functions.combined(C), self.estimator)
        with np.errstate(invalid="ignore", divide="ignore"):
            t = e["estimate"].to_numpy() / e["se"].to_numpy()
        df = e["df"].to_numpy()
        e["t"] = t
        e["p"] = adjusted_pvalues(t, df, adjust, n_means)
        tests = max(int(np.isfinite(t).sum()), 1)
        reach = critical_values(df, self.level, adjust, n_means, tests) * e["se"]
        e["lower"], e["upper"] = e["estimate"] - reach, e["estimate"] + reach
        return e

    def _contrast_caption(self, adjust: Adjust) -> str:
        return (
            f"p-values and {100 * self.level:g} % intervals by {self.reference}, "
            f"{_ADJUSTED[adjust]}."
        )


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorMeans(MarginalMeans):
    """Marginal means of a posterior.

    Attributes
    ----------
    draws : ndarray, shape (draws, m)
        A column a row of ``table``; NaN where the data do not determine it.
    """

    draws: FloatArray
    undetermined: FloatArray

    def _check_contrast(self, adjust: Adjust | None) -> None:
        if adjust not in (None, "none"):
            raise ArgumentError(
                "posterior probabilities are not adjusted for their number.",
                found=f"adjust={adjust!r}",
                fix='leave adjust= out, or adjust="none"',
            )

    def _contrasted(self, C: FloatArray, adjust: Adjust, n_means: int) -> pd.DataFrame:
        return describe_with_sign(_determined(self.draws @ C.T, C @ self.undetermined), self.level)

    def _contrast_caption(self, adjust: Adjust) -> str:
        return (
            f"Posterior mean, SD, median, equal-tailed {100 * self.level:g} % interval and "
            "probability above zero; probabilities are not adjusted for their number."
        )


def marginal_means(
    fit: Any,
    specs: str | Sequence[str],
    by: str | Sequence[str] | None,
    at: Mapping[str, Any] | None,
    weights: Weights,
    scale: Scale,
    level: float,
) -> MarginalMeans:
    """Averages of the linear predictor over the reference grid; see ``fit.emmeans``."""
    grid = reference_grid(fit.design, fit.definition.data, at)
    return means_over(fit, [grid], np.ones(1), specs, by, weights, scale, level, "emmean")


def means_over(
    fit: Any,
    grids: Sequence[ReferenceGrid],
    factors: FloatArray,
    specs: str | Sequence[str],
    by: str | Sequence[str] | None,
    weights: Weights,
    scale: Scale,
    level: float,
    quantity: Literal["emmean", "trend"],
    var: str | None = None,
) -> MarginalMeans:
    """Averages of a weighted sum of grids: one grid for means, several for slopes.

    Parameters
    ----------
    fit : PointFit or PosteriorFit
    grids : sequence of ReferenceGrid
        They differ in the value of one covariate.
    factors : ndarray, shape (grids,)
        What each grid is multiplied by.
    var : str, optional
        The covariate of slopes.
    """
    check_level(level)
    _check_choice("weights", weights, ("equal", "proportional"))
    _check_choice("scale", scale, ("link", "response"))
    first = grids[0]
    specs, by = _names(specs), _names(by)
    over = (*specs, *(b for b in by if b not in specs))
    for name in over:
        check_predictor(name, first.names)
    specs = tuple(s for s in specs if s not in by)
    cells, W = first.averages((*specs, *by), weights)
    keys = pd.DataFrame(cells, columns=[*by, *specs], index=range(len(cells)))
    functions = _summed([g.functions.combined(W) for g in grids], factors)
    link = fit.design.family.link.name
    note = grid_note(first, over, weights, "" if link == "identity" else link, scale)
    # a term without the covariate has no slope in it
    met = over if var is None else (var,)
    note += interactions_note(fit.design.fixed_terms, met, averaged_over(first, over))
    common: dict[str, Any] = {"specs": specs, "by": by, "level": level}
    beta = beta_draws(fit)
    if beta is not None:
        if scale == "link" or link == "identity":
            draws = beta @ functions.rows.T + functions.offset
        else:
            draws = sum(
                a * _mean_response(fit.design.family, g.functions, W, beta)
                for a, g in zip(factors, grids, strict=True)
            )
        draws = _determined(draws, functions.undetermined)
        caption = (
            f"{note} Posterior mean, SD, median, equal-tailed {100 * level:g} % interval and "
            "probability above zero."
        )
        return PosteriorMeans(
            keys.join(describe_with_sign(draws, level)),
            caption,
            draws=draws,
            undetermined=functions.undetermined,
            **common,
        )
    estimator, reference = partial(estimate_contrasts, fit), t_words(fit)
    table = estimates(functions, estimator)
    reach = critical_values(table["df"].to_numpy(), level, "none", 1, 1) * table["se"]
    table["lower"], table["upper"] = table["estimate"] - reach, table["estimate"] + reach
    return EstimatedMeans(
        keys.join(table.rename(columns={"estimate": quantity})),
        f"{note} {100 * level:g} % intervals by {reference}.",
        functions=functions,
        estimator=estimator,
        reference=reference,
        **common,
    )


def estimates(functions: LinearFunctions, estimator: Estimator) -> pd.DataFrame:
    """Estimate, se and df of linear functions, NaN where the data do not determine one."""
    c = estimator(functions.rows)
    table = pd.DataFrame({"estimate": c.estimate + functions.offset, "se": c.se, "df": c.df})
    table.loc[~functions.estimable] = np.nan
    return table


def t_words(fit: Any) -> str:
    """The reference distribution of single contrasts of a point fit, in words."""
    if fit.df_method != "normal" and is_ordinary(fit.design):
        return "t with n - p degrees of freedom"
    return _REFERENCES[fit.df_method]


def _summed(parts: Sequence[LinearFunctions], factors: FloatArray) -> LinearFunctions:
    return LinearFunctions(
        np.tensordot(factors, np.array([f.rows for f in parts]), 1),
        np.tensordot(factors, np.array([f.offset for f in parts]), 1),
        np.tensordot(factors, np.array([f.undetermined for f in parts]), 1),
    )


def _mean_response(
    family: Family, points: LinearFunctions, W: csr_array, beta: FloatArray
) -> FloatArray:
    """Average over the grid of the expected response at b = 0, shape (draws, m)."""
    out = np.empty((len(beta), W.shape[0]))
    step = max(1, _CHUNK // max(1, len(points.rows)))
    for start in range(0, len(beta), step):
        part = slice(start, start + step)
        eta = beta[part] @ points.rows.T + points.offset
        out[part] = family.mean(eta) @ W.T
    return out


def _determined(draws: FloatArray, undetermined: FloatArray) -> FloatArray:
    """The same draws, NaN in columns of functions the data do not determine."""
    functions = LinearFunctions(np.empty((0, 0)), np.empty(0), undetermined)
    return np.where(functions.estimable, draws, np.nan)


def _names(given: Any) -> tuple[Any, ...]:
    if given is None:
        return ()
    several = np.iterable(given) and not isinstance(given, str)
    return tuple(dict.fromkeys(given)) if several else (given,)


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ArgumentError(
            f"{name}={value!r} is not known.", fix=f"one of {', '.join(map(repr, allowed))}"
        )
