"""What every family answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from bayeslmm.arrays import FloatArray
from bayeslmm.errors import ArgumentError, DataError
from bayeslmm.families.links import Link, resolve_link

type Auxiliary = Mapping[str, ArrayLike]

NO_AUXILIARY: Auxiliary = {}


@dataclass(frozen=True, init=False)
class Family(ABC):
    """Distribution of the response given the linear predictor ``eta``.

    Parameters
    ----------
    link : Link or str, optional
        The family's own link by default.

    Attributes
    ----------
    name : str
        ``"gaussian"``, ``"poisson"``, ...
    link : Link
    links : tuple of str
        Links this family may have, its own first.
    auxiliary : tuple of str
        Parameters beside ``eta``: ``("sigma",)`` for the Gaussian.
    has_scale : bool
        Whether weights are relative precisions of a residual SD (Gaussian only);
        otherwise they multiply the log density.
    needs_trials : bool
        Whether the response is a count out of a number of trials.
    """

    link: Link

    name: ClassVar[str]
    links: ClassVar[tuple[str, ...]]
    auxiliary: ClassVar[tuple[str, ...]] = ()
    has_scale: ClassVar[bool] = False
    needs_trials: ClassVar[bool] = False

    def __init__(self, link: Link | str | None = None) -> None:
        chosen = resolve_link(self.links[0] if link is None else link, self.links)
        object.__setattr__(self, "link", chosen)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(link={self.link.name!r})"

    @abstractmethod
    def log_density(
        self,
        y: ArrayLike,
        eta: ArrayLike,
        *,
        aux: Auxiliary = NO_AUXILIARY,
        weights: ArrayLike = 1.0,
        trials: ArrayLike | None = None,
    ) -> FloatArray:
        """Log density of each row, normalised in ``y``.

        Parameters
        ----------
        y : array_like, shape (n,)
        eta : array_like, shape (..., n)
            Linear predictor, offset included.
        aux : mapping of str to array_like, shape (...)
            Auxiliary parameters, an entry for each name in ``auxiliary``.
        weights : array_like, shape (n,)
        trials : array_like, shape (n,), optional

        Returns
        -------
        ndarray, shape (..., n)
            Zero where the weight is zero.
        """

    @abstractmethod
    def score(
        self,
        y: ArrayLike,
        eta: ArrayLike,
        *,
        aux: Auxiliary = NO_AUXILIARY,
        weights: ArrayLike = 1.0,
        trials: ArrayLike | None = None,
    ) -> FloatArray:
        """Derivative of `log_density` with respect to ``eta``, shape (..., n)."""

    @abstractmethod
    def information(
        self,
        eta: ArrayLike,
        *,
        aux: Auxiliary = NO_AUXILIARY,
        weights: ArrayLike = 1.0,
        trials: ArrayLike | None = None,
    ) -> FloatArray:
        """Expected negative second derivative of `log_density` in ``eta``, shape (..., n)."""

    @abstractmethod
    def simulate(
        self,
        rng: np.random.Generator,
        eta: ArrayLike,
        *,
        aux: Auxiliary = NO_AUXILIARY,
        weights: ArrayLike = 1.0,
        trials: ArrayLike | None = None,
    ) -> FloatArray:
        """Draw a response for each row, shape (..., n).

        Gaussian rows of weight zero, whose SD has no value, are drawn with weight
        one. The families without a scale ignore weights here.
        """

    @abstractmethod
    def check_response(self, y: ArrayLike, trials: ArrayLike | None, name: str) -> None:
        """Raise `DataError` if ``y`` cannot come from this family.

        Parameters
        ----------
        y : array_like, shape (n,)
        trials : array_like, shape (n,), or None
        name : str
            Name of the response, for the message.
        """

    def mean(self, eta: ArrayLike, trials: ArrayLike | None = None) -> FloatArray:
        """Expected response, in units of ``y`` (successes if there are trials), shape (..., n)."""
        mu = self.link.inverse(eta)
        return mu if trials is None else mu * np.asarray(trials, dtype=np.float64)

    def _aux(self, aux: Auxiliary, name: str) -> FloatArray:
        """An auxiliary parameter with an axis for rows, shape (..., 1)."""
        if name not in aux:
            raise ArgumentError(
                f"the {self.name} family needs `{name}`.",
                found=", ".join(aux) or "no auxiliary parameter",
                fix=f"pass aux={{{name!r}: ...}}",
            )
        return np.asarray(aux[name], dtype=np.float64)[..., None]


def check_finite(y: FloatArray, name: str) -> None:
    """Refuse a response with infinite or missing values."""
    bad = ~np.isfinite(y)
    if bad.any():
        raise DataError(
            f"the response `{name}` has values that are not finite.",
            found=f"{int(bad.sum())} of {y.size}, the first in row {int(np.argmax(bad))}",
            fix="remove or replace these rows",
        )


def check_counts(y: FloatArray, name: str, family: str, fix: str) -> None:
    """Refuse a response that is not 0, 1, 2, ..."""
    check_finite(y, name)
    for bad, words in (
        (y < 0, "negative values"),
        (y != np.floor(y), "values that are no integers"),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(
                f"the response `{name}` of a {family} model must be counts (0, 1, 2, ...), "
                f"and it has {words}.",
                found=f"{y[row]:g} in row {row}; {int(bad.sum())} such of {y.size}",
                fix=fix,
            )
