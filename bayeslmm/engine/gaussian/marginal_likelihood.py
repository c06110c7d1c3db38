"""The marginal likelihood of SDs, correlations and sigma, with no prior of theirs in it.

Coordinates, all unbounded: the log of every SD, factor by factor; the inverse hyperbolic
tangent of every partial correlation (see `bayeslmm.priors.lkj`), factor by factor and
block by block; log sigma. The value is that of p(y | SDs, correlations, sigma) with its
constants, so it has no Jacobian.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.compiled import fingerprint, kernel
from bayeslmm.engine.gaussian.coordinates import Spec, collect, expand
from bayeslmm.engine.gaussian.marginal import MarginalPosterior
from bayeslmm.engine.gaussian.small import small_evaluate
from bayeslmm.engine.gaussian.small_problem import SmallProblem
from bayeslmm.errors import ArgumentError
from bayeslmm.priors import Flat, PriorSet


class Compiled(NamedTuple):
    """Arguments of `evaluate_small` after the coordinates.

    ``mean`` (p,): that of the normal prior of the working fixed effects; ``constant``:
    what the log likelihood holds beside its moving part.
    """

    spec: Spec
    given: SmallProblem
    mean: FloatArray
    constant: float


@kernel
def evaluate_small(x: FloatArray, arguments: Compiled) -> Any:
    """Log likelihood and its gradient at coordinates x; -inf outside."""
    spec, given, mean, constant = arguments
    theta, Ts, Ls, sds, sigma, inside, _ = expand(x, spec)
    slope = np.zeros(len(x))
    if not np.isfinite(inside):
        return -np.inf, slope
    s2 = sigma * sigma
    logdet, r2, G, R, _, _, v, C, _ = small_evaluate(theta, given, s2, False)
    if not r2 > 0.0:
        return -np.inf, slope
    by_sigma = r2 / s2 - given.df
    q = len(v) - given.p
    for i in range(given.p):
        for j in range(given.p):
            d = (v[q + i] - mean[i]) * (v[q + j] - mean[j])
            covariance = C[q + i, q + j] if j <= i else C[q + j, q + i]
            by_sigma -= given.precision[i, j] * (d + s2 * covariance)
    collect(x, theta, R / s2 - G, by_sigma, Ts, Ls, sds, sigma, spec, slope)
    moving = logdet + 2.0 * given.df * np.log(sigma) + r2 / s2
    return constant - 0.5 * moving, slope


class MarginalLikelihood(MarginalPosterior):
    """Log p(y | SDs, correlations, sigma) and its gradient, and exact draws given them.

    The fixed effects are integrated over their normal or flat prior, the random effects
    over their distribution. Called with coordinates (size,), it gives the value and the
    gradient (size,).

    Parameters
    ----------
    design : Design
    priors : PriorSet
        Those of the fixed effects count, no others.

    Raises
    ------
    ArgumentError
        The response is not Gaussian with identity link.
    PriorError
        A prior of a fixed effect is neither Normal nor Flat.
    """

    def __init__(self, design: Design, priors: PriorSet) -> None:
        check_integrable(design, priors)
        flat = {k: tuple(Flat() for _ in v) for k, v in priors.sd.items()}
        super().__init__(design, replace(priors, sd=flat, auxiliary={"sigma": Flat()}))
        self._constant = -0.5 * self.objective.constant

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log likelihood and its gradient; -inf outside."""
        x = np.ascontiguousarray(x, dtype=np.float64)
        arguments = self.compiled
        if arguments is not None:
            value, slope = evaluate_small(x, arguments)
            return float(value), slope
        slope = np.zeros(self.size)
        theta, Ts, Ls, sds, sigma, inside, _ = expand(x, self._spec)
        point = self._general(np.append(theta, math.log(sigma))) if np.isfinite(inside) else None
        if point is None:
            return -np.inf, slope
        moving, gradient, by_sigma = point
        collect(x, theta, -0.5 * gradient, -0.5 * by_sigma, Ts, Ls, sds, sigma, self._spec, slope)
        return self._constant - 0.5 * moving, slope

    @property
    def compiled(self) -> Compiled | None:
        """Arguments of `evaluate_small`; None for a model that is too large for it."""
        prior = self.objective.fixed_prior
        if self.small is None or prior is None:
            return None
        return Compiled(self._spec, self.small, prior.mean, self._constant)

    def digest(self) -> str:
        """Names an evaluation: the same for equal arguments and unchanged kernels."""
        found = hashlib.sha256(fingerprint().encode())
        arguments = self.compiled
        if arguments is not None:
            spec, given, mean, constant = arguments
            for item in (*spec, *given, mean, constant):
                array = np.ascontiguousarray(item)
                found.update(f"{array.dtype.str}{np.shape(item)}".encode())
                found.update(array.tobytes())
        return found.hexdigest()


def check_integrable(design: Design, priors: PriorSet) -> None:
    """Refuse a model whose effects do not integrate out in closed form.

    Raises
    ------
    ArgumentError
        The response is not Gaussian with identity link.
    PriorError
        A prior of a fixed effect is neither Normal nor Flat.
    """
    family = design.family
    if family.name != "gaussian" or family.link.name != "identity":
        raise ArgumentError(
            "effects integrate out exactly for a Gaussian response with identity link only.",
            found=f"{family.name} ({family.link.name})",
            fix='to_pymc("noncentered") has all effects in the model',
        )
    priors.integrable_beta(
        'use bl.Normal, or to_pymc("noncentered"), which has all effects in the model'
    )
