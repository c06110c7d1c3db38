"""Power of tests of fixed effects, by simulation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.design.residual import with_residual_values
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError, BayeslmmError, DataWarning, warn
from bayeslmm.fitting import refitter
from bayeslmm.inference.contrasts import joint_test
from bayeslmm.inference.degrees_of_freedom import fixed_covariance
from bayeslmm.inference.lots import run_lots, seeded_lots
from bayeslmm.inference.power_sizes import Setting, columns_of_effect, power_settings
from bayeslmm.inference.profile import refuse_map
from bayeslmm.inference.resampling import simulated_responses
from bayeslmm.outcomes import FitStatus

if TYPE_CHECKING:
    from bayeslmm.engine.gaussian.fixed_covariance import FixedCovariance

PowerTest = Literal["wald", "lrt"]
Sizes = float | Sequence[float] | Sequence[Sequence[float]] | Mapping[str, int | Sequence[int]]


@dataclass(frozen=True, eq=False, repr=False)
class Power:
    """Power of a test at one or several sizes.

    Attributes
    ----------
    table : DataFrame
        A row a size: ``size`` (value of the coefficient, or number of levels), ``power``, the
        share of tests that reject, ``lower`` and ``upper``, its exact 95 % interval (Clopper
        and Pearson 1934), ``n_sim`` simulations, the share of ``singular`` refits among those
        that did not fail, and the number of ``failed`` ones, which are left out.
    effect : tuple of str
        Coefficients that are tested, jointly if several.
    along : str or None
        The factor whose number of levels is the size; None for values of the coefficients.
    test, df_method : str
        ``"wald"`` or ``"lrt"``; degrees of freedom of the former.
    level : float
        Of the test.
    """

    table: pd.DataFrame
    effect: tuple[str, ...]
    along: str | None
    test: PowerTest
    df_method: str
    level: float

    @property
    def words(self) -> str:
        """The test, in words."""
        if self.test == "lrt":
            return "likelihood-ratio test by ML"
        return f"{'F' if len(self.effect) > 1 else 't'} test (df_method {self.df_method!r})"

    def __repr__(self) -> str:
        table = self.table.to_string(index=False, float_format="{:.4g}".format)
        of = "values of the coefficients" if self.along is None else f"levels of {self.along}"
        names = ", ".join(self.effect)
        return f"Power for {names}, {self.words}, level {self.level:g}; sizes: {of}\n{table}"


def power(
    model_or_fit: Any,
    effect: str | Sequence[str],
    sizes: Sizes | None = None,
    n_sim: int = 1000,
    level: float = 0.05,
    random_seed: int | None = None,
    test: PowerTest = "wald",
    progressbar: bool = True,
    *,
    value: float | Sequence[float] | None = None,
    cores: int | None = 1,
) -> Power:
    """Power of the test of a fixed effect, by simulation.

    Responses are simulated at the parameters of a fit, new random effects each time, with the
    coefficient at the size asked for; the model is refitted to each and the effect tested. The
    power is the share of refits whose p-value is below ``level``.

    Parameters
    ----------
    model_or_fit : Model or PointFit
        A model is fitted first. REML or ML.
    effect : str or sequence of str
        A coefficient, as in ``fe_params``; several, or a term of several columns, are tested
        jointly.
    sizes : numbers, or mapping of one factor to numbers, optional
        Values of the coefficient, in units of the response per unit of its column
        (``[0, 5, 10]``; of several coefficients, a sequence for each size). Or numbers of
        levels of a grouping factor, ``{"Subject": [10, 20, 40]}``: new levels copy the rows of
        existing ones in turn, levels of factors nested in it are copied with it, those of
        crossed factors shared; fewer levels are the first ones. By default one size, the
        estimate itself.
    n_sim : int
        Simulations for each size.
    level : float
        Of the test, a probability.
    random_seed : int, optional
        Every size starts from it, so that sizes differ by less than their intervals say.
    test : {"wald", "lrt"}
        t or F with the ``df_method`` of the fit, its degrees of freedom computed for each
        refit; or twice the difference of ML log likelihoods by chi-square, which rejects too
        often where levels are few.
    progressbar : bool
    value : float or sequence of float, optional
        The coefficient, or a value for each of several, while numbers of levels change; the
        estimate by default.
    cores : int, optional
        Processes side by side; None takes all. The table is the same for any number.

    Returns
    -------
    Power
        Its ``table`` is tidy; `bayeslmm.plot_power` draws the curve.

    Raises
    ------
    ArgumentError
        No such coefficient or factor, sizes that are none, a posterior, MAP or non-Gaussian
        fit, a residual structure whose blocks levels would cut, levels too few for the fixed
        effects, or less than one core.

    Warns
    -----
    DataWarning
        Refits failed.

    Notes
    -----
    Other parameters stay at the estimates, whose own uncertainty is not in the power: at an
    effect that was itself estimated from these data ("observed power") it says no more than
    the p-value did (Hoenig and Heisey 2001). Give the size that matters. Weights and offset of
    copied rows are copied; rows of weight zero are simulated and not counted.

    Satterthwaite's degrees of freedom take most of the time; of large models,
    ``fit.with_df("normal")`` or ``test="lrt"`` do without.

    References
    ----------
    Green and MacLeod (2016), Methods in Ecology and Evolution 7, 493-498; Hoenig and Heisey
    (2001), The American Statistician 55, 19-24.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> found = bl.power(fit, "Days", [0, 5], n_sim=100, random_seed=1, progressbar=False)
    >>> found.table["size"].tolist()
    [0.0, 5.0]
    """
    fit = _point_fit(model_or_fit)
    _check(n_sim, level, test)
    at = columns_of_effect(fit.design, effect)
    along, settings = power_settings(fit.design, fit.estimate, at, sizes, value)
    work = partial(_simulated_tests, at, test, fit.df_method)
    lots = [(s, *lot) for s in settings for lot in seeded_lots(random_seed, n_sim)]
    parts = run_lots(work, lots, cores, progressbar, "power")
    each = len(parts) // len(settings)
    rows = [
        {"size": s.size} | _share(parts[k * each : (k + 1) * each], level)
        for k, s in enumerate(settings)
    ]
    table = pd.DataFrame(rows)
    if failed := int(table["failed"].sum()):
        warn(
            f"{failed} of {n_sim * len(table)} refits failed and are left out of the power.",
            DataWarning,
        )
    names = tuple(fit.design.fixed_names[i] for i in at)
    return Power(table, names, along, test, fit.df_method, float(level))


class _Tests(NamedTuple):
    """p-values of a lot of responses, NaN where a refit failed, and which were singular."""

    p: FloatArray
    singular: int


def _point_fit(given: Any) -> Any:
    if hasattr(given, "fit") and hasattr(given, "formula"):
        given = given.fit()
    if not isinstance(getattr(given, "estimate", None), Estimate):
        raise ArgumentError(
            "power simulates from point estimates.",
            found=type(given).__name__,
            fix='power(model.fit("REML"), ...)',
        )
    refuse_map(given.estimate, "power")
    return given


def _check(n_sim: int, level: float, test: str) -> None:
    if isinstance(n_sim, bool) or not isinstance(n_sim, int | np.integer) or n_sim < 1:
        raise ArgumentError(f"n_sim={n_sim!r} is not a number of simulations.", fix="n_sim=1000")
    if not 0.0 < level < 1.0:
        raise ArgumentError(f"level={level!r} is not the level of a test.", fix="level=0.05")
    if test not in ("wald", "lrt"):
        raise ArgumentError(f"test={test!r} is not known.", fix='one of "wald", "lrt"')


@dataclass(eq=False)
class _Refit:
    """A refit, as tests of fixed effects see it."""

    design: Design
    estimate: Estimate
    df_method: str

    @cached_property
    def fixed_covariance(self) -> FixedCovariance | None:
        return fixed_covariance(self.design, self.estimate, self.df_method)


def _simulated_tests(
    at: list[int],
    test: PowerTest,
    df_method: str,
    setting: Setting,
    seed: np.random.SeedSequence,
    n: int,
) -> _Tests:
    """Tests of n responses simulated at a size."""
    design, estimate, rng = setting.design, setting.estimate, np.random.default_rng(seed)
    Y = simulated_responses(design, estimate, n, rng)
    if test == "lrt":
        return _lrt(design, estimate, at, Y)
    return _wald(df_method, design, estimate, at, Y)


def _wald(
    df_method: str, design: Design, estimate: Estimate, at: list[int], Y: FloatArray
) -> _Tests:
    """Tests by t or F of refits of the columns of Y, shape (n, lot)."""
    refit, L = refitter(design, estimate), np.eye(design.p)[at]
    p, singular = np.full(Y.shape[1], np.nan), 0
    for i, y in enumerate(Y.T):
        try:
            found = refit.estimate(y)
            if found.status is FitStatus.FAILED:
                continue
            own = with_residual_values(replace(design, y=y), found.residual_values)
            p[i] = joint_test(_Refit(own, found, df_method), L).p
        except (BayeslmmError, np.linalg.LinAlgError):
            continue
        singular += found.status is FitStatus.SINGULAR and not np.isnan(p[i])
    return _Tests(p, singular)


def _lrt(design: Design, estimate: Estimate, at: list[int], Y: FloatArray) -> _Tests:
    """Likelihood-ratio tests of refits, with and without the columns, by ML."""
    ml = replace(estimate, method="ML")
    large = refitter(design, ml).fit(Y)
    small = refitter(_without(design, at), ml).fit(Y)
    statistic = np.maximum(2.0 * (large.loglik - small.loglik), 0.0)
    singular = np.array([s is FitStatus.SINGULAR for s in large.status])
    p = np.asarray(chdtrc(len(at), statistic))
    return _Tests(p, int(np.count_nonzero(singular & ~np.isnan(p))))


def _without(design: Design, at: list[int]) -> Design:
    kept = [i for i in range(design.p) if i not in at]
    return replace(
        design,
        X=np.ascontiguousarray(design.X[:, kept]),
        fixed_names=tuple(design.fixed_names[i] for i in kept),
        fixed_terms={},
    )


def _share(parts: Iterable[_Tests], level: float) -> dict[str, float]:
    """Power and its interval from the tests of a size."""
    from scipy.stats import binomtest

    parts = list(parts)
    p = np.concatenate([part.p for part in parts])
    done = int(np.count_nonzero(~np.isnan(p)))
    if not done:
        lower = upper = share = singular = np.nan
    else:
        rejected = int(np.count_nonzero(p < level))
        lower, upper = binomtest(rejected, done).proportion_ci(0.95, method="exact")
        share, singular = rejected / done, sum(part.singular for part in parts) / done
    return {
        "power": share,
        "lower": float(lower),
        "upper": float(upper),
        "n_sim": len(p),
        "singular": singular,
        "failed": len(p) - done,
    }
