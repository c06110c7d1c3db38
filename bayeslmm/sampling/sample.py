"""Design + priors -> posterior draws."""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.errors import (
    ArgumentError,
    DataWarning,
    MissingDependencyError,
    build_message,
    suggest,
    warn,
)
from bayeslmm.priors import PriorSet
from bayeslmm.priors.names import corr_name, informative_rows, observed_name
from bayeslmm.sampling.choose import Parameterization, Plan, choose
from bayeslmm.sampling.drawn import Drawn
from bayeslmm.sampling.independence import sample_independence
from bayeslmm.sampling.linear import log_likelihood as pointwise_log_likelihood
from bayeslmm.sampling.linear import predictive
from bayeslmm.sampling.marginal import sample_marginal
from bayeslmm.sampling.prior_draws import sample_prior

if TYPE_CHECKING:
    import xarray as xr

SAMPLERS = ("nutpie", "independence", "pymc", "numpyro", "blackjax")

PRIOR_DRAWS = 1000

TUNE_EVERYTHING = 1000
"""Draws of adaptation, a chain, where everything is sampled."""

LARGE = 1e9
"""Bytes above which the pointwise log likelihood is worth a word."""


def sample_posterior(
    design: Design,
    priors: PriorSet,
    *,
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    cores: int | None = None,
    random_seed: int | None = None,
    target_accept: float | None = None,
    parameterization: Parameterization = "auto",
    sampler: str = "nutpie",
    progressbar: bool = True,
    prior_predictive: bool = False,
    posterior_predictive: bool = False,
    log_likelihood: bool = True,
) -> xr.DataTree:
    """Draw from the posterior of all parameters and effects.

    Parameters
    ----------
    design : Design
    priors : PriorSet
    draws : int
        Draws kept, a chain.
    tune : int, optional
        Draws of adaptation, a chain; by default 500 for ``"marginal"`` and 1000 else.
    chains : int
    cores : int, optional
        Chains that run at the same time; the sampler decides by default.
    random_seed : int, optional
        The same seed gives the same draws. Without one a seed is drawn, and recorded.
    target_accept : float, optional
        Between 0 and 1; nearer 1 means smaller steps. By default 0.85 for
        ``"marginal"``; else 0.9, since most mixed models have a funnel somewhere, and
        0.8 above 500 effects, where steps are dear.
    parameterization : {"auto", "marginal", "noncentered", "centered"}
        ``"marginal"``: NUTS samples SDs, correlations and sigma only, with the fixed and
        random effects integrated out, and the effects are drawn exactly given each draw:
        no funnels, few parameters. For Gaussian responses with normal or flat priors of
        the fixed effects. The others sample everything: centered does far better where
        the data say much about each level; noncentered where they say little, or an SD
        may be near 0. ``"auto"`` chooses, and says why in the attribute
        ``parameterization_because``.
    sampler : {"nutpie", "independence", "pymc", "numpyro", "blackjax"}
        ``"independence"``: Metropolis steps between independent proposals from a split t
        around the marginal posterior's mode, for few variance parameters and dear
        evaluations. Attributes ``pareto_k`` and ``acceptance`` say how well it fits;
        where it does not, NUTS takes over.
    progressbar : bool
    prior_predictive, posterior_predictive : bool
        Add the groups ``prior`` and ``prior_predictive`` (1000 draws), or
        ``posterior_predictive`` (one simulated response a draw, given the effects).
    log_likelihood : bool
        Keep the log likelihood of every row and draw, which LOO needs.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` (``beta``, ``sd_*``, ``corr_*``, ``sigma`` or ``alpha``,
        ``b_*``), ``sample_stats``, ``observed_data``, ``log_likelihood`` (one variable,
        named as the response, given the effects), ``log_prior`` (of the parameters,
        never of the effects), and ``constant_data`` where there are weights, an offset
        or trials. Dimension ``obs`` holds the rows of positive weight.

    Raises
    ------
    ArgumentError
        An argument that cannot be.
    MissingDependencyError
        The sampler is not installed.
    PriorError
        Draws from an improper prior were asked for.

    Warns
    -----
    DataWarning
        The pointwise log likelihood takes more than 1 GB.

    Notes
    -----
    Convergence is not judged here: see `bayeslmm.sampling.check_convergence`. The
    pointwise log likelihood takes 8 bytes a draw and row.
    """
    _check_arguments(draws, tune, chains, cores, target_accept)
    _check_sampler(sampler)
    if log_likelihood:
        _announce_size(design, chains * draws)
    seed = _seed(random_seed)
    # streams of our own draws; the samplers see the seed itself
    prior_rng, posterior_rng, effects_rng = map(
        np.random.default_rng, np.random.SeedSequence(seed).spawn(3)
    )
    groups: dict[str, xr.Dataset] = {}
    if prior_predictive:
        groups.update(_prior_groups(design, priors, prior_rng))

    plan = choose(design, priors, parameterization, sampler)
    began = time.perf_counter()
    common: dict[str, Any] = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "cores": cores,
        "random_seed": seed,
        "target_accept": target_accept,
        "progressbar": progressbar,
    }
    drawn: Drawn | None = None
    if plan.sampler == "independence":
        drawn = sample_independence(
            design,
            priors,
            draws=draws,
            chains=chains,
            random_seed=seed,
            progressbar=progressbar,
            rng=effects_rng,
        )
        if drawn is None:
            plan = Plan("marginal", "nutpie", "no independent proposal fits the posterior")
    if drawn is None and plan.parameterization == "marginal":
        drawn = sample_marginal(design, priors, rng=effects_rng, **common)
    elif drawn is None:
        drawn = _sample_everything(design, priors, plan.parameterization, plan.sampler, **common)
    total_time = time.perf_counter() - began
    groups = {**_posterior_groups(design, priors, drawn, log_likelihood), **groups}
    if posterior_predictive:
        values = predictive(design, drawn.variables, posterior_rng)
        groups["posterior_predictive"] = _rows_group(design, values, chains)
    settings = {
        "sampler": plan.sampler,
        "inference_library": "bayeslmm" if plan.sampler == "independence" else plan.sampler,
        "parameterization": plan.parameterization,
        "parameterization_because": plan.because,
        "random_seed": seed,
        "draws": draws,
        "tuning_steps": drawn.tune,
        "chains": chains,
        **drawn.options,
        "sampling_time": drawn.sampling_time,
        "total_time": total_time,
    }
    return _tree(design, priors, groups, settings)


