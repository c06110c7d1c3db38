"""Likelihood-ratio tests of nested models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from bayeslmm.comparison.kinds import PointLike, is_posterior, name_models
from bayeslmm.comparison.same import check_same_data
from bayeslmm.errors import ArgumentError, BayeslmmWarning, warn
from bayeslmm.fitting import fit_point
from bayeslmm.inference.likelihood_ratio import (
    Fitted,
    LikelihoodRatio,
    likelihood_ratio,
    same_fixed_part,
)
from bayeslmm.inference.printed import PrintedTable
from bayeslmm.inference.ranova import simulation_words


def anova(
    *fits: Any,
    names: Sequence[str] | None = None,
    simulate: int = 0,
    random_seed: int | None = None,
) -> PrintedTable:
    """Likelihood-ratio tests of nested models, each against the next larger.

    Parameters
    ----------
    *fits : PointFit
        Two or more, of the same data; or one dict by name, or one list. REML fits are compared
        as they are where their fixed parts span the same, and refitted by ML otherwise.
    names : sequence of str, optional
        One a fit; by default the keys of a dict, else formula and residual structure.
    simulate : int
        Statistics to draw from their distribution under the smaller model: the exact one of
        Crainiceanu and Ruppert (2004) where the larger model has one variance and the smaller
        none; by refitting simulated responses (parametric bootstrap) otherwise.
    random_seed : int, optional
        The same seed gives the same draws.

    Returns
    -------
    PrintedTable
        ``table`` with the columns ``model``, ``npar``, ``aic``, ``bic``, ``llf``,
        ``deviance``, ``lrt``, ``df``, ``p_chi2``, ``p_mixture`` (and ``p_simulated``), the
        smallest model first. ``p_mixture`` stands where the larger model has one random
        effect more: its variance is zero under the smaller, the end of its range, and the
        statistic an even mixture of chi-squares with df - 1 and df degrees of freedom.

    Raises
    ------
    ArgumentError
        Fewer than two fits, MAP fits or posteriors, different data, or models that are not
        nested.

    Warns
    -----
    BayeslmmWarning
        Fits were refitted by ML.

    References
    ----------
    Self, S. G. and Liang, K.-Y. (1987), Journal of the American Statistical Association 82,
    605-610; Stram, D. O. and Lee, J. W. (1994), Biometrics 50, 1171-1177; Crainiceanu, C. M.
    and Ruppert, D. (2004), Journal of the Royal Statistical Society B 66, 165-185.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> model = bl.Model("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> plain = model.update("Reaction ~ Days + (1 | Subject)")
    >>> bl.anova(plain.fit(), model.fit()).table[["lrt", "df"]].round(2).iloc[1].tolist()
    [42.84, 2.0]
    """
    fix = "bl.anova(smaller, larger); fit.anova() tests the terms of one fit"
    models = name_models(fits, names, "anova", fix)
    _check_kinds(models)
    check_same_data(models, weights=True)
    fitted, refitted = _by_one_method(models)
    order = sorted(fitted, key=lambda name: fitted[name].estimate.n_params)
    rng = np.random.default_rng(random_seed)
    tests: list[LikelihoodRatio] = []
    for lower, upper in pairwise(order):
        if fitted[lower].estimate.n_params == fitted[upper].estimate.n_params:
            raise ArgumentError(
                f"{lower!r} and {upper!r} have as many parameters, so neither is within the other.",
                fix="compare_models ranks models that are not nested, by AIC",
            )
        tests.append(likelihood_ratio(fitted[lower], fitted[upper], simulate=simulate, rng=rng))
    rows = [_row(order[0], fitted[order[0]], None)]
    rows += [_row(name, fitted[name], t) for name, t in zip(order[1:], tests, strict=True)]
    table = pd.DataFrame(rows)
    if not simulate:
        table = table.drop(columns="p_simulated")
    method = fitted[order[0]].estimate.method
    again = f", for which {', '.join(refitted)} were refitted" if refitted else ""
    caption = f"{method} likelihoods{again}; each model against the one before it."
    if table["p_mixture"].notna().any():
        caption += (
            " p_mixture: half chi-square with df - 1, half with df degrees of freedom, since a "
            "variance cannot fall below zero; p_chi2 is too large there."
        )
    return PrintedTable(table, caption + simulation_words(tests, simulate))


def _check_kinds(models: Mapping[str, Any]) -> None:
    for name, fit in models.items():
        if is_posterior(fit) or fit.estimate.method == "MAP":
            raise ArgumentError(
                f"{name!r} has no maximised likelihood to test.",
                found="posterior draws" if is_posterior(fit) else "a posterior mode (MAP)",
                fix="fit by REML or ML; compare_models compares posteriors by LOO",
            )


def _by_one_method(models: Mapping[str, PointLike]) -> tuple[dict[str, Fitted], list[str]]:
    """Fits whose likelihoods can be compared, and the names of those refitted by ML for it."""
    fitted = {k: Fitted(f.design, f.estimate) for k, f in models.items()}
    first, *others = (f.design for f in models.values())
    by_reml = [k for k, f in fitted.items() if f.estimate.method == "REML"]
    if not by_reml or (
        len(by_reml) == len(fitted) and all(same_fixed_part(first, d) for d in others)
    ):
        return fitted, []
    why = (
        "their fixed parts differ, and REML likelihoods are then of different contrasts of the data"
        if len(by_reml) == len(fitted)
        else "others were fitted by ML"
    )
    warn(f"{', '.join(map(repr, by_reml))} refitted by ML: {why}.", BayeslmmWarning)
    for k in by_reml:
        fitted[k] = Fitted(fitted[k].design, fit_point(fitted[k].design, "ML", None))
    return fitted, by_reml


def _row(name: str, fitted: Fitted, test: LikelihoodRatio | None) -> dict[str, Any]:
    e = fitted.estimate
    return {
        "model": name,
        "npar": e.n_params,
        "aic": -2.0 * e.loglik + 2.0 * e.n_params,
        "bic": -2.0 * e.loglik + float(np.log(fitted.design.n_effective)) * e.n_params,
        "llf": e.loglik,
        "deviance": -2.0 * e.loglik,
        "lrt": np.nan if test is None else test.statistic,
        "df": np.nan if test is None else test.df,
        "p_chi2": np.nan if test is None else test.p_chi2,
        "p_mixture": np.nan if test is None else test.p_mixture,
        "p_simulated": np.nan if test is None else test.p_simulated,
    }
