"""A fit of posterior draws."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.design import Design
from bayeslmm.design.design import FloatArray
from bayeslmm.errors import AttributeRefused
from bayeslmm.fits.fit import Effects, Fit, check_level, unknown_effects
from bayeslmm.prediction import mean_over_draws, placed, rows_to_predict
from bayeslmm.priors import PriorSet
from bayeslmm.results.definition import ModelDefinition
from bayeslmm.results.labels import covariances_by_factor, effects_by_factor

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.reporting.summary import Summary
    from bayeslmm.sampling import Diagnostics


class PosteriorFit(Fit):
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

        check_level(level)
        if effects == "random":
            return random_summary(self.design, self._b, level)
        if effects not in ("fixed", "variance"):
            raise unknown_effects(effects)
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