def _sample_everything(
    design: Design,
    priors: PriorSet,
    parameterization: Literal["marginal", "noncentered", "centered"],
    sampler: str,
    *,
    draws: int,
    tune: int | None,
    chains: int,
    cores: int | None,
    random_seed: int,
    target_accept: float | None,
    progressbar: bool,
) -> Drawn:
    """NUTS on the PyMC model with all effects in it."""
    from bayeslmm.pymc_model import build_pymc_model
    from bayeslmm.pymc_model.run import nuts_options, run_nuts

    began = time.perf_counter()
    way = cast('Literal["noncentered", "centered"]', parameterization)
    model = build_pymc_model(design, priors, parameterization=way)
    options = nuts_options(
        sampler=sampler,
        parameterization=way,
        n_effects=design.q,
        target_accept=target_accept,
    )
    raw = run_nuts(
        model,
        sampler=sampler,
        draws=draws,
        tune=TUNE_EVERYTHING if tune is None else tune,
        chains=chains,
        cores=cores,
        random_seed=random_seed,
        options=options,
        progressbar=progressbar,
    )
    spent = time.perf_counter() - began
    return Drawn(
        _flat_draws(raw, design),
        raw.sample_stats.to_dataset(),
        raw.posterior.sizes["chain"],
        TUNE_EVERYTHING if tune is None else tune,
        options,
        float(raw.posterior.attrs.get("sampling_time", spent)),
    )


def _tree(
    design: Design, priors: PriorSet, groups: dict[str, xr.Dataset], settings: dict[str, Any]
) -> xr.DataTree:
    import xarray as xr

    from bayeslmm.sampling.record import package_version, record_attributes

    attributes = {
        **record_attributes(design, priors),
        **settings,
        "inference_library_version": package_version(settings["inference_library"]),
    }
    for name in ("posterior", "sample_stats"):
        groups[name].attrs.update(attributes)
    tree = xr.DataTree.from_dict({f"/{name}": ds for name, ds in groups.items()})
    tree.attrs.update(attributes)
    return tree


def _announce_size(design: Design, n_draws: int) -> None:
    """Say before sampling that the pointwise log likelihood will be large."""
    rows = int(informative_rows(design).sum())
    if (size := 8.0 * rows * n_draws) <= LARGE:
        return
    words = build_message(
        f"the log likelihood of every row and draw takes {size / 1e9:.2f} GB.",
        found=f"{rows} rows x {n_draws} draws",
        fix="log_likelihood=False leaves it out; az.loo and compare_models need it",
    )
    warn(words, DataWarning)


