"""What share of the variance each part of a model has: ICC, R2, design effect, reliability.

Every share is a function of the fixed effects, of the covariance matrix of each factor's effects
and of the residual variance. A point fit has one of each; a posterior has draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design, Factor
from bayeslmm.design.columns import level_codes
from bayeslmm.design.residual import refuse_residual_structure
from bayeslmm.errors import ArgumentError, check_level, suggest
from bayeslmm.families import Family
from bayeslmm.inference.draws import beta_draws
from bayeslmm.inference.printed import PrintedTable
from bayeslmm.results.posterior import covariance_draws, describe_draws, draws_of, residual_draws

ALL = "all factors"

# Variance of the latent response of a binary outcome, by link.
_LATENT = {"logit": np.pi**2 / 3.0, "probit": 1.0, "cloglog": np.pi**2 / 6.0}
# Each draw costs a factorisation.
_DRAWS_OF_RELIABILITY = 200


@dataclass(frozen=True, eq=False, slots=True)
class Parameters:
    """Variances: S draws, or one estimate.

    ``covariances`` (S, K, K) of each factor's effects; ``residual`` (S,), the residual variance
    of a row of weight one; ``structure`` (S, k), parameters of the residual structure, k of them.
    """

    covariances: tuple[FloatArray, ...]
    residual: FloatArray
    is_point: bool
    structure: FloatArray


@dataclass(frozen=True, eq=False, slots=True)
class VarianceParts:
    """Mean variance of a row by source: of each factor and of the residual, (S,)."""

    factors: dict[str, FloatArray]
    residual: FloatArray

    @property
    def random(self) -> FloatArray:
        """All factors together."""
        return np.sum([*self.factors.values(), np.zeros_like(self.residual)], axis=0)


def parameters(fit: Any) -> Parameters:
    """The parameters of a fit whose variances have shares.

    Raises
    ------
    ArgumentError
        A family without a residual variance on the scale of its linear predictor.
    """
    design = fit.design
    if _is_point(fit):
        e = fit.estimate
        covariances = tuple(c[None] for c in e.covariances)
        return Parameters(covariances, np.array([e.sigma**2]), True, e.residual_values[None])
    family = design.family
    if family.has_scale and family.link.name == "identity":
        residual = draws_of(fit.datatree, "sigma") ** 2
    else:
        sizes = fit.datatree["posterior"].sizes
        residual = np.full(sizes["chain"] * sizes["draw"], _latent_variance(family))
    covariances = tuple(covariance_draws(design, fit.datatree))
    structure = np.array([*residual_draws(design, fit.datatree).values()])
    return Parameters(covariances, residual, False, structure.reshape(-1, len(residual)).T)


def variance_parts(design: Design, given: Parameters) -> VarianceParts:
    """Variances of a row around its fixed part, averaged over the rows of positive weight.

    A factor: the mean over rows of z'Sigma z (Johnson 2014), its variance for a random intercept.
    Residual: the mean of sigma^2 / w, times the squared ratio of the row's level where residual
    SDs differ.
    """
    used = design.used
    factors = {}
    for f, cov in zip(design.factors, given.covariances, strict=True):
        Z = f.columns[used]
        factors[f.name] = np.einsum("skl,kl->s", cov, Z.T @ Z / len(Z))
    share: FloatArray | float = 1.0
    if design.family.has_scale:
        inverse = 1.0 / design.weights[used]
        share = float(np.mean(inverse))
        if design.residual is not None and not design.residual.structure.correlated:
            level, k = design.residual.codes[used], len(design.residual.levels)
            of_level = np.bincount(level, inverse, minlength=k) / len(level)
            share = of_level[0] + given.structure**2 @ of_level[1:]
    return VarianceParts(factors, given.residual * share)


def fixed_variance(fit: Any) -> FloatArray:
    """Sample variance of X beta over the rows of positive weight (divisor n - 1), (S,).

    Offsets are left out.

    Raises
    ------
    ArgumentError
        A posterior whose draws of the fixed effects were not kept.
    """
    draws = beta_draws(fit)
    beta = fit.estimate.beta[None] if draws is None else draws
    X = fit.design.X[fit.design.used]
    centred = X - X.mean(axis=0)
    S = centred.T @ centred / max(len(X) - 1, 1)
    return np.asarray(np.einsum("sp,pq,sq->s", beta, S, beta))


def icc(fit: Any, by: str | None, level: float) -> PrintedTable:
    """Intraclass correlations by factor; see ``fit.icc``."""
    check_level(level)
    given = parameters(fit)
    parts = variance_parts(fit.design, given)
    names = _chosen_factors(fit.design, by)
    total = parts.random + parts.residual
    shares: list[tuple[str, FloatArray]] = [(n, parts.factors[n]) for n in names]
    if by is None and len(names) > 1:
        shares.append((ALL, parts.random))
    denominators = {"adjusted": total}
    if _has_fixed_effects(fit):
        denominators["unadjusted"] = total + fixed_variance(fit)
    keys, values = [], []
    for name, variance in shares:
        for kind, denominator in denominators.items():
            keys.append((name, kind))
            values.append(variance / denominator)
    table = pd.DataFrame(keys, columns=["factor", "icc"]).join(_described(given, values, level))
    caption = (
        "adjusted: variance of the factor over that of all factors and the residual; unadjusted: "
        f"with the variance of the fixed part in the denominator.{_slopes_note(fit.design)}"
    )
    if "unadjusted" not in denominators:
        caption += " Unadjusted shares need draws of `beta`, which were not kept."
    if fit.design.residual is not None and fit.design.residual.structure.correlated:
        caption += " Correlated residuals make rows more alike than these shares say."
    return PrintedTable(table, caption + _draws_note(given, level))


def r2(fit: Any, level: float) -> PrintedTable:
    """Marginal and conditional R2; see ``fit.r2``."""
    check_level(level)
    given = parameters(fit)
    parts = variance_parts(fit.design, given)
    fixed = fixed_variance(fit)
    total = fixed + parts.random + parts.residual
    values = [fixed / total, (fixed + parts.random) / total]
    keys = pd.DataFrame({"r2": ["marginal", "conditional"]})
    caption = (
        "marginal: variance of the fixed part over the sum of all; conditional: of the fixed and "
        f"random parts (Nakagawa and Schielzeth 2013).{_slopes_note(fit.design)}"
    )
    return PrintedTable(
        keys.join(_described(given, values, level)), caption + _draws_note(given, level)
    )


def design_effect(fit: Any, by: str | None, level: float) -> PrintedTable:
    """Kish's design effect of each factor; see ``fit.design_effect``."""
    check_level(level)
    refuse_residual_structure(fit.design, "the design effect", "icc and r2 are there")
    given = parameters(fit)
    design = fit.design
    parts = variance_parts(design, given)
    names = _chosen_factors(design, by)
    total = parts.random + parts.residual
    sizes, values = [], []
    for f in design.factors:
        if f.name in names:
            n = np.bincount(f.codes[design.used], minlength=f.n_levels).astype(np.float64)
            m = float(n @ n / n.sum())
            sizes.append((f.name, int((n > 0).sum()), m))
            values.append(1.0 + (m - 1.0) * parts.factors[f.name] / total)
    table = pd.DataFrame(sizes, columns=["factor", "levels", "m"])
    caption = (
        "1 + (m - 1) ICC, the adjusted ICC of the factor; m = sum n_j^2 / sum n_j, the mean size "
        f"of a row's level.{_slopes_note(design)}"
    )
    return PrintedTable(
        table.join(_described(given, values, level, "design_effect")),
        caption + _draws_note(given, level),
    )


