"""Prior densities of SDs, in compiled code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.compiled import kernel
from bayeslmm.errors import PriorError
from bayeslmm.priors import (
    Exponential,
    Flat,
    Gamma,
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    LogNormal,
    Prior,
    Uniform,
)

# positions are the codes of `log_density`
_CLASSES: tuple[type[Prior], ...] = (
    Flat, Uniform, HalfNormal, HalfStudentT, HalfCauchy, Exponential, Gamma, InverseGamma,
    LogNormal,
)  # fmt: skip


@kernel
def log_density(code: int, a: float, b: float, x: float) -> Any:
    """Log density at x > 0 but for its constant, and its derivative.

    ``a`` and ``b`` are the arguments of the prior class in their order.
    """
    if code == 2:
        return -0.5 * (x / a) ** 2, -x / (a * a)
    if code == 3:
        return -0.5 * (a + 1.0) * np.log1p((x / b) ** 2 / a), -(a + 1.0) * x / (a * b * b + x * x)
    if code == 4:
        return -np.log1p((x / a) ** 2), -2.0 * x / (a * a + x * x)
    if code == 5:
        return -a * x, -a
    if code == 6:
        return (a - 1.0) * np.log(x) - b * x, (a - 1.0) / x - b
    if code == 7:
        return -(a + 1.0) * np.log(x) - b / x, (b / x - a - 1.0) / x
    if code == 8:
        z = (np.log(x) - a) / b
        return -0.5 * z * z - np.log(x), -(1.0 + z / b) / x
    return 0.0, 0.0


def density_codes(
    priors: Sequence[Prior],
) -> tuple[IntArray, FloatArray, FloatArray, float]:
    """Codes, arguments (n, 2), bounds (n, 2) and the sum of constants of positive priors.

    Raises
    ------
    PriorError
        A prior of a class without a code.
    """
    n = len(priors)
    codes, arguments = np.empty(n, dtype=np.int64), np.ones((n, 2))
    bounds, constant = np.empty((n, 2)), 0.0
    for i, prior in enumerate(priors):
        if type(prior) not in _CLASSES:
            raise PriorError(
                "the marginal posterior knows the priors of this package on SDs only.",
                found=repr(prior),
                fix='use one of them, or parameterization="noncentered"',
            )
        codes[i] = _CLASSES.index(type(prior))
        given = list(prior.arguments.values())
        arguments[i, : len(given)] = given
        low, high = prior.bounds
        bounds[i] = max(low, 0.0), high
        inside = 0.5 * (bounds[i, 0] + high) if np.isfinite(high) else 1.0
        moving, _ = log_density(int(codes[i]), *arguments[i], inside)
        constant += float(prior.logpdf(inside)) - moving
    return codes, arguments, bounds, constant