def _posterior_groups(
    design: Design, priors: PriorSet, drawn: Drawn, log_likelihood: bool
) -> dict[str, xr.Dataset]:
    from bayeslmm.sampling.record import (
        constant_dataset,
        draws_dataset,
        log_prior_dims,
        observed_dataset,
        stats_dataset,
        variable_dims,
    )

    flat, chains = drawn.variables, drawn.chains
    groups = {
        "posterior": draws_dataset(design, flat, variable_dims(design), chains),
        "sample_stats": stats_dataset(drawn.stats),
        "log_prior": draws_dataset(design, priors.log_prior(flat), log_prior_dims(design), chains),
        "observed_data": observed_dataset(design),
    }
    if log_likelihood:
        values = pointwise_log_likelihood(design, flat)
        groups["log_likelihood"] = _rows_group(design, values, chains)
    constant = constant_dataset(design)
    return groups if constant is None else {**groups, "constant_data": constant}


def _prior_groups(
    design: Design, priors: PriorSet, rng: np.random.Generator
) -> dict[str, xr.Dataset]:
    from bayeslmm.sampling.record import draws_dataset, variable_dims

    drawn = sample_prior(design, priors, PRIOR_DRAWS, rng)
    return {
        "prior": draws_dataset(design, drawn, variable_dims(design), 1),
        "prior_predictive": _rows_group(design, predictive(design, drawn, rng), 1),
    }


def _rows_group(design: Design, values: FloatArray, chains: int) -> xr.Dataset:
    from bayeslmm.sampling.record import draws_dataset

    name = observed_name(design)
    return draws_dataset(design, {name: values}, {name: ("obs",)}, chains)


def _flat_draws(raw: Any, design: Design) -> dict[str, FloatArray]:
    """The named variables with one leading axis of draws, chain after chain."""
    from bayeslmm.sampling.record import SAMPLE, variable_dims

    found = {}
    for name, own in variable_dims(design).items():
        values = raw.posterior[name].transpose(*SAMPLE, *own).to_numpy()
        found[name] = np.array(values, dtype=np.float64).reshape(-1, *values.shape[2:])
    for f in design.factors:
        if f.has_correlations:  # rounding leaves 1 - 1e-16 on some diagonals
            at = np.arange(f.n_columns)
            found[corr_name(f.name)][:, at, at] = 1.0
    return found


def _seed(random_seed: int | None) -> int:
    """A seed every sampler takes, drawn if none is given."""
    if random_seed is None:
        return int(np.random.SeedSequence().generate_state(1)[0] >> 1)
    if isinstance(random_seed, bool) or not isinstance(random_seed, int | np.integer):
        raise ArgumentError(
            "random_seed= takes an integer.", found=repr(random_seed), fix="random_seed=1"
        )
    if not 0 <= random_seed < 2**31:
        raise ArgumentError(
            "random_seed= must be between 0 and 2**31 - 1.", found=repr(random_seed)
        )
    return int(random_seed)


def _check_arguments(
    draws: int, tune: int | None, chains: int, cores: int | None, target_accept: float | None
) -> None:
    counts = {"draws": (draws, 1), "chains": (chains, 1)}
    if tune is not None:
        counts["tune"] = (tune, 0)
    if cores is not None:
        counts["cores"] = (cores, 1)
    for name, (value, least) in counts.items():
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < least:
            raise ArgumentError(
                f"{name}= must be a whole number, at least {least}.", found=repr(value)
            )
    if target_accept is not None and not 0 < target_accept < 1:
        raise ArgumentError(
            "target_accept= must be between 0 and 1.",
            found=repr(target_accept),
            fix="0.8 is usual; 0.95 or 0.99 against divergences",
        )


def _check_sampler(sampler: str) -> None:
    if sampler not in SAMPLERS:
        near = suggest(str(sampler), SAMPLERS)
        raise ArgumentError(
            f"no sampler is called `{sampler}`.",
            found=repr(sampler),
            fix=f"did you mean `{near}`?" if near else f"use one of {', '.join(SAMPLERS)}",
        )
    if sampler != "independence" and importlib.util.find_spec(sampler) is None:
        raise MissingDependencyError(
            f"the sampler `{sampler}` is not installed.",
            fix=f'pip install "bayeslmm[{sampler}]", or use sampler="nutpie"',
        )
