"""What a figure asks of a fit or of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import pandas as pd

from bayeslmm.design import Design, Factor
from bayeslmm.errors import ArgumentError, suggest
from bayeslmm.results.definition import ModelDefinition


class DrawableFit(Protocol):
    """A point fit or a posterior fit."""

    design: Design

    @property
    def definition(self) -> ModelDefinition: ...  # noqa: D102
    @property
    def fe_params(self) -> pd.Series[Any]: ...  # noqa: D102
    @property
    def random_effects(self) -> Mapping[str, pd.Series[Any] | pd.DataFrame]: ...  # noqa: D102
    def to_frame(  # noqa: D102
        self, effects: Literal["fixed", "random", "variance"] = "fixed", level: float = 0.95
    ) -> pd.DataFrame: ...


class DrawableComparison(Protocol):
    """Estimates side by side."""

    @property
    def long(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def level(self) -> float: ...  # noqa: D102
    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102


def is_posterior(fit: DrawableFit) -> bool:
    """Whether the fit holds draws."""
    return "datatree" in vars(fit)


def find_factor(design: Design, name: str | None) -> Factor:
    """The grouping factor of a name; the first one if None.

    Raises
    ------
    ArgumentError
        The model has no grouping factor, or none of that name.
    """
    if not design.factors:
        raise ArgumentError("the model has no grouping factor to draw.", found=design.spec.text)
    if name is None:
        return design.factors[0]
    known = {f.name: f for f in design.factors}
    if name not in known:
        close = suggest(name, known)
        raise ArgumentError(
            f"factor={name!r} is not a grouping factor of the model.",
            found=", ".join(known),
            fix=f"did you mean {close!r}?" if close else None,
        )
    return known[name]
