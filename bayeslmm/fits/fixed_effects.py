"""Fixed effects of a point fit: estimates, errors and tests."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import BayeslmmWarning, warn
from bayeslmm.inference.contrasts import contrast_df, covariance
from bayeslmm.inference.degrees_of_freedom import choose_df_method, fixed_covariance
from bayeslmm.results.tables import fixed_table

if TYPE_CHECKING:
    from bayeslmm.engine.gaussian.fixed_covariance import FixedCovariance
    from bayeslmm.fits.point import PointFit
    from bayeslmm.inference.printed import PrintedTable
    from bayeslmm.priors import PriorSet
    from bayeslmm.results.definition import ModelDefinition


class FixedEffects:
    """Estimates of the fixed effects, compared with one reference distribution.

    ``df_method`` names it: errors, p-values, intervals and tests all follow it. Degrees of
    freedom are computed when first asked for.
    """

    design: Design
    estimate: Estimate
    priors: PriorSet
    df_method: str

    @property
    @abstractmethod
    def definition(self) -> ModelDefinition:
        """What the model was made of."""

    @property
    def fe_params(self) -> pd.Series[Any]:
        """Fixed-effect estimates."""
        return self._by_name(self.estimate.beta, "estimate")

    @property
    def fe_cov(self) -> FloatArray:
        """Covariance matrix of the fixed effects, sigma^2 (X'V^-1X)^-1, shape (p, p).

        With ``df_method`` "kenward-roger" it has their adjustment.
        """
        return covariance(self)

    @property
    def fe_bse(self) -> pd.Series[Any]:
        """Standard errors of the fixed effects, from `fe_cov`."""
        return self._by_name(np.sqrt(np.diag(self.fe_cov)), "se")

    @property
    def fe_df(self) -> pd.Series[Any]:
        """Degrees of freedom by ``df_method``; infinity for the standard normal."""
        return self._by_name(self._fixed_df, "df")

    @property
    def fe_tvalues(self) -> pd.Series[Any]:
        """Estimates over their standard errors."""
        return (self.fe_params / self.fe_bse).rename("t")

    @property
    def fe_pvalues(self) -> pd.Series[Any]:
        """Two-sided p-values by t with `fe_df` degrees of freedom."""
        return self._by_name(self._fixed_table(0.95)["p"], "p")

    @property
    def fe_conf_int(self) -> pd.DataFrame:
        """95 % intervals by t with `fe_df` degrees of freedom, columns ``lower`` and ``upper``."""
        table = self._fixed_table(0.95)
        return table[["lower", "upper"]].set_axis(list(self.design.fixed_names), axis=0)

    @cached_property
    def fixed_covariance(self) -> FixedCovariance | None:
        """What degrees of freedom of contrasts come from; None where they need nothing."""
        return fixed_covariance(self.design, self.estimate, self.df_method)

    @cached_property
    def _fixed_df(self) -> FloatArray:
        return contrast_df(self, np.eye(self.design.p))

    def _fixed_table(self, level: float) -> pd.DataFrame:
        se = np.sqrt(np.diag(self.fe_cov))
        return fixed_table(self.design, self.estimate.beta, se, self._fixed_df, level)

    def with_df(self, method: str) -> PointFit:
        """The same fit with another reference distribution of its fixed effects.

        Parameters
        ----------
        method : {"satterthwaite", "kenward-roger", "normal"}
            Satterthwaite's degrees of freedom, with the uncertainty of every variance, of
            sigma and of a residual structure; those of Kenward and Roger, with their standard
            errors; or none, for the standard normal.

        Returns
        -------
        PointFit
            Estimates are those of this fit, but for Kenward-Roger after ML.

        Raises
        ------
        ArgumentError
            An unknown method; any but the normal for a MAP fit; Kenward-Roger with a residual
            structure.

        Warns
        -----
        BayeslmmWarning
            Kenward-Roger belongs to REML: an ML fit is refitted by it.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("angle ~ recipe + (1 | replicate)", bl.load_dataset("cake"))
        >>> fit.with_df("kenward-roger").fe_df.round(2).tolist()
        [16.46, 253.0, 253.0]
        """
        from bayeslmm.fits.point import PointFit
        from bayeslmm.fitting import fit_point

        estimate, chosen = self.estimate, choose_df_method(method, self.estimate)
        if chosen == self.df_method and isinstance(self, PointFit):
            return self
        if chosen == "kenward-roger" and estimate.method == "ML":
            warn("Kenward-Roger belongs to REML: refitted by REML.", BayeslmmWarning)
            estimate = fit_point(self.design, "REML", self.priors)
        return PointFit(self.design, estimate, self.definition, self.priors, chosen)

    def anova(self, type: str = "III", df_method: str | None = None) -> PrintedTable:
        """Test the terms of the fixed part.

        Parameters
        ----------
        type : {"III", "II", "I"}
            III: each term after all others, in hypotheses that do not depend on how factors
            are coded nor on how many rows a cell has. II: each term after all that do not
            contain it. I: each term after those before it. Numbers of rows count in II and I,
            weights do not, as in lmerTest.
        df_method : {"satterthwaite", "kenward-roger", "normal"}, optional
            Denominator degrees of freedom; those of the fit by default.

        Returns
        -------
        PrintedTable
            ``table`` with the columns ``term``, ``sumsq``, ``meansq``, ``df_num``,
            ``df_den``, ``F`` and ``p``.

        Raises
        ------
        ArgumentError
            An unknown type or method.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> data = bl.load_dataset("cake")
        >>> fit = bl.fit("angle ~ recipe * temperature + (1 | recipe:replicate)", data)
        >>> fit.anova().table[["df_num", "df_den"]].round(2).iloc[0].tolist()
        [2.0, 42.0]
        """
        from bayeslmm.inference.anova import anova_table

        fit: FixedEffects = self if df_method is None else self.with_df(df_method)
        return anova_table(fit, type)

    def ranova(self, simulate: int = 0, random_seed: int | None = None) -> PrintedTable:
        """Test the random terms, each dropped in turn, ``(x | g)`` reduced to ``(1 | g)``.

        Parameters
        ----------
        simulate : int
            Statistics to draw from their distribution under each smaller model; see
            `bayeslmm.anova`.
        random_seed : int, optional

        Returns
        -------
        PrintedTable
            ``table`` with the columns ``term``, ``npar``, ``llf``, ``aic``, ``lrt``, ``df``,
            ``p_chi2`` (as lmerTest's ranova, too large), ``p_mixture`` (and ``p_simulated``).

        Raises
        ------
        ArgumentError
            A MAP fit, or a model without random terms.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
        >>> fit.ranova().table[["lrt", "p_chi2", "p_mixture"]].round(4).iloc[1].tolist()
        [6.369, 0.0116, 0.0058]
        """
        from bayeslmm.inference.ranova import ranova_table

        return ranova_table(self, simulate, random_seed)

    def _by_name(self, values: Any, name: str) -> pd.Series[Any]:
        return pd.Series(list(values), list(self.design.fixed_names), dtype=float, name=name)
