"""A fit of posterior draws."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.errors import AttributeRefused, check_level
from bayeslmm.fits.fit import Effects, Fit, unknown_effects
from bayeslmm.prediction import mean_over_draws, placed, rows_to_predict
from bayeslmm.priors import PriorSet
from bayeslmm.results.definition import ModelDefinition
from bayeslmm.results.labels import covariances_by_factor, effects_by_factor

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.reporting.summary import Summary
    from bayeslmm.sampling import Diagnostics


_INSTEAD = {
    "fe_tvalues": "fe_conf_int, or draws: fit.datatree['posterior']",
    "fe_pvalues": "fe_conf_int, or the share of draws above zero",
    "df_method": "fe_conf_int: quantiles of draws need no reference distribution",
    "df_resid": "az.loo(fit.datatree)",
    "n_params": "az.loo(fit.datatree): its p is the effective number of parameters",
    "llf": "fit.datatree['log_likelihood'] or az.loo(fit.datatree)",
    "aic": "az.loo(fit.datatree)",
    "bic": "az.loo(fit.datatree)",
    "theta": "variance_components",
    "singular": "to_frame('variance')",
    "variance_cov": "to_frame('variance'), or draws: fit.datatree['posterior']",
    "estimate": "fe_params, variance_components and random_effects, which are posterior means",
    "status": "converged and diagnostics",
    "trace": "az.plot_trace(fit.datatree)",
    "refit": "model.update(data=...).sample()",
}
"""What to use for names of a point fit that draws have no answer to."""


class PosteriorFit(Fit):
    """Posterior draws of a mixed model, with a point fit's names answered from draws.

    Attributes
    ----------
    datatree : xarray.DataTree
        Groups as ArviZ expects them; every ArviZ function takes it as it is.
    diagnostics : Diagnostics
        R-hat, effective sample sizes, divergences.
    """

    method = "posterior"

    def __init__(
        self,
        design: Design,
        datatree: xr.DataTree,
        diagnostics: Diagnostics,
        definition: ModelDefinition,
        priors: PriorSet,
    ) -> None:
        from bayeslmm.sampling.diagnostics import record_diagnostics

        self.design = design
        self.datatree = datatree
        self.diagnostics = diagnostics
        self._definition = definition
        self.priors = priors
        record_diagnostics(datatree, diagnostics)

    @property
    def definition(self) -> ModelDefinition:
        """What the model was made of, and what `save` writes."""
        return self._definition

    def __getattr__(self, name: str) -> Any:
        if name in _INSTEAD:
            raise AttributeRefused(f"a posterior has no {name}.", fix=f"use {_INSTEAD[name]}")
        # Python asks here once more when the property has refused
        if name == "sigma" and not self.design.family.has_scale:
            raise AttributeRefused(
                f"the {self.design.family.name} family has no residual SD, sigma.",
                fix="use to_frame('variance') for the parameters it has",
            )
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
        sd = self._beta.std(axis=0, ddof=1)
        return pd.Series(sd, index=list(self.design.fixed_names), name="posterior_sd")

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
    def sigma(self) -> float:
        """Posterior mean of the residual standard deviation."""
        if not self.design.family.has_scale:
            raise AttributeError("sigma")
        return float(np.mean(self._draws["sigma"]))

    @property
    def varcorr(self) -> pd.DataFrame:
        """SDs, correlations and residual SD: mean, posterior SD, median, interval."""
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

    @property
    def random_effects_cov(self) -> dict[str, FloatArray]:
        """Their posterior covariances, shape (levels, columns, columns), by factor."""
        out = {}
        for f, b in zip(self.design.factors, self._b, strict=True):
            d = b - b.mean(axis=0)
            out[f.name] = np.einsum("sja,sjb->jab", d, d) / max(len(b) - 1, 1)
        return out

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
        """Tidy table: ``mean``, ``posterior_sd``, ``median``, equal-tailed interval.

        Parameters
        ----------
        effects : {"fixed", "random", "variance"}
        level : float
        """
        from bayeslmm.results.posterior import random_summary, summarise, variance_summary

        check_level(level)
        if effects == "random":
            return random_summary(self.design, self._b, level)
        if effects == "variance":
            return variance_summary(self.design, self._draws, level)
        if effects != "fixed":
            raise unknown_effects(effects)
        names = self.design.fixed_names
        return summarise({name: self._beta[:, k] for k, name in enumerate(names)}, level)

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
