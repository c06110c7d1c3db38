"""Picks the engine or the sampler; every fit and refit passes through here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design, Factor
from bayeslmm.design.scales import far_slopes
from bayeslmm.engine.estimate import Estimate, Method
from bayeslmm.errors import (
    ArgumentError,
    ConvergenceWarning,
    DataWarning,
    FitError,
    SingularFitWarning,
    warn,
)
from bayeslmm.formula.allowed import quote
from bayeslmm.outcomes import FitStatus
from bayeslmm.priors import PriorSet, Uniform

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.engine.gaussian import Refitter
    from bayeslmm.engine.gaussian.residual_uncertainty import ResidualUncertainty
    from bayeslmm.engine.gaussian.structured_refit import StructuredRefitter
    from bayeslmm.sampling import Diagnostics

METHODS = ("REML", "ML", "MAP")

_KINDS: dict[FitStatus, type[Warning]] = {
    FitStatus.SINGULAR: SingularFitWarning,
    FitStatus.AT_END: DataWarning,
}


def fit_point(design: Design, method: str | None, priors: PriorSet | None) -> Estimate:
    """Point estimates by the engine that suits the design.

    Parameters
    ----------
    design : Design
    method : {"REML", "ML", "MAP"} or None
        None is REML for a Gaussian response.
    priors : PriorSet or None
        Needed for MAP.
    """
    if design.family.name != "gaussian" or design.family.link.name != "identity":
        raise ArgumentError(
            f"point estimates exist for the Gaussian family with identity link only, "
            f"and this model is {design.family.name} ({design.family.link.name}).",
            fix="model.sample() gives its posterior",
        )
    chosen: Method = _method(method)
    if design.residual is not None:
        from bayeslmm.engine.gaussian.residual import fit_structured

        return fit_structured(design, chosen, priors)
    from bayeslmm.engine.gaussian import fit_gaussian

    return fit_gaussian(design, chosen, priors)


def variance_uncertainty(design: Design, estimate: Estimate, priors: PriorSet) -> FloatArray:
    """Covariance of an estimate's variance parameters, by the engine that made it."""
    from bayeslmm.engine import gaussian

    return gaussian.variance_uncertainty(design, estimate, priors)


def residual_uncertainty(
    design: Design, estimate: Estimate, priors: PriorSet
) -> ResidualUncertainty:
    """Covariances of the parameters of a residual structure, and of the other variances."""
    from bayeslmm.engine.gaussian import residual_uncertainty as engine

    return engine.residual_uncertainty(design, estimate, priors)


def conditional_covariances(
    design: Design, estimate: Estimate, priors: PriorSet
) -> tuple[FloatArray, ...]:
    """Covariances of the random effects given the rest, by the engine that made the estimate."""
    from bayeslmm.engine import gaussian

    return gaussian.conditional_covariances(design, estimate, priors)


def prediction_variance(
    design: Design,
    estimate: Estimate,
    X: FloatArray,
    factors: Sequence[Factor],
    priors: PriorSet,
) -> FloatArray:
    """Variance of the error of predicted linear combinations, by the engine of the estimate."""
    from bayeslmm.engine.gaussian.prediction_variance import prediction_variance

    return prediction_variance(design, estimate, X, factors, priors)


def sample_design(
    design: Design, priors: PriorSet, **options: Any
) -> tuple[xr.DataTree, Diagnostics]:
    """Posterior draws of a design, with doubts about their convergence said once."""
    from bayeslmm.sampling import sample_posterior

    _announce_far_slopes(design)
    return _judged(sample_posterior(design, priors, **options))


def sample_more(
    design: Design, priors: PriorSet, datatree: xr.DataTree, **options: Any
) -> tuple[xr.DataTree, Diagnostics]:
    """The draws of a posterior and those of further chains, all judged anew."""
    from bayeslmm.sampling.more_chains import add_chains

    return _judged(add_chains(design, priors, datatree, **options))


def _judged(datatree: xr.DataTree) -> tuple[xr.DataTree, Diagnostics]:
    from bayeslmm.sampling import check_convergence

    diagnostics = check_convergence(datatree)
    if not diagnostics.converged:
        warn(diagnostics.words(), ConvergenceWarning)
    return datatree, diagnostics


def _announce_far_slopes(design: Design) -> None:
    """Warn of slopes whose zero is far outside the data, which samplers and priors dislike."""
    for slope in far_slopes(design):
        warn(
            f"`{slope.column}` is around {slope.mean:.4g} with an SD of {slope.sd:.3g}, so the "
            f"intercepts of `{slope.factor}` stand far outside the data: their SD is huge, their "
            f"correlation with the slopes near -1 or 1, and sampling slow.\n"
            f"  fix: centre it, for instance with center({slope.column}) in the formula",
            DataWarning,
        )


