"""Bootstrap of a fit: parametric, of residuals, and of whole levels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd
from scipy.special import ndtri

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design, Factor
from bayeslmm.design.rank import independent_columns
from bayeslmm.design.residual import check_residual_rows
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError, BayeslmmError, DataWarning, check_level, warn
from bayeslmm.fitting import fit_point, refitter
from bayeslmm.inference.lots import run_lots, seeded_lots
from bayeslmm.inference.profile import refuse_map
from bayeslmm.inference.resampling import (
    resampled_levels,
    resampled_table,
    residual_responses,
    simulated_responses,
    top_factor,
)
from bayeslmm.outcomes import FitStatus
from bayeslmm.results.definition import ModelDefinition

if TYPE_CHECKING:
    from bayeslmm.engine.gaussian import Refitter
    from bayeslmm.engine.gaussian.structured_refit import StructuredRefitter

Kind = Literal["parametric", "cluster", "residual"]
IntervalType = Literal["percentile", "basic", "normal"]
_KINDS = ("parametric", "cluster", "residual")
_TYPES = ("percentile", "basic", "normal")


class Refittable(Protocol):
    """A fit, as the bootstrap sees it."""

    design: Design
    estimate: Estimate

    @property
    def definition(self) -> ModelDefinition: ...  # noqa: D102
    def refit(self, y: Any) -> Any: ...  # noqa: D102


type MakeFit = Callable[[Design, Estimate, Callable[[], ModelDefinition]], Any]
"""A fit from a design, its estimate, and what makes its definition."""


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Replicates of a statistic.

    Attributes
    ----------
    kind : str
        ``"parametric"``, ``"cluster"`` or ``"residual"``.
    estimates : Series
        The statistic of the fit itself.
    replicates : DataFrame
        A row a replicate, NaN where the refit failed.
    status : Series
        Names of `FitStatus`, of each refit.
    resampled : str or None
        The factor whose levels were resampled, of a cluster bootstrap.
    random_seed : int or None
    """

    kind: Kind
    estimates: pd.Series[Any]
    replicates: pd.DataFrame
    status: pd.Series[Any]
    resampled: str | None
    random_seed: int | None

    @property
    def n_failed(self) -> int:
        """Replicates whose refit failed; they are left out."""
        return int((self.status == FitStatus.FAILED.name).sum())

    @property
    def n_singular(self) -> int:
        """Replicates with a variance of zero or a correlation of plus or minus one."""
        return int((self.status == FitStatus.SINGULAR.name).sum())

    @property
    def se(self) -> pd.Series[Any]:
        """Standard deviation of the replicates."""
        return self.replicates.std(ddof=1).rename("se")

    @property
    def bias(self) -> pd.Series[Any]:
        """Mean of the replicates less the estimate."""
        return (self.replicates.mean() - self.estimates).rename("bias")

    def summary(self, level: float = 0.95) -> pd.DataFrame:
        """Estimate, bias, standard error and percentile interval of each statistic."""
        table = pd.DataFrame({"estimate": self.estimates, "bias": self.bias, "se": self.se})
        return table.join(self.confint(level))

    def confint(self, level: float = 0.95, type: IntervalType = "percentile") -> pd.DataFrame:
        """Bootstrap intervals.

        Parameters
        ----------
        level : float
        type : {"percentile", "basic", "normal"}
            ``"percentile"``: quantiles q of the replicates; ``"basic"``: twice the
            estimate less them; ``"normal"``: estimate - bias +- quantile x se. Those of
            ``boot.ci`` in R's boot: the (R + 1) alpha-th of the ordered replicates, between
            two of them by normal quantiles (Davison and Hinkley 1997, section 5.2).

        Returns
        -------
        DataFrame
            A row a statistic, columns ``lower`` and ``upper``; replicates that are NaN are
            left out, statistic by statistic.
        """
        check_level(level)
        if type not in _TYPES:
            raise ArgumentError(
                f"type={type!r} is not known.", fix=f"one of {', '.join(map(repr, _TYPES))}"
            )
        low = (1.0 - level) / 2.0
        rows = []
        for name in self.estimates.index:
            t0 = float(self.estimates[name])
            t = self.replicates[name].dropna().to_numpy()
            rows.append(_interval(t0, t, low, type))
        index = pd.Index(self.estimates.index, name="parameter")
        return pd.DataFrame(np.reshape(rows, (-1, 2)), index, ["lower", "upper"])

    def __len__(self) -> int:
        return len(self.replicates)

    def __repr__(self) -> str:
        of = f" of the levels of {self.resampled}" if self.resampled else ""
        return (
            f"Bootstrap ({self.kind}{of}): {len(self)} replicates, {self.n_singular} singular, "
            f"{self.n_failed} failed\n{self.summary().to_string(float_format='{:.4g}'.format)}"
        )


