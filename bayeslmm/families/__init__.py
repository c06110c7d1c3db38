"""Distributions of the response: link, log density and its derivatives, simulation.

A family knows nothing of a model or of PyMC. All of its functions work a row at a
time and broadcast over leading dimensions (chains, draws): ``eta`` has shape
``(..., n)``, an auxiliary parameter such as ``sigma`` has shape ``(...)``.

What weights mean: in the Gaussian family they are relative precisions, the SD of a
row being ``sigma / sqrt(weight)``; in the other families, which have no scale, they
multiply the row's log density. A row of weight zero carries no information anywhere.
"""

from bayeslmm.families.binary import Bernoulli, Binomial
from bayeslmm.families.counts import NegativeBinomial, Poisson
from bayeslmm.families.family import Family
from bayeslmm.families.gaussian import Gaussian
from bayeslmm.families.links import Cloglog, Identity, Link, Log, Logit, Probit, resolve_link
from bayeslmm.families.resolve import resolve_family

__all__ = [
    "Bernoulli",
    "Binomial",
    "Cloglog",
    "Family",
    "Gaussian",
    "Identity",
    "Link",
    "Log",
    "Logit",
    "NegativeBinomial",
    "Poisson",
    "Probit",
    "resolve_family",
    "resolve_link",
]
