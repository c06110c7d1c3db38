"""Whether the chains can be trusted, in numbers and in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayeslmm.errors import build_message

if TYPE_CHECKING:
    import xarray as xr

LARGEST_RHAT = 1.01
_ATTRIBUTE = "diagnostics"
LARGEST_K = 0.7
"""Pareto k above which importance weights have no finite variance to speak of."""

LEAST_ESS = 100
"""Effective draws a chain that its own R-hat needs (Vehtari et al. 2021)."""


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """The worst of each convergence diagnostic, and where it was found.

    Attributes
    ----------
    rhat : float
        Largest rank-normalised split R-hat; infinite if a chain never moved, nan if
        there are too few draws to compute it.
    rhat_of : str
        Where: ``sd_Subject[Days]``.
    ess_bulk, ess_tail : float
        Smallest effective sample sizes, for means and for 5 % and 95 % quantiles.
    ess_bulk_of, ess_tail_of : str
    divergences : int
        Transitions that diverged, after tuning.
    max_treedepth : int
        Transitions that were cut off at the largest depth of tree.
    chains, draws : int
        Number of chains, and of draws in each.
    pareto_k : float, optional
        Of independence sampling: how far the posterior's tails outweigh the proposal's.
    """

    rhat: float
    rhat_of: str
    ess_bulk: float
    ess_bulk_of: str
    ess_tail: float
    ess_tail_of: str
    divergences: int
    max_treedepth: int
    chains: int
    draws: int
    pareto_k: float | None = None

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong, one sentence each; empty if nothing is."""
        found = []
        if self.divergences:
            total = self.chains * self.draws
            found.append(f"{self.divergences} of {total} draws diverged")
        if self.rhat > LARGEST_RHAT:
            found.append(f"R-hat of {self.rhat_of} is {self.rhat:.3f}, above {LARGEST_RHAT}")
        if np.isnan(self.rhat):
            one = "there is one chain, and R-hat compares chains"
            found.append(one if self.chains == 1 else "there are too few draws for R-hat")
        if self.pareto_k is not None and not self.pareto_k <= LARGEST_K:
            found.append(f"Pareto k of the proposals is {self.pareto_k:.2f}, above {LARGEST_K}")
        least = LEAST_ESS * self.chains
        for kind, value, where in (
            ("bulk", self.ess_bulk, self.ess_bulk_of),
            ("tail", self.ess_tail, self.ess_tail_of),
        ):
            if value < least:
                found.append(f"{kind} ESS of {where} is {value:.0f}, below {least}")
        return tuple(found)

    @property
    def converged(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def words(self) -> str:
        """One message: what was found, what it means, what to do."""
        if self.converged:
            return (
                f"The chains agree: R-hat at most {self.rhat:.3f}, ESS at least "
                f"{min(self.ess_bulk, self.ess_tail):.0f}, no divergences."
            )
        advice = []
        if self.divergences:
            advice.append(
                "the draws miss part of the posterior where it is steep, often near an SD of 0: "
                'try the other parameterization= ("centered" suits levels that their rows know '
                "well, and may be given by factor), "
                "target_accept=0.95 or more, or a tighter prior on the SDs"
            )
        if self.chains == 1 and np.isnan(self.rhat):
            advice.append("run chains=4")
        elif self.pareto_k is not None and not self.pareto_k <= LARGEST_K:
            advice.append('independent proposals miss part of the posterior: sampler="nutpie"')
        elif self.pareto_k is not None:
            advice.append("the proposals suit the posterior, and the draws are few: raise draws=")
        elif self.rhat > LARGEST_RHAT or np.isnan(self.rhat):
            advice.append("the chains do not agree yet: raise tune= and draws=")
        elif min(self.ess_bulk, self.ess_tail) < LEAST_ESS * self.chains:
            advice.append("the chains agree but hold few independent draws: raise draws=")
        if self.max_treedepth:
            advice.append(
                f"{self.max_treedepth} draws reached the largest tree: parameters on very "
                "different scales; scale the predictors"
            )
        return build_message(
            "the draws of the posterior are not to be trusted yet.",
            found="; ".join(self.findings),
            fix="; ".join(advice),
        )


def check_convergence(tree: xr.DataTree) -> Diagnostics:
    """R-hat, effective sample sizes and divergences of a posterior, whichever sampler ran.

    Parameters
    ----------
    tree : xarray.DataTree
        With groups ``posterior`` and, if there were divergences to count,
        ``sample_stats``. Entries that are constant by construction (the diagonal of a
        correlation matrix, zeros between its blocks, its upper half) do not count.

    Returns
    -------
    Diagnostics
    """
    posterior = tree["posterior"].to_dataset()
    worst = {"rhat": (-np.inf, ""), "bulk": (np.inf, ""), "tail": (np.inf, "")}
    for variable, array in posterior.data_vars.items():
        draws, name = _entries(str(variable), array)
        for kind, values in _diagnose(draws).items():
            if not len(values):
                continue
            # NaN counts as the worst
            sign = 1.0 if kind == "rhat" else -1.0
            at = int(np.argmax(np.where(np.isnan(values), np.inf, sign * values)))
            if np.isnan(values[at]) or sign * values[at] > sign * worst[kind][0]:
                worst[kind] = (float(values[at]), name(at))
    stats = tree["sample_stats"].to_dataset() if "sample_stats" in tree.children else {}
    return Diagnostics(
        rhat=float(worst["rhat"][0]),
        rhat_of=worst["rhat"][1],
        ess_bulk=float(worst["bulk"][0]),
        ess_bulk_of=worst["bulk"][1],
        ess_tail=float(worst["tail"][0]),
        ess_tail_of=worst["tail"][1],
        divergences=int(stats["diverging"].sum()) if "diverging" in stats else 0,
        max_treedepth=(
            int(stats["reached_max_treedepth"].sum()) if "reached_max_treedepth" in stats else 0
        ),
        chains=int(posterior.sizes["chain"]),
        draws=int(posterior.sizes["draw"]),
        pareto_k=float(tree.attrs["pareto_k"]) if "pareto_k" in tree.attrs else None,
    )


def record_diagnostics(tree: xr.DataTree, diagnostics: Diagnostics) -> None:
    """Write diagnostics into the attributes of a tree, where they outlive the session."""
    tree.attrs[_ATTRIBUTE] = json.dumps(asdict(diagnostics))


def recorded_diagnostics(tree: xr.DataTree) -> Diagnostics | None:
    """Diagnostics that `record_diagnostics` wrote; None if there are none to read."""
    try:
        return Diagnostics(**json.loads(tree.attrs[_ATTRIBUTE]))
    except (KeyError, TypeError, ValueError):
        return None


def _entries(
    variable: str, array: xr.DataArray
) -> tuple[NDArray[np.float64], Callable[[int], str]]:
    """The numbers of a variable that vary, as (number, chain, draw), and the name of each."""
    own = [d for d in array.dims if d not in ("chain", "draw")]
    values = array.transpose(*own, "chain", "draw").to_numpy()
    matrix = len(own) == 2 and str(own[1]) == f"{own[0]}_bis"
    places = list(np.ndindex(values.shape[:-2]))
    if matrix:
        places = [at for at in places if at[1] < at[0] and np.ptp(values[at]) > 0]
        values = np.array([values[at] for at in places])
    values = values.reshape(len(places), array.sizes["chain"], array.sizes["draw"])

    def name(k: int) -> str:
        # the entry below the diagonal is named column first, as in every table
        return _label(variable, array, own, places[k][::-1] if matrix else places[k])

    return values, name


def _label(variable: str, array: xr.DataArray, own: list[Any], at: tuple[int, ...]) -> str:
    if not own:
        return variable
    inner = ", ".join(str(array.coords[d].to_numpy()[i]) for d, i in zip(own, at, strict=True))
    return f"{variable}[{inner}]"


def _diagnose(draws: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """R-hat and effective sample sizes of numbers, draws as (number, chain, draw)."""
    if draws.shape[2] < 4:
        return dict.fromkeys(("rhat", "bulk", "tail"), np.full(len(draws), np.nan))
    from bayeslmm.sampling.convergence import convergence

    return convergence(draws)
