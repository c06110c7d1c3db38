"""Why the columns of a comparison differ, where the reason is known.

A remark is made only where the difference can be seen:

========  ===================================================================================
reason    when
========  ===================================================================================
zero      a point fit has the SD at exactly 0, where a posterior has no draws
skewed    mean > median > mode, and mean - mode > `SKEW` posterior SDs (SDs only)
boundary  a point fit has a correlation beyond +-`EDGE`
prior     the interquartile range of the draws is more than `PRIOR_SHARE` of the prior's;
          or the mode (MAP) lies more than `PRIOR_SHIFT` standard errors from REML;
          or it is above 0 where REML is at 0
few       a factor has fewer than `FEW_LEVELS` levels, and a posterior is compared
ML        the ML estimate of an SD lies more than `ML_SHIFT` standard errors below REML's
draws     the sampler's own checks found a reason for doubt
========  ===================================================================================

A gap between a REML SD and the mean of a skewed posterior is a property of means, not a
disagreement: REML is comparable with the mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.comparison.kinds import Fit, PosteriorLike, is_posterior
from bayeslmm.comparison.parameters import Parameter, parameters, point_estimates
from bayeslmm.comparison.tables import percent
from bayeslmm.engine.estimate import Estimate
from bayeslmm.priors import Flat, PriorSet

SKEW = 0.25
EDGE = 0.999
PRIOR_SHARE = 0.7
PRIOR_SHIFT = 0.5
FEW_LEVELS = 5
ML_SHIFT = 0.1

type Row = tuple[str, str, str, str]


def find_remarks(
    fits: Mapping[str, Fit],
    long: pd.DataFrame,
    modes: Mapping[str, Estimate | None],
    draws: Mapping[str, Mapping[str, FloatArray]],
) -> pd.DataFrame:
    """Remarks on every parameter.

    Parameters
    ----------
    fits : mapping of str to fit
    long : pandas.DataFrame
        Values of the comparison.
    modes, draws : mapping
        Of each posterior, by its name.

    Returns
    -------
    pandas.DataFrame
        ``parameter``, ``fit``, ``reason``, ``remark``, in the order of the parameters.
    """
    values = long.set_index(["fit", "statistic", "parameter"])["value"]
    points = {k: f.estimate.method for k, f in fits.items() if not is_posterior(f)}
    posteriors = {k: f for k, f in fits.items() if is_posterior(f)}
    reference = next((k for k, m in points.items() if m == "REML"), None)
    reference = reference or next((k for k, m in points.items() if m == "ML"), None)
    rows: list[Row] = [
        (
            "(all)",
            k,
            "draws",
            f"{k}: the sampler's checks found reason for doubt; settle that before comparing.",
        )
        for k, f in posteriors.items()
        if not f.converged
    ]
    maps = {k: values[k]["estimate"] for k, m in points.items() if m == "MAP"}
    maps |= {k: point_estimates(posteriors[k].design, m) for k, m in modes.items() if m}
    for p in parameters(next(iter(fits.values())).design):
        for name, fit in posteriors.items():
            at = values[name].xs(p.name, level="parameter")
            rows += _edges(p, name, at, {k: values[k]["estimate"][p.name] for k in points})
            rows += _skewed(p, name, at, values, reference)
            rows += _vague(p, name, fit, draws[name])
            rows += _few(p, name, fit)
        if reference is not None and points[reference] == "REML":
            reml = values[reference]
            rows += _pulled(p, reml, reference, maps)
            rows += _ml(p, reml, reference, {k: values[k] for k, m in points.items() if m == "ML"})
    return pd.DataFrame(rows, columns=["parameter", "fit", "reason", "remark"])


def _edges(p: Parameter, name: str, at: pd.Series, points: Mapping[str, float]) -> Iterator[Row]:
    """Estimates on the edge of what they can be."""
    on_edge = {
        k: v
        for k, v in points.items()
        if (p.kind == "sd" and v == 0.0) or (p.kind == "corr" and abs(v) > EDGE)
    }
    if not on_edge:
        return
    who, value = " and ".join(on_edge), next(iter(on_edge.values()))
    if p.kind == "sd":
        yield (
            p.name,
            name,
            "zero",
            f"{who} at exactly 0: these data do not support this component. A posterior has "
            f"draws above 0 only, so its mean {at['mean']:.3g} and interval {at['lower']:.3g} to "
            f"{at['upper']:.3g} lie above; they say how large it could be.",
        )
    else:
        yield (
            p.name,
            name,
            "boundary",
            f"{who} at {value:+.3g}, the edge: no standard error, and the matrix is singular. The "
            f"posterior averages over what the data leave open: {at['lower']:.2f} to "
            f"{at['upper']:.2f}.",
        )


def _skewed(
    p: Parameter, name: str, at: pd.Series, values: pd.Series, reference: str | None
) -> Iterator[Row]:
    """SDs whose posterior leans to the right."""
    if p.kind not in ("sd", "residual") or not at["mean"] > at["median"] > at["mode"] > 0.0:
        return
    if at["mean"] - at["mode"] <= SKEW * at["sd"]:
        return
    words = (
        f"skewed posterior: mean {at['mean']:.4g} > median {at['median']:.4g} > "
        f"mode {at['mode']:.4g}."
    )
    if reference is not None:
        value = values[reference]["estimate"][p.name]
        words += f" {reference} ({value:.4g}) compares with the mode; a larger mean is expected."
    yield p.name, name, "skewed", words


def _vague(
    p: Parameter, name: str, fit: PosteriorLike, draws: Mapping[str, FloatArray]
) -> Iterator[Row]:
    """Parameters about which the data add little to the prior."""
    prior = _prior_spread(fit.priors, p)
    if prior is None:
        return
    values = draws[p.name]
    if p.kind == "fixed" and p.name == "beta[Intercept]":
        # its prior stands where the other predictors are at their means
        beta = np.column_stack([draws[f"beta[{k}]"] for k in fit.priors.fixed_names])
        values = fit.priors.centred(beta)[:, fit.priors.fixed_names.index("Intercept")]
    share = _iqr(values) / prior
    if share > PRIOR_SHARE:
        yield (
            p.name,
            name,
            "prior",
            f"the prior speaks: half of the draws span {percent(round(share, 2))} of what half of "
            "the prior spans, so the data add little. Report the prior; try others.",
        )


def _few(p: Parameter, name: str, fit: PosteriorLike) -> Iterator[Row]:
    levels = {f.name: f.n_levels for f in fit.design.factors}
    if p.kind == "sd" and levels[p.factor] < FEW_LEVELS:
        yield (
            p.name,
            name,
            "few",
            f"{p.factor} has {levels[p.factor]} levels, which say little about an SD: point "
            "estimate, posterior and prior can differ widely.",
        )


def _pulled(
    p: Parameter, reml: pd.Series, reference: str, maps: Mapping[str, pd.Series]
) -> Iterator[Row]:
    """Modes that a prior holds away from REML."""
    value, se = reml["estimate"][p.name], reml["se"][p.name]
    if p.kind == "icc" or (p.kind == "corr" and abs(value) > EDGE):
        return
    for name, mode in maps.items():
        if p.kind == "sd" and value == 0.0 < mode[p.name]:
            yield (
                p.name,
                name,
                "prior",
                f"the prior speaks: it holds the mode at {mode[p.name]:.4g}, where {reference} "
                "is at 0.",
            )
        shift = (mode[p.name] - value) / se
        if abs(shift) > PRIOR_SHIFT:
            yield (
                p.name,
                name,
                "prior",
                f"the prior speaks: it moves the mode from {value:.4g} ({reference}) to "
                f"{mode[p.name]:.4g}, {abs(shift):.1f} standard errors.",
            )


def _ml(
    p: Parameter, reml: pd.Series, reference: str, others: Mapping[str, pd.Series]
) -> Iterator[Row]:
    if p.kind not in ("sd", "residual"):
        return
    value, se = reml["estimate"][p.name], reml["se"][p.name]
    for name, ml in others.items():
        if (value - ml["estimate"][p.name]) / se > ML_SHIFT:
            yield (
                p.name,
                name,
                "ML",
                f"ML takes the fixed effects as known, so its SDs are smaller than {reference}'s.",
            )


def _prior_spread(priors: PriorSet, p: Parameter) -> float | None:
    """Interquartile range of a parameter's prior, from draws; None if it has none.

    Quartiles exist for priors without an SD, such as HalfCauchy.
    """
    rng = np.random.default_rng(0)
    if p.kind == "corr":
        inside = p.name.removeprefix(f"corr_{p.factor}[").removesuffix("]")
        for start, stop in priors.blocks[p.factor]:
            names = priors.columns[p.factor][start:stop]
            if any(inside == f"{a}, {b}" for a in names for b in names):
                matrices = priors.corr[p.factor].sample(rng, 4000, dim=stop - start)
                return _iqr(matrices[:, 1, 0])
        return None
    if p.kind == "fixed":
        prior = priors.beta[priors.fixed_names.index(p.name.removeprefix("beta[")[:-1])]
    elif p.kind == "sd":
        column = p.name.removeprefix(f"sd_{p.factor}[")[:-1]
        prior = priors.sd[p.factor][priors.columns[p.factor].index(column)]
    elif p.kind in ("residual", "family"):
        prior = priors.auxiliary[p.name]
    else:
        return None
    return None if isinstance(prior, Flat) else _iqr(prior.sample(rng, 4000))


def _iqr(values: FloatArray) -> float:
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low)
