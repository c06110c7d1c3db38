"""What every fit answers, whichever engine made it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.errors import ArgumentError
from bayeslmm.priors import PriorSet
from bayeslmm.results.definition import ModelDefinition
from bayeslmm.results.labels import padded

Effects = Literal["fixed", "random", "variance"]


class Fit(ABC):
    """What every fit answers from its design alone."""

    design: Design
    priors: PriorSet

    @property
    @abstractmethod
    def definition(self) -> ModelDefinition:
        """What the model was made of."""

    @property
    def formula(self) -> str:
        """The formula as it was written."""
        return self.design.spec.text

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.design.n

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {f.name: f.n_levels for f in self.design.factors}

    @property
    def resid(self) -> FloatArray:
        """Conditional residuals, response minus fitted values, shape (n,)."""
        return padded(self.design, self.design.y) - self.fittedvalues

    @property
    @abstractmethod
    def fittedvalues(self) -> FloatArray:
        """Conditional expected responses of the training rows, shape (n,)."""


def unknown_effects(effects: str) -> ArgumentError:
    """The error for an ``effects=`` that is not one of `Effects`."""
    return ArgumentError(
        f"effects={effects!r} is not known.", fix='one of "fixed", "random", "variance"'
    )
