"""A fit of point estimates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.design.response import checked_response
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import AttributeRefused, check_level
from bayeslmm.fits.fit import Effects, Fit, unknown_effects
from bayeslmm.fitting import fit_point, refitter
from bayeslmm.outcomes import FitStatus
from bayeslmm.prediction import expected, linear_predictor, placed, rows_to_predict
from bayeslmm.priors import PriorSet
from bayeslmm.results.definition import ModelDefinition, with_response
from bayeslmm.results.labels import covariances_by_factor, effects_by_factor
from bayeslmm.results.refits import Refits
from bayeslmm.results.tables import fixed_table, random_table, sd_of, varcorr_table, wald_interval

if TYPE_CHECKING:
    from bayeslmm.engine.gaussian import Refitter
    from bayeslmm.reporting.summary import Summary


class PointFit(Fit):
    """Point estimates (REML, ML or MAP) of a mixed model.

    Made by `bayeslmm.fit` or ``Model.fit``. Estimates and standard errors are in the
    units of the data; every table names the reference distribution of its p-values.
    """

    df_method: str = "normal"

    def __init__(
        self,
        design: Design,
        estimate: Estimate,
        definition: ModelDefinition | Callable[[], ModelDefinition],
        priors: PriorSet,
    ) -> None:
        self.design = design
        self.estimate = estimate
        self.priors = priors
        self._definition = definition

    @property
    def definition(self) -> ModelDefinition:
        """What the model was made of, and what `save` writes; a refit makes it when asked."""
        if callable(self._definition):
            self._definition = self._definition()
        return self._definition

    # -- fixed effects -----------------------------------------------------------
    @property
    def fe_params(self) -> pd.Series[Any]:
        """Fixed-effect estimates."""
        return pd.Series(self.estimate.beta, index=list(self.design.fixed_names), name="estimate")

    @property
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
        return effects_by_factor(self.design, [sd_of(c) for c in self._cov_b])

    @property
    def random_effects_cov(self) -> dict[str, FloatArray]:
        """Their covariances, shape (levels, columns, columns), by factor."""
        return {f.name: c for f, c in zip(self.design.factors, self._cov_b, strict=True)}

    @cached_property
    def _cov_b(self) -> tuple[FloatArray, ...]:
        from bayeslmm.fitting import conditional_covariances

        return conditional_covariances(self.design, self.estimate, self.priors)

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
        """-2 llf + log(n) n_params, n the rows of positive weight."""
        self._refuse_map("bic")
        return -2.0 * self.llf + float(np.log(self.design.n_effective)) * self.n_params

    @property
    def df_resid(self) -> int:
        """Rows of positive weight less n_params, as lme4 counts it."""
        return self.design.n_effective - self.n_params

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
        return placed(self.design, rows, expected(self.design.family, rows, eta))

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
        batch costs a small part of as many fits. Singular refits are not announced; failed
        ones have NaN, and ``status`` says how each ended.
        """
        values = checked_response(self.design, y)
        if values.ndim == 1:
            design = replace(self.design, y=values)
            if self.method == "MAP":
                estimate = fit_point(design, self.method, self.priors)
            else:
                estimate = self._refitter.estimate(values)
            definition = partial(with_response, self.definition, design)
            return PointFit(design, estimate, definition, self.priors)
        batch = self._refitter.fit(values)
        return Refits(
            fe_params=pd.DataFrame(batch.beta, columns=list(self.design.fixed_names)),
            variances=pd.DataFrame(batch.variances, columns=list(self.estimate.variance_names)),
            llf=pd.Series(batch.loglik, name="llf"),
            status=pd.Series([s.name for s in batch.status], name="status"),
        )

    @cached_property
    def _refitter(self) -> Refitter:
        return refitter(self.design, self.estimate)

    def to_frame(self, effects: Effects = "fixed", level: float = 0.95) -> pd.DataFrame:
        """Tidy table of estimates, a row a parameter.

        Parameters
        ----------
        effects : {"fixed", "random", "variance"}
        level : float
            Level of the normal Wald intervals; those of SDs and correlations are not cut
            at 0 or +-1, and NaN on the boundary.
        """
        check_level(level)
        if effects == "fixed":
            return fixed_table(self.design, self.estimate, level)
        if effects == "random":
            return random_table(self.design, self.estimate.b, self._cov_b, level)
        if effects == "variance":
            cov = self.variance_cov.to_numpy()
            return varcorr_table(self.design, self.estimate, cov, level)
        raise unknown_effects(effects)

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
