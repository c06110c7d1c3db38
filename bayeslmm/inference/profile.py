"""Profile likelihood of the parameters of a Gaussian mixed model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError, ConvergenceWarning, check_level, suggest, warn
from bayeslmm.fitting import fit_point

if TYPE_CHECKING:
    from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

    from bayeslmm.engine.gaussian.profile import ProfileCurve

_GROUPS = ("fixed", "variance")


@dataclass(frozen=True, eq=False)
class Profile:
    """Profiles of the ML deviance, a parameter at a time.

    For each value of a parameter all the others are at their best, and

        zeta(value) = sign(value - estimate) sqrt(deviance(value) - least deviance),

    which is a straight line where the likelihood is quadratic. Limits at a level are
    where zeta is minus and plus the normal quantile. (Bates, Maechler, Bolker and Walker
    2015, section 5.1.)

    Attributes
    ----------
    frame : DataFrame
        ``parameter``, ``value`` on the scale of reports, ``zeta``, and ``slope``, the
        derivative of zeta in the value (NaN at the end of a range).
    estimates : Series
        ML estimates, from which the profiles start.
    deviance : float
        The least deviance, -2 log likelihood by ML.
    level : float
        The limits at this level are solved for; those at others are interpolated.
    limits : DataFrame
        Limits at that level, a row a parameter.
    """

    frame: pd.DataFrame
    estimates: pd.Series[Any]
    deviance: float
    level: float
    limits: pd.DataFrame

    def confint(self, level: float | None = None) -> pd.DataFrame:
        """Limits of every parameter profiled.

        Parameters
        ----------
        level : float, optional
            That of the profile by default. For others zeta is interpolated by a cubic
            spline through its values and derivatives.

        Returns
        -------
        DataFrame
            A row a parameter, columns named by probabilities. A limit that the
            likelihood does not reach is the end of the range: 0 for an SD, -1 or 1 for
            a correlation.

        Raises
        ------
        ArgumentError
            The level is beyond what was profiled.
        """
        if level is None or level == self.level:
            return self.limits
        check_level(level)
        cutoff = _cutoff(level)
        rows = []
        for name in self.limits.index:
            part = self.frame[self.frame["parameter"] == name]
            rows.append([self._limit(part, name, side, cutoff) for side in (-1, 1)])
        return _limits(rows, list(self.limits.index))

    def _limit(self, part: pd.DataFrame, name: str, side: int, cutoff: float) -> float:
        value, zeta = part["value"].to_numpy(), part["zeta"].to_numpy()
        end = -1 if side > 0 else 0
        known = float(self.limits.to_numpy()[self.limits.index.get_loc(name), end])
        if side * zeta[end] < cutoff:
            # a range that ended before the profile's own level has no more to give
            if known == value[end] and side * zeta[end] < _cutoff(self.level) - 1e-6:
                return known
            raise ArgumentError(
                f"the profile of `{name}` does not reach that level.",
                found=f"profiled for {100 * self.level:g} %",
                fix="fit.profile(level=...) with the level that is wanted",
            )
        roots = spline(part).solve(side * cutoff, extrapolate=False)
        return float(roots[-1] if side > 0 else roots[0])

    def __repr__(self) -> str:
        names = ", ".join(self.limits.index)
        return (
            f"Profile of the ML deviance ({len(self.frame)} points): {names}\n"
            "  .confint(level)   .frame   bl.plot_profile(profile)"
        )


def spline(part: pd.DataFrame) -> CubicHermiteSpline | PchipInterpolator:
    """Zeta of one parameter's rows of a profile's frame as a function of the value.

    Through its derivatives where that is monotone, else the monotone cubic of
    Fritsch and Carlson (1980).
    """
    from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

    value, zeta, slope = (part[c].to_numpy() for c in ("value", "zeta", "slope"))
    # steps of the search that landed on one another say nothing of the curve
    apart = np.append(np.diff(value) > 1e-6 * (value[-1] - value[0]), True)
    value, zeta, slope = value[apart], zeta[apart], slope[apart]
    monotone = PchipInterpolator(value, zeta)
    known = np.where(np.isfinite(slope), slope, monotone(value, 1))
    chords = np.diff(zeta) / np.diff(value)
    # their condition, sufficient for a monotone cubic
    if (known[:-1] ** 2 + known[1:] ** 2 <= 9.0 * chords**2).all():
        return CubicHermiteSpline(value, zeta, known)
    return monotone


def profile_fit(
    design: Design,
    estimate: Estimate,
    which: str | Sequence[str] | None,
    level: float,
    *,
    progressbar: bool,
) -> Profile:
    """Profile a REML or ML fit; see ``PointFit.profile``."""
    from bayeslmm.engine.gaussian.profile import parameter_names, profile_likelihood

    check_level(level)
    refuse_map(estimate, "profile")
    names = parameter_names(design, estimate.variance_names)
    wanted = chosen(names, design.p, which)
    ml = estimate if estimate.method == "ML" else fit_point(design, "ML", None)
    cutoff = _cutoff(level)
    curves = profile_likelihood(design, ml, wanted, cutoff, _watch(progressbar))
    for c in curves:
        _announce(c)
    frame = pd.DataFrame(
        [(c.name, p.value, p.zeta, p.slope) for c in curves for p in c.points],
        columns=["parameter", "value", "zeta", "slope"],
    )
    at = pd.Series([c.estimate for c in curves], [c.name for c in curves], name="estimate")
    limits = _limits([c.interval for c in curves], list(at.index))
    return Profile(frame, at, -2.0 * ml.loglik, level, limits)


def chosen(names: Sequence[str], p: int, which: str | Sequence[str] | None) -> list[int]:
    """Positions of parameters by name, or of all the ``"fixed"`` or ``"variance"`` ones.

    Raises
    ------
    ArgumentError
        No parameter has that name.
    """
    if which is None:
        return list(range(len(names)))
    asked = [which] if isinstance(which, str) else list(which)
    found: list[int] = []
    for name in asked:
        here = [i for i, known in enumerate(names) if known == name]
        if not here and name in _GROUPS:
            here = [i for i in range(len(names)) if (i < p) == (name == "fixed")]
        elif not here:
            close = suggest(str(name), names)
            raise ArgumentError(
                f"{name!r} is not a parameter of the model.",
                found=", ".join(names),
                fix=f"did you mean {close!r}?" if close else 'one of these, "fixed" or "variance"',
            )
        found += [i for i in here if i not in found]
    return found


def refuse_map(estimate: Estimate, what: str) -> None:
    """A posterior mode has a posterior, and no likelihood to profile or to refit."""
    if estimate.method == "MAP":
        raise ArgumentError(
            f"{what} is of the likelihood, and this fit is a posterior mode.",
            fix='model.fit("REML"), or model.sample() for intervals under the priors',
        )


def _cutoff(level: float) -> float:
    return -float(ndtri((1.0 - level) / 2.0))


def _limits(rows: Sequence[Sequence[float]], names: list[str]) -> pd.DataFrame:
    array: FloatArray = np.array(rows, dtype=float).reshape(-1, 2)
    index = pd.Index(names, name="parameter")
    return pd.DataFrame(array, index, ["lower", "upper"])


def _watch(progressbar: bool) -> Callable[[Sequence[int]], Sequence[int]] | None:
    if not progressbar:
        return None
    from rich.progress import track

    return lambda wanted: track(wanted, "profiling", transient=True)  # type: ignore[return-value]


def _announce(curve: ProfileCurve) -> None:
    """Say what makes the profile of a parameter doubtful."""
    if curve.better:
        warn(
            f"the profile of `{curve.name}` found a deviance lower than the fit's by "
            f"{curve.better:.3g}: the fit is not the optimum, and its limits are not valid.",
            ConvergenceWarning,
        )
    if not curve.monotone:
        warn(
            f"the profile of `{curve.name}` is not monotone: the likelihood has several optima "
            "with it held, and its limits may be too narrow.\n"
            "  fix: centre or rescale the predictors, or simplify the random part",
            ConvergenceWarning,
        )
    for name, end in zip(("lower", "upper"), curve.interval, strict=True):
        if np.isnan(end):
            warn(
                f"the profile of `{curve.name}` did not reach its {name} limit, which is NaN.",
                ConvergenceWarning,
            )
