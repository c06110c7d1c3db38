"""Predictions and simulated responses, asked of both kinds of fit in the same words."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.design.residual import refuse_residual_structure
from bayeslmm.errors import ArgumentError, check_level
from bayeslmm.fits.fit import Fit
from bayeslmm.fits.fixed_effects import FixedEffects
from bayeslmm.inference.contrasts import contrast_df, covariance
from bayeslmm.inference.degrees_of_freedom import is_ordinary
from bayeslmm.prediction import (
    IncludeRe,
    Interval,
    ParameterDraws,
    PredictionRows,
    expected_response,
    mean_response,
    posterior_interval,
    predict_interval,
    rows_to_predict,
    simulate_draws,
    simulate_estimate,
    training_rows,
    trials_name,
)
from bayeslmm.prediction.residual import residual_noise, with_residual_spread

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


class Simulations(Fit):
    """Simulated responses of a fit."""

    def simulate(
        self,
        n: int = 1,
        random_seed: int | None = None,
        use_re: bool = False,
        newdata: Any = None,
    ) -> FloatArray:
        """New responses from the fitted model.

        Parameters
        ----------
        n : int
            Number of responses. Of a posterior each has the parameters of another draw; draws
            are used twice only if there are fewer.
        random_seed : int, optional
        use_re : bool
            False draws new effects for every level, as a parametric bootstrap does; True keeps
            the BLUPs, or the draw's effects, and draws those of levels the fit never saw.
        newdata : table, optional
            The training rows by default. Weights as in `predict`.

        Returns
        -------
        ndarray, shape (rows, n)
            A column a response, in units of the response, counts of successes for a binomial
            one: ``fit.refit(fit.simulate(500))`` fits them all. Rows of a level share its
            effects. NaN where a value is missing.

        Raises
        ------
        ArgumentError
            A residual structure with new rows or draws; trials of new rows that are not known.

        Notes
        -----
        Of a Gaussian model y = X beta + offset + Z b + e with b ~ N(0, Sigma) and
        e ~ N(0, sigma^2 / w), at the parameters; rows of weight zero are drawn with weight one.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
        >>> fit.simulate(500, random_seed=1).shape
        (30, 500)
        """
        rows = rows_to_predict(self.design, newdata, weights=self.definition.weights)
        rng = np.random.default_rng(random_seed)
        return rows.placed(self._responses(rows, _count(n), rng, use_re, newdata is not None))

    @abstractmethod
    def _responses(
        self, rows: PredictionRows, n: int, rng: np.random.Generator, use_re: bool, new: bool
    ) -> FloatArray:
        """Responses (rows, n); ``new`` where the rows are not those of the training data."""


class PointPredictions(FixedEffects, Simulations):
    """Predictions of a point fit."""

    design: Design

    @property
    def fittedvalues(self) -> FloatArray:
        """Conditional expected responses, X beta + Z b + offset, shape (n,)."""
        rows = training_rows(self.design)
        return rows.placed(expected_response(rows, self.estimate))

    def predict(
        self,
        newdata: Any = None,
        include_re: IncludeRe = True,
        interval: Interval = "none",
        level: float = 0.95,
        terms: Sequence[str] | str | None = None,
    ) -> FloatArray | pd.DataFrame:
        """Expected responses, with intervals for them or for new observations.

        Parameters
        ----------
        newdata : table, optional
            The training rows by default. Columns are encoded as those of the training data
            were, so any rows in any order will do.
        include_re : bool or "average"
            True adds the BLUPs; a level the fit never saw has BLUP 0. False is the
            population's, at b = 0; "average" the mean over the distribution of the effects,
            which for an identity link is the same. Neither needs grouping columns.
        interval : {"none", "confidence", "prediction"}
            For the expected response of a row, or for one new observation.
        level : float
        terms : sequence of str or str, optional
            With ``include_re=True``, the random terms that count, the others at 0: terms of
            the formula, ``"(1 | Subject)"``, or names of factors, for all terms on them.

        Returns
        -------
        ndarray, shape (rows,)
            For ``interval="none"``, in units of the response. NaN where a value is missing.
        DataFrame
            Else: ``fit``, ``se``, ``lower``, ``upper``, by the index of the table.

        Raises
        ------
        UnseenLevelError
            A level of a fixed factor the fit never saw.
        UnknownColumnError
            A column that is needed is not there.
        ArgumentError
            An argument is not one of those it may be.

        Notes
        -----
        Standard errors are given the variance parameters. Where effects count, the variance is
        that of x'beta^ + z'b^ - x'beta - z'b (Henderson 1975; Searle, Casella and McCulloch
        1992, section 7.4), in which a new level has its full variance z'Sigma z; where
        none does, x'Cov(beta^)x.
        With a residual structure a row is predicted by X beta^ + Z b^ too, also in the training
        data: what residuals of its neighbours say of its own is left out.
        A prediction adds sigma^2 / w, and for effects that are left out the variance
        z'Sigma z of a new group. The weight w of a new row is in the column that was passed
        as ``weights=``; it is 1 if new data have no such column, and where it is 0.

        Intervals are normal, except that those of the population's expected response, and all
        of an ordinary linear model, have the degrees of freedom of ``df_method``.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
        >>> new = {"Days": [9, 9], "Subject": ["308", "somebody else"]}
        >>> fit.predict(new).round(1)
        array([430.7, 345.6])
        >>> print(fit.predict(new, interval="prediction").round(1).to_string())
             fit    se  lower  upper
        0  430.7  29.1  373.6  487.7
        1  345.6  67.0  214.2  477.0
        """
        rows = _rows(
            self.design, self.definition.weights, newdata, include_re, interval, level, terms
        )
        if interval == "none":
            return rows.placed(expected_response(rows, self.estimate))
        if interval == "prediction":
            rows = with_residual_spread(rows, self.design, newdata)
        exact = is_ordinary(self.design) or (interval == "confidence" and not rows.factors)
        frame: pd.DataFrame = predict_interval(
            rows,
            self.design,
            self.estimate,
            self.priors,
            interval=interval,
            level=level,
            cov_beta=covariance(self),
            df=contrast_df(self, rows.X) if exact else np.inf,
        )
        return frame

    def _responses(
        self, rows: PredictionRows, n: int, rng: np.random.Generator, use_re: bool, new: bool
    ) -> FloatArray:
        noise = None
        if self.design.residual is not None:
            if new:
                refuse_residual_structure(self.design, "simulate(newdata=)", "the training rows")
            noise = residual_noise(self.design, self.estimate.sigma, n, rng)
        return simulate_estimate(rows, self.estimate, n, rng, use_re=use_re, noise=noise)


class PosteriorPredictions(Simulations):
    """Predictions of a posterior fit."""

    datatree: xr.DataTree

    @property
    def fittedvalues(self) -> FloatArray:
        """Posterior means of the conditional expected responses, shape (n,)."""
        rows = training_rows(self.design)
        draws = self._parameters(bool(rows.factors))
        return rows.placed(mean_response(rows, draws, average=False, trials=True))

    def predict(
        self,
        newdata: Any = None,
        include_re: IncludeRe = True,
        interval: Interval = "none",
        level: float = 0.95,
        terms: Sequence[str] | str | None = None,
        random_seed: int | None = None,
    ) -> FloatArray | pd.DataFrame:
        """Posterior means of expected responses, with intervals for them or for observations.

        Parameters
        ----------
        newdata : table, optional
            The training rows by default. Columns are encoded as those of the training data
            were, so any rows in any order will do.
        include_re : bool or "average"
            True adds the random effects; a level the fit never saw has effects of its own in
            each draw, b ~ N(0, Sigma of the draw), shared by its rows. False is the response at
            b = 0; "average" the mean over the distribution of the effects, integrated in each
            draw. These two are the same for an identity link, and need no grouping columns.
        interval : {"none", "confidence", "prediction"}
            Of the expected response of a row, or of one new observation. As far as effects
            are left out, a new observation is one of a new group.
        level : float
            Of the equal-tailed interval.
        terms : sequence of str or str, optional
            With ``include_re=True``, the random terms that count, the others at 0.
        random_seed : int, optional
            For intervals of new levels and new observations, which are sampled.

        Returns
        -------
        ndarray, shape (rows,)
            For ``interval="none"``. NaN where a value is missing.
        DataFrame
            Else: ``fit``, the posterior mean of the expected response, ``se``, the SD of what
            the interval is for, ``lower``, ``upper``, by the index of the table.

        Raises
        ------
        UnseenLevelError
            A level of a fixed factor the fit never saw.
        UnknownColumnError
            A column that is needed is not there.
        ArgumentError
            An argument is not one of those it may be.

        Notes
        -----
        A binomial response is predicted in successes for training rows, and as a probability
        for new ones, except that new observations are counts, of the trials in their column.
        Weights as in a point fit: their column, or 1.
        """
        rows = _rows(
            self.design, self.definition.weights, newdata, include_re, interval, level, terms
        )
        if interval == "prediction":
            _need_trials(self.design, rows)
            if self.design.residual is not None and not self.design.residual.structure.correlated:
                refuse_residual_structure(self.design, 'interval="prediction" of a posterior')
        draws = self._parameters(bool(rows.factors))
        average = include_re == "average"
        counts = newdata is None or interval == "prediction"
        if interval == "none":
            return rows.placed(mean_response(rows, draws, average=average, trials=counts))
        rng = np.random.default_rng(random_seed)
        frame: pd.DataFrame = posterior_interval(
            rows, draws, average=average, trials=counts, interval=interval, level=level, rng=rng
        )
        return frame

    def _responses(
        self, rows: PredictionRows, n: int, rng: np.random.Generator, use_re: bool, new: bool
    ) -> FloatArray:
        refuse_residual_structure(
            self.design, "simulate", "model.sample(posterior_predictive=True) has the training rows"
        )
        _need_trials(self.design, rows)
        draws = self._parameters(use_re and bool(rows.factors))
        at = rng.choice(len(draws), n, replace=n > len(draws))
        return simulate_draws(rows, draws.take(at), rng, use_re=use_re)

    @cached_property
    def _without_effects(self) -> ParameterDraws:
        from bayeslmm.results.posterior import covariance_draws, draws_of

        sizes = self.datatree["posterior"].sizes
        S = int(sizes["chain"]) * int(sizes["draw"])
        return ParameterDraws(
            beta=draws_of(self.datatree, "beta") if self.design.p else np.empty((S, 0)),
            b=[],
            covariances=covariance_draws(self.design, self.datatree),
            auxiliary={k: draws_of(self.datatree, k) for k in self.design.family.auxiliary},
        )

    def _parameters(self, effects: bool) -> ParameterDraws:
        from bayeslmm.results.posterior import draws_of

        if not effects:
            return self._without_effects
        names = [f"b_{f.name}" for f in self.design.factors]
        return replace(self._without_effects, b=[draws_of(self.datatree, k) for k in names])


def _rows(
    design: Design,
    weights: str | None,
    newdata: Any,
    include_re: IncludeRe,
    interval: Interval,
    level: float,
    terms: Sequence[str] | str | None,
) -> PredictionRows:
    """The rows with whatever the kind of interval needs."""
    if interval not in ("none", "confidence", "prediction"):
        raise ArgumentError(
            f"interval={interval!r} is not known.",
            fix='one of "none", "confidence" (of the expected response), "prediction" (of a '
            "new observation)",
        )
    check_level(level)
    curved = include_re == "average" and design.family.link.name != "identity"
    return rows_to_predict(
        design,
        newdata,
        include_re=include_re,
        terms=terms,
        left_out=interval == "prediction" or curved,
        weights=weights,
    )


def _need_trials(design: Design, rows: PredictionRows) -> None:
    if design.trials is not None and rows.trials is None:
        raise ArgumentError(
            "the number of trials of new binomial observations is not known.",
            fix=f"add the column `{trials_name(design)}` to the new data",
        )


def _count(n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ArgumentError(f"n={n!r} is no number of responses.", fix="n=1 or more")
    return int(n)