def reliability(fit: Any, by: str | None, level: float) -> pd.DataFrame:
    """Reliability of each level's effects; see ``fit.reliability``."""
    from bayeslmm.engine.gaussian.prediction_error import PredictionError

    check_level(level)
    design = fit.design
    if design.family.name != "gaussian" or design.family.link.name != "identity":
        raise ArgumentError(
            f"reliabilities are of Gaussian models, and this one is {design.family.name} "
            f"({design.family.link.name}).",
            fix="compare posterior SDs with the SD between levels: random_effects_se, varcorr",
        )
    names = _chosen_factors(design, by)
    given = parameters(fit)
    if not given.is_point:
        refuse_residual_structure(design, "the reliability from draws", "a point fit has it")
    known = not given.is_point or fit.method == "MAP"
    proper = known and fit.priors.normal_beta() is not None
    errors = PredictionError(design, fit.priors if proper else None)
    size = len(given.residual)
    at = np.unique(np.linspace(0, size - 1, min(size, _DRAWS_OF_RELIABILITY)).astype(int))
    shares: dict[str, list[FloatArray]] = {name: [] for name in names}
    for k in at:
        sigma = float(np.sqrt(given.residual[k]))
        T = [_factor_of(c[k]) / sigma for c in given.covariances]
        for f, cov, error in zip(
            design.factors, given.covariances, errors.at(T, sigma), strict=True
        ):
            if f.name in names:
                variance = np.diag(cov[k])
                pev = np.einsum("jkk->jk", error)
                safe = np.where(variance > 0.0, variance, 1.0)
                shares[f.name].append(np.where(variance > 0.0, 1.0 - pev / safe, 0.0).ravel())
    tables = []
    for f in design.factors:
        if f.name in names:
            keys = {
                "factor": f.name,
                "level": np.repeat(f.levels.to_numpy(dtype=object), f.n_columns),
                "term": np.tile(np.array(f.column_names, dtype=object), f.n_levels),
            }
            values = list(np.array(shares[f.name]).T)
            tables.append(pd.DataFrame(keys).join(_described(given, values, level, "reliability")))
    return pd.concat(tables, ignore_index=True)


