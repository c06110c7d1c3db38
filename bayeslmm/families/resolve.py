"""Families by name."""

from __future__ import annotations

from bayeslmm.errors import ArgumentError, suggest
from bayeslmm.families.binary import Bernoulli, Binomial
from bayeslmm.families.counts import NegativeBinomial, Poisson
from bayeslmm.families.family import Family
from bayeslmm.families.gaussian import Gaussian

FAMILIES: dict[str, type[Family]] = {
    "gaussian": Gaussian,
    "bernoulli": Bernoulli,
    "binomial": Binomial,
    "poisson": Poisson,
    "negativebinomial": NegativeBinomial,
}
ALIASES = {
    "normal": "gaussian",
    "nbinom": "negativebinomial",
    "negative_binomial": "negativebinomial",
}


def resolve_family(family: str | Family) -> Family:
    """The family of a name; a `Family` is returned as it is.

    Parameters
    ----------
    family : str or Family
        A name is read without regard to case and gives the family its own link;
        for another link pass the family itself, ``Bernoulli(link="probit")``.

    Raises
    ------
    ArgumentError
        No family has that name.

    Examples
    --------
    >>> resolve_family("normal")
    Gaussian(link='identity')
    """
    if isinstance(family, Family):
        return family
    if isinstance(family, str):
        name = family.casefold()
        name = ALIASES.get(name, name)
        if name in FAMILIES:
            return FAMILIES[name]()
        near = suggest(name, [*FAMILIES, *ALIASES])
        fix = f"did you mean `{near}`?" if near else f"use one of {', '.join(FAMILIES)}"
        raise ArgumentError(f"no family is called `{family}`.", found=f"{family!r}", fix=fix)
    raise ArgumentError(
        "family= takes a name or a family object.",
        found=type(family).__name__,
        fix='family="poisson", or family=Bernoulli(link="probit")',
    )
