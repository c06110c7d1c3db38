"""Intervals of a point fit: Wald, by the profile of its likelihood, by the bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError, check_level
from bayeslmm.fits.fit import Fit
from bayeslmm.inference.confint import ConfintMethod, check_method, wald_limits

if TYPE_CHECKING:
    from bayeslmm.fits.point import PointFit
    from bayeslmm.inference.bootstrap import Bootstrap, IntervalType, Kind
    from bayeslmm.inference.bootstrap_se import ResampleLevel, Statistic
    from bayeslmm.inference.profile import Profile
    from bayeslmm.results.definition import ModelDefinition


class ResponseBootstrap(Fit):
    """What the bootstrap says of the response alone."""

    def bootstrap_se(
        self,
        statistic: Statistic = "median",
        n_bootstrap: int = 1000,
        resample_level: ResampleLevel = "group",
        by: str | None = None,
        seed: int | None = None,
    ) -> float:
        """Bootstrap standard error of a statistic of the response.

        The standard deviation of the statistic over ``n_bootstrap`` data sets, in each of
        which levels of a grouping factor, with all their rows, or single rows are drawn
        with replacement. Nothing is fitted.

        Parameters
        ----------
        statistic : {"median", "mean", "std", "var", "min", "max"} or callable
            A callable takes the responses, shape (rows,), and gives a number.
        n_bootstrap : int
        resample_level : {"group", "observation"}
            ``"observation"`` takes rows for independent, and is too small where levels
            differ.
        by : str, optional
            The grouping factor that is resampled. By default the one no other contains;
            where factors are crossed, that with the most levels, which a warning names.
        seed : int, optional

        Returns
        -------
        float
            In units of the statistic. Rows of weight zero are left out; other weights do
            not count.

        Raises
        ------
        ArgumentError
            No such statistic or factor, or no grouping factor at all.

        Warns
        -----
        DataWarning
            Which of several crossed factors is resampled.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
        >>> round(fit.bootstrap_se("mean", n_bootstrap=500, seed=1), 1)  # doctest: +SKIP
        9.0
        """
        from bayeslmm.inference.bootstrap_se import bootstrap_response

        return bootstrap_response(self.design, statistic, n_bootstrap, resample_level, by, seed)


class Intervals(ResponseBootstrap):
    """Intervals of fixed effects, SDs, correlations, sigma and a residual structure."""

    estimate: Estimate

    def confint(
        self,
        method: ConfintMethod = "wald",
        level: float = 0.95,
        parm: str | Sequence[str] | None = None,
        *,
        n: int = 1000,
        kind: Kind = "parametric",
        type: IntervalType = "percentile",
        random_seed: int | None = None,
        cores: int | None = 1,
        progressbar: bool = False,
    ) -> pd.DataFrame:
        """Confidence intervals of fixed effects, SDs, correlations, sigma and residual structure.

        Parameters
        ----------
        method : {"wald", "profile", "bootstrap"}
            ``"wald"``: estimate +- quantile x standard error, those of ``to_frame``: fixed
            effects by the fit's reference distribution, SDs and correlations by the normal,
            neither cut at 0 or +-1 nor there on the boundary (NaN), parameters of a residual
            structure by the normal on the scale of Fisher's z or of logarithms. ``"profile"``: see
            `profile`; REML fits are profiled by ML. ``"bootstrap"``: see `bootstrap`.
        level : float
        parm : str or sequence of str, optional
            Names of parameters, ``"fixed"`` or ``"variance"``; all by default.
        n, kind, type, random_seed, cores, progressbar
            Of the bootstrap: `bootstrap`, and the ``type`` of its intervals.

        Returns
        -------
        DataFrame
            A row a parameter, columns ``lower`` and ``upper``.

        Raises
        ------
        ArgumentError
            No such method or parameter; a profile or bootstrap of a MAP fit.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
        >>> fit.confint("profile", parm="sigma").loc["sigma"].round(3).to_dict()
        {'lower': 22.898, 'upper': 28.858}
        """
        check_method(method)
        check_level(level)
        if method == "profile":
            return self.profile(parm, level, progressbar=progressbar).confint()
        from bayeslmm.inference.profile import chosen

        if method == "wald":
            table = wald_limits(cast("PointFit", self), level)
        else:
            table = self.bootstrap(
                n, kind, random_seed=random_seed, cores=cores, progressbar=progressbar
            ).confint(level, type)
        return table.iloc[chosen(list(table.index), self.design.p, parm)]

    def profile(
        self,
        which: str | Sequence[str] | None = None,
        level: float = 0.95,
        *,
        progressbar: bool = False,
    ) -> Profile:
        """Profile of the likelihood in each parameter.

        For each value of a parameter the ML deviance is minimised over all the others, and

            zeta(value) = sign(value - estimate) sqrt(deviance(value) - least deviance).

        Parameters
        ----------
        which : str or sequence of str, optional
            Names of parameters, ``"fixed"`` or ``"variance"``; all by default.
        level : float
            Level for which limits are solved; zeta goes some way beyond them.
        progressbar : bool

        Returns
        -------
        Profile
            ``confint()``, ``frame`` with a row a point; `bayeslmm.plot_profile` draws it.

        Raises
        ------
        ArgumentError
            No such parameter, or a MAP fit.

        Warns
        -----
        ConvergenceWarning
            A profile is not monotone, or found a better optimum than the fit's.

        Notes
        -----
        As in lme4, the criterion is the ML deviance also for a REML fit, so that estimates
        of SDs in the profile are those of ML. SDs, correlations and sigma are profiled on
        the scale of reports. Where an SD may be zero its lower limit is exactly 0; a
        correlation that the likelihood does not bound ends at -1 or 1. Held parameters are
        exact coordinates of the search, and limits are solved for by the derivative of the
        profile, to 1e-8 in zeta. Nothing but the first cross-products depends on the number
        of rows. (Bates, Maechler, Bolker and Walker 2015, section 5.1.)

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
        >>> fit.profile("corr_Subject[Intercept, Days]").confint().round(3).values.tolist()
        [[-0.481, 0.685]]
        """
        from bayeslmm.inference.profile import profile_fit

        return profile_fit(self.design, self.estimate, which, level, progressbar=progressbar)

    def bootstrap(
        self,
        n: int = 1000,
        kind: Kind = "parametric",
        statistic: Callable[[PointFit], Any] | None = None,
        *,
        factor: str | None = None,
        random_seed: int | None = None,
        cores: int | None = 1,
        progressbar: bool = True,
    ) -> Bootstrap:
        """Bootstrap of any statistic of the fit.

        Parameters
        ----------
        n : int
            Number of replicates.
        kind : {"parametric", "cluster", "residual"}
            ``"parametric"``: responses from the fitted model, with new random effects.
            ``"residual"``: from BLUPs and residuals, centred and stretched to the estimated
            covariances, drawn with replacement. ``"cluster"``: whole levels of a grouping
            factor drawn with replacement, each draw a level of its own; levels nested in it
            are copied, those of crossed factors shared by the copies.
        statistic : callable, optional
            Takes a `PointFit`, gives a number, array, dict or Series. All parameters by
            default, for which refits are fastest.
        factor : str, optional
            Which factor a cluster bootstrap resamples: by default the one no other
            contains; where factors are crossed, that with the most levels, which a warning
            names.
        random_seed : int, optional
            The same seed gives the same replicates, for any number of cores.
        cores : int, optional
            Processes; None is as many as the machine has. One is best for short work.
        progressbar : bool

        Returns
        -------
        Bootstrap
            ``confint(level, type)``, ``se``, ``bias``, ``replicates``, and how many refits
            were singular or failed.

        Raises
        ------
        ArgumentError
            A MAP fit, an unknown kind or factor, or a cluster bootstrap without a factor, or
            whose levels would cut blocks of correlated residuals.

        Warns
        -----
        DataWarning
            Refits failed; or which of several crossed factors is resampled.

        Notes
        -----
        Refits start from this fit and keep its method and its columns. A cluster
        replicate in which the levels drawn do not determine the fixed effects has failed.
        Sources: Davison and Hinkley (1997); Carpenter, Goldstein and Rasbash (2003).

        Examples
        --------
        >>> import bayeslmm as bl
        >>> fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
        >>> boot = fit.bootstrap(200, random_seed=1, progressbar=False)
        >>> len(boot), boot.n_failed
        (200, 0)
        """
        from bayeslmm.inference.bootstrap import bootstrap_fit

        if n != int(n):
            raise ArgumentError(f"n={n!r} is not a number of replicates.", fix="n=1000")
        fit = cast("PointFit", self)
        return bootstrap_fit(
            fit,
            fit._of_design,
            int(n),
            kind,
            statistic,
            factor=factor,
            random_seed=random_seed,
            cores=cores,
            progressbar=progressbar,
        )

    def _of_design(
        self, design: Design, estimate: Estimate, definition: Callable[[], ModelDefinition]
    ) -> PointFit:
        """The same kind of fit of another design."""
        from bayeslmm.fits.point import PointFit

        own = cast("PointFit", self)
        return PointFit(design, estimate, definition, own.priors, own.df_method)
