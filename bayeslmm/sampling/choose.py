"""Which way to sample a model: what can be integrated out, and what it would cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from bayeslmm.design.centring import Way, check_ways
from bayeslmm.design.design import Design
from bayeslmm.errors import ArgumentError, suggest
from bayeslmm.priors import PriorSet
from bayeslmm.sampling.approximation import Approximation, approximate
from bayeslmm.sampling.reliability import level_reliabilities

Parameterization = Literal["auto", "marginal", "noncentered", "centered"]

NUTS = "nutpie"
"""The sampler that steps, unless another is asked for."""

# Random effects beside the largest factor's that an evaluation can factorise fast enough
# for the thousands that NUTS asks for.
MANY_EFFECTS = 400
# Variance parameters in which an independent proposal still fits the posterior.
FEW_PARAMETERS = 8
# Reliability of a factor's effects, averaged over levels, above which they are centered.
RELIABLE = 0.6


@dataclass(frozen=True, slots=True)
class Plan:
    """How a posterior will be sampled, and why.

    Attributes
    ----------
    parameterization : str
        ``"marginal"``, ``"noncentered"``, ``"centered"``, or words that say which factors
        are which.
    sampler : str
    because : str
    ways : mapping of str to str
        ``"noncentered"`` or ``"centered"``, by factor, where effects are sampled.
    approximation : Approximation, optional
        The fast fit, where effects are sampled and it could be had.
    """

    parameterization: str
    sampler: str
    because: str
    ways: Mapping[str, Way] = field(default_factory=dict)
    approximation: Approximation | None = None


def choose(design: Design, priors: PriorSet, asked: str | Mapping[str, Way], sampler: str) -> Plan:
    """The parameterization asked for, or the best that the model allows.

    Raises
    ------
    ArgumentError
        An unknown name, or ``"marginal"`` for a model or sampler that cannot do it.
    """
    check_parameterization(design, asked)
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
        because = "as asked" if isinstance(asked, str) else "all effects are sampled"
        return full_plan(design, priors, asked, NUTS if sampler == "auto" else sampler, because)
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
    return full_plan(design, priors, {}, NUTS if sampler == "auto" else sampler, obstacle)


def check_parameterization(design: Design, asked: str | Mapping[str, Way]) -> None:
    """Refuse what is neither a known name nor a way for some of the factors."""
    if isinstance(asked, Mapping):
        check_ways(design, asked)
        return
    if asked not in get_args(Parameterization):
        near = suggest(str(asked), get_args(Parameterization))
        raise ArgumentError(
            "parameterization= takes one of four names, or a name for each factor.",
            found=repr(asked),
            fix=f'did you mean "{near}"?'
            if near
            else 'use "auto", "marginal", "noncentered" or "centered"',
        )


def full_plan(
    design: Design,
    priors: PriorSet,
    asked: str | Mapping[str, Way],
    sampler: str,
    because: str,
) -> Plan:
    """The way to sample everything: that asked for, and else the better one by factor.

    Parameters
    ----------
    asked : str or mapping
        One way for all factors, or those of some; the others' are chosen.
    because : str
        Why everything is sampled.
    """
    names = [f.name for f in design.factors]
    approximation = approximate(design, priors)
    if isinstance(asked, str):
        ways = dict.fromkeys(names, cast(Way, asked))
        return Plan(asked, sampler, because, ways, approximation)
    ways, reasons = _best_ways(design, approximation)
    ways |= asked
    reasons |= dict.fromkeys(asked, "as asked")
    said = [because, *(f"{ways[name]} for {name} ({reasons[name]})" for name in names)]
    return Plan(_in_words(ways), sampler, "; ".join(said), ways, approximation)


def _best_ways(
    design: Design, approximation: Approximation | None
) -> tuple[dict[str, Way], dict[str, str]]:
    """The better way of each factor's effects, and why."""
    names = [f.name for f in design.factors]
    ways: dict[str, Way] = dict.fromkeys(names, "noncentered")
    reasons = dict.fromkeys(names, "no fast fit to tell")
    if approximation is None:
        return ways, reasons
    known = level_reliabilities(approximation)
    for f in design.factors:
        mean, rows = float(known[f.name].mean()), design.n_effective / f.n_levels
        many = f"{rows:.0f}" if rows >= 100 else f"{rows:.3g}"
        reasons[f.name] = f"{many} rows a level, reliability {mean:.2f}"
        if mean > RELIABLE:
            ways[f.name] = "centered"
    return ways, reasons


def _in_words(ways: Mapping[str, Way]) -> str:
    """One word where all factors have the same way, else the factors of each."""
    if len(set(ways.values())) < 2:
        return next(iter(ways.values()), "noncentered")
    return ", ".join(
        f"{way} for {' and '.join(name for name in ways if ways[name] == way)}"
        for way in dict.fromkeys(ways.values())
    )


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
