"""Which reference distribution the fixed effects of a fit are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import chdtrc, fdtrc

from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError

if TYPE_CHECKING:
    from bayeslmm.engine.gaussian.fixed_covariance import FixedCovariance

DfMethod = Literal["satterthwaite", "kenward-roger", "normal"]
DF_METHODS: tuple[DfMethod, ...] = ("satterthwaite", "kenward-roger", "normal")


def choose_df_method(asked: str | None, estimate: Estimate) -> DfMethod:
    """The method asked for, or the default of the kind of fit.

    Satterthwaite for REML and ML. A posterior mode has no sampling distribution that a t
    would describe: its default, and only choice, is the normal approximation. Kenward and
    Roger's sums are those of a V linear in its parameters, which a residual structure's
    need not be: it has the other two.

    Raises
    ------
    ArgumentError
        An unknown method, or one that a MAP fit cannot have.
    """
    structured = bool(estimate.residual_names)
    if asked is None:
        return "normal" if estimate.method == "MAP" else "satterthwaite"
    for known in DF_METHODS:
        if str(asked).lower().replace("_", "-") == known:
            if estimate.method == "MAP" and known != "normal":
                raise ArgumentError(
                    f"df_method={asked!r} describes estimates by REML or ML, and this fit is a "
                    "posterior mode.",
                    fix='model.fit("REML"); or model.sample() for intervals under the priors',
                )
            if structured and known == "kenward-roger":
                raise ArgumentError(
                    f"df_method={asked!r} is not there for a model with a residual structure: it "
                    "is made for covariances linear in their parameters.",
                    found=f"parameters {', '.join(estimate.residual_names)}",
                    fix='df_method="satterthwaite", which counts these parameters too',
                )
            return known
    raise ArgumentError(
        f"df_method={asked!r} is not known.",
        fix=f"one of {', '.join(repr(k) for k in DF_METHODS)}",
    )


def fixed_covariance(design: Design, estimate: Estimate, df_method: str) -> FixedCovariance | None:
    """What the degrees of freedom of contrasts come from; None where they need nothing.

    Nothing is needed for the normal distribution, and for an ordinary linear model,
    whose t has as many degrees of freedom as rows less fixed columns.
    """
    if df_method == "normal" or is_ordinary(design) or not design.p:
        return None
    if design.residual is not None:
        from bayeslmm.engine.gaussian.residual_uncertainty import structured_fixed_covariance

        return structured_fixed_covariance(design, estimate)
    from bayeslmm.engine.gaussian import fixed_covariance as engine

    if df_method == "kenward-roger":
        return engine.expected_fixed_covariance(design, estimate)
    return engine.observed_fixed_covariance(design, estimate)


def is_ordinary(design: Design) -> bool:
    """Whether rows are independent with one SD, so that t is exact: an ordinary linear model."""
    return not design.factors and design.residual is None


def reference_words(design: Design, df_method: str) -> str:
    """The reference distribution of joint tests, in words for captions."""
    if df_method == "normal":
        return 'F over chi-square, df_num F ~ chi2(df_num) (df_method "normal")'
    if is_ordinary(design):
        return f'F with n - p denominator degrees of freedom (df_method "{df_method}")'
    who = "Kenward and Roger's" if df_method == "kenward-roger" else "Satterthwaite's"
    scaled = ", scaled," if df_method == "kenward-roger" else ""
    return f'F{scaled} with {who} denominator degrees of freedom (df_method "{df_method}")'


def f_pvalue(F: float, df_num: float, df_den: float) -> float:
    """Upper tail of an F distribution; df_den of infinity is chi-square over df_num."""
    if np.isinf(df_den):
        return float(chdtrc(df_num, df_num * F))
    return float(fdtrc(df_num, df_den, F))
