"""A user's priors laid over the defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import PriorError, suggest
from bayeslmm.priors.defaults import (
    CORRELATION,
    default_auxiliary,
    default_beta,
    default_centre,
    default_residual,
    default_sd,
    response_scale,
)
from bayeslmm.priors.lkj import LKJ
from bayeslmm.priors.names import INTERCEPT, corr_name, correlated_blocks, of, sd_name
from bayeslmm.priors.positive import HalfNormal, HalfStudentT
from bayeslmm.priors.prior import Prior
from bayeslmm.priors.real import Flat, Normal, StudentT, Uniform
from bayeslmm.priors.table import PriorSet

if TYPE_CHECKING:
    from bayeslmm.design.design import Design


# Correlations of residuals, whose priors need ends.
_CORRELATIONS = ("ar1", "rho")


def resolve_priors(design: Design, user: Mapping[str, Prior] | None = None) -> PriorSet:
    """Prior of every parameter of a design: the user's where given, else the default.

    Parameters
    ----------
    design : Design
    user : mapping of str to Prior, optional
        Names are ``beta[<column>]``, ``beta`` (every coefficient but the intercept),
        ``sd_<factor>[<column>]``, ``sd_<factor>`` (all of the factor's),
        ``corr_<factor>``, ``sigma``, ``alpha``; of a residual structure ``ar1``, ``rho``,
        ``sd_ratio[<level>]`` and ``sd_ratio`` (of all levels). The more specific name wins.
        The prior of the intercept is about the response where predictors are at their means.

    Returns
    -------
    PriorSet

    Raises
    ------
    PriorError
        A name that no parameter of this model has, something that is not a prior, or
        a prior whose values the parameter cannot take.

    Examples
    --------
    ``resolve_priors(design, {"sd_Subject": HalfNormal(50), "beta[Days]": Normal(0, 10)})``
    """
    given = dict(user or {})
    _check_names(design, given)
    y = response_scale(design)
    sources: dict[str, str] = {}

    def choose(name: str, wide: str | None, default: Prior) -> Prior:
        for key in (name, wide):
            if key is not None and key in given:
                sources[name] = "user"
                return given[key]
        sources[name] = "default"
        return default

    beta = tuple(
        choose(of("beta", name), None if name == INTERCEPT else "beta", prior)
        for name, prior in zip(design.fixed_names, default_beta(design, y), strict=True)
    )
    sd: dict[str, tuple[Prior, ...]] = {}
    corr: dict[str, LKJ] = {}
    for f in design.factors:
        sd[f.name] = tuple(
            choose(of(sd_name(f.name), column), sd_name(f.name), prior)
            for column, prior in zip(f.column_names, default_sd(design, f, y), strict=True)
        )
        if f.has_correlations:
            lkj = choose(corr_name(f.name), None, CORRELATION)
            assert isinstance(lkj, LKJ)
            corr[f.name] = lkj
    auxiliary = {k: choose(k, None, v) for k, v in default_auxiliary(design, y).items()}
    residual = {
        k: choose(k, None if design.residual is None else design.residual.variable, v)
        for k, v in default_residual(design).items()
    }
    return PriorSet(
        fixed_names=design.fixed_names,
        beta=beta,
        centre=default_centre(design),
        columns={f.name: f.column_names for f in design.factors},
        sd=sd,
        corr=corr,
        blocks={f.name: correlated_blocks(f) for f in design.factors},
        auxiliary=auxiliary,
        residual=residual,
        sources=sources,
        response=design.response_name,
        link=design.family.link.name,
    )


def parameter_names(design: Design) -> list[str]:
    """Every name a prior may be given for, the widest last in its group."""
    names = [of("beta", c) for c in design.fixed_names]
    if any(c != INTERCEPT for c in design.fixed_names):
        names.append("beta")
    for f in design.factors:
        names += [of(sd_name(f.name), c) for c in f.column_names] + [sd_name(f.name)]
        if f.has_correlations:
            names.append(corr_name(f.name))
    residual: list[str] = []
    if design.residual is not None:
        residual = list(dict.fromkeys([*design.residual.names, design.residual.variable]))
    return [*names, *design.family.auxiliary, *residual]


def _check_names(design: Design, given: Mapping[str, Any]) -> None:
    names = parameter_names(design) if given else []
    for name, prior in given.items():
        if name not in names:
            raise _unknown(design, str(name), names)
        if not isinstance(prior, Prior):
            raise PriorError(
                f"the prior of `{name}` is not a prior.",
                found=f"{prior!r} ({type(prior).__name__})",
                fix=f"use a prior object such as {_example(name)!r}",
            )
        if name in _CORRELATIONS:
            _check_interval(name, prior, *default_residual(design)[name].bounds)
        else:
            _check_support(name, prior)


def _check_interval(name: str, prior: Prior, low: float, high: float) -> None:
    """Refuse a prior of a residual correlation that is not within its interval."""
    if isinstance(prior, LKJ) or prior.bounds[0] < low or prior.bounds[1] > high:
        raise PriorError(
            f"{prior!r} cannot be the prior of `{name}`, which lies between {low:g} and {high:g}.",
            fix=f"use for example {Uniform(max(low, 0.0), high)!r}",
        )


def _unknown(design: Design, name: str, names: list[str]) -> PriorError:
    """The error for a name that no parameter has."""
    what = f"no parameter of this model is called `{name}`."
    for f in design.factors:
        if name == corr_name(f.name):
            what = f"the effects of `{f.name}` have no correlation here, so `{name}` has no prior."
    if name in ("sigma", "alpha"):
        what = f"the {design.family.name} family has no `{name}`."
    near = of("beta", name) if name in design.fixed_names else suggest(name, names)
    fix = f"did you mean `{near}`?" if near else "use one of the names above"
    return PriorError(what, found=", ".join(names), fix=fix)


def _kind(name: str) -> str:
    """What a parameter can be: a coefficient, a positive number or correlations."""
    if name == "beta" or name.startswith("beta["):
        return "real"
    return "correlation" if name.startswith("corr_") else "positive"


def _example(name: str) -> Prior:
    examples: dict[str, Prior] = {"real": Normal(0, 1), "correlation": LKJ(2)}
    return examples.get(_kind(name), HalfNormal(1))


def _check_support(name: str, prior: Prior) -> None:
    """Refuse a prior with values its parameter cannot take."""
    kind = _kind(name)
    if (kind == "correlation") != isinstance(prior, LKJ):
        what = "correlations" if kind == "correlation" else "a single number, not correlations"
        raise PriorError(
            f"{prior!r} cannot be the prior of `{name}`: that is {what}.",
            fix=f"use for example {_example(name)!r}",
        )
    if kind != "positive" or isinstance(prior, Flat) or prior.bounds[0] >= 0:
        return
    half: Prior = HalfNormal(1)
    if isinstance(prior, Normal):
        half = HalfNormal(prior.sigma)
    elif isinstance(prior, StudentT):
        half = HalfStudentT(prior.nu, prior.sigma)
    elif isinstance(prior, Uniform) and prior.upper > 0:
        half = Uniform(0, prior.upper)
    low = prior.bounds[0]
    raise PriorError(
        f"{prior!r} cannot be the prior of `{name}`: it is never negative.",
        found=f"a prior that starts at {'minus infinity' if low == -math.inf else f'{low:g}'}",
        fix=f"use {half!r}",
    )
