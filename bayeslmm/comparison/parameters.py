"""Every parameter of a model as a row, with its estimate or its draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.comparison.kinds import PointLike, PosteriorLike
from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate
from bayeslmm.engine.gaussian.variances import correlated_pairs
from bayeslmm.errors import ArgumentError
from bayeslmm.fitting import fit_point
from bayeslmm.outcomes import FitStatus
from bayeslmm.priors.names import INTERCEPT
from bayeslmm.results.posterior import describe_draws, draws_of, parameter_draws


@dataclass(frozen=True)
class Parameter:
    """One row: its name in every posterior, its kind, and the factor it belongs to."""

    name: str
    kind: str
    factor: str = ""


def parameters(design: Design) -> list[Parameter]:
    """Fixed effects, SDs and correlations by factor, the family's, the residuals', ICCs."""
    rows = [Parameter(f"beta[{k}]", "fixed") for k in design.fixed_names]
    for f in design.factors:
        names = f.column_names
        rows += [Parameter(f"sd_{f.name}[{k}]", "sd", f.name) for k in names]
        rows += [
            Parameter(f"corr_{f.name}[{names[j]}, {names[i]}]", "corr", f.name)
            for i, j in correlated_pairs(f)
        ]
    rows += [
        Parameter(k, "residual" if k == "sigma" else "family") for k in design.family.auxiliary
    ]
    if design.residual is not None:
        rows += [Parameter(k, "structure") for k in design.residual.names]
    if has_icc(design):
        rows += [Parameter(f"icc[{f.name}]", "icc", f.name) for f in design.factors]
    return rows


def has_icc(design: Design) -> bool:
    """Whether intraclass correlations are one number each.

    They are var / (sum of the variances + sigma^2) of a Gaussian model whose factors
    have an intercept only. With random slopes the share depends on the slope's
    predictor, and with a residual structure residuals share variance too: the rows are
    left out.
    """
    return (
        bool(design.factors)
        and design.family.name == "gaussian"
        and design.residual is None
        and all(f.column_names == (INTERCEPT,) for f in design.factors)
    )


def point_estimates(design: Design, e: Estimate) -> pd.Series[float]:
    """Estimates by parameter, ICCs too."""
    values = dict(zip((f"beta[{k}]" for k in design.fixed_names), e.beta, strict=True))
    values |= dict(zip(e.variance_names, e.variance_values, strict=True))
    values |= dict(zip(e.residual_names, e.residual_values, strict=True))
    if has_icc(design):
        share = e.variance_values**2 / np.sum(e.variance_values**2)
        values |= {f"icc[{f.name}]": share[k] for k, f in enumerate(design.factors)}
    names = [p.name for p in parameters(design)]
    return pd.Series([values[k] for k in names], index=names, dtype=float)


def point_values(fit: PointLike) -> pd.DataFrame:
    """Estimate and standard error by parameter.

    Standard errors of SDs and correlations come from the observed information, those of
    ICCs from it by the delta method; NaN where a component is on the boundary.
    """
    design, e = fit.design, fit.estimate
    cov = fit.variance_cov.to_numpy()
    errors = [*np.sqrt(np.diag(e.cov_beta)), *np.sqrt(np.diag(cov))]
    if has_icc(design):
        sds = e.variance_values
        total = float(np.sum(sds**2))
        share = sds**2 / total
        slope = (2.0 * sds / total) * (np.eye(len(sds)) - share[:, None])
        errors += list(np.sqrt(np.diag(slope @ cov @ slope.T))[:-1])
    names = [*(f"beta[{k}]" for k in design.fixed_names), *e.variance_names]
    names += [p.name for p in parameters(design) if p.kind == "icc"]
    names += list(e.residual_names)
    errors += fit.residual_parameters_se.tolist()
    estimates = point_estimates(design, e)
    se = pd.Series(errors, index=names, dtype=float).reindex(estimates.index)
    return pd.DataFrame({"estimate": estimates, "se": se})


def all_draws(fit: PosteriorLike) -> dict[str, FloatArray]:
    """Draws by parameter, each (draws,), ICCs too; refused if those of beta were not kept."""
    draws = parameter_draws(fit.design, fit.datatree)
    if fit.design.p and f"beta[{fit.design.fixed_names[0]}]" not in draws:
        draws_of(fit.datatree, "beta")
    if has_icc(fit.design):
        variances = {f.name: draws[f"sd_{f.name}[{INTERCEPT}]"] ** 2 for f in fit.design.factors}
        total = sum(variances.values(), draws["sigma"] ** 2)
        draws |= {f"icc[{k}]": v / total for k, v in variances.items()}
    return draws


def posterior_values(
    fit: PosteriorLike, draws: Mapping[str, FloatArray], mode: Estimate | None, level: float
) -> pd.DataFrame:
    """Mode, median, mean, SD and equal-tailed interval by parameter."""
    names = [p.name for p in parameters(fit.design)]
    table = describe_draws(np.array([draws[k] for k in names]).T, level).set_axis(names)
    table["mode"] = np.nan if mode is None else point_estimates(fit.design, mode)
    columns = ["mode", "median", "mean", "posterior_sd", "lower", "upper"]
    return table[columns].rename(columns={"posterior_sd": "sd"})


def joint_mode(fit: PosteriorLike) -> tuple[Estimate | None, str]:
    """The posterior's joint mode of SDs, correlations and sigma, and why there is none.

    It is the MAP estimate of the same design under the same priors: no Jacobian, the
    fixed effects integrated out and reported at their conditional mean.

    Returns
    -------
    tuple of Estimate or None, and str
        The words are empty where there is a mode.
    """
    if fit.design.family.name != "gaussian" or fit.design.family.link.name != "identity":
        return None, "no mode: it is computed for the Gaussian family with identity link only"
    if fit.priors.normal_beta() is None:
        return None, "no mode: it needs Normal or Flat priors of the fixed effects"
    try:
        mode = fit_point(fit.design, "MAP", fit.priors)
    except ArgumentError as error:
        return None, f"no mode: {error.what}"
    if mode.status is FitStatus.FAILED:
        return None, "no mode: the optimiser did not find it"
    return mode, ""
