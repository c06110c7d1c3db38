"""Marginal means, slopes and hypotheses: methods of both fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayeslmm.inference.grid_notes import Scale
    from bayeslmm.inference.marginal_means import MarginalMeans
    from bayeslmm.inference.printed import PrintedTable
    from bayeslmm.inference.reference_grid import Weights


class MarginalMeansOfFit:
    """What both fits answer about linear functions of their fixed effects."""

    def emmeans(
        self,
        specs: str | Sequence[str],
        by: str | Sequence[str] | None = None,
        at: Mapping[str, Any] | None = None,
        weights: Weights = "equal",
        *,
        scale: Scale = "link",
        level: float = 0.95,
    ) -> MarginalMeans:
        """Estimated marginal means: predictions averaged over a grid of the predictors.

        Each is ``L beta`` with L the average of the rows of the reference grid: all levels
        of every factor, each numeric covariate at its mean over the rows of positive
        weight (before a transformation such as ``log(x)``), the offset at its mean, random
        effects at zero. A covariate with two values keeps both, like a factor.

        Parameters
        ----------
        specs : str or sequence of str
            Predictors whose combinations get a mean; none, ``()``, for the overall mean.
        by : str or sequence of str, optional
            More of them; contrasts stay within their values.
        at : mapping, optional
            Values of some predictors: ``{"x": 3}``, ``{"A": ["a1", "a2"]}``.
        weights : {"equal", "proportional"}
            How the factors in neither are averaged: each combination alike, or by its
            frequency, the number of rows of positive weight.
        scale : {"link", "response"}
            For families with a link: averages of the linear predictor, or of the expected
            response at b = 0 (of a binomial: its probability). A transformed response,
            ``log(y)``, stays transformed.
        level : float

        Returns
        -------
        MarginalMeans
            Its ``table`` is tidy; its ``contrast`` method compares the means.

        Raises
        ------
        UnknownColumnError
            A name that is not a predictor of the fixed part.
        ArgumentError
            An unknown level or choice, or a grid of more than 200,000 points.

        Notes
        -----
        A mean that a rank-deficient fixed part does not determine is NaN. Standard errors,
        degrees of freedom and their method are those of the fit (``df_method``).

        References
        ----------
        Searle, Speed and Milliken (1980), The American Statistician 34, 216-221.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> data = bl.load_dataset("cake")
        >>> fit = bl.fit("angle ~ recipe + temperature + (1 | recipe:replicate)", data)
        >>> fit.emmeans("recipe").table["emmean"].round(2).tolist()
        [33.12, 31.64, 31.6]
        """
        from bayeslmm.inference.marginal_means import marginal_means

        return marginal_means(self, specs, by, at, weights, scale, level)

    def emtrends(
        self,
        specs: str | Sequence[str],
        var: str,
        by: str | Sequence[str] | None = None,
        at: Mapping[str, Any] | None = None,
        weights: Weights = "equal",
        *,
        scale: Scale = "link",
        level: float = 0.95,
    ) -> MarginalMeans:
        """Slopes of a covariate, averaged over a grid of the other predictors.

        The derivative of the linear predictor in ``var`` at its mean, or at its value in
        ``at``, for each combination of ``specs`` and ``by``. Other arguments are those of
        `emmeans`.

        Parameters
        ----------
        specs, by : str or sequence of str
        var : str
            A numeric column, untransformed: the slope in x of a model with ``log(x)``.
        at, weights, scale, level
            As in `emmeans`.

        Returns
        -------
        MarginalMeans
            ``table`` has the column ``trend``, in units of the response per unit of ``var``.

        Raises
        ------
        UnknownColumnError, ArgumentError
            ``var`` is no predictor, or a factor.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> data = bl.load_dataset("cake")
        >>> fit = bl.fit("angle ~ recipe * temp + (1 | recipe:replicate)", data)
        >>> fit.emtrends("recipe", var="temp").table["trend"].round(4).tolist()
        [0.1537, 0.1646, 0.1558]
        """
        from bayeslmm.inference.trends import marginal_trends

        return marginal_trends(self, specs, var, by, at, weights, scale, level)

    def hypothesis(self, hypotheses: str | Sequence[str], *, level: float = 0.95) -> PrintedTable:
        """Test statements about linear combinations of the fixed effects.

        Parameters
        ----------
        hypotheses : str or sequence of str
            ``"A[b] - A[c] > 0"``: names as in ``fe_params``, numbers, ``+ - * /``,
            parentheses and one of ``>``, ``<``, ``=``.
        level : float
            Level of the two-sided intervals.

        Returns
        -------
        PrintedTable
            A row a statement, of left side less right side. Point fit: ``estimate``, ``se``,
            ``df``, ``t``, ``p`` (one-sided against the reverse of ``>`` or ``<``, two-sided
            for ``=``), ``lower``, ``upper``. Posterior: ``mean``, ``posterior_sd``, ``median``,
            ``lower``, ``upper``, ``probability`` of the statement and its odds,
            ``evidence_ratio``; both NaN for ``=``, which no draw fulfils.

        Raises
        ------
        ArgumentError
            The text is no such statement; the message points at the place.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
        >>> fit.hypothesis("Days = 10").table["estimate"].round(3).tolist()
        [0.467]
        """
        from bayeslmm.inference.hypothesis import evaluate_hypotheses

        return evaluate_hypotheses(self, hypotheses, level)
