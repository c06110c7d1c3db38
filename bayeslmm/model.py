"""`Model`: formula, data, family and priors; from it come fits, draws and a PyMC model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from bayeslmm.data.table import to_frame
from bayeslmm.design import build_design
from bayeslmm.design.arguments import in_row_order
from bayeslmm.design.build import NaAction
from bayeslmm.design.describe import Description, describe
from bayeslmm.design.residual import residual_columns
from bayeslmm.design.residual_structures import ResidualStructure
from bayeslmm.errors import ArgumentError, DataWarning, PriorError, suggest, warn
from bayeslmm.families import Family, resolve_family
from bayeslmm.fits import PointFit, PosteriorFit
from bayeslmm.fitting import announce, fit_point
from bayeslmm.formula import FormulaSpec, parse_formula, update_formula
from bayeslmm.priors import Prior, PriorSet, resolve_priors
from bayeslmm.results.definition import ModelDefinition

if TYPE_CHECKING:
    import xarray as xr

Weights = str | Sequence[float] | None
_COPY_ON_WRITE = int(pd.__version__.split(".")[0]) >= 3
_SAMPLE_WORDS = frozenset(
    {"draws", "tune", "chains", "sampler", "target_accept", "inference_method"}
)


class Model:
    """A mixed model: a formula met with data.

    Parameters
    ----------
    formula : str
        lme4's formula language, ``y ~ x + (1 + x | subject) + (1 | item)``. Without a
        bar it is an ordinary linear model.
    data : table
        pandas, polars or pyarrow, or a mapping of columns.
    family : str or Family
        ``"gaussian"``, ``"bernoulli"``, ``"binomial"``, ``"poisson"``, ``"negativebinomial"``.
    priors : mapping of str to Prior, optional
        Replace defaults by name: ``{"sd_Subject": bl.HalfNormal(50)}``. Printed by ``priors``.
    groups : str or sequence of str
        Each adds a random intercept, ``(1 | group)``.
    weights : str or array, optional
        Precision weights, Var(y_i) = sigma^2 / w_i; zero leaves a row out.
    offset : str or array, optional
        Added to the linear predictor.
    residual : AR1, CompoundSymmetry or VarianceBy, optional
        How residuals are correlated within groups, or differ in size between them; with
        weights w their covariance is sigma^2 D^-1/2 R D^-1/2, D = diag(w). Independent by
        default.
    na_action : {"drop", "exclude", "error"}
        ``"exclude"`` pads fitted values and residuals with NaN.
    rank_deficient : {"drop", "error"}
        What to do with fixed columns that others determine.
    extra_namespace : mapping, optional
        Functions and constants the formula may use beyond the allow-list.

    Attributes
    ----------
    formula : FormulaSpec
    design : Design
    priors : PriorSet

    Raises
    ------
    FormulaError, UnknownColumnError, DataError, ArgumentError, PriorError

    Examples
    --------
    >>> import bayeslmm as bl
    >>> model = bl.Model("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> round(float(model.fit().fe_params["Days"]), 3)
    10.467
    """

    def __init__(
        self,
        formula: str,
        data: Any,
        *,
        family: str | Family = "gaussian",
        priors: Mapping[str, Prior] | None = None,
        groups: str | Sequence[str] = (),
        weights: Weights = None,
        offset: Weights = None,
        residual: ResidualStructure | None = None,
        na_action: NaAction = "drop",
        rank_deficient: Literal["drop", "error"] = "drop",
        extra_namespace: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(residual, ResidualStructure | None):
            raise ArgumentError(
                "residual= takes a residual structure.",
                found=repr(residual),
                fix='bl.AR1(by="subject"), bl.CompoundSymmetry(by=...) or bl.VarianceBy(by=...)',
            )
        self.family = resolve_family(family)
        extra = _mapping("extra_namespace", extra_namespace, '{"f": f}')
        grouping = _group_names(groups)
        self.formula: FormulaSpec = parse_formula(
            formula, groups=grouping, extra_names=tuple(extra)
        )
        self._extra_namespace = extra
        # a shallow copy: columns the caller assigns later are not those of the model
        self._data = to_frame(data).copy(deep=False)
        arguments: dict[str, Any] = {
            "family": self.family,
            "weights": weights,
            "offset": offset,
            "residual": residual,
            "na_action": na_action,
            "rank_deficient": rank_deficient,
        }
        self.design = build_design(self.formula, self._data, **arguments, extra_namespace=extra)
        # copies, as of the table: the definition of a fit is made when it is asked for
        copies = {name: copy(arguments[name]) for name in ("weights", "offset")}
        self._arguments = arguments | copies
        self._user_priors = _mapping("priors", priors, '{"sigma": bl.HalfNormal(10)}')
        self.priors: PriorSet = resolve_priors(self.design, self._user_priors)

    # -- looking ------------------------------------------------------------------
    def describe(self) -> Description:
        """Rows, levels and rows a level of each factor, and how factors relate."""
        return describe(self.design)

    def __repr__(self) -> str:
        d = self.design
        sizes = ", ".join(f"{f.name} {f.n_levels}" for f in d.factors)
        lines = [
            f"bayeslmm.Model: {self.formula.text}",
            f"  family {d.family.name} ({d.family.link.name}); {d.n} rows; "
            f"{d.p} fixed columns; {d.q} random effects" + (f" ({sizes})" if sizes else ""),
            *([] if d.residual is None else [f"  residual {d.residual.structure!r}"]),
            "  .fit() point estimates   .sample() posterior   .priors   .describe()",
        ]
        return "\n".join(lines)

    # -- making ---------------------------------------------------------------------
    def update(self, formula: str = ". ~ .", **arguments: Any) -> Model:
        """The same model with something changed.

        Parameters
        ----------
        formula : str
            ``.`` stands for what was there: ``"~ . - x"``, ``"log(.) ~ ."``.
        **arguments
            Any argument of `Model` to replace, ``data=`` too; ``groups=`` adds to
            what is there. Priors of parameters that are gone are left out, and said.
        """
        known = {*self._arguments, "data", "priors", "groups", "extra_namespace"}
        for name in arguments:
            if name not in known:
                close = suggest(name, known)
                raise ArgumentError(
                    f"Model has no argument {name!r} to update.",
                    found=", ".join(sorted(known)),
                    fix=f"did you mean {close}=?" if close else None,
                )
        kept: dict[str, Any] = {**self._arguments, "extra_namespace": self._extra_namespace}
        text = update_formula(self.formula.text, formula)
        data = arguments.pop("data", self._data)
        model = Model(text, data, **(kept | arguments))
        if "priors" not in arguments:
            model._take_priors(self._user_priors)
        return model

    def _take_priors(self, priors: Mapping[str, Prior]) -> None:
        """Adopt another model's priors, those of parameters this one does not have left out."""
        taken, gone = {}, []
        for name, prior in priors.items():
            try:
                resolve_priors(self.design, {name: prior})
            except PriorError:
                gone.append(name)
            else:
                taken[name] = prior
        if gone:
            warn(
                f"priors of parameters that are gone are left out: {', '.join(gone)}.", DataWarning
            )
        self._user_priors = taken
        self.priors = resolve_priors(self.design, taken)

    def fit(
        self,
        method: Literal["REML", "ML", "MAP"] | None = None,
        *,
        strict: bool = False,
        df_method: Literal["satterthwaite", "kenward-roger", "normal"] | None = None,
        **unknown: Any,
    ) -> PointFit:
        """Point estimates.

        Parameters
        ----------
        method : {"REML", "ML", "MAP"}, optional
            None is REML for a Gaussian response. MAP is the joint mode of SDs,
            correlations and sigma under the model's priors.
        strict : bool
            Raise `FitError` on a singular or failed fit instead of warning.
        df_method : {"satterthwaite", "kenward-roger", "normal"}, optional
            Degrees of freedom of the fixed effects, computed when they are asked for. None is
            Satterthwaite's for REML and ML, and the standard normal for MAP.

        Returns
        -------
        PointFit

        Warns
        -----
        SingularFitWarning
            A variance is zero or a correlation one: a result, said once.
        DataWarning
            A mode (MAP) stands where a Uniform prior of an SD ends.
        ConvergenceWarning
            The optimiser failed, or the criterion is flat.
        """
        if unknown:
            asked = sorted(unknown)
            sampling = bool(_SAMPLE_WORDS & unknown.keys())
            raise ArgumentError(
                f"fit gives point estimates, and has no argument {', '.join(map(repr, asked))}.",
                fix=f"model.sample({', '.join(f'{k}={unknown[k]!r}' for k in asked)}) draws from "
                "the posterior"
                if sampling
                else 'its arguments are method="REML"|"ML"|"MAP", df_method= and strict=',
            )
        estimate = fit_point(self.design, method, self.priors)
        announce(self.design, estimate, self.priors, strict=strict)
        # before pandas 3, values written into the caller's table reach a shallow copy of it
        definition = self._definition if _COPY_ON_WRITE else self._definition()
        fit = PointFit(self.design, estimate, definition, self.priors)
        return fit if df_method is None else fit.with_df(df_method)

    def sample(
        self,
        draws: int = 1000,
        tune: int | None = None,
        chains: int = 4,
        cores: int | None = None,
        random_seed: int | None = None,
        *,
        target_accept: float | None = None,
        parameterization: Literal["auto", "marginal", "noncentered", "centered"]
        | Mapping[str, Literal["noncentered", "centered"]] = "auto",
        sampler: Literal["auto", "nutpie", "independence", "pymc", "numpyro", "blackjax"] = "auto",
        progressbar: bool = True,
        prior_predictive: bool = False,
        posterior_predictive: bool = False,
        log_likelihood: bool = True,
        var_names: str | Sequence[str] | None = None,
        store: str | Path | None = None,
    ) -> PosteriorFit:
        """Draw from the posterior of all parameters and effects.

        Parameters
        ----------
        draws, chains : int
            Kept draws of each chain, and how many of these.
        tune : int, optional
            Warm-up of each chain; 500 draws for ``"marginal"`` and 1000 else.
        cores : int, optional
            Chains at a time; as many as the machine allows by default.
        random_seed : int, optional
            The same seed gives the same draws.
        target_accept : float, optional
            Between 0 and 1; nearer to 1 takes smaller steps. 0.85 for ``"marginal"``, else
            0.9 for up to 500 random effects and 0.8 beyond.
        parameterization : {"auto", "marginal", "noncentered", "centered"}, or mapping
            ``"marginal"`` samples SDs, correlations and sigma only, the effects integrated
            out exactly and drawn afterwards; it needs a Gaussian response and normal or
            flat priors of the fixed effects. ``"auto"`` takes it where it can. Else all
            effects are sampled, and each factor's are centered where a fast fit says that
            the data know its levels well, else noncentered. ``{"Subject": "centered"}``
            decides for some factors, one word for all. The attributes
            ``parameterization_by_factor`` and ``parameterization_because`` of the datatree
            say what was chosen and why.
        sampler : {"auto", "nutpie", "independence", "pymc", "numpyro", "blackjax"}
            ``"independence"`` proposes independently around the mode of the marginal
            posterior and corrects by Metropolis steps: for few variance parameters, where
            ``"auto"`` takes it; else, and with ``tune=`` or ``target_accept=``, nutpie.
        progressbar : bool
        prior_predictive, posterior_predictive : bool
            Add those groups to the result.
        log_likelihood : bool
            Keep the log likelihood of every row and draw, 8 bytes each, which LOO and
            `compare_models` need.
        var_names : str or sequence of str, optional
            Which of ``beta`` and ``b_<factor>`` to keep, or, as ``"~b_item"``, which to
            leave out; all by default, and none for ``[]``. SDs, correlations and sigma are
            always kept. What needs draws that were not kept says so.
        store : str or Path, optional
            A directory that does not exist yet. The draws are written there, as Zarr, while
            they are made, and read from there when they are used: a large posterior need
            not fit into memory, and `load` reads what there is if the run is killed.

        Returns
        -------
        PosteriorFit
            Its ``datatree`` is ready for every ArviZ function.

        Raises
        ------
        ArgumentError
            An argument that cannot be.
        MissingDependencyError
            The sampler, or for ``store=`` the package zarr, is not installed.
        KeyboardInterrupt
            Interrupted before there was a draw.

        Warns
        -----
        ConvergenceWarning
            R-hat, effective sample size or divergences give reason for doubt; or the run
            was interrupted from the keyboard, and the draws so far are returned.
        DataWarning
            The log likelihood of every row and draw takes more than 1 GB.
        """
        from bayeslmm.fitting import sample_design
        from bayeslmm.results.storage import storing, write_attributes

        definition = self._definition()
        with storing(store, definition):
            datatree, diagnostics = sample_design(
                self.design,
                self.priors,
                draws=draws,
                tune=tune,
                chains=chains,
                cores=cores,
                random_seed=random_seed,
                target_accept=target_accept,
                parameterization=parameterization,
                sampler=sampler,
                progressbar=progressbar,
                prior_predictive=prior_predictive,
                posterior_predictive=posterior_predictive,
                log_likelihood=log_likelihood,
                var_names=var_names,
                store=store,
            )
        fit = PosteriorFit(self.design, datatree, diagnostics, definition, self.priors)
        if store is not None:
            write_attributes(store, datatree.attrs)
        return fit

    def prior_predictive(self, draws: int = 1000, random_seed: int | None = None) -> xr.DataTree:
        """Draw from the priors alone, and simulate a response from each draw.

        Parameters
        ----------
        draws : int
        random_seed : int, optional
            The same seed gives the same draws.

        Returns
        -------
        xarray.DataTree
            Groups ``prior`` (``beta``, ``sd_<factor>``, ``b_<factor>``, ...),
            ``prior_predictive`` and ``observed_data``, for ArviZ's functions.

        Raises
        ------
        PriorError
            A prior is flat, so nothing can be drawn from it.

        Notes
        -----
        Nothing is fitted. It takes 8 bytes a draw and row.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> model = bl.Model("strength ~ 1 + (1 | batch)", bl.load_dataset("Pastes"))
        >>> drawn = model.prior_predictive(draws=200, random_seed=1)
        >>> dict(drawn["prior_predictive"].sizes)
        {'chain': 1, 'draw': 200, 'obs': 60}
        """
        from bayeslmm.sampling.prior_predictive import sample_prior_predictive

        return sample_prior_predictive(
            self.design, self.priors, draws=draws, random_seed=random_seed
        )

    def to_pymc(
        self,
        parameterization: Literal["noncentered", "centered", "marginal"]
        | Mapping[str, Literal["noncentered", "centered"]] = "noncentered",
    ) -> Any:
        """The model as a ``pymc.Model`` with named coordinates and dims.

        Parameters
        ----------
        parameterization : {"noncentered", "centered", "marginal"}, or mapping
            ``{"Subject": "centered"}`` decides by factor, those it does not name being
            noncentered. ``"marginal"`` has SDs, correlations and sigma only, the fixed and random
            effects integrated out exactly: a Gaussian response, normal or flat priors of
            the fixed effects. `recover` draws the effects given draws of such a model.

        Returns
        -------
        pymc.Model
            ``beta[fixed]``, ``b_<factor>``, ``sd_<factor>``, ``corr_<factor>``, ``sigma``;
            marginal, without ``beta`` and ``b_<factor>``.

        Raises
        ------
        ArgumentError
            An unknown parameterization, or ``"marginal"`` for another family.
        PriorError
            ``"marginal"`` with another prior of a fixed effect.

        Examples
        --------
        >>> import bayeslmm as bl
        >>> model = bl.Model("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
        >>> [v.name for v in model.to_pymc("marginal").free_RVs]
        ['sd_Subject', 'partial_Subject', 'sigma']
        """
        from bayeslmm.pymc_model import build_pymc_model

        return build_pymc_model(self.design, self.priors, parameterization=parameterization)

    def marginal_likelihood(
        self,
        *,
        sd: Mapping[str, Any] | None = None,
        corr: Mapping[str, Any] | None = None,
        sigma: Any = None,
    ) -> Any:
        """Add this model's response to a PyMC model of your own, all effects integrated out.

        To be called inside ``with pm.Model():``. The response is y ~ N(X beta + offset,
        sigma^2 W^-1 + Z Cov Z') with beta integrated over its prior. What is not given has
        the variable and prior it has in ``to_pymc("marginal")``.

        Parameters
        ----------
        sd : mapping of str to tensor, optional
            By factor, standard deviations (K,) in units of the response per unit of the
            column; a number will do for K = 1. They must be greater than 0.
        corr : mapping of str to tensor, optional
            By factor with correlations, a lower Cholesky factor (K, K) of the correlation
            or covariance matrix: only directions of rows count. Entries between terms of
            a factor are taken as 0.
        sigma : tensor, optional
            Residual standard deviation.

        Returns
        -------
        pytensor.tensor.TensorVariable
            The observed variable, named as the response, with dimension ``obs``.
            ``sd_<factor>``, ``corr_<factor>`` and ``sigma`` are recorded where the model
            has no variable of the name, so that `recover` finds them.

        Raises
        ------
        ArgumentError
            An unknown factor, a tensor of another shape, a name that is taken, or a
            response that is not Gaussian.
        PriorError
            A prior of a fixed effect is neither Normal nor Flat.

        Examples
        --------
        One prior for the SDs of two factors, its scale unknown:

        >>> import bayeslmm as bl, pymc as pm
        >>> data = bl.load_dataset("Penicillin")
        >>> model = bl.Model("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
        >>> with pm.Model() as mine:
        ...     scale = pm.HalfNormal("scale", 2.0)
        ...     sds = {f: pm.HalfNormal(f"sd_{f}", scale) for f in ("plate", "sample")}
        ...     _ = model.marginal_likelihood(sd=sds)
        >>> [v.name for v in mine.free_RVs]
        ['scale', 'sd_plate', 'sd_sample', 'sigma']
        """
        from bayeslmm.pymc_model import add_marginal_likelihood

        return add_marginal_likelihood(self.design, self.priors, sd=sd, corr=corr, sigma=sigma)

    def recover(
        self,
        datatree: Any,
        random_seed: int | None = None,
        progressbar: bool = False,
        *,
        log_likelihood: bool = True,
        posterior_predictive: bool = False,
    ) -> Any:
        """Draw fixed and random effects given draws of the marginal model.

        Given the variance parameters, (beta, b) are jointly normal, and each draw gets one
        exact draw of them: the result is a sample of the whole posterior.

        Parameters
        ----------
        datatree : xarray.DataTree
            Of ``to_pymc("marginal")``, or of a model with `marginal_likelihood`, by any
            sampler: its ``posterior`` holds ``sd_<factor>``, ``corr_<factor>`` of factors
            with correlations, and ``sigma``. It is not changed.
        random_seed : int, optional
        progressbar : bool
        log_likelihood : bool
            Keep the log likelihood of every row and draw, given b, which LOO needs.
        posterior_predictive : bool
            Add one simulated response a draw, given b.

        Returns
        -------
        xarray.DataTree
            The groups that were there; ``posterior`` with ``beta`` and ``b_<factor>`` too;
            ``log_likelihood`` with one variable, given b. One that was there, of the
            response with b integrated out, is called ``log_marginal_likelihood``. The
            attribute ``effects`` of a predictive group says which effects are in it.

        Raises
        ------
        ArgumentError
            Variables are missing or of another shape, or SDs are not positive; the response
            is not Gaussian.
        PriorError
            A prior of a fixed effect is neither Normal nor Flat.

        Examples
        --------
        ``draws = pm.sample(model=model.to_pymc("marginal")); model.recover(draws)``
        """
        from bayeslmm.sampling.recover import recover

        return recover(
            self.design,
            self.priors,
            datatree,
            random_seed=random_seed,
            progressbar=progressbar,
            log_likelihood=log_likelihood,
            posterior_predictive=posterior_predictive,
        )

    # -- remembering ----------------------------------------------------------------
    def _definition(self) -> ModelDefinition:
        """The model with the columns it uses, as it can be written to a file."""
        frame = self._data
        used = dict.fromkeys(n.name for n in self.formula.names)
        given: dict[str, str | None] = {"weights": None, "offset": None}
        added = {}
        for argument in given:
            value = self._arguments[argument]
            if isinstance(value, str):
                used[value] = None
                given[argument] = value
            elif value is not None:
                added[f"{argument}="] = in_row_order(argument, value, frame).to_numpy(float)
                given[argument] = f"{argument}="
        structure: ResidualStructure | None = self._arguments["residual"]
        if structure is not None:
            used |= dict.fromkeys(residual_columns(structure, list(frame.columns)))
        # pandas takes five times as long to find the columns by their names
        at = {name: position for position, name in enumerate(frame.columns.tolist())}
        table = frame.take([at[name] for name in used], axis=1)
        return ModelDefinition(
            formula=self.formula.text,
            data=table.assign(**added) if added else table,
            family=self.family.name,
            link=self.family.link.name,
            priors=self._user_priors,
            weights=given["weights"],
            offset=given["offset"],
            residual=None
            if structure is None
            else {"name": type(structure).__name__, "arguments": structure.arguments},
            na_action=self._arguments["na_action"],
            rank_deficient=self._arguments["rank_deficient"],
            extra_names=tuple(self._extra_namespace),
        )


def _mapping(argument: str, given: Any, example: str) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ArgumentError(
            f"{argument}= takes a dict by name.",
            found=type(given).__name__,
            fix=f"{argument}={example}",
        )
    return dict(given)


def _group_names(groups: Any) -> list[Any]:
    if isinstance(groups, str):
        return [groups]
    try:
        return list(groups)
    except TypeError:
        raise ArgumentError(
            f"groups= takes names of columns, not {groups!r}.", fix='groups=["school", "class"]'
        ) from None
