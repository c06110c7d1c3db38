"""What is asked of a sampling run, checked and in one place."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bayeslmm.design.centring import Way
from bayeslmm.design.design import Design
from bayeslmm.errors import ArgumentError, MissingDependencyError, suggest
from bayeslmm.priors.names import effects_name
from bayeslmm.sampling.choose import NUTS, Parameterization

SAMPLERS = ("auto", "nutpie", "independence", "pymc", "numpyro", "blackjax")

# Streams of random numbers of our own; the samplers see the seed itself.
PRIOR_STREAM, PREDICTIVE_STREAM, EFFECTS_STREAM, START_STREAM = range(4)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a posterior is to be sampled, and what of it is kept.

    Parameters
    ----------
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
    parameterization : {"auto", "marginal", "noncentered", "centered"}, or mapping
        ``"marginal"``: only SDs, correlations and sigma are sampled, with the fixed and
        random effects integrated out, and the effects are drawn exactly given each draw:
        no funnels, few parameters. For Gaussian responses with normal or flat priors of
        the fixed effects. The others sample everything: centered does far better where
        the data say much about each level; noncentered where they say little, or an SD
        may be near 0. A mapping has one of these two by factor, and the others' is chosen.
        ``"auto"`` integrates out where it can, and else chooses by factor, from how well a
        fast fit says the levels are known. The attributes ``parameterization_by_factor``
        and ``parameterization_because`` say what was chosen and why.
    sampler : {"auto", "nutpie", "independence", "pymc", "numpyro", "blackjax"}
        ``"auto"`` is nutpie, or independence where few parameters are to be proposed and
        neither ``tune=`` nor ``target_accept=`` is given.
        ``"independence"``: Metropolis steps between independent proposals from split t
        distributions around the marginal posterior's mode, for few variance parameters.
        Attributes ``pareto_k`` and ``acceptance`` say how well the proposals
        fit; where the first do not, NUTS takes over.
    progressbar : bool
    prior_predictive, posterior_predictive : bool
        Add the groups ``prior`` and ``prior_predictive`` (1000 draws), or
        ``posterior_predictive`` (one simulated response a draw, given the effects).
    log_likelihood : bool
        Keep the log likelihood of every row and draw, which LOO needs.
    var_names : str or sequence of str, optional
        Which of ``beta`` and ``b_<factor>`` to keep, or, as ``"~b_item"``, which not to;
        all by default. SDs, correlations and sigma are always kept.
    store : str or Path, optional
        A Zarr directory the draws are written to as they are made.

    Raises
    ------
    ArgumentError
        A value that cannot be.
    MissingDependencyError
        The sampler, or Zarr, is not installed.
    """

    draws: int = 1000
    tune: int | None = None
    chains: int = 4
    cores: int | None = None
    random_seed: int | None = None
    target_accept: float | None = None
    parameterization: Parameterization | Mapping[str, Way] = "auto"
    sampler: str = "auto"
    progressbar: bool = True
    prior_predictive: bool = False
    posterior_predictive: bool = False
    log_likelihood: bool = True
    var_names: str | Sequence[str] | None = None
    store: str | Path | None = None

    def __post_init__(self) -> None:
        _check_counts(self)
        _check_sampler(self.sampler)
        _check_options_of_nuts(self)
        if self.store is not None:
            check_zarr()
        object.__setattr__(self, "random_seed", _seed(self.random_seed))

    @property
    def seed(self) -> int:
        """The seed that was given, or drawn."""
        assert self.random_seed is not None
        return self.random_seed

    @property
    def wanted_sampler(self) -> str:
        """The sampler asked for; options of NUTS ask for it."""
        given = self.tune is not None or self.target_accept is not None
        return NUTS if self.sampler == "auto" and given else self.sampler

    @property
    def folder(self) -> Path | None:
        """The directory of the store."""
        return None if self.store is None else Path(self.store)

    def stream(self, purpose: int, *at: int) -> np.random.Generator:
        """Random numbers for one purpose, and one chain and stretch of draws of it."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(purpose, *at)))


def kept_variables(design: Design, var_names: str | Sequence[str] | None) -> frozenset[str]:
    """Names of the variables to keep: all parameters but beta, and what is asked for.

    Raises
    ------
    ArgumentError
        A name that is not a variable of the model, a parameter that is always kept, or
        nothing would be kept.
    """
    from bayeslmm.sampling.record import variable_dims

    known = frozenset(variable_dims(design))
    optional = known & {"beta", *(effects_name(f.name) for f in design.factors)}
    if var_names is None:
        return known
    names = [var_names] if isinstance(var_names, str) else [str(name) for name in var_names]
    for name in names:
        _check_variable(name, known, optional)
    plain = {name for name in names if not name.startswith("~")}
    without = {name.removeprefix("~") for name in names if name.startswith("~")}
    chosen = plain if plain or not names else optional
    kept = (known - optional) | (chosen & optional) - without
    if not kept:
        raise ArgumentError(
            "var_names= leaves nothing to keep: this model has no other parameters.",
            found=repr(var_names),
        )
    return frozenset(kept)


def _check_variable(name: str, known: frozenset[str], optional: frozenset[str]) -> None:
    bare = name.removeprefix("~")
    if bare not in known:
        near = suggest(bare, known)
        raise ArgumentError(
            f"var_names= has {name!r}, and the posterior has no variable {bare!r}.",
            found=", ".join(sorted(known)),
            fix=f"did you mean {near!r}?" if near else None,
        )
    if name.startswith("~") and bare not in optional:
        raise ArgumentError(
            f"var_names= cannot leave out {bare!r}: standard deviations, correlations and "
            "parameters of the family are always kept.",
            fix=f"it may leave out {', '.join(sorted(optional))}",
        )


def check_zarr() -> None:
    """Refuse a store where Zarr is not installed.

    Raises
    ------
    MissingDependencyError
    """
    if importlib.util.find_spec("zarr") is None:
        raise MissingDependencyError(
            "draws kept on disk need the package zarr, which is not installed.",
            fix='pip install "bayeslmm[zarr]", or leave store= out and use fit.save(path)',
        )


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


def _check_counts(s: Settings) -> None:
    counts = {"draws": (s.draws, 1), "chains": (s.chains, 1)}
    if s.tune is not None:
        counts["tune"] = (s.tune, 0)
    if s.cores is not None:
        counts["cores"] = (s.cores, 1)
    for name, (value, least) in counts.items():
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < least:
            raise ArgumentError(
                f"{name}= must be a whole number, at least {least}.", found=repr(value)
            )
    if s.target_accept is not None and not 0 < s.target_accept < 1:
        raise ArgumentError(
            "target_accept= must be between 0 and 1.",
            found=repr(s.target_accept),
            fix="0.8 is usual; 0.95 or 0.99 against divergences",
        )


def _check_options_of_nuts(s: Settings) -> None:
    """Refuse what independence sampling has no use for."""
    for name in ("tune", "target_accept"):
        if s.sampler == "independence" and getattr(s, name) is not None:
            raise ArgumentError(
                f'{name}= is of NUTS, and sampler="independence" does not step.',
                found=f"{name}={getattr(s, name)!r}",
                fix=f'leave {name}= out, or sampler="nutpie"',
            )


def _check_sampler(sampler: str) -> None:
    if sampler not in SAMPLERS:
        near = suggest(str(sampler), SAMPLERS)
        raise ArgumentError(
            f"no sampler is called `{sampler}`.",
            found=repr(sampler),
            fix=f"did you mean `{near}`?" if near else f"use one of {', '.join(SAMPLERS)}",
        )
    if sampler not in ("auto", "independence") and importlib.util.find_spec(sampler) is None:
        raise MissingDependencyError(
            f"the sampler `{sampler}` is not installed.",
            fix=f'pip install "bayeslmm[{sampler}]", or use sampler="nutpie"',
        )