def marginal_cov(fit: Any, level: Any, factor: str | None, quantile: float | None) -> pd.DataFrame:
    """Implied covariance of a level's rows; see ``fit.marginal_cov``."""
    design = fit.design
    if not design.family.has_scale or design.family.link.name != "identity":
        raise ArgumentError(
            f"the rows of a {design.family.name} model have no covariance matrix of this form.",
            fix="simulate responses, and take their covariance",
        )
    _check_random(design)
    f = _one_factor(design, factor)
    code = int(level_codes(f.levels, pd.Series([level]))[0])
    if code < 0:
        close = suggest(str(level), map(str, f.levels))
        raise ArgumentError(
            f"`{f.name}` has no level {level!r}.",
            found=", ".join(map(str, f.levels[:8])) + (", ..." if len(f.levels) > 8 else ""),
            fix=f"did you mean {close!r}?" if close else None,
        )
    rows = np.flatnonzero((f.codes == code) & (design.weights > 0))
    given = parameters(fit)
    if quantile is not None and (given.is_point or not 0.0 < quantile < 1.0):
        raise ArgumentError(
            f"quantile={quantile!r} cannot be given.",
            fix="a probability for a posterior fit; a point fit has one matrix only",
        )
    residual, covariances = given.residual, list(given.covariances)
    structure = None if design.residual is None else design.residual.structure
    if quantile is None and structure is None:
        # linear in both: the mean of the matrices is the matrix of the means
        residual, covariances = residual.mean()[None], [c.mean(axis=0)[None] for c in covariances]
    matrix = np.empty((len(rows), len(rows)))
    for at, i in enumerate(rows):
        V = np.zeros((len(residual), len(rows)))
        V[:, at] = residual / design.weights[i]
        if structure is not None and design.residual is not None:
            codes, position = design.residual.codes[rows], design.residual.position[rows]
            R = structure.row(codes, position, at, given.structure)
            V = residual[:, None] * R / np.sqrt(design.weights[i] * design.weights[rows])
        for other, cov in zip(design.factors, covariances, strict=True):
            same = other.codes[rows] == other.codes[i]
            V[:, same] += (other.columns[i] @ cov) @ other.columns[rows[same]].T
        matrix[at] = V.mean(axis=0) if quantile is None else np.quantile(V, quantile, axis=0)
    labels = design.rows.index[design.rows.kept][rows]
    return pd.DataFrame(matrix, index=labels, columns=labels)


def _is_point(fit: Any) -> bool:
    return getattr(fit, "datatree", None) is None


def _has_fixed_effects(fit: Any) -> bool:
    """Whether they are known: a posterior may have been sampled without keeping them."""
    return _is_point(fit) or fit.design.p == 0 or "beta" in fit.datatree["posterior"].data_vars


def _latent_variance(family: Family) -> float:
    if family.name in ("bernoulli", "binomial") and family.link.name in _LATENT:
        return float(_LATENT[family.link.name])
    raise ArgumentError(
        f"a {family.name} model with {family.link.name} link has no residual variance on the "
        "scale of its linear predictor.",
        fix="variance shares exist for Gaussian models (identity link) and for binary outcomes "
        "(logit, probit, cloglog)",
    )


def _described(
    given: Parameters, values: Sequence[FloatArray], level: float, name: str = "estimate"
) -> pd.DataFrame:
    """One column of estimates, or the columns that describe draws."""
    columns = np.array(values).T
    if given.is_point:
        return pd.DataFrame({name: columns[0]})
    return describe_draws(columns, level)


def _chosen_factors(design: Design, by: str | None) -> list[str]:
    _check_random(design)
    names = [f.name for f in design.factors]
    return names if by is None else [_one_factor(design, by).name]


def _check_random(design: Design) -> None:
    if not design.factors:
        raise ArgumentError(
            "this model has no random effects.", fix="a term such as (1 | group) in the formula"
        )


def _one_factor(design: Design, name: str | None) -> Factor:
    names = [f.name for f in design.factors]
    if name is None and len(names) == 1:
        return design.factors[0]
    if name not in names:
        close = None if name is None else suggest(name, names)
        raise ArgumentError(
            "which factor is meant?" if name is None else f"`{name}` is no grouping factor.",
            found=", ".join(names),
            fix=f"did you mean `{close}`?" if close else "one of these",
        )
    return design.factors[names.index(name)]


def _factor_of(covariance: FloatArray) -> FloatArray:
    """A matrix whose product with its transpose is the covariance, singular or not."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _slopes_note(design: Design) -> str:
    if all(tuple(f.column_names) == ("Intercept",) for f in design.factors):
        return ""
    return " With random slopes, a factor's variance is the mean over rows of z'Sigma z."


def _draws_note(given: Parameters, level: float) -> str:
    return "" if given.is_point else f" Equal-tailed {100 * level:g} % intervals of draws."
