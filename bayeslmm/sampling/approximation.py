"""A Gaussian model close to a posterior: where sampling everything starts, and how it moves.

A Gaussian response is its own approximation. For other families it is the working model of
penalised quasi-likelihood (Breslow and Clayton 1993): a response ``eta + score / information``
with precision ``information``, at the linear predictor that fits it, so that its sigma is 1.
It is found by a few fits of the Gaussian engine, under the model's own priors of SDs and
correlations; its biases (SDs of few binary rows come out small) are those of a start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.design.residual import with_residual_values
from bayeslmm.engine.estimate import Estimate
from bayeslmm.engine.gaussian import fit_gaussian
from bayeslmm.errors import BayeslmmError
from bayeslmm.families import Family, Gaussian
from bayeslmm.priors import Flat, LogNormal, Normal, PriorSet

# Working fits, and the change of the linear predictor at which they end.
_FITS, _SETTLED = 8, 1e-2
# The prior that holds the working sigma at 1 outweighs the rows by this much.
_HELD = 1e4
# Beyond this a linear predictor of a link other than the identity is out of all data.
_FAR = 30.0
# Values of alpha among which the negative binomial's is sought.
_ALPHAS = np.geomspace(1e-2, 1e4, 61)


@dataclass(frozen=True, eq=False, slots=True)
class Approximation:
    """A Gaussian model, its joint mode, and the parameters it does not have.

    Attributes
    ----------
    design : Design
        Gaussian; for another family its response and weights are the working ones.
    priors : PriorSet
        Normal or flat on the fixed effects.
    estimate : Estimate
        The joint mode of SDs, correlations and sigma.
    others : dict of str to float or ndarray
        ``alpha``, or the parameter of the residual structure.
    """

    design: Design
    priors: PriorSet
    estimate: Estimate
    others: dict[str, float | FloatArray]

    @property
    def information(self) -> FloatArray:
        """Precision of each row about its linear predictor, shape (n,)."""
        return np.asarray(self.design.weights / self.estimate.sigma**2)


def approximate(design: Design, priors: PriorSet) -> Approximation | None:
    """The Gaussian model close to a posterior; None where none can be fitted."""
    try:
        with np.errstate(all="ignore"):
            if design.family.name == "gaussian":
                return _of_gaussian(design, priors)
            return _of_other_family(design, priors)
    except (BayeslmmError, np.linalg.LinAlgError):
        return None


def _of_gaussian(design: Design, priors: PriorSet) -> Approximation:
    normal = _with_normal_beta(priors)
    if design.residual is None:
        return Approximation(design, normal, fit_gaussian(design, "MAP", normal), {})
    from bayeslmm.engine.gaussian.residual import fit_structured

    estimate = fit_structured(design, "MAP", normal)
    values, rows = estimate.residual_values, design.residual
    others = {rows.variable: float(values[0]) if rows.structure.correlated else values}
    return Approximation(with_residual_values(design, values), normal, estimate, others)


def _of_other_family(design: Design, priors: PriorSet) -> Approximation:
    n = max(design.n_effective, 1)
    sigma = LogNormal(0.0, 1.0 / np.sqrt(_HELD * n))
    normal = replace(_with_normal_beta(priors), auxiliary={"sigma": sigma})
    eta = _first_predictor(design)
    for _ in range(_FITS):
        others = _best_alpha(design, priors, eta)
        working = _working_design(design, eta, others)
        estimate = fit_gaussian(working, "MAP", normal)
        found = np.clip(_linear_predictor(design, estimate), -_FAR, _FAR)
        change = np.abs(found - eta)[design.used].max(initial=0.0)
        eta = found
        if change < _SETTLED:
            break
    return Approximation(working, normal, estimate, others)


def _with_normal_beta(priors: PriorSet) -> PriorSet:
    """The priors, those of fixed effects that are neither normal nor flat taken as flat."""
    beta = tuple(p if isinstance(p, Normal | Flat) else Flat() for p in priors.beta)
    return replace(priors, beta=beta)


def _first_predictor(design: Design) -> FloatArray:
    """Linear predictor of each row by itself, drawn in from where the link is infinite."""
    family, y = design.family, design.y
    if family.link.name == "log":
        return np.asarray(np.log(y + 0.5))
    trials = np.ones_like(y) if design.trials is None else design.trials
    return family.link.link((y + 0.5) / (trials + 1.0))


def _working_design(design: Design, eta: FloatArray, aux: dict[str, float | FloatArray]) -> Design:
    """The Gaussian design whose likelihood has the family's slope and curvature at eta."""
    family: Family = design.family
    given = {"aux": aux, "weights": design.weights, "trials": design.trials}
    information = family.information(eta, **given)  # type: ignore[arg-type]
    score = family.score(design.y, eta, **given)  # type: ignore[arg-type]
    counts = information > 0
    y = eta + np.divide(score, information, out=np.zeros_like(eta), where=counts)
    weights = np.where(counts, information, 0.0)
    return replace(design, family=Gaussian(), y=y, weights=weights, trials=None)


def _linear_predictor(design: Design, estimate: Estimate) -> FloatArray:
    eta = design.offset + design.X @ estimate.beta
    for f, b in zip(design.factors, estimate.b, strict=True):
        eta = eta + (f.columns * b[f.codes]).sum(axis=1)
    return np.asarray(eta)


def _best_alpha(design: Design, priors: PriorSet, eta: FloatArray) -> dict[str, float | FloatArray]:
    """The negative binomial's alpha given a linear predictor: the best of a grid."""
    if priors.alpha is None:
        return {}
    rows = design.family.log_density(design.y, eta, aux={"alpha": _ALPHAS}, weights=design.weights)
    total = rows.sum(axis=-1) + priors.alpha.logpdf(_ALPHAS)
    return {"alpha": float(_ALPHAS[np.argmax(total)])}
