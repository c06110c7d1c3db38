"""What comparisons and reports ask of a fit, so that they need not import the fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pandas as pd

from bayeslmm.design import Design
from bayeslmm.design.design import FloatArray
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError
from bayeslmm.priors import PriorSet
from bayeslmm.results.definition import ModelDefinition

if TYPE_CHECKING:
    import xarray as xr
    from typing_extensions import TypeIs

    from bayeslmm.sampling import Diagnostics


class AnyFit(Protocol):
    """Names that every fit answers."""

    design: Design
    definition: ModelDefinition
    priors: PriorSet

    @property
    def formula(self) -> str: ...  # noqa: D102
    @property
    def nobs(self) -> int: ...  # noqa: D102
    @property
    def converged(self) -> bool: ...  # noqa: D102
    @property
    def fe_params(self) -> pd.Series[Any]: ...  # noqa: D102
    @property
    def fittedvalues(self) -> FloatArray: ...  # noqa: D102
    @property
    def random_effects(self) -> Mapping[str, pd.Series[Any] | pd.DataFrame]: ...  # noqa: D102
    def to_frame(  # noqa: D102
        self, effects: Literal["fixed", "random", "variance"] = "fixed", level: float = 0.95
    ) -> pd.DataFrame: ...


class PointLike(AnyFit, Protocol):
    """A fit with one estimate a parameter."""

    estimate: Estimate
    df_method: str

    @property
    def variance_cov(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def llf(self) -> float: ...  # noqa: D102
    @property
    def aic(self) -> float: ...  # noqa: D102
    @property
    def bic(self) -> float: ...  # noqa: D102


class PosteriorLike(AnyFit, Protocol):
    """A fit with draws of every parameter."""

    datatree: xr.DataTree
    diagnostics: Diagnostics


type Fit = PointLike | PosteriorLike


def is_posterior(fit: Fit) -> TypeIs[PosteriorLike]:
    """Whether a fit holds draws."""
    return "datatree" in vars(fit)


def check_fits(fits: Mapping[str, Any]) -> None:
    """Refuse what is not a fit, and names that are not unique text.

    Raises
    ------
    ArgumentError
    """
    if not fits:
        raise ArgumentError("there is nothing to compare.", fix="pass one fit or more")
    for name, fit in fits.items():
        if not {"estimate", "datatree"} & set(getattr(fit, "__dict__", ())):
            raise ArgumentError(
                f"{name!r} is not a fit.",
                found=type(fit).__name__,
                fix="pass what model.fit() or model.sample() returned",
            )
