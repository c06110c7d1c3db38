"""What comparisons and reports ask of a fit, so that they need not import the fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
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
    priors: PriorSet

    @property
    def definition(self) -> ModelDefinition: ...  # noqa: D102
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
    def residual_parameters_se(self) -> pd.Series[Any]: ...  # noqa: D102
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

    def log_likelihood(self, integrate: str | None = None) -> xr.DataTree: ...  # noqa: D102


type Fit = PointLike | PosteriorLike


def is_posterior(fit: Fit) -> TypeIs[PosteriorLike]:
    """Whether a fit holds draws."""
    return "datatree" in vars(fit)


def name_fits(
    given: Sequence[Any], names: Sequence[str] | None, label: Callable[[Any], str]
) -> dict[str, Any]:
    """Fits by name, from fits, one list of fits or one mapping.

    Parameters
    ----------
    given : sequence
        The positional arguments.
    names : sequence of str, optional
        By default a mapping's keys, or ``label`` of each fit, numbered if it repeats.
    label : callable

    Raises
    ------
    ArgumentError
        Names that are missing or given twice.
    """
    fits = list(given)
    if len(fits) == 1 and isinstance(fits[0], Mapping):
        names = list(fits[0]) if names is None else names
        fits = list(fits[0].values())
    elif len(fits) == 1 and isinstance(fits[0], list | tuple):
        fits = list(fits[0])
    if names is None:
        labels = [label(f) for f in fits]
        names = [
            k if labels.count(k) == 1 else f"{k} {labels[: i + 1].count(k)}"
            for i, k in enumerate(labels)
        ]
    if len(names) != len(fits) or len(set(names)) != len(names):
        raise ArgumentError(
            "names= needs one name a fit, each different.",
            found=f"{len(fits)} fits, names {', '.join(map(repr, names))}",
        )
    return {str(k): f for k, f in zip(names, fits, strict=True)}


def text_of(fit: Any, attribute: str) -> str:
    """A name a fit answers, such as its method; the type of what is not a fit."""
    value = getattr(fit, attribute, None)
    return value if isinstance(value, str) else type(fit).__name__


def name_models(
    given: Sequence[Any], names: Sequence[str] | None, function: str, fix: str
) -> dict[str, Any]:
    """Two fits or more by name, by default formula and residual structure.

    Parameters
    ----------
    given, names
        As in `name_fits`.
    function, fix : str
        Who asks, and how to ask, for the refusal.

    Raises
    ------
    ArgumentError
        Fewer than two, what is not a fit, or names that are missing or given twice.
    """
    models = name_fits(given, names, _formula_and_residual)
    if len(models) < 2:
        raise ArgumentError(
            f"{function} compares two fits or more.",
            found=", ".join(type(f).__name__ for f in models.values()) or "none",
            fix=fix,
        )
    check_fits(models)
    return models


def _formula_and_residual(fit: Any) -> str:
    text = text_of(fit, "formula")
    design = getattr(fit, "design", None)
    if design is None or design.residual is None:
        return text
    return f"{text}, residual {design.residual.structure!r}"


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
