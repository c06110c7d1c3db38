"""ICC, R2, design effect, reliability and implied covariances of fits; the conditional AIC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from bayeslmm.errors import AttributeRefused

if TYPE_CHECKING:
    from bayeslmm.inference.conditional_aic import ConditionalAIC
    from bayeslmm.inference.printed import PrintedTable


class VarianceShares:
    """What both fits answer about the variance of a row and its sources.

    Estimates of a point fit are in a column ``estimate``; a posterior has ``mean``,
    ``posterior_sd``, ``median``, ``lower`` and ``upper`` of draws in its place.
    """

    def icc(self, by: str | None = None, *, level: float = 0.95) -> PrintedTable:
        """Intraclass correlation of each factor, adjusted and unadjusted.

        ::

            adjusted   = v_f / (sum_f v_f + v_e)
            unadjusted = v_f / (v_X + sum_f v_f + v_e)

        v_f is the mean over rows of z'Sigma_f z (the variance of a random intercept), v_e the
        mean of sigma^2 / w (times the squared ratio of the row's level with `VarianceBy`), v_X
        the sample variance of X beta; rows of positive weight only.

        Parameters
        ----------
        by : str, optional
            One factor; by default each, and ``all factors`` where there are several.
        level : float
            Level of the intervals of a posterior.

        Returns
        -------
        PrintedTable
            Without unadjusted shares where a posterior was sampled without keeping ``beta``.

        Raises
        ------
        ArgumentError
            No random effects, an unknown factor, or a family without a residual variance on
            the scale of the linear predictor. Binary outcomes have that of the latent
            response: pi^2/3 for logit, 1 for probit, pi^2/6 for cloglog.

        References
        ----------
        Nakagawa, Johnson and Schielzeth (2017), J. R. Soc. Interface 14, 20170213.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
        >>> fit.icc().table["estimate"].round(4).tolist()
        [0.4185, 0.4185]
        """
        from bayeslmm.inference.variance_shares import icc

        return icc(self, by, level)

    def r2(self, *, level: float = 0.95) -> PrintedTable:
        """Marginal and conditional R2.

        Marginal: v_X over the sum of all variances; conditional: v_X and those of all factors.
        The variances are those of `icc`.

        Parameters
        ----------
        level : float
            Level of the intervals of a posterior.

        Returns
        -------
        PrintedTable

        References
        ----------
        Nakagawa and Schielzeth (2013), Methods in Ecology and Evolution 4, 133-142;
        Johnson (2014), same journal 5, 944-946, for random slopes.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
        >>> fit.r2().table["estimate"].round(3).tolist()
        [0.279, 0.799]
        """
        from bayeslmm.inference.variance_shares import r2

        return r2(self, level)

    def design_effect(self, by: str | None = None, *, level: float = 0.95) -> PrintedTable:
        """Variance of a mean over that under independence, 1 + (m - 1) ICC, by factor.

        With the adjusted `icc` of the factor and m = sum n_j^2 / sum n_j over its levels'
        numbers of rows: the size itself where levels are equal, and exact for the mean of all
        rows of a random-intercept model where they are not.

        Parameters
        ----------
        by : str, optional
        level : float

        Returns
        -------
        PrintedTable

        References
        ----------
        Kish (1965), Survey Sampling, section 5.4.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
        >>> fit.design_effect().table["design_effect"].round(3).tolist()
        [2.674]
        """
        from bayeslmm.inference.variance_shares import design_effect

        return design_effect(self, by, level)

    def reliability(self, by: str | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """Reliability of each level's BLUP, 1 - Var(b^ - b) / Var(b): its shrinkage factor.

        Var(b^ - b) is the prediction error variance given the variance parameters, the
        uncertainty of the fixed effects in it; Var(b) the variance between levels. Zero where
        the variance is estimated as zero.

        Parameters
        ----------
        by : str, optional
        level : float

        Returns
        -------
        pandas.DataFrame
            ``factor``, ``level``, ``term`` and ``reliability``; or ``mean``, ... of draws, at
            most 200, evenly spaced, since each costs a factorisation.

        Raises
        ------
        ArgumentError
            No random effects, an unknown factor, or a family that is not Gaussian.

        Notes
        -----
        MAP fits and posteriors count normal priors of the fixed effects; any other is taken
        for flat.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
        >>> fit.reliability()["reliability"].round(3).unique().tolist()
        [0.652]
        """
        from bayeslmm.inference.variance_shares import reliability

        return reliability(self, by, level)

    def marginal_cov(
        self, level: Any, factor: str | None = None, *, quantile: float | None = None
    ) -> pd.DataFrame:
        """Implied covariance of the responses of one level's rows, random effects integrated out.

        The rows' block of ``Z Sigma Z' + sigma^2 W^-1`` (with a residual structure
        ``sigma^2 D^-1/2 R D^-1/2``, D = W), with the contributions of all factors.

        Parameters
        ----------
        level : label
        factor : str, optional
            Needed where there are several.
        quantile : float, optional
            Entrywise quantile over draws, of a posterior; its mean by default.

        Returns
        -------
        pandas.DataFrame
            Rows of positive weight, labelled by the index of the data; squared units of the
            response.

        Raises
        ------
        ArgumentError
            No random effects, an unknown level or factor, or a family that is not Gaussian.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
        >>> fit.marginal_cov("A").round(0).iloc[0].tolist()
        [4215.0, 1764.0, 1764.0, 1764.0, 1764.0]
        """
        from bayeslmm.inference.variance_shares import marginal_cov

        return marginal_cov(self, level, factor, quantile)


class PointVarianceShares(VarianceShares):
    """What a point fit answers besides."""

    def conditional_aic(self) -> ConditionalAIC:
        """AIC for predictions of the levels at hand (Greven and Kneib 2010).

        ``-2 log p(y | b, beta, sigma) + 2 (tr(dy^/dy) + 1)``, the derivative of the fitted
        values through the variance parameters too. Components at the boundary stay there.

        Returns
        -------
        ConditionalAIC
            ``caic``, ``loglik``, ``df``, and ``df_given_variances`` as Vaida and Blanchard
            (2005) count it.

        Raises
        ------
        AttributeRefused
            A MAP fit, whose criterion is another.

        References
        ----------
        Greven and Kneib (2010), Biometrika 97, 773-789.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
        >>> result = fit.conditional_aic()
        >>> result.df_given_variances < result.df < 7.0
        True
        """
        fit: Any = self
        if fit.method not in ("REML", "ML"):
            raise AttributeRefused(
                f"the conditional AIC is of REML and ML fits, and this is {fit.method}.",
                fix="az.loo(post.datatree), post = model.sample()",
            )
        from bayeslmm.inference.conditional_aic import conditional_aic

        fitted = fit.fittedvalues
        if len(fitted) != fit.design.n:
            fitted = fitted[fit.design.rows.kept]
        return conditional_aic(fit.design, fit.estimate, fitted)