def _interval(t0: float, t: FloatArray, low: float, type: IntervalType) -> tuple[float, float]:
    if len(t) < 2:
        return np.nan, np.nan
    if type == "normal":
        centre, half = 2.0 * t0 - t.mean(), -float(ndtri(low)) * t.std(ddof=1)
        return centre - half, centre + half
    lower, upper = (order_quantile(t, p) for p in (low, 1.0 - low))
    return (lower, upper) if type == "percentile" else (2.0 * t0 - upper, 2.0 * t0 - lower)


def order_quantile(t: FloatArray, p: float) -> float:
    """The (R + 1) p-th of R ordered values, between two by normal quantiles."""
    ordered, R = np.sort(t), len(t)
    k = int((R + 1) * p)
    if k <= 0 or k >= R:
        return float(ordered[0 if k <= 0 else -1])
    at, below, above = ndtri([p, k / (R + 1), (k + 1) / (R + 1)])
    share = (at - below) / (above - below)
    return float(ordered[k - 1] + share * (ordered[k] - ordered[k - 1]))


def bootstrap_fit(
    fit: Refittable,
    make_fit: MakeFit,
    n: int,
    kind: Kind,
    statistic: Callable[[Any], Any] | None,
    *,
    factor: str | None,
    random_seed: int | None,
    cores: int | None,
    progressbar: bool,
) -> Bootstrap:
    """Bootstrap a REML or ML fit; see ``PointFit.bootstrap``."""
    _check(fit, n, kind, factor)
    top = None
    if kind == "cluster":
        top, choice = top_factor(fit.design, factor, 'kind="parametric" or "residual"')
        if choice:
            _say_which(top, "kind='cluster', factor=...")
    own = parameters(fit.estimate, fit.design) if statistic is None else _labelled(statistic(fit))
    lots = seeded_lots(random_seed, n)
    if top is not None:
        work = partial(_cluster, fit, make_fit, top, statistic)
    elif statistic is None:
        work = partial(
            _responses, fit.design, fit.estimate, kind, refitter(fit.design, fit.estimate)
        )
    else:
        work = partial(_statistics, fit, kind, statistic)
    parts = run_lots(work, lots, cores, progressbar, "bootstrap")
    found = [r for part in parts for r in part]
    rows = [np.broadcast_to(values, len(own)) for values, _ in found]
    replicates = pd.DataFrame(np.array(rows), columns=own.index)
    status = pd.Series([s.name for _, s in found], name="status")
    resampled = None if top is None else top.name
    result = Bootstrap(kind, own, replicates, status, resampled, random_seed)
    if result.n_failed:
        warn(
            f"{result.n_failed} of {n} refits failed and are left out of the bootstrap.",
            DataWarning,
        )
    return result


def parameters(estimate: Estimate, design: Design) -> pd.Series[Any]:
    """Fixed effects, SDs, correlations, sigma and a residual structure's parameters."""
    names = [*design.fixed_names, *estimate.variance_names, *estimate.residual_names]
    values = [estimate.beta, estimate.variance_values, estimate.residual_values]
    return pd.Series(np.concatenate(values), names)


