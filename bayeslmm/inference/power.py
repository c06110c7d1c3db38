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
from bayeslmm.design.rank import independent_columns
from bayeslmm.design.residual import refuse_residual_structure
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError, BayeslmmError, DataWarning, suggest, warn
from bayeslmm.fitting import refitter
from bayeslmm.inference.contrasts import joint_test
from bayeslmm.inference.degrees_of_freedom import fixed_covariance
from bayeslmm.inference.profile import refuse_map
from bayeslmm.inference.resampling import copied_levels
from bayeslmm.outcomes import FitStatus
from bayeslmm.prediction.rows import training_rows
from bayeslmm.prediction.simulate import simulate_estimate

if TYPE_CHECKING:
    from bayeslmm.engine.gaussian.fixed_covariance import FixedCovariance

PowerTest = Literal["wald", "lrt"]
Sizes = float | Sequence[float] | Sequence[Sequence[float]] | Mapping[str, int | Sequence[int]]
# Responses simulated at once; each lot has its own seed.
_AT_ONCE = 50


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

    Returns
    -------
    Power
        Its ``table`` is tidy; `bayeslmm.plot_power` draws the curve.

    Raises
    ------
    ArgumentError
        No such coefficient or factor, sizes that are none, a posterior, MAP or non-Gaussian
        fit, a residual structure, or levels too few for the fixed effects.

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
    from rich.progress import Progress

    fit = _point_fit(model_or_fit)
    _check(n_sim, level, test)
    at = _columns(fit.design, effect)
    along, settings = _settings(fit.design, fit.estimate, at, sizes, value)
    p_values = _lrt if test == "lrt" else partial(_wald, fit.df_method)
    seeds = np.random.SeedSequence(random_seed).spawn(-(-n_sim // _AT_ONCE))
    lots = [min(_AT_ONCE, n_sim - first) for first in range(0, n_sim, _AT_ONCE)]
    rows = []
    with Progress(transient=True, disable=not progressbar) as bar:
        line = bar.add_task("power", total=n_sim * len(settings))
        for s in settings:
            parts = []
            for seed, lot in zip(seeds, lots, strict=True):
                rng = np.random.default_rng(seed)
                Y = simulate_estimate(training_rows(s.design), s.estimate, lot, rng, use_re=False)
                parts.append(p_values(s.design, s.estimate, at, Y))
                bar.advance(line, lot)
            rows.append({"size": s.size} | _share(parts, level))
    table = pd.DataFrame(rows)
    if failed := int(table["failed"].sum()):
        warn(
            f"{failed} of {n_sim * len(table)} refits failed and are left out of the power.",
            DataWarning,
        )
    names = tuple(fit.design.fixed_names[i] for i in at)
    return Power(table, names, along, test, fit.df_method, float(level))


class _Setting(NamedTuple):
    """A size, with the rows and the parameters that responses are simulated from."""

    size: Any
    design: Design
    estimate: Estimate


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
    refuse_residual_structure(given.design, "power")
    return given


def _check(n_sim: int, level: float, test: str) -> None:
    if isinstance(n_sim, bool) or not isinstance(n_sim, int | np.integer) or n_sim < 1:
        raise ArgumentError(f"n_sim={n_sim!r} is not a number of simulations.", fix="n_sim=1000")
    if not 0.0 < level < 1.0:
        raise ArgumentError(f"level={level!r} is not the level of a test.", fix="level=0.05")
    if test not in ("wald", "lrt"):
        raise ArgumentError(f"test={test!r} is not known.", fix='one of "wald", "lrt"')


def _columns(design: Design, effect: str | Sequence[str]) -> list[int]:
    """Columns of the fixed part that names of coefficients or terms stand for."""
    names, at = list(design.fixed_names), []
    for name in [effect] if isinstance(effect, str) else list(effect):
        if name in names:
            at.append(names.index(name))
        elif name in design.fixed_terms:
            at += design.fixed_terms[name]
        else:
            close = suggest(name, names)
            raise ArgumentError(
                f"{name!r} is not a fixed effect of the model.",
                found=", ".join(names) or "no fixed effects",
                fix=f"did you mean {close!r}?" if close else "one of fit.fe_params",
            )
    if not at:
        raise ArgumentError("effect= names no fixed effect.", fix=f"one of {', '.join(names)}")
    return list(dict.fromkeys(at))


def _settings(
    design: Design, estimate: Estimate, at: list[int], sizes: Any, value: Any
) -> tuple[str | None, list[_Setting]]:
    if isinstance(sizes, Mapping):
        if value is not None:
            (estimate,) = _with_values(design, estimate, at, [value], "value")
        return _along(design, estimate, sizes)
    if value is not None:
        raise ArgumentError(
            "value= is for sizes that are numbers of levels.",
            fix='sizes={"factor": [10, 20]}, or the value in sizes=',
        )
    if sizes is None:
        sizes = [estimate.beta[at]]
    out = []
    for moved in _with_values(design, estimate, at, sizes, "sizes"):
        row = moved.beta[at].tolist()
        out.append(_Setting(row[0] if len(at) == 1 else tuple(row), design, moved))
    return None, out


def _with_values(
    design: Design, estimate: Estimate, at: list[int], given: Any, argument: str
) -> list[Estimate]:
    """The estimate with each size in place of its coefficients."""
    try:
        values = np.atleast_1d(np.asarray(given, dtype=float))
    except (TypeError, ValueError):
        values = np.empty(0)
    if len(at) == 1:
        values = values.reshape(-1, 1)
    right = values.ndim == 2 and values.shape[1] == len(at) and len(values)
    if not right or not np.isfinite(values).all():
        one = "5" if len(at) == 1 else repr([1.0] * len(at))
        raise ArgumentError(
            f"{argument}= is not made of values of {', '.join(design.fixed_names[i] for i in at)}.",
            found=repr(given),
            fix=f"sizes=[{one}, ...]" if argument == "sizes" else f"value={one}",
        )
    out = []
    for row in values:
        beta = estimate.beta.copy()
        beta[at] = row
        out.append(replace(estimate, beta=beta))
    return out


def _along(
    design: Design, estimate: Estimate, sizes: Mapping[str, Any]
) -> tuple[str, list[_Setting]]:
    """Designs with other numbers of levels of one factor."""
    known = {f.name: f for f in design.factors}
    if len(sizes) != 1 or next(iter(sizes)) not in known:
        raise ArgumentError(
            "sizes= as a mapping has one grouping factor of the model.",
            found=", ".join(map(str, sizes)) or "nothing",
            fix=f"one of {', '.join(known)}" if known else "sizes=[...] of the coefficient",
        )
    (name, numbers), out = next(iter(sizes.items())), []
    factor = known[name]
    for J in np.atleast_1d(np.asarray(numbers)).tolist():
        if isinstance(J, bool) or not isinstance(J, int) or J < 2:
            raise ArgumentError(
                f"{J!r} is not a number of levels of `{name}`.", fix=f'sizes={{"{name}": [10, 20]}}'
            )
        extended, _, _ = copied_levels(design, factor, np.arange(J) % factor.n_levels)
        enough = extended.n_effective > extended.p
        if not enough or len(independent_columns(extended.X[extended.used])) < extended.p:
            raise ArgumentError(
                f"{J} levels of `{name}` do not determine the fixed effects.",
                found=", ".join(design.fixed_names),
                fix=f"more levels; the data have {factor.n_levels}",
            )
        out.append(_Setting(J, extended, estimate))
    return name, out


@dataclass(eq=False)
class _Refit:
    """A refit, as tests of fixed effects see it."""

    design: Design
    estimate: Estimate
    df_method: str

    @cached_property
    def fixed_covariance(self) -> FixedCovariance | None:
        return fixed_covariance(self.design, self.estimate, self.df_method)


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
            p[i] = joint_test(_Refit(replace(design, y=y), found, df_method), L).p
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
