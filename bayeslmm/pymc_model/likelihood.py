"""A family's likelihood in PyMC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm.design.design import Design
from bayeslmm.design.residual import ResidualRows
from bayeslmm.families.links import Link
from bayeslmm.priors.names import observed_name


def add_likelihood(design: Design, eta: Any, aux: Mapping[str, Any], used: Any) -> Any:
    """Add the observed variable, named as the response, with dimension ``obs``."""
    make = LIKELIHOODS[design.family.name]
    return make(observed_name(design), design, eta, aux, used)


def logit_of(link: Link, eta: Any) -> Any:
    """Logit of the probability, exact in both tails: log p - log(1 - p)."""
    if link.name == "logit":
        return eta
    if link.name == "probit":
        standard = pm.Normal.dist(0.0, 1.0)
        return pm.logcdf(standard, eta) - pm.logcdf(standard, -eta)
    rate = pt.exp(eta)
    return pt.log1mexp(-rate) + rate


def _gaussian(name: str, design: Design, eta: Any, aux: Mapping[str, Any], used: Any) -> Any:
    weights = design.weights[used]
    sigma = aux["sigma"]
    if design.residual is not None:
        return _structured(name, design, design.residual, eta, aux, used)
    sd = sigma if np.all(weights == 1) else sigma / np.sqrt(weights)
    return pm.Normal(name, eta, sd, observed=design.y[used], dims="obs")


def _structured(
    name: str, design: Design, rows: ResidualRows, eta: Any, aux: Mapping[str, Any], used: Any
) -> Any:
    """Each row given those of its block before it: one normal density a row."""
    order, root = rows.order(used), np.sqrt(design.weights[used])
    given = aux[rows.variable]
    many = len(rows.names)
    values = [given] if rows.structure.correlated else [given[k] for k in range(many)]
    c, s = rows.structure.form(order, values)
    y, back = design.y[used], np.argsort(order.rows)
    eta = pt.broadcast_to(eta, y.shape)
    h = (root * (y - eta))[order.rows]
    mean = (c * rows.structure.past(order, h))[back] if rows.structure.correlated else 0.0
    return pm.Normal(name, eta + mean / root, aux["sigma"] * s[back] / root, observed=y, dims="obs")


def _bernoulli(name: str, design: Design, eta: Any, aux: Mapping[str, Any], used: Any) -> Any:
    y = design.y[used].astype(np.int64)
    return pm.Bernoulli(name, logit_p=logit_of(design.family.link, eta), observed=y, dims="obs")


def _binomial(name: str, design: Design, eta: Any, aux: Mapping[str, Any], used: Any) -> Any:
    assert design.trials is not None
    y, m = design.y[used].astype(np.int64), design.trials[used].astype(np.int64)
    logit_p = logit_of(design.family.link, eta)
    return pm.Binomial(name, n=m, logit_p=logit_p, observed=y, dims="obs")


def _poisson(name: str, design: Design, eta: Any, aux: Mapping[str, Any], used: Any) -> Any:
    y = design.y[used].astype(np.int64)
    return pm.Poisson(name, mu=pt.exp(eta), observed=y, dims="obs")


def _negativebinomial(
    name: str, design: Design, eta: Any, aux: Mapping[str, Any], used: Any
) -> Any:
    y = design.y[used].astype(np.int64)
    return pm.NegativeBinomial(name, mu=pt.exp(eta), alpha=aux["alpha"], observed=y, dims="obs")


LIKELIHOODS: dict[str, Callable[[str, Design, Any, Mapping[str, Any], Any], Any]] = {
    "gaussian": _gaussian,
    "bernoulli": _bernoulli,
    "binomial": _binomial,
    "poisson": _poisson,
    "negativebinomial": _negativebinomial,
}