def _check(fit: Refittable, n: int, kind: str, factor: str | None) -> None:
    refuse_map(fit.estimate, "the bootstrap")
    if kind not in _KINDS:
        raise ArgumentError(
            f"kind={kind!r} is not known.", fix=f"one of {', '.join(map(repr, _KINDS))}"
        )
    if n < 2:
        raise ArgumentError(f"n={n!r} replicates are too few.", fix="n=1000")
    if factor is not None and kind != "cluster":
        raise ArgumentError(
            f"factor= is of the cluster bootstrap, and kind={kind!r}.", fix='kind="cluster"'
        )


def _say_which(factor: Factor, fix: str) -> None:
    warn(
        f"the grouping factors are crossed: the {factor.n_levels} levels of `{factor.name}` are "
        f"resampled, those of the others stay.\n  fix: {fix} chooses another",
        DataWarning,
    )


def _labelled(value: Any) -> pd.Series[Any]:
    """A statistic as a Series: numbers without names get theirs."""
    if isinstance(value, pd.Series):
        return value.astype(float)
    if isinstance(value, dict):
        return pd.Series(value, dtype=float)
    array = np.asarray(value, dtype=float)
    if array.ndim == 0:
        return pd.Series([float(array)], ["statistic"])
    flat = array.ravel()
    return pd.Series(flat, [f"statistic[{i}]" for i in range(len(flat))])


type _Found = list[tuple[FloatArray, FitStatus]]


def _drawn(
    design: Design, estimate: Estimate, kind: Kind, seed: np.random.SeedSequence, n: int
) -> FloatArray:
    rng = np.random.default_rng(seed)
    if kind == "residual":
        return residual_responses(design, estimate, n, rng)
    return simulated_responses(design, estimate, n, rng)


def _responses(
    design: Design,
    estimate: Estimate,
    kind: Kind,
    refit: Refitter | StructuredRefitter,
    seed: np.random.SeedSequence,
    n: int,
) -> _Found:
    """All parameters of refits of new responses."""
    batch = refit.fit(_drawn(design, estimate, kind, seed, n))
    return list(zip(np.hstack([batch.beta, batch.variances]), batch.status, strict=True))


def _statistics(
    fit: Refittable,
    kind: Kind,
    statistic: Callable[[Any], Any],
    seed: np.random.SeedSequence,
    n: int,
) -> _Found:
    """A statistic of refits of new responses."""
    Y = _drawn(fit.design, fit.estimate, kind, seed, n)
    return [_of_fit(partial(fit.refit, Y[:, i]), statistic) for i in range(n)]


def _of_fit(
    make: Callable[[], Any], statistic: Callable[[Any], Any]
) -> tuple[FloatArray, FitStatus]:
    try:
        fit = make()
    except (BayeslmmError, np.linalg.LinAlgError):
        return np.array([np.nan]), FitStatus.FAILED
    if fit.status is FitStatus.FAILED:
        return np.array([np.nan]), FitStatus.FAILED
    return _labelled(statistic(fit)).to_numpy(), fit.status


def _cluster(
    fit: Refittable,
    make_fit: MakeFit,
    factor: Factor,
    statistic: Callable[[Any], Any] | None,
    seed: np.random.SeedSequence,
    n: int,
) -> _Found:
    """Refits of resampled levels."""
    rng, out = np.random.default_rng(seed), []
    # the design of another process has factors of its own
    factor = next(f for f in fit.design.factors if f.name == factor.name)

    def all_parameters(made: Any) -> pd.Series[Any]:
        return parameters(made.estimate, made.design)

    for _ in range(n):
        design, rows, copy = resampled_levels(fit.design, factor, rng)

        def definition(rows: Any = rows, copy: Any = copy) -> ModelDefinition:
            own = fit.definition
            return replace(own, data=resampled_table(own.data, fit.design, factor, rows, copy))

        def make(design: Design = design, definition: Any = definition) -> Any:
            if len(independent_columns(design.X[design.used])) < design.p:
                raise np.linalg.LinAlgError("a fixed column is determined by others")
            check_residual_rows(design)
            return make_fit(design, fit_point(design, fit.estimate.method, None), definition)

        out.append(_of_fit(make, statistic or all_parameters))
    return out