def announce(
    design: Design, estimate: Estimate, priors: PriorSet | None = None, *, strict: bool
) -> None:
    """Say once, in plain words, what is special about a fit; ``strict`` raises instead."""
    status = estimate.status
    if status is FitStatus.CONVERGED:
        return
    words: dict[FitStatus, str] = {}
    if status is FitStatus.AT_END and priors is not None:
        words[status] = _end_words(estimate, priors)
    elif status is not FitStatus.SINGULAR:
        words[status] = f"the fit has {status.label}: {status.words}.\n  options: {status.advice}"
    if status is FitStatus.SINGULAR or (status is FitStatus.AT_END and estimate.singular):
        words[FitStatus.SINGULAR] = _singular_words(design, estimate)
    if strict:
        raise FitError("\n".join(words.values()))
    for kind, text in words.items():
        warn(text, _KINDS.get(kind, ConvergenceWarning))


def _method(method: str | None) -> Method:
    upper = "REML" if method is None else str(method).upper()
    for known in METHODS:
        if upper == known:
            return known  # type: ignore[return-value]
    raise ArgumentError(
        f"method={method!r} is not known.",
        fix='"REML", "ML" or "MAP"; for a posterior: model.sample()',
    )


def _end_words(estimate: Estimate, priors: PriorSet) -> str:
    """Which SDs stand where their Uniform priors end."""
    values = dict(zip(estimate.variance_names, estimate.variance_values, strict=True))
    values |= dict(zip(estimate.residual_names, estimate.residual_values, strict=True))
    found = []
    for name, prior in priors.scalar.items():
        if name not in values or not isinstance(prior, Uniform):
            continue
        for end in (prior.lower, prior.upper):
            if end != 0 and abs(values[name] - end) <= 1e-9 * abs(end):
                found.append(f"`{name}` is {end:g}, where its prior {prior!r} ends")
    status = estimate.status
    return f"{'; '.join(found)}.\n  meaning: {status.words}.\n  options: {status.advice}."


def _singular_words(design: Design, e: Estimate) -> str:
    zero, perfect, drops = [], [], []
    values = dict(zip(e.variance_names, e.variance_values, strict=True))
    for f, T in zip(design.factors, e.T, strict=True):
        for t in f.terms:
            here = f.column_names[t.start : t.stop]
            sds = [values[f"sd_{f.name}[{c}]"] for c in here]
            dead = [c for c, sd in zip(here, sds, strict=True) if sd == 0.0]
            zero += [f"the SD of `{c}` for `{f.name}` is 0" for c in dead]
            pivots = (T.diagonal()[t.start : t.stop] == 0.0).sum()
            if pivots > len(dead):
                perfect.append(
                    f"the correlations of {t.text} are on the boundary"
                    if len(here) > 2
                    else f"the correlation of `{here[0]}` and `{here[1]}` for `{f.name}` is "
                    f"{values[f'corr_{f.name}[{here[0]}, {here[1]}]']:+.0f}"
                )
            if pivots:
                drops.append(_simpler(f, here, dead, t.text))
    advice = "; ".join(dict.fromkeys(d for d in drops if d))
    return (
        f"{'; '.join(zero + perfect)}.\n"
        "  meaning: these data do not support this component of the model.\n"
        f"  options: {advice}; keep it and report it; or sample with a prior."
    )


def _simpler(factor: Factor, columns: tuple[str, ...], dead: list[str], text: str) -> str:
    alive = [c for c in columns if c not in dead]
    if not alive:
        return f"drop {text}"
    # a column of a categorical, `cond[lo]`, is not a term by itself
    if (dead or len(columns) == 2) and not any("[" in c for c in columns):
        kept = [c for c in alive if c != columns[-1]] if not dead else alive
        terms = [c if "(" in c or ":" in c else quote(c) for c in kept if c != "Intercept"]
        basis = " + ".join(["1" if "Intercept" in kept else "0", *terms])
        group = ":".join(quote(c) for c in factor.source)
        return f"drop a component: ({basis} | {group})"
    return f"simplify {text}, for instance with ||"


def refitter(design: Design, estimate: Estimate) -> Refitter | StructuredRefitter:
    """What fits other responses by the method of an estimate, starting from it."""
    if estimate.method == "MAP":
        raise ArgumentError(
            "other responses are refitted by REML or ML, and this fit is a posterior mode.",
            fix='model.fit("REML").refit(...); or a new Model for each response',
        )
    if design.residual is not None:
        from bayeslmm.engine.gaussian.structured_refit import StructuredRefitter

        return StructuredRefitter(design, estimate.method, estimate)
    from bayeslmm.engine.gaussian import Refitter

    return Refitter(design, estimate.method, estimate)
