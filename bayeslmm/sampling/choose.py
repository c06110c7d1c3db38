"""Which way to sample a model: what can be integrated out, and what it would cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bayeslmm.design.design import Design
from bayeslmm.errors import ArgumentError, suggest
from bayeslmm.priors import PriorSet

Parameterization = Literal["auto", "marginal", "noncentered", "centered"]

# Random effects outside the nested chain that an evaluation can factorise fast enough for
# the thousands that NUTS asks for.
MANY_EFFECTS = 400
# Rows a level from which, without a fit to tell, effects are taken to be well known.
MANY_ROWS = 50


@dataclass(frozen=True, slots=True)
class Plan:
    """How a posterior will be sampled, and why."""

    parameterization: Literal["marginal", "noncentered", "centered"]
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
    if asked != "auto":
        return Plan(asked, "as asked")  # type: ignore[arg-type]
    if not obstacle and (many := _effects_to_factorise(design)) > MANY_EFFECTS:
        obstacle = f"{many} crossed random effects make an evaluation of the integral slow"
    if not obstacle:
        return Plan("marginal", "fixed and random effects integrate out exactly")
    rows = min((design.n / f.n_levels for f in design.factors), default=0.0)
    if rows >= MANY_ROWS:
        return Plan("centered", f"{obstacle}; every level has many rows ({rows:.0f} on average)")
    return Plan("noncentered", obstacle)


def _obstacle(design: Design, priors: PriorSet, sampler: str) -> str:
    """What keeps the effects from being integrated out; empty if nothing does."""
    if design.family.name != "gaussian" or design.family.link.name != "identity":
        return "the response is not Gaussian with identity link"
    if priors.normal_beta() is None:
        return "a prior of a fixed effect is neither Normal nor Flat"
    if sampler != "nutpie":
        return f"{sampler} samples a PyMC model, with all effects in it"
    return ""


def _effects_to_factorise(design: Design) -> int:
    """Random effects but those of the largest factor."""
    sizes = sorted(f.n_levels * f.n_columns for f in design.factors)
    return sum(sizes[:-1])
