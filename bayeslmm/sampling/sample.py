"""Design + priors -> posterior draws."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.design.design import Design
from bayeslmm.engine.gaussian import MarginalPosterior
from bayeslmm.errors import ConvergenceWarning, DataWarning, build_message, warn
from bayeslmm.priors import PriorSet
from bayeslmm.priors.names import informative_rows, observed_name
from bayeslmm.sampling.choose import NUTS, Plan, choose
from bayeslmm.sampling.drawn import Run
from bayeslmm.sampling.independence import sample_independence
from bayeslmm.sampling.linear import predictive
from bayeslmm.sampling.marginal import effects_of, sample_marginal
from bayeslmm.sampling.prior_draws import sample_prior
from bayeslmm.sampling.recorder import Expand, Recorder, group_dims
from bayeslmm.sampling.settings import PRIOR_STREAM, Settings
from bayeslmm.sampling.trace import Trace, interruption_words, shortened, usable

if TYPE_CHECKING:
    import xarray as xr

PRIOR_DRAWS = 1000

LARGE = 1e9
"""Bytes above which the pointwise log likelihood is worth a word."""


def sample_posterior(design: Design, priors: PriorSet, **options: Any) -> xr.DataTree:
    """Draw from the posterior of all parameters and effects.

    Parameters
    ----------
    design : Design
    priors : PriorSet
    **options
        Those of `Settings`.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` (``beta``, ``sd_*``, ``corr_*``, ``sigma`` or ``alpha``,
        ``b_*``), ``sample_stats``, ``observed_data``, ``log_likelihood`` (one variable,
        named as the response, given the effects), ``log_prior`` (of the parameters,
        never of the effects), and ``constant_data`` where there are weights, an offset
        or trials. Dimension ``obs`` holds the rows of positive weight. With ``store=``
        it is read lazily from there.

    Raises
    ------
    ArgumentError
        An argument that cannot be.
    MissingDependencyError
        The sampler, or Zarr, is not installed.
    PriorError
        Draws from an improper prior were asked for.
    KeyboardInterrupt
        Interrupted before there was any draw.

    Warns
    -----
    DataWarning
        The pointwise log likelihood takes more than 1 GB.
    ConvergenceWarning
        The run was interrupted from the keyboard: the draws so far are returned, chains
        cut to equal length, and the attributes say so (``interrupted``, ``draws_asked``,
        ``chains_asked``).

    Notes
    -----
    Convergence is not judged here: see `bayeslmm.sampling.check_convergence`. The
    pointwise log likelihood takes 8 bytes a draw and row.

    Effects, log likelihoods and simulated responses are made a stretch of draws at a time,
    each with random numbers of its own, in as many threads as there are cores: the draws
    depend neither on the number of threads nor on whether there is a store.
    """
    settings = Settings(**options)
    dims = group_dims(design, settings)
    if settings.log_likelihood:
        _announce_size(design, settings.chains * settings.draws)
    plan = choose(design, priors, settings.parameterization, settings.wanted_sampler)
    groups = _fixed_groups(design)
    if settings.prior_predictive:
        groups |= _prior_groups(design, priors, settings.stream(PRIOR_STREAM))
    begun = _attributes(design, priors, settings, plan)
    trace = Trace(design, dims, settings.chains, settings.draws)
    if settings.folder is not None:
        from bayeslmm.sampling.store import StoredTrace

        trace = StoredTrace(
            settings.folder, design, dims, settings.chains, settings.draws,
            groups=groups, attributes=begun,
        )  # fmt: skip

    began = time.perf_counter()
    plan, run = _draw(design, priors, settings, plan, trace)
    chains, n = usable(trace.lengths)
    if n == 0:
        raise KeyboardInterrupt
    attributes = {
        **_attributes(design, priors, settings, plan),
        "tuning_steps": run.tune,
        **run.options,
        "sampling_time": run.sampling_time,
        "total_time": time.perf_counter() - began,
    }
    if len(chains) < settings.chains or n < settings.draws:
        attributes = shortened(attributes, len(chains), n)
        warn(interruption_words(attributes), ConvergenceWarning)
    return trace.finish(groups, attributes)


def _draw(
    design: Design, priors: PriorSet, settings: Settings, plan: Plan, trace: Trace
) -> tuple[Plan, Run]:
    """Run the sampler of a plan, and put all that was drawn into the trace."""
    expand: Expand
    run: Run | None = None
    stored = settings.folder is not None
    if plan.parameterization == "marginal":
        posterior = MarginalPosterior(design, priors)
        expand = partial(effects_of, posterior)
        receive = Recorder(design, priors, settings, trace, expand).take if stored else None
        if plan.sampler == "independence":
            run = sample_independence(posterior, settings, receive)
            if run is None:
                plan = Plan("marginal", NUTS, "no independent proposal fits the posterior")
                trace.describe(_attributes(design, priors, settings, plan))
        if run is None:
            run = sample_marginal(posterior, settings, receive)
    else:
        from bayeslmm.sampling.everything import named, sample_everything

        expand = partial(named, design)
        take = Recorder(design, priors, settings, trace, expand).take
        run = sample_everything(
            design,
            priors,
            settings,
            plan,
            receive=take if stored else None,
            folder=_raw_folder(settings),
        )
    with suppress(KeyboardInterrupt):  # stretches that are whole are kept
        Recorder(design, priors, settings, trace, expand).take_last(run.raw)
    return plan, run


def _raw_folder(settings: Settings) -> Path | None:
    if settings.folder is None:
        return None
    from bayeslmm.sampling.store import RAW

    return settings.folder / RAW


def _attributes(design: Design, priors: PriorSet, settings: Settings, plan: Plan) -> dict[str, Any]:
    """What made the record, as far as it is known before sampling."""
    from bayeslmm.sampling.record import package_version, record_attributes

    library = "bayeslmm" if plan.sampler == "independence" else plan.sampler
    given = {"tuning_steps": settings.tune, "target_accept": settings.target_accept}
    return {
        **{k: v for k, v in given.items() if v is not None},
        **record_attributes(design, priors),
        "sampler": plan.sampler,
        "inference_library": library,
        "inference_library_version": package_version(library),
        "parameterization": plan.parameterization,
        **({"parameterization_by_factor": json.dumps(plan.ways)} if plan.ways else {}),
        "parameterization_because": plan.because,
        "random_seed": settings.seed,
        "draws": int(settings.draws),
        "chains": int(settings.chains),
    }


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


def _fixed_groups(design: Design) -> dict[str, xr.Dataset]:
    """Groups that do not depend on the draws."""
    from bayeslmm.sampling.record import constant_dataset, observed_dataset

    constant = constant_dataset(design)
    groups = {"observed_data": observed_dataset(design)}
    return groups if constant is None else {**groups, "constant_data": constant}


def _prior_groups(
    design: Design, priors: PriorSet, rng: np.random.Generator
) -> dict[str, xr.Dataset]:
    from bayeslmm.sampling.record import draws_dataset, variable_dims

    drawn = sample_prior(design, priors, PRIOR_DRAWS, rng)
    rows = {observed_name(design): predictive(design, drawn, rng)}
    return {
        "prior": draws_dataset(design, drawn, variable_dims(design), 1),
        "prior_predictive": draws_dataset(design, rows, dict.fromkeys(rows, ("obs",)), 1),
    }
