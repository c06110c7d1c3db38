"""Independence sampling: few variance parameters whose posterior is dear to evaluate.

What `proposal` proposes is corrected by Metropolis steps, so the draws are of the posterior
whatever the proposal. Where a proposal costs a large factorisation, that also gives its
draw of the effects.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from importlib import import_module
from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.engine.gaussian import MarginalPosterior
from bayeslmm.sampling.diagnostics import LARGEST_K
from bayeslmm.sampling.drawn import RawDraws, Receiver, Run
from bayeslmm.sampling.live import LOOK
from bayeslmm.sampling.proposal import Proposal, find_proposal
from bayeslmm.sampling.settings import EFFECTS_STREAM, Settings

# Proposals to a kept draw where they cost microseconds: draws are then next to independent.
_CHEAP_PROPOSALS = 8
# Evaluations after which dear ones are judged before going on.
PILOT = 400


def metropolis(
    log_weights: FloatArray, chains: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Independence Metropolis over proposals in their order, chain after chain.

    Parameters
    ----------
    log_weights : ndarray, shape (chains * (steps + 1),)
        Log posterior less log proposal density; the first of each chain is where it starts.

    Returns
    -------
    kept : ndarray, shape (chains, steps)
        Position of the proposal each chain is at.
    chance : ndarray, shape (chains, steps)
        Probability with which each step was accepted.
    """
    weights = log_weights.reshape(chains, -1)
    n = weights.shape[1] - 1
    kept, chance = np.empty((chains, n), dtype=np.int64), np.empty((chains, n))
    uniform = rng.uniform(size=(chains, n))
    for chain in range(chains):
        # plain numbers: a step costs less than a call of NumPy
        w, thresholds = weights[chain].tolist(), np.log(uniform[chain]).tolist()
        at, places, gains = 0, [], []
        for step, threshold in enumerate(thresholds, 1):
            gain = w[step] - w[at]
            gains.append(gain)
            if threshold < gain:
                at = step
            places.append(at)
        kept[chain] = chain * (n + 1) + np.array(places)
        chance[chain] = np.exp(np.minimum(np.nan_to_num(gains, nan=-np.inf), 0.0))
    return kept, chance


def sample_independence(
    posterior: MarginalPosterior, settings: Settings, receive: Receiver | None = None
) -> Run | None:
    """Sample a posterior by independence Metropolis; None where the proposal does not fit it.

    Where evaluations are cheap the draws are of the variable ``x`` alone, and `effects_of`
    makes the model's variables of them; else they are there with it.
    """
    began = time.perf_counter()
    proposal = find_proposal(posterior)
    if proposal is None:
        return None
    walk = _cheap_walk if posterior.small is not None else _dear_walk
    found = walk(posterior, proposal, settings, receive)
    if found is None:
        return None
    raw, k, acceptance = found
    options = {"pareto_k": k, "acceptance": acceptance}
    return Run(raw, 0, options, time.perf_counter() - began)


def pareto_k(log_weights: FloatArray) -> float:
    """Shape of the tail of importance weights; infinite where hardly any are finite."""
    finite = log_weights[np.isfinite(log_weights)]
    if len(finite) < 25:
        return np.inf
    array_stats: Any = import_module("arviz_stats.base").array_stats
    # it takes log likelihoods to leave out, the negatives of log weights
    return float(array_stats.psislw(-finite)[1])


def _cheap_walk(
    posterior: MarginalPosterior, proposal: Proposal, settings: Settings, _: Receiver | None
) -> tuple[RawDraws, float, float] | None:
    """Evaluate all proposals at once, several to a draw."""
    chains, thin = settings.chains, _CHEAP_PROPOSALS
    rng = np.random.default_rng(settings.seed)
    x, density = proposal.sample(chains * (settings.draws * thin + 1), rng)
    values = posterior.values(x)
    log_weights = np.where(np.isfinite(values), values - density, -np.inf)
    k = pareto_k(log_weights)
    if k > LARGEST_K:
        return None
    kept, chance = metropolis(log_weights, chains, rng)
    kept = kept[:, thin - 1 :: thin]
    stats = {
        "acceptance_rate": chance[:, thin - 1 :: thin],
        "lp": values[kept],
        "diverging": np.zeros(kept.shape, dtype=bool),
    }
    lengths = np.full(chains, settings.draws, dtype=np.int64)
    return RawDraws({"x": x[kept]}, stats, lengths), k, float(chance.mean())


