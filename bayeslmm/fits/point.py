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
from bayeslmm.design.residual import with_residual_values
from bayeslmm.design.response import checked_response
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import AttributeRefused, check_level
from bayeslmm.fits.fit import Effects, Fit, unknown_effects
from bayeslmm.fits.fixed_effects import FixedEffects
from bayeslmm.fits.intervals import Intervals
from bayeslmm.fits.marginal_means import MarginalMeansOfFit
from bayeslmm.fits.predictions import PointPredictions
from bayeslmm.fits.variance_shares import PointVarianceShares
from bayeslmm.fitting import fit_point, refitter
from bayeslmm.inference.degrees_of_freedom import choose_df_method
from bayeslmm.outcomes import FitStatus
from bayeslmm.priors import PriorSet
from bayeslmm.results.definition import ModelDefinition, with_response
from bayeslmm.results.labels import covariances_by_factor, effects_by_factor
from bayeslmm.results.refits import Refits
from bayeslmm.results.tables import random_table, sd_of, varcorr_table

if TYPE_CHECKING:
    from bayeslmm.engine.gaussian import Refitter
    from bayeslmm.engine.gaussian.residual_uncertainty import ResidualUncertainty
    from bayeslmm.engine.gaussian.structured_refit import StructuredRefitter
    from bayeslmm.inference.all_optimizers import OptimizerComparison
    from bayeslmm.reporting.summary import Summary


class PointFit(
    Intervals, MarginalMeansOfFit, PointVarianceShares, PointPredictions, FixedEffects, Fit
):
    """Point estimates (REML, ML or MAP) of a mixed model.

    Made by `bayeslmm.fit` or ``Model.fit``. Estimates and standard errors are in the
    units of the data; every table names the reference distribution of its p-values.
    """

    def __init__(
        self,
        design: Design,
        estimate: Estimate,
        definition: ModelDefinition | Callable[[], ModelDefinition],
        priors: PriorSet,
        df_method: str | None = None,
    ) -> None:
        self.design = with_residual_values(design, estimate.residual_values)
        self.estimate = estimate
        self.priors = priors
        self.df_method = choose_df_method(df_method, estimate)
        self._definition = definition

    @property
    def definition(self) -> ModelDefinition:
        """What the model was made of, and what `save` writes; a refit makes it when asked."""
        if callable(self._definition):
            self._definition = self._definition()
        return self._definition

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
    def residual_parameters(self) -> pd.Series[Any]:
        """Parameters of the residual structure: ``ar1``, ``rho``, or ``sd_ratio[level]``."""
        return pd.Series(
            self.estimate.residual_values, list(self.estimate.residual_names), name="estimate"
        )

    @property
    def residual_parameters_se(self) -> pd.Series[Any]:
        """Their standard errors, from the observed information of all parameters."""
        if self.design.residual is None:
            return pd.Series([], dtype=float, name="se")
        errors = np.sqrt(np.diag(self._residual_uncertainty.cov))
        return pd.Series(errors, list(self.estimate.residual_names), name="se")

    @cached_property
    def _residual_uncertainty(self) -> ResidualUncertainty:
        from bayeslmm.fitting import residual_uncertainty

        return residual_uncertainty(self.design, self.estimate, self.priors)

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

        if self.design.residual is not None:
            cov = self._residual_uncertainty.variance_cov
        else:
            cov = variance_uncertainty(self.design, self.estimate, self.priors)
        names = list(self.estimate.variance_names)
        return pd.DataFrame(cov, names, names)

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variance components as a tidy table with standard errors."""
        return self.to_frame("variance")

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

    def refit(self, y: Any) -> PointFit | Refits:
        """The same model fitted to another response, or to many.

        Parameters
        ----------
        y : array, shape (nobs,) or (nobs, batch)
            Values for the rows used, in their order; or for all rows of the table, as
            `simulate` gives them with ``na_action="exclude"``, NaN in rows left out.

        Returns
        -------
        PointFit
            For one response.
        Refits
            For a batch: tables with a row a response. REML and ML only.

        Raises
        ------
        ArgumentError
            Another length, or a value for a row used is missing or infinite.

        Notes
        -----
        Cross-products of the columns are reused, and searches start from this fit, so a
        batch costs a small part of as many fits. Singular refits are not announced; failed
        ones have NaN, and ``status`` says how each ended. With a residual structure each
        response takes a search of its own.
        """
        values = checked_response(self.design, y)
        if values.ndim == 1:
            design = replace(self.design, y=values)
            if self.method == "MAP":
                estimate = fit_point(design, self.method, self.priors)
            else:
                estimate = self._refitter.estimate(values)
            definition = partial(with_response, self.definition, design)
            return PointFit(design, estimate, definition, self.priors, self.df_method)
        batch = self._refitter.fit(values)
        return Refits(
            fe_params=pd.DataFrame(batch.beta, columns=list(self.design.fixed_names)),
            variances=pd.DataFrame(
                batch.variances,
                columns=[*self.estimate.variance_names, *self.estimate.residual_names],
            ),
            llf=pd.Series(batch.loglik, name="llf"),
            status=pd.Series([s.name for s in batch.status], name="status"),
        )

    @cached_property
    def _refitter(self) -> Refitter | StructuredRefitter:
        return refitter(self.design, self.estimate)

    def to_frame(self, effects: Effects = "fixed", level: float = 0.95) -> pd.DataFrame:
        """Tidy table of estimates, a row a parameter.

        Parameters
        ----------
        effects : {"fixed", "random", "variance"}
        level : float
            Level of the normal Wald intervals; those of SDs and correlations are not cut
            at 0 or +-1, and NaN on the boundary. Those of a residual structure are made on
            the scale of Fisher's z (correlations) or of logarithms (ratios of SDs).
        """
        check_level(level)
        if effects == "fixed":
            return self._fixed_table(level)
        if effects == "random":
            return random_table(self.design, self.estimate.b, self._cov_b, level)
        if effects == "variance":
            structure = None if self.design.residual is None else self._residual_uncertainty
            cov = self.variance_cov.to_numpy()
            return varcorr_table(self.design, self.estimate, cov, level, structure)
        raise unknown_effects(effects)

    def all_optimizers(self) -> OptimizerComparison:
        """Make the fit again by every optimiser there is, and say whether they agree.

        Newton's method from moments and from other starts, and SciPy's L-BFGS-B, COBYQA,
        Nelder-Mead and Powell on the same criterion, as lme4's ``allFit`` does.

        Returns
        -------
        OptimizerComparison
            ``table``, a row an optimiser; ``agree``; ``words``.

        Raises
        ------
        ArgumentError
            Nothing is searched for (no random effects), or a residual structure.

        Notes
        -----
        SciPy's minimisers are there as they are, and may stop early; what matters is whether
        one of them ends lower. They are left out where Uniform priors of a MAP fit end.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
        >>> fit.all_optimizers().agree
        True
        """
        from bayeslmm.inference.all_optimizers import compare_optimizers

        return compare_optimizers(self.design, self.estimate, self.priors)

    def summary(self) -> Summary:
        """Summary like lme4's: prints as text, shows as HTML in a notebook."""
        from bayeslmm.reporting.summary import summarise_point

        return summarise_point(self)

    def save(self, path: str | Path) -> Path:
        """Write the fit to one netCDF-4 file; `bayeslmm.load` reads it back."""
        from bayeslmm.results.storage import write_fit

        definition = replace(self.definition, df_method=self.df_method)
        return write_fit(path, definition, estimate=self.estimate)

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
