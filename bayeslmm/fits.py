"""What a user holds: `PointFit` and `PosteriorFit`, one-line methods over the rooms below."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayeslmm.design import Design
from bayeslmm.design.design import FloatArray
from bayeslmm.design.response import checked_response
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError, AttributeRefused
from bayeslmm.fitting import fit_point, refit_batch
from bayeslmm.outcomes import FitStatus
from bayeslmm.prediction import linear_predictor, mean_over_draws, placed, rows_to_predict
from bayeslmm.priors import PriorSet
from bayeslmm.results.definition import ModelDefinition, with_response
from bayeslmm.results.labels import covariances_by_factor, effects_by_factor, padded
from bayeslmm.results.refits import Refits
from bayeslmm.results.tables import fixed_table, random_table, varcorr_table, wald_interval

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.reporting.summary import Summary
    from bayeslmm.sampling import Diagnostics

Effects = Literal["fixed", "random", "variance"]


class _Fit(ABC):
    """What every fit answers from its design alone."""

    design: Design
    definition: ModelDefinition
    priors: PriorSet

    @property
    def formula(self) -> str:
        """The formula as it was written."""
        return self.design.spec.text

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.design.n

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {f.name: f.n_levels for f in self.design.factors}

    @property
    def resid(self) -> FloatArray:
        """Conditional residuals, response minus fitted values, shape (n,)."""
        return padded(self.design, self.design.y) - self.fittedvalues

    @property
    @abstractmethod
    def fittedvalues(self) -> FloatArray:
        """Conditional expected responses of the training rows, shape (n,)."""


class PointFit(_Fit):
    """Point estimates (REML, ML or MAP) of a mixed model.

    Made by `bayeslmm.fit` or ``Model.fit``. Estimates and standard errors are in the
    units of the data; every table names the reference distribution of its p-values.
    """

    df_method: str = "normal"

    def __init__(
        self, design: Design, estimate: Estimate, definition: ModelDefinition, priors: PriorSet
    ) -> None:
        self.design = design
        self.estimate = estimate
        self.definition = definition
        self.priors = priors

    # -- fixed effects -----------------------------------------------------------
    @cached_property
    def fe_params(self) -> pd.Series[Any]:
        """Fixed-effect estimates."""
        return pd.Series(self.estimate.beta, index=list(self.design.fixed_names), name="estimate")

    @cached_property
    def fe_bse(self) -> pd.Series[Any]:
        """Standard errors of the fixed effects."""
        se = np.sqrt(np.diag(self.estimate.cov_beta))
        return pd.Series(se, index=list(self.design.fixed_names), name="std_error")

    @property
    def fe_cov(self) -> FloatArray:
        """Covariance matrix of the fixed effects, sigma^2 (X'V^-1X)^-1, shape (p, p)."""
        return self.estimate.cov_beta

    @property
    def fe_tvalues(self) -> pd.Series[Any]:
        """Estimates over their standard errors."""
        return (self.fe_params / self.fe_bse).rename("z_value")

    @property
    def fe_pvalues(self) -> pd.Series[Any]:
        """Two-sided p-values by the standard normal (``df_method`` "normal")."""
        from bayeslmm.results.tables import normal_pvalues

        return normal_pvalues(self.fe_tvalues).rename("p_value")

    @property
    def fe_conf_int(self) -> pd.DataFrame:
        """95 % Wald intervals by the standard normal, columns 0.025 and 0.975."""
        return wald_interval(self.fe_params, self.fe_bse, 0.95)

    # -- variance components -----------------------------------------------------
    @property
    def variance_components(self) -> dict[str, float | pd.DataFrame]:
        """Variance between levels of each factor; a covariance frame for several columns."""
        return covariances_by_factor(self.design, self.estimate.covariances)

    @property
    def scale(self) -> float:
        """Residual variance, sigma squared."""
        return self.estimate.sigma**2

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self.estimate.sigma

    @property
    def theta(self) -> FloatArray:
        """Free entries of the relative covariance factors, factor by factor, row by row."""
        patterns = [f.pattern for f in self.design.factors]
        parts = [T[p] for T, p in zip(self.estimate.T, patterns, strict=True)]
        return np.concatenate([*parts, np.empty(0)])

    @property
    def singular(self) -> bool:
        """Whether a variance is zero or a correlation one (a diagonal entry of T is 0)."""
        return self.estimate.singular

    @cached_property
    def variance_cov(self) -> pd.DataFrame:
        """Covariance of SDs, correlations and sigma, from the observed information.

        Computed when first asked for. NaN for components on the boundary.
        """
        from bayeslmm.fitting import variance_uncertainty

        cov = variance_uncertainty(self.design, self.estimate, self.priors)
        names = list(self.estimate.variance_names)
        return pd.DataFrame(cov, names, names)

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variance components as a tidy table with standard errors."""
        return varcorr_table(self.design, self.estimate, self.variance_cov.to_numpy())

    # -- random effects ----------------------------------------------------------
    @property
    def random_effects(self) -> dict[str, pd.Series[Any] | pd.DataFrame]:
        """BLUPs by factor: a Series for one column, else a frame, indexed by level."""
        return effects_by_factor(self.design, self.estimate.b)

    @property
    def random_effects_se(self) -> dict[str, pd.Series[Any] | pd.DataFrame]:
        """Conditional SDs of the BLUPs given the fixed effects, as lme4's condVar."""
        sd = [np.sqrt(np.maximum(np.einsum("jkk->jk", c), 0.0)) for c in self.estimate.cov_b]
        return effects_by_factor(self.design, sd)

    # -- fit ----------------------------------------------------------------------
    @property
    def method(self) -> str:
        """``"REML"``, ``"ML"`` or ``"MAP"``."""
        return self.estimate.method

    @property
    def llf(self) -> float:
        """Log likelihood: restricted for REML; prior of beta integrated for MAP."""
        return self.estimate.loglik

    @property
    def n_params(self) -> int:
        """Fixed effects, variance parameters and sigma."""
        return self.estimate.n_params

    @property
    def aic(self) -> float:
        """-2 llf + 2 n_params."""
        self._refuse_map("aic")
        return -2.0 * self.llf + 2.0 * self.n_params

    @property
    def bic(self) -> float:
        """-2 llf + log(nobs) n_params."""
        self._refuse_map("bic")
        return -2.0 * self.llf + float(np.log(self.nobs)) * self.n_params

    @property
    def df_resid(self) -> int:
        """Nobs - n_params, as lme4 counts it."""
        return self.nobs - self.n_params

    @property
    def status(self) -> FitStatus:
        """How the optimisation ended."""
        return self.estimate.status

    @property
    def converged(self) -> bool:
        """Whether the estimates are the optimum (a singular fit is)."""
        return self.estimate.status.converged

    @property
    def trace(self) -> pd.DataFrame:
        """Criterion and largest gradient entry at each evaluation of the optimiser."""
        return pd.DataFrame(self.estimate.trace, columns=["criterion", "max_gradient"])

    @property
    def fittedvalues(self) -> FloatArray:
        """Conditional expected responses, X beta + Z b + offset, shape (n,)."""
        return self.predict()

    def predict(self, newdata: Any = None, include_re: bool = True) -> FloatArray:
        """Expected response.

        Parameters
        ----------
        newdata : table, optional
            The training rows by default.
        include_re : bool
            True adds the BLUPs; a level the fit never saw has BLUP 0. False gives
            the population mean, for which ``newdata`` needs no grouping columns.

        Returns
        -------
        ndarray, shape (rows,)
            NaN for rows with missing values.

        Raises
        ------
        UnseenLevelError
            A level of a fixed factor the fit never saw.
        """
        e = self.estimate
        rows = rows_to_predict(self.design, newdata, include_re=include_re)
        eta = linear_predictor(rows, e.beta, e.b if include_re else None)
        return placed(self.design, rows, self.design.family.mean(eta))

    def refit(self, y: Any) -> PointFit | Refits:
        """The same model fitted to another response, or to many.

        Parameters
        ----------
        y : array, shape (nobs,) or (nobs, batch)
            Values for the rows used, in their order.

        Returns
        -------
        PointFit
            For one response.
        Refits
            For a batch: tables with a row a response. REML and ML only.

        Raises
        ------
        ArgumentError
            The length is not ``nobs``, or a value is missing or infinite.

        Notes
        -----
        Cross-products of the columns are reused, and searches start from this fit, so a
        batch costs a small part of as many fits. Singular refits are not announced.
        """
        values = checked_response(self.design, y)
        if values.ndim == 1:
            design = replace(self.design, y=values)
            estimate = fit_point(design, self.method, self.priors)
            return PointFit(design, estimate, with_response(self.definition, design), self.priors)
        beta, variances, loglik = refit_batch(self.design, self.estimate, values)
        return Refits(
            fe_params=pd.DataFrame(beta, columns=list(self.design.fixed_names)),
            variances=pd.DataFrame(variances, columns=list(self.estimate.variance_names)),
            llf=pd.Series(loglik, name="llf"),
        )

    def to_frame(self, effects: Effects = "fixed", level: float = 0.95) -> pd.DataFrame:
        """Tidy table of estimates, a row a parameter.

        Parameters
        ----------
        effects : {"fixed", "random", "variance"}
        level : float
            Level of the normal Wald intervals.
        """
        _check_level(level)
        if effects == "fixed":
            return fixed_table(self.design, self.estimate, level)
        if effects == "random":
            return random_table(self.design, self.estimate, level)
        if effects == "variance":
            return self.varcorr
        raise _unknown_effects(effects)

    def summary(self) -> Summary:
        """Summary like lme4's: prints as text, shows as HTML in a notebook."""
        from bayeslmm.reporting.summary import summarise_point

        return summarise_point(self)

    def save(self, path: str | Path) -> Path:
        """Write the fit to one netCDF-4 file; `bayeslmm.load` reads it back."""
        from bayeslmm.results.storage import write_fit

        return write_fit(path, self.definition, estimate=self.estimate)

    def _refuse_map(self, name: str) -> None:
        if self.method == "MAP":
            raise AttributeRefused(
                f"{name} needs a maximised likelihood, and this fit is a posterior mode.",
                fix='model.fit("ML"), or az.loo of model.sample().datatree',
            )

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


class PosteriorFit(_Fit):
    """Posterior draws of a mixed model, with a point fit's names answered from draws.

    Attributes
    ----------
    datatree : xarray.DataTree
        Groups as ArviZ expects them; every ArviZ function takes it as it is.
    diagnostics : Diagnostics
        R-hat, effective sample sizes, divergences.
    """

    def __init__(
        self,
        design: Design,
        datatree: xr.DataTree,
        diagnostics: Diagnostics,
        definition: ModelDefinition,
        priors: PriorSet,
    ) -> None:
        self.design = design
        self.datatree = datatree
        self.diagnostics = diagnostics
        self.definition = definition
        self.priors = priors

    def __getattr__(self, name: str) -> Any:
        instead = {
            "fe_tvalues": "fe_conf_int, or draws: fit.datatree['posterior']",
            "fe_pvalues": "fe_conf_int, or the share of draws above zero",
            "df_resid": "az.loo(fit.datatree)",
            "llf": "fit.datatree['log_likelihood'] or az.loo(fit.datatree)",
            "aic": "az.loo(fit.datatree)",
            "bic": "az.loo(fit.datatree)",
            "theta": "variance_components",
            "singular": "to_frame('variance')",
        }.get(name)
        if instead is not None:
            raise AttributeRefused(f"a posterior has no {name}.", fix=f"use {instead}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @cached_property
    def _draws(self) -> dict[str, FloatArray]:
        from bayeslmm.results.posterior import parameter_draws

        return parameter_draws(self.design, self.datatree)

    @cached_property
    def _beta(self) -> FloatArray:
        from bayeslmm.results.posterior import draws_of

        if self.design.p == 0:
            chains, draws = self._shape
            return np.empty((chains * draws, 0))
        return draws_of(self.datatree, "beta")

    @property
    def _b(self) -> list[FloatArray]:
        from bayeslmm.results.posterior import draws_of

        return [draws_of(self.datatree, f"b_{f.name}") for f in self.design.factors]

    @property
    def _shape(self) -> tuple[int, int]:
        sizes = self.datatree["posterior"].sizes
        return int(sizes["chain"]), int(sizes["draw"])

    # -- fixed effects -----------------------------------------------------------
    @property
    def fe_params(self) -> pd.Series[Any]:
        """Posterior means of the fixed effects."""
        return pd.Series(self._beta.mean(0), index=list(self.design.fixed_names), name="mean")

    @property
    def fe_bse(self) -> pd.Series[Any]:
        """Posterior SDs of the fixed effects."""
        return pd.Series(self._beta.std(0, ddof=1), index=list(self.design.fixed_names), name="sd")

    @property
    def fe_cov(self) -> FloatArray:
        """Posterior covariance matrix of the fixed effects, shape (p, p)."""
        return np.atleast_2d(np.cov(self._beta, rowvar=False))

    @property
    def fe_conf_int(self) -> pd.DataFrame:
        """Equal-tailed 95 % credible intervals, columns 0.025 and 0.975."""
        q = np.quantile(self._beta, [0.025, 0.975], axis=0)
        return pd.DataFrame(q.T, index=list(self.design.fixed_names), columns=[0.025, 0.975])

    # -- variance components -----------------------------------------------------
    @property
    def variance_components(self) -> dict[str, float | pd.DataFrame]:
        """Posterior mean variance of each factor; a covariance frame for several columns."""
        from bayeslmm.results.posterior import covariance_draws

        means = [c.mean(axis=0) for c in covariance_draws(self.design, self.datatree)]
        return covariances_by_factor(self.design, means)

    @property
    def scale(self) -> float:
        """Posterior mean of the residual variance; 1 for a family without one."""
        if not self.design.family.has_scale:
            return 1.0
        return float(np.mean(self._draws["sigma"] ** 2))

    @property
    def varcorr(self) -> pd.DataFrame:
        """SDs, correlations and residual SD: mean, SD, median, interval."""
        return self.to_frame("variance")

    # -- random effects ----------------------------------------------------------
    @property
    def random_effects(self) -> dict[str, pd.Series[Any] | pd.DataFrame]:
        """Posterior means of the random effects by factor."""
        return effects_by_factor(self.design, [b.mean(axis=0) for b in self._b])

    @property
    def random_effects_se(self) -> dict[str, pd.Series[Any] | pd.DataFrame]:
        """Posterior SDs of the random effects by factor."""
        return effects_by_factor(self.design, [b.std(axis=0, ddof=1) for b in self._b])

    # -- fit ----------------------------------------------------------------------
    @property
    def converged(self) -> bool:
        """Whether R-hat, effective sample size and divergences give no reason for doubt."""
        return self.diagnostics.converged

    @property
    def fittedvalues(self) -> FloatArray:
        """Posterior means of the conditional expected responses, shape (n,)."""
        return self.predict()

    def predict(self, newdata: Any = None, include_re: bool = True) -> FloatArray:
        """Posterior mean of the expected response.

        Parameters
        ----------
        newdata : table, optional
        include_re : bool
            False leaves the random effects out: the response at b = 0.

        Returns
        -------
        ndarray, shape (rows,)
        """
        rows = rows_to_predict(self.design, newdata, include_re=include_re)
        mean = mean_over_draws(
            self.design.family, rows, self._beta, self._b if include_re else None
        )
        return placed(self.design, rows, mean)

    def to_frame(self, effects: Effects = "fixed", level: float = 0.95) -> pd.DataFrame:
        """Tidy table of the posterior: mean, SD, median, equal-tailed interval.

        Parameters
        ----------
        effects : {"fixed", "random", "variance"}
        level : float
        """
        from bayeslmm.results.posterior import random_summary, summarise

        _check_level(level)
        if effects == "random":
            return random_summary(self.design, self._b, level)
        if effects not in ("fixed", "variance"):
            raise _unknown_effects(effects)
        fixed = effects == "fixed"
        chosen = {k: v for k, v in self._draws.items() if k.startswith("beta[") == fixed}
        if fixed:
            chosen = {k.removeprefix("beta[")[:-1]: v for k, v in chosen.items()}
        return summarise(chosen, level)

    def summary(self) -> Summary:
        """Summary with the same layout as a point fit's."""
        from bayeslmm.reporting.summary import summarise_posterior

        return summarise_posterior(self)

    def save(self, path: str | Path) -> Path:
        """Write draws and model to one netCDF-4 file; `bayeslmm.load` and ArviZ read it."""
        from bayeslmm.results.storage import write_fit

        return write_fit(path, self.definition, datatree=self.datatree)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def _unknown_effects(effects: str) -> ArgumentError:
    return ArgumentError(
        f"effects={effects!r} is not known.", fix='one of "fixed", "random", "variance"'
    )


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ArgumentError(
            f"level={level!r} is not a probability.", fix="level=0.95 gives 95 % intervals"
        )