def _dear_walk(
    posterior: MarginalPosterior,
    proposal: Proposal,
    settings: Settings,
    receive: Receiver | None,
) -> tuple[RawDraws, float, float] | None:
    """Evaluate proposals one by one, chains side by side, and draw effects of those accepted."""
    walks = [Walk(posterior, proposal, settings, chain) for chain in range(settings.chains)]
    shape = (settings.chains, settings.draws)
    names = {name: values.shape[1:] for name, values in walks[0].effects.items()}
    arrays = {"x": np.empty((*shape, posterior.size))}
    arrays |= {name: np.empty((*shape, *own)) for name, own in names.items()}
    stats = {"acceptance_rate": np.empty(shape), "lp": np.empty(shape)}
    stats["diverging"] = np.zeros(shape, dtype=bool)
    for walk in walks:
        walk.into = {k: v[walk.chain] for k, v in (arrays | stats).items()}

    def so_far() -> RawDraws:
        return RawDraws(arrays, stats, np.array([w.steps for w in walks], dtype=np.int64))

    def tail() -> float:
        return pareto_k(np.concatenate([w.log_weights[: w.steps + 1] for w in walks]))

    if not _run_together(walks, settings, lambda: tail() <= LARGEST_K, so_far, receive):
        return None
    done = [w.into["acceptance_rate"][: w.steps] for w in walks]
    return so_far(), tail(), float(np.concatenate(done).mean())


def _run_together(
    walks: list[Walk],
    settings: Settings,
    fits: Callable[[], bool],
    so_far: Callable[[], RawDraws],
    receive: Receiver | None,
) -> bool:
    """Run chains in threads to their ends, or to an interruption; False if they do not fit.

    That is judged once, after `PILOT` evaluations, and nothing is handed on before.
    """
    from joblib import cpu_count
    from rich.progress import Progress

    judged, total = False, settings.chains * settings.draws
    with (
        ThreadPoolExecutor(min(settings.cores or cpu_count(), len(walks))) as pool,
        Progress(disable=not settings.progressbar, transient=True) as progress,
    ):
        task = progress.add_task("sampling", total=total)
        jobs = [pool.submit(walk.run) for walk in walks]
        try:
            while wait(jobs, timeout=LOOK, return_when=FIRST_EXCEPTION).not_done:
                if any(job.done() and job.exception() for job in jobs):
                    break
                steps = sum(walk.steps for walk in walks)
                progress.update(task, completed=steps)
                if not judged and steps >= PILOT:
                    judged = True
                    if not fits():
                        return False
                if judged and receive is not None:
                    receive(so_far())
        except KeyboardInterrupt:
            judged = True
        finally:
            for walk in walks:
                walk.stopped = True
    for job in jobs:
        job.result()
    return judged or fits()


class Walk:
    """One chain of proposals that are evaluated one by one.

    Attributes
    ----------
    steps : int
        Draws made.
    into : dict of ndarray
        Where they go, draws first.
    log_weights : ndarray, shape (draws + 1,)
    stopped : bool
        Set from outside to end it.
    """

    def __init__(
        self, posterior: MarginalPosterior, proposal: Proposal, settings: Settings, chain: int
    ) -> None:
        self.posterior, self.chain = posterior, chain
        self.steps, self.stopped = 0, False
        self.into: dict[str, FloatArray] = {}
        self._effects_rng = settings.stream(EFFECTS_STREAM, chain)
        self._rng = np.random.default_rng([settings.seed, chain])
        self._x, self._density = proposal.sample(settings.draws + 1, self._rng)
        self._x[0], self._density[0] = self._first(proposal)
        self.log_weights = np.full(settings.draws + 1, -np.inf)
        self.log_weights[0] = self._value - self._density[0]

    def _first(self, proposal: Proposal) -> tuple[FloatArray, float]:
        """A proposal at which the posterior has a value, to start from."""
        while True:
            x, density = proposal.sample(1, self._rng)
            self._value, factored = self.posterior.value_and_factor(x[0])
            if factored is not None:
                self.effects = self.posterior.draw_given(factored, self._effects_rng)
                return x[0], float(density[0])

    def run(self) -> None:
        """Take all steps, or those until it is stopped."""
        at = 0
        for step in range(1, len(self._x)):
            if self.stopped:
                return
            value, factored = self.posterior.value_and_factor(self._x[step])
            self.log_weights[step] = value - self._density[step]
            gain = self.log_weights[step] - self.log_weights[at]
            if factored is not None and np.log(self._rng.uniform()) < gain:
                at, self._value = step, value
                self.effects = self.posterior.draw_given(factored, self._effects_rng)
            draw = {
                "x": self._x[at], "lp": self._value, "acceptance_rate": np.exp(min(gain, 0.0)),
                **{name: values[0] for name, values in self.effects.items()},
            }  # fmt: skip
            for name, number in draw.items():
                self.into[name][step - 1] = number
            self.steps = step
