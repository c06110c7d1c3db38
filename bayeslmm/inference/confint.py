"""Wald intervals of all parameters, from the tables of a fit."""

from __future__ import annotations

from typing import Literal, Protocol

import pandas as pd

from bayeslmm.errors import ArgumentError

ConfintMethod = Literal["wald", "profile", "bootstrap"]
METHODS: tuple[ConfintMethod, ...] = ("wald", "profile", "bootstrap")


class Tabulated(Protocol):
    """A fit with tidy tables."""

    def to_frame(  # noqa: D102
        self, effects: Literal["fixed", "random", "variance"] = "fixed", level: float = 0.95
    ) -> pd.DataFrame: ...


def wald_limits(fit: Tabulated, level: float) -> pd.DataFrame:
    """The limits of the tables of fixed effects and variances, a row a parameter."""
    tables = [fit.to_frame("fixed", level), fit.to_frame("variance", level)]
    both = pd.concat([t[["parameter", "lower", "upper"]] for t in tables], ignore_index=True)
    return both.set_index("parameter").astype(float)


def check_method(method: str) -> None:
    """Refuse a method that is none.

    Raises
    ------
    ArgumentError
    """
    if method not in METHODS:
        raise ArgumentError(
            f"method={method!r} is not known.", fix=f"one of {', '.join(map(repr, METHODS))}"
        )
