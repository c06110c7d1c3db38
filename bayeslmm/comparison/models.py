"""Different models of the same data: information criteria, or LOO for posteriors."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayeslmm.comparison.kinds import PointLike, PosteriorLike, is_posterior, name_models
from bayeslmm.comparison.same import check_same_data
from bayeslmm.comparison.tables import STYLE, Table
from bayeslmm.errors import ArgumentError

_WIDTH = 100


@dataclass(frozen=True, eq=False, repr=False)
class ModelComparison:
    """Models in order of merit; prints itself.

    Attributes
    ----------
    table : pandas.DataFrame
        Point fits: ``model``, ``method``, ``npar``, ``llf``, ``aic``, ``bic``,
        ``delta_aic``, ``delta_bic``, the lowest AIC first. Posteriors: what
        ``arviz.compare`` gives, the highest expected log predictive density first.
    caption : str
        What was compared and how to read it.
    """

    table: pd.DataFrame
    caption: str

    def __repr__(self) -> str:
        return "\n".join([self._rendered().text("  "), "", *textwrap.wrap(self.caption, _WIDTH)])

    def _repr_html_(self) -> str:
        import html

        return f"<style>{STYLE}</style>{self._rendered().html()}<p>{html.escape(self.caption)}</p>"

    def _rendered(self) -> Table:
        frame = self.table.reset_index(drop="model" in self.table.columns)
        cells: dict[str, list[str]] = {}
        words = 0
        for name, values in frame.items():
            floating = pd.api.types.is_float_dtype(values)
            if not pd.api.types.is_numeric_dtype(values) and words == len(cells):
                words += 1
            cells[str(name)] = (
                [f"{v:.2f}" for v in values] if floating else [str(v) for v in values]
            )
        rows = tuple(zip(*cells.values(), strict=True))
        return Table(tuple(cells), rows, text_columns=max(words, 1))


def compare_models(
    *fits: Any, names: Sequence[str] | None = None, integrate: str | None = None
) -> ModelComparison:
    """Compare different models of the same data.

    Parameters
    ----------
    *fits : PointFit or PosteriorFit
        All point fits, by one method, or all posteriors; or one dict by name, or one list.
    names : sequence of str, optional
        One a fit; by default the keys of a dict, else formula and residual structure.
    integrate : str, optional
        Posteriors only: what is left out at a time with all effects integrated out, the
        levels of a factor that every model has or ``"obs"``; see
        `PosteriorFit.log_likelihood`. By default a row, its random effects given.

    Returns
    -------
    ModelComparison
        AIC and BIC for point fits; PSIS-LOO and stacking weights for posteriors.

    Notes
    -----
    With a row left out, the rest of its level says nearly all about the level's effects, and
    a predictor that varies between levels only can add next to nothing, however much it
    explains. Such predictors are judged by ``integrate="<factor>"``.

    Raises
    ------
    ArgumentError
        Fewer than two fits, kinds or methods mixed, other data, REML fits with other
        fixed effects (their likelihoods are of different things: refit by ML), or MAP;
        ``integrate`` for point fits, or not possible for a model.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> model = bl.Model("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> plain = model.update("Reaction ~ Days + (1 | Subject)")
    >>> table = compare_models({"slopes": model.fit(), "intercepts": plain.fit()}).table
    >>> table["model"].tolist(), table["delta_aic"].round(2).tolist()
    (['slopes', 'intercepts'], [0.0, 38.84])
    """
    fix = 'compare_models({"with slopes": fit1, "without": fit2})'
    models = name_models(fits, names, "compare_models", fix)
    _check_scale(models)
    check_same_data(models)
    points = {k: f for k, f in models.items() if not is_posterior(f)}
    posteriors = {k: f for k, f in models.items() if is_posterior(f)}
    if points and posteriors:
        raise ArgumentError(
            "point fits and posteriors have no criterion in common.",
            found=f"point fits: {', '.join(points)}; posteriors: {', '.join(posteriors)}",
            fix="sample every model, or fit every model",
        )
    if points and integrate is not None:
        raise ArgumentError(
            "integrate= is about posteriors: AIC and BIC always have the effects integrated out.",
            found=f"integrate={integrate!r} and point fits",
            fix="leave integrate= away, or sample every model",
        )
    return _compare_points(points) if points else _compare_posteriors(posteriors, integrate)


def _check_scale(models: Mapping[str, Any]) -> None:
    continuous = {k: f.design.family.name == "gaussian" for k, f in models.items()}
    if len(set(continuous.values())) > 1:
        raise ArgumentError(
            "a model of densities and one of probabilities have no scale in common.",
            found=", ".join(f"{k}: {f.design.family.name}" for k, f in models.items()),
            fix="compare families of counts with each other",
        )


def _compare_points(fits: Mapping[str, PointLike]) -> ModelComparison:
    methods = {k: f.estimate.method for k, f in fits.items()}
    found = ", ".join(f"{k}: {m}" for k, m in methods.items())
    if "MAP" in methods.values():
        raise ArgumentError(
            "a posterior mode (MAP) has no AIC or BIC.",
            found=found,
            fix='model.fit("ML"), or model.sample() and LOO',
        )
    if len(set(methods.values())) > 1:
        raise ArgumentError(
            "REML and ML likelihoods cannot be compared.", found=found, fix="refit all by ML"
        )
    method = next(iter(methods.values()))
    fixed = {k: f.design.fixed_names for k, f in fits.items()}
    first, *others = (f.design for f in fits.values())
    same = all(
        first.fixed_names == d.fixed_names and np.allclose(first.X, d.X, rtol=1e-10) for d in others
    )
    if method == "REML" and not same:
        raise ArgumentError(
            "REML fits with different fixed effects cannot be compared: each is the likelihood "
            "of other contrasts of the data.",
            found="; ".join(f"{k}: {', '.join(v)}" for k, v in fixed.items()),
            fix='refit by ML: model.fit("ML")',
        )
    table = pd.DataFrame(
        {
            "model": list(fits),
            "method": list(methods.values()),
            "npar": [f.estimate.n_params for f in fits.values()],
            "llf": [f.llf for f in fits.values()],
            "aic": [f.aic for f in fits.values()],
            "bic": [f.bic for f in fits.values()],
        }
    )
    for name in ("aic", "bic"):
        table[f"delta_{name}"] = table[name] - table[name].min()
    table = table.sort_values("aic", ignore_index=True, kind="stable")
    n = next(iter(fits.values())).nobs
    caption = (
        f"{method} fits of {n} rows, lowest AIC first; npar counts fixed effects, variance "
        "parameters and sigma, as lme4 does."
    )
    return ModelComparison(table, caption)


def _compare_posteriors(
    fits: Mapping[str, PosteriorLike], integrate: str | None
) -> ModelComparison:
    missing = [k for k, f in fits.items() if "log_likelihood" not in f.datatree.children]
    if missing and integrate is None:
        raise ArgumentError(
            f"no log likelihood was stored for {', '.join(missing)}.",
            fix='post.datatree["log_likelihood"] = post.log_likelihood()["log_likelihood"] '
            "computes it",
        )
    import arviz_stats

    trees = {
        k: f.datatree if integrate is None else f.log_likelihood(integrate) for k, f in fits.items()
    }
    untyped: Any = arviz_stats
    table: pd.DataFrame = untyped.compare(trees, method="stacking", round_to="none")
    if integrate is None:
        words = "one row left out at a time (PSIS-LOO)"
        about = (
            "The random effects are given: it hardly sees predictors that vary between levels only."
        )
    elif integrate == "obs":
        words = "one row left out at a time (PSIS-LOO)"
        about = (
            "Fixed and random effects are integrated out, but the other rows of its levels stay: "
            "it hardly sees predictors that vary between levels only."
        )
    else:
        words = f"all rows of one level of {integrate} left out at a time (PSIS-LOO)"
        about = "Fixed and random effects are integrated out."
    caption = (
        f"Expected log predictive density of {words}, best first; weights by stacking. {about}"
    )
    return ModelComparison(table.rename_axis("model"), caption)
