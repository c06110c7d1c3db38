"""From a sampler's draws to all that is kept of them, a stretch at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.design.design import Design
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.priors import PriorSet
from bayeslmm.priors.names import observed_name
from bayeslmm.sampling.drawn import RawDraws
from bayeslmm.sampling.linear import log_likelihood, predictive
from bayeslmm.sampling.record import STAT_NAMES, log_prior_dims, variable_dims
from bayeslmm.sampling.settings import (
    EFFECTS_STREAM,
    PREDICTIVE_STREAM,
    Settings,
    kept_variables,
)
from bayeslmm.sampling.trace import LONGEST, Dims, Stretch, Trace

Variables = dict[str, FloatArray]

Expand = Callable[[Variables, np.random.Generator], Variables]
"""Makes the variables of the model of those a sampler moved, draws first."""

_EVENTS = frozenset(
    {
        "divergence_draw",
        "divergence_energy_error",
        "num_eigenvalues",
        "transformation_update_id",
    }
)
"""Statistics that nutpie has of some draws only."""


def group_dims(design: Design, settings: Settings) -> Dims:
    """Dimensions of every variable that is kept of a draw, by group."""
    kept = kept_variables(design, settings.var_names)
    rows: dict[str, tuple[str, ...]] = {observed_name(design): ("obs",)}
    dims: Dims = {
        "posterior": {k: v for k, v in variable_dims(design).items() if k in kept},
        "sample_stats": {},
        "log_prior": log_prior_dims(design),
    }
    if settings.log_likelihood:
        dims["log_likelihood"] = rows
    if settings.posterior_predictive:
        dims["posterior_predictive"] = rows
    return dims


class Recorder:
    """Completes stretches of draws and puts them into a trace.

    Parameters
    ----------
    design : Design
    priors : PriorSet
    settings : Settings
    trace : Trace
    expand : callable
        From what the sampler moved to the variables of the model.
    """

    def __init__(
        self, design: Design, priors: PriorSet, settings: Settings, trace: Trace, expand: Expand
    ) -> None:
        self.design, self.priors, self.settings = design, priors, settings
        self.trace, self.expand = trace, expand

    def take(self, raw: RawDraws) -> None:
        """Complete and write what is whole of a run that goes on."""
        for stretch in self.trace.due(_settled(raw), last=False):
            self._add(raw, stretch, certain=False)

    def take_last(self, raw: RawDraws) -> None:
        """Complete and write all that is left, stretches side by side."""
        from joblib import cpu_count
        from rich.progress import track

        due = self.trace.due(raw.lengths, last=True)
        workers = max(1, min(len(due), self.settings.cores or cpu_count()))
        pool = ThreadPoolExecutor(workers)
        try:
            jobs = [pool.submit(self._add, raw, stretch, certain=True) for stretch in due]
            for job in track(
                as_completed(jobs),
                "effects and rows of the draws",
                total=len(jobs),
                transient=True,
                disable=not self.settings.progressbar,
            ):
                job.result()
        finally:
            pool.shutdown(cancel_futures=True)

    @one_blas_thread
    def _add(self, raw: RawDraws, stretch: Stretch, *, certain: bool) -> None:
        at = (stretch.chain, slice(stretch.first, stretch.stop))
        moved = {name: np.asarray(values[at]) for name, values in raw.variables.items()}
        names = sorted(raw.stats.keys() - _EVENTS)
        stats = {name: _number(raw.stats[name][at]) for name in names}
        if not certain and any(map(_has_gaps, [*moved.values(), *stats.values()])):
            return  # the sampler has not written all of it yet
        stream, where = self.settings.stream, (stretch.chain, stretch.index)
        drawn = self.expand(moved, stream(EFFECTS_STREAM, *where))
        name, dims = observed_name(self.design), self.trace.dims
        groups = {
            "posterior": {k: drawn[k] for k in dims["posterior"]},
            "sample_stats": _schema({k: v for k, v in stats.items() if v is not None}),
            "log_prior": self.priors.log_prior(drawn),
        }
        if "log_likelihood" in dims:
            groups["log_likelihood"] = {name: log_likelihood(self.design, drawn)}
        if "posterior_predictive" in dims:
            rng = stream(PREDICTIVE_STREAM, *where)
            groups["posterior_predictive"] = {name: predictive(self.design, drawn, rng)}
        self.trace.put(stretch, groups)


def _settled(raw: RawDraws) -> IntArray:
    """Draws of each chain of which a running sampler has everything.

    On disk the arrays of a chain grow one by one, and whole numbers that are still to come
    are zeros like others: the newest draws wait.
    """
    arrays = [*raw.variables.values(), *raw.stats.values()]
    in_memory = all(isinstance(array, np.ndarray) for array in arrays)
    return raw.lengths if in_memory else raw.lengths - LONGEST


def _has_gaps(values: FloatArray | None) -> bool:
    return values is not None and values.dtype.kind == "f" and bool(np.isnan(values).any())


def _number(values: np.ndarray) -> FloatArray | None:
    """A statistic as netCDF can have it; None if it is no number."""
    found = np.asarray(values)
    if found.dtype.kind not in "biuf":
        return None
    return found.astype(np.int64) if found.dtype.kind == "u" else found


def _schema(stats: Variables) -> Variables:
    """Statistics under the names of ArviZ's schema."""
    names = {k: v for k, v in STAT_NAMES.items() if v not in stats}
    return {names.get(k, k): v for k, v in stats.items()}
