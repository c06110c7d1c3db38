"""Which way to sample a model: what can be integrated out, and what it would cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bayeslmm.design.design import Design
from bayeslmm.errors import ArgumentError, suggest
from bayeslmm.priors import PriorSet

Parameterization = Literal["auto", "marginal", "noncentered", "centered"]

NUTS = "nutpie"
"""The sampler that steps, unless another is asked for."""

# Random effects beside the largest factor's that an evaluation can factorise fast enough
# for the thousands that NUTS asks for.
MANY_EFFECTS = 400
# Variance parameters in which an independent proposal still fits the posterior.
FEW_PARAMETERS = 8
# Rows a level from which, without a fit to tell, effects are taken to be well known.
MANY_ROWS = 50


@dataclass(frozen=True, slots=True)
class Plan:
    """How a posterior will be sampled, and why."""

    parameterization: Literal["marginal", "noncentered", "centered"]
    sampler: str
    because: str


def choose(design: Design, priors: PriorSet, asked: str, sampler: str) -> Plan:
    """The parameterization asked for, or the best that the model allows.

    Raises
    ------
    ArgumentError
        An unknown name, or ``"marginal"`` for a model or sampler that cannot do it.
    """
    if asked not in get_args(Parameterization):
        near = suggest(str(asked), get_args(Parameterization))
        raise ArgumentError(
            "parameterization= takes one of four names.",
            found=repr(asked),
            fix=f'did you mean "{near}"?'
            if near
            else 'use "auto", "marginal", "noncentered" or "centered"',
        )
    obstacle = _obstacle(design, priors, sampler)
    if asked == "marginal" and obstacle:
        raise ArgumentError(
            f'parameterization="marginal" cannot be: {obstacle}.',
            fix='parameterization="auto" chooses another',
        )
    if sampler == "independence" and (obstacle or asked not in ("auto", "marginal")):
        raise ArgumentError(
            'sampler="independence" samples the marginal posterior'
            + (f", and here {obstacle}." if obstacle else "."),
            fix='parameterization="marginal"' if not obstacle else 'sampler="nutpie"',
        )
    if asked not in ("auto", "marginal"):
        return Plan(asked, NUTS if sampler == "auto" else sampler, "as asked")  # type: ignore[arg-type]
    exact = "fixed and random effects integrate out exactly"
    if not obstacle:
        parameters = sum(int(f.pattern.sum()) for f in design.factors) + 1
        if sampler == "auto" and parameters <= FEW_PARAMETERS:
            because = f"{exact}, and {parameters} variance parameters are few enough to propose"
            return Plan("marginal", "independence", f"{because} independently")
        many = _effects_to_factorise(design)
        if asked == "marginal" or sampler == "independence" or many <= MANY_EFFECTS:
            because = "as asked" if asked == "marginal" else exact
            return Plan("marginal", NUTS if sampler == "auto" else sampler, because)
        obstacle = f"{many} crossed random effects make an evaluation of the integral slow"
    return full_plan(design, NUTS if sampler == "auto" else sampler, obstacle)


def full_plan(design: Design, sampler: str, because: str) -> Plan:
    """The way to sample everything."""
    rows = min((design.n / f.n_levels for f in design.factors), default=0.0)
    if rows >= MANY_ROWS:
        return Plan(
            "centered", sampler, f"{because}; every level has many rows ({rows:.0f} on average)"
        )
    return Plan("noncentered", sampler, because)


def _obstacle(design: Design, priors: PriorSet, sampler: str) -> str:
    """What keeps the effects from being integrated out; empty if nothing does."""
    if design.family.name != "gaussian" or design.family.link.name != "identity":
        return "the response is not Gaussian with identity link"
    if design.residual is not None:
        return f"residuals have a structure ({design.residual.structure.words})"
    if priors.normal_beta() is None:
        return "a prior of a fixed effect is neither Normal nor Flat"
    if sampler not in ("auto", NUTS, "independence"):
        return f"{sampler} samples a PyMC model, with all effects in it"
    return ""


def _effects_to_factorise(design: Design) -> int:
    """Random effects but those of the largest factor."""
    sizes = sorted(f.n_levels * f.n_columns for f in design.factors)
    return sum(sizes[:-1])
