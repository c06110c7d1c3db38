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
from bayeslmm.fits.intervals import ResponseBootstrap
from bayeslmm.fits.marginal_means import MarginalMeansOfFit
from bayeslmm.fits.predictions import PosteriorPredictions
from bayeslmm.fits.variance_shares import VarianceShares
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
    "fixed_covariance": "fe_cov",
    "with_df": "fe_conf_int: quantiles of draws need no reference distribution",
    "fe_df": "fe_conf_int: quantiles of draws need no reference distribution",
    "conditional_aic": "az.loo(fit.datatree)",
    "anova": "emmeans(...).contrast(), hypothesis(...), or compare_models of two posteriors",
    "ranova": "to_frame('variance'), or compare_models of two posteriors",
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
    "all_optimizers": "diagnostics: several chains are what several optimisers are to a mode",
    "refit": "model.update(data=...).sample()",
    "confint": "to_frame('fixed', level) and to_frame('variance', level): quantiles of draws",
    "profile": "quantiles of draws: to_frame('variance', level)",
    "bootstrap": "quantiles of draws: to_frame('variance', level)",
}
"""What to use for names of a point fit that draws have no answer to."""


class PosteriorFit(
    ResponseBootstrap, MarginalMeansOfFit, VarianceShares, PosteriorPredictions, Fit
):
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
        """Equal-tailed 95 % credible intervals, columns ``lower`` and ``upper``."""
        q = np.quantile(self._beta, [0.025, 0.975], axis=0)
        return pd.DataFrame(q.T, index=list(self.design.fixed_names), columns=["lower", "upper"])

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
    def residual_parameters(self) -> pd.Series[Any]:
        """Posterior means of ``ar1``, ``rho`` or ``sd_ratio[level]``."""
        means = {k: float(v.mean()) for k, v in self._residual_draws.items()}
        return pd.Series(means, dtype=float, name="mean")

    @property
    def residual_parameters_se(self) -> pd.Series[Any]:
        """Their posterior SDs."""
        sds = {k: float(v.std(ddof=1)) for k, v in self._residual_draws.items()}
        return pd.Series(sds, dtype=float, name="posterior_sd")

    @property
    def _residual_draws(self) -> dict[str, FloatArray]:
        from bayeslmm.results.posterior import residual_draws

        return residual_draws(self.design, self.datatree)

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

    def log_likelihood(
        self, integrate: str | None = None, *, draws: int | None = None, progressbar: bool = True
    ) -> xr.DataTree:
        """Log likelihood of what is left out, for `arviz.loo` and `arviz.compare`.

        With ``integrate``, fixed and random effects are integrated out exactly: of each draw
        of the SDs, correlations and sigma, log p(y_g | y_-g, SDs, correlations, sigma), where
        g is a level of a factor, or a row. Weights by importance sampling then leave g out of
        the posterior of these parameters, so that all of y_g is predicted from the other rows.

        Parameters
        ----------
        integrate : str, optional
            What is left out at a time: the levels of a grouping factor, ``"Subject"`` or
            ``"batch:cask"``, with all their rows; or ``"obs"``, one row. By default the log
            likelihood of each row given its random effects, any family.
        draws : int, optional
            Use so many draws of each chain, evenly spaced.
        progressbar : bool

        Returns
        -------
        xarray.DataTree
            Groups ``posterior`` and ``log_likelihood``. The latter has one variable, named
            as the response, of dimensions chain, draw and what is left out; in log units of
            the density of the response (all rows of a level jointly). Rows of weight zero,
            and levels that have no others, are not in it.

        Raises
        ------
        ArgumentError
            Not a factor of the model; not Gaussian with identity link; a prior of a fixed
            effect neither Normal nor Flat; or flat ones, and rows without which they are
            not determined. Given the effects: draws of these that were not kept.

        Notes
        -----
        The question decides what to leave out. Given the random effects, or with single rows
        left out, the other rows of a level say nearly all of its effects, so a predictor that
        varies between levels only makes next to no difference; leave out levels to judge it.
        A draw costs a factorisation, and for each level a system of as many equations as it
        has rows (of different levels of other factors).

        References
        ----------
        Vehtari, A., Gelman, A. and Gabry, J. (2017), Practical Bayesian model evaluation using
        leave-one-out cross-validation and WAIC, Statistics and Computing 27, 1413-1432.

        Examples
        --------
        >>> import arviz as az
        >>> import bayeslmm as bl
        >>> model = bl.Model("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
        >>> post = model.sample(500, random_seed=1, progressbar=False)
        >>> tree = post.log_likelihood(integrate="Batch", progressbar=False)
        >>> dict(tree["log_likelihood"].sizes)
        {'chain': 4, 'draw': 500, 'Batch': 6}
        >>> loo = az.loo(tree)
        """
        from bayeslmm.sampling.leaving_out import log_likelihood_tree

        return log_likelihood_tree(
            self.design,
            self.priors,
            self.datatree,
            integrate,
            draws=draws,
            progressbar=progressbar,
        )

    def prior_sensitivity(self, threshold: float = 0.05) -> pd.DataFrame:
        """How much each parameter depends on its prior, by power scaling.

        The prior of the top-level parameters, then the likelihood, is raised to powers
        0.99 and 1.01, the posterior reweighted, and the distance it moves measured
        (cumulative Jensen-Shannon, per doubling of the power). Nothing is sampled anew.

        Parameters
        ----------
        threshold : float
            From which a parameter is said to be sensitive.

        Returns
        -------
        DataFrame
            A row a coefficient, SD, correlation and parameter of the family: columns
            ``parameter``, ``prior``, ``likelihood`` (sensitivities, without unit) and
            ``diagnosis``. Sensitive to both: prior and data may disagree; to the prior
            only: the prior is strong or the data weak.

        Raises
        ------
        ArgumentError
            The posterior was sampled with ``log_likelihood=False``, and it was not added since.

        Notes
        -----
        The likelihood is that given the random effects, whose distribution belongs to
        neither part. Kallioinen, Paananen, Buerkner and Vehtari (2024), Detecting and
        diagnosing prior and likelihood sensitivity with power-scaling, Statistics and
        Computing 34.

        Examples
        --------
        ``model.sample().prior_sensitivity()``
        """
        from bayeslmm.sampling.sensitivity import power_scaling

        return power_scaling(self.datatree, self._draws, threshold)

    def summary(self) -> Summary:
        """Summary with the same layout as a point fit's."""
        from bayeslmm.reporting.summary import summarise_posterior

        return summarise_posterior(self)

    def add_chains(
        self,
        chains: int = 2,
        *,
        random_seed: int | None = None,
        cores: int | None = None,
        progressbar: bool = True,
    ) -> PosteriorFit:
        """Sample further chains with the settings of those there are.

        For a posterior whose chains agree but hold too few draws, or one that was
        interrupted; also for one that was loaded.

        Parameters
        ----------
        chains : int
            Chains to add, each with as many draws as those before.
        random_seed : int, optional
            Another than those that made this posterior; drawn by default. The attribute
            ``added_chains`` of the datatree records it.
        cores : int, optional
        progressbar : bool

        Returns
        -------
        PosteriorFit
            In memory, of all chains; this one is left as it is.

        Raises
        ------
        ArgumentError
            A seed that has been used.

        Warns
        -----
        ConvergenceWarning
            What the chains, old and new together, still leave in doubt; or the new ones
            were interrupted: all are then cut to their length, or, where that would leave
            fewer draws in all, the new ones left out.
        """
        from bayeslmm.fitting import sample_more

        datatree, diagnostics = sample_more(
            self.design,
            self.priors,
            self.datatree,
            chains=chains,
            random_seed=random_seed,
            cores=cores,
            progressbar=progressbar,
        )
        return PosteriorFit(self.design, datatree, diagnostics, self.definition, self.priors)

    def save(self, path: str | Path) -> Path:
        """Write draws and model to one netCDF-4 file; `bayeslmm.load` and ArviZ read it."""
        from bayeslmm.results.storage import write_fit

        return write_fit(path, self.definition, datatree=self.datatree)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()
