"""Functions of a formula that R and formulae compute differently, R's way.

The classes are stateful transforms of formulae: the first call learns from the
training data, later calls reuse what was learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import BSpline

from bayeslmm.errors import DataError

FloatArray = npt.NDArray[np.float64]


def elementwise(function: np.ufunc) -> Callable[[Any], Any]:
    """Wrap a numpy function so that it takes one argument and cannot write into another."""
    wrapped = partial(_apply, function)
    wrapped.__name__ = function.__name__  # type: ignore[attr-defined]
    return wrapped


def _apply(function: np.ufunc, x: Any, /) -> Any:
    # not inside `elementwise`: fits go to other processes
    return function(x)


def log(x: Any, base: float | None = None) -> Any:
    """Logarithm, natural unless a base is given, as in R."""
    return np.log(x) if base is None else np.log(x) / np.log(base)


def round_(x: Any, digits: int = 0) -> Any:
    """Round to ``digits`` decimals, halves to even."""
    return np.round(x, digits)


def paren(x: Any) -> Any:
    """Return ``x``: keeps parentheses, which formulae would drop from its labels."""
    return x


def values(*items: Any) -> list[Any]:
    """Return the arguments as a list, R's ``c(1, 2)``."""
    return list(items)


class Scale:
    """``(x - mean) / sd`` with the ``n - 1`` standard deviation of R's ``scale()``.

    With ``center=False`` the divisor is the root mean square over ``n - 1``, as in R.
    """

    __transform_name__ = "scale_"
    __stateful_transform__ = True

    def __init__(self) -> None:
        self._shift: float | None = None
        self._divisor = 1.0

    def __call__(self, x: Any, center: bool = True, scale: bool = True) -> FloatArray:
        """Standardise ``x``, shape (n,), by the mean and SD of the first call."""
        x = _numbers(x, "scale")
        if self._shift is None:
            self._shift = float(np.mean(x)) if center else 0.0
            if scale:
                self._divisor = _root_mean_square(x - self._shift)
        standardised: FloatArray = (x - self._shift) / self._divisor
        return standardised


class Poly:
    """Orthonormal polynomials of R's ``poly()``, or plain powers if ``raw``.

    Column ``k`` is the polynomial of degree ``k``, orthogonal over the training
    rows to those of lower degree and to 1, of length one, with a positive leading
    coefficient. Three-term recurrence of Kennedy & Gentle (1980, section 8.6).
    """

    __transform_name__ = "poly_"
    __stateful_transform__ = True

    def __init__(self) -> None:
        self._alpha: list[float] | None = None
        self._norm2: list[float] = []

    def __call__(self, x: Any, degree: int = 1, raw: bool = False) -> FloatArray:
        """Return the basis at ``x``, shape (n, degree)."""
        x = _numbers(x, "poly")
        if isinstance(degree, bool) or int(degree) != degree or degree < 1:
            raise DataError(f"the degree of poly() must be a whole number from 1, not {degree}.")
        degree = int(degree)
        if raw:
            return np.column_stack([x**k for k in range(1, degree + 1)])
        if self._alpha is None:
            self._learn(x, degree)
        return self._evaluate(x, degree)

    def _learn(self, x: FloatArray, degree: int) -> None:
        distinct = len(np.unique(x))
        if degree >= distinct:
            raise DataError(
                f"poly() of degree {degree} needs more than {distinct} different values.",
                fix=f"a degree of at most {distinct - 1}",
            )
        alpha, norm2 = [float(np.mean(x))], [1.0, float(len(x))]
        before, current = np.zeros_like(x), np.ones_like(x)
        for k in range(1, degree + 1):
            before, current = current, self._step(x, current, before, alpha, norm2, k)
            norm2.append(float(current @ current))
            alpha.append(float((x * current) @ current / norm2[-1]))
        self._alpha, self._norm2 = alpha, norm2

    @staticmethod
    def _step(
        x: FloatArray,
        current: FloatArray,
        before: FloatArray,
        alpha: Sequence[float],
        norm2: Sequence[float],
        k: int,
    ) -> FloatArray:
        if k == 1:
            return x - alpha[0]
        return (x - alpha[k - 1]) * current - norm2[k] / norm2[k - 1] * before

    def _evaluate(self, x: FloatArray, degree: int) -> FloatArray:
        assert self._alpha is not None
        columns = np.empty((len(x), degree))
        before, current = np.zeros_like(x), np.ones_like(x)
        for k in range(1, degree + 1):
            step = self._step(x, current, before, self._alpha, self._norm2, k)
            before, current = current, step
            columns[:, k - 1] = current / np.sqrt(self._norm2[k + 1])
        return columns


class Splines:
    """B-spline basis of R's ``splines::bs()``.

    Inner knots stand at quantiles of the training values; without ``intercept`` the
    first basis function is left out. Beyond the boundary the last polynomial piece
    goes on.
    """

    __transform_name__ = "bs_"
    __stateful_transform__ = True

    def __init__(self) -> None:
        self._knots: FloatArray | None = None

    def __call__(
        self,
        x: Any,
        df: int | None = None,
        knots: Any = None,
        degree: int = 3,
        intercept: bool = False,
        lower_bound: float | None = None,
        upper_bound: float | None = None,
    ) -> FloatArray:
        """Return the basis at ``x``, shape (n, df)."""
        x = _numbers(x, "bs")
        if self._knots is None:
            low = float(np.min(x)) if lower_bound is None else float(lower_bound)
            high = float(np.max(x)) if upper_bound is None else float(upper_bound)
            inner = _inner_knots(x, df, knots, degree, intercept)
            if low >= high or np.any(inner <= low) or np.any(inner >= high):
                raise DataError(
                    f"the knots of bs() must lie inside its bounds, {low:g} to {high:g}.",
                    found=", ".join(f"{k:g}" for k in inner),
                )
            edge = [low] * (degree + 1), [high] * (degree + 1)
            self._knots = np.concatenate([edge[0], inner, edge[1]])
        n_basis = len(self._knots) - degree - 1
        basis = BSpline(self._knots, np.eye(n_basis), degree)(x)
        return np.asarray(basis if intercept else basis[:, 1:])


def _inner_knots(
    x: FloatArray, df: int | None, knots: Any, degree: int, intercept: bool
) -> FloatArray:
    if knots is not None:
        return np.sort(np.atleast_1d(np.asarray(knots, dtype=np.float64)))
    least = degree + int(intercept)
    if df is None:
        df = least
    if int(df) != df or df < least:
        raise DataError(
            f"bs() of degree {degree} needs df of at least {least}, a whole number.",
            found=f"df={df}",
        )
    fractions = np.linspace(0, 1, int(df) - least + 2)[1:-1]
    return np.asarray(np.quantile(x, fractions), dtype=np.float64)


def _numbers(x: Any, function: str) -> FloatArray:
    try:
        array = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty((0, 0))
    if array.ndim != 1:
        raise DataError(f"{function}() takes one numeric column.")
    return array


def _root_mean_square(x: FloatArray) -> float:
    if len(x) < 2 or not np.any(x):
        raise DataError("scale() needs a column that varies.")
    return float(np.sqrt(x @ x / (len(x) - 1)))
