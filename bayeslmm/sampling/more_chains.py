"""Further chains of a posterior that was sampled before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.design.design import Design
from bayeslmm.errors import ArgumentError, ConvergenceWarning, build_message, warn
from bayeslmm.priors import PriorSet
from bayeslmm.sampling.sample import sample_posterior
from bayeslmm.sampling.settings import Settings
from bayeslmm.sampling.trace import shortened, usable

if TYPE_CHECKING:
    import xarray as xr

ADDED = "added_chains"
"""Attribute: chains and seed of every addition, as JSON."""

_OF_ONE_RUN = frozenset({"diagnostics", "interrupted", "chains_asked", "draws_asked"})


def add_chains(
    design: Design,
    priors: PriorSet,
    tree: xr.DataTree,
    *,
    chains: int,
    random_seed: int | None = None,
    cores: int | None = None,
    progressbar: bool = True,
) -> xr.DataTree:
    """Sample further chains as those of a tree were sampled, and join them.

    Parameters
    ----------
    design : Design
    priors : PriorSet
    tree : xarray.DataTree
        From `sample_posterior`. It is not changed.
    chains : int
    random_seed : int, optional
        Not one that made chains of this tree.
    cores : int, optional
    progressbar : bool

    Returns
    -------
    xarray.DataTree
        In memory. Chains are numbered on; each has as many draws as those before. Groups
        over chains and draws that sampling does not make are left out. If the new chains
        were interrupted, all are cut to their length where that leaves more draws in all
        than the old chains have, and else the new ones are left out.

    Raises
    ------
    ArgumentError
        The seed has been used, or the tree does not say how it was sampled.

    Warns
    -----
    ConvergenceWarning
        The new chains were interrupted.

    Notes
    -----
    Attributes ``interrupted``, ``chains_asked`` and ``draws_asked`` are those of the
    addition: what is asked for is the chains there were and the new ones, all as long as
    the old. Times are left out where a killed run did not come to write its own.
    """
    seeds = _seeds(tree)
    if random_seed is not None and random_seed in seeds:
        raise ArgumentError(
            f"random_seed={random_seed} has made chains of this posterior already, and would "
            "make the same again.",
            found=f"seeds {', '.join(map(str, seeds))}",
            fix=f"random_seed={max(seeds) + 1}" if max(seeds) < 2**31 - 1 else "another seed",
        )
    options = _options(tree)
    seed = Settings(random_seed=random_seed).seed
    while seed in seeds:
        seed = Settings().seed
    more = sample_posterior(
        design,
        priors,
        **options,
        chains=chains,
        random_seed=seed,
        cores=cores,
        progressbar=progressbar,
    )
    return _joined(tree, more, seed, chains)


def _seeds(tree: xr.DataTree) -> list[int]:
    """Seeds that made the chains of a tree."""
    attrs = tree.attrs
    if not {"random_seed", "sampler", "parameterization"} <= attrs.keys():
        raise ArgumentError(
            "this posterior does not say how it was sampled, and cannot be given more chains.",
            fix="model.sample(...) makes one that can",
        )
    added = json.loads(attrs.get(ADDED, "[]"))
    return [int(attrs["random_seed"]), *(int(a["random_seed"]) for a in added)]


def _options(tree: xr.DataTree) -> dict[str, Any]:
    """Settings a tree was sampled with."""
    attrs, groups = tree.attrs, tree.children
    independent = attrs["sampler"] == "independence"
    # a run that was killed has them where they were given: else they were the sampler's own
    tune, target = attrs.get("tuning_steps"), attrs.get("target_accept")
    by_factor = attrs.get("parameterization_by_factor")
    return {
        "draws": int(tree["posterior"].sizes["draw"]),
        "tune": None if independent or tune is None else int(tune),
        "target_accept": None if target is None else float(target),
        "parameterization": json.loads(by_factor) if by_factor else str(attrs["parameterization"]),
        "sampler": str(attrs["sampler"]),
        "log_likelihood": "log_likelihood" in groups,
        "posterior_predictive": "posterior_predictive" in groups,
        "var_names": [str(name) for name in tree["posterior"].data_vars],
    }


def _joined(tree: xr.DataTree, more: xr.DataTree, seed: int, asked: int) -> xr.DataTree:
    import xarray as xr

    old, new = tree["posterior"].sizes, more["posterior"].sizes
    lengths = np.repeat([old["draw"], new["draw"]], [old["chain"], new["chain"]])
    chains, n = usable(lengths)
    if len(chains) == old["chain"]:
        words = build_message(
            "the new chains are too short to be joined to those there were, and are left out.",
            found=f"{new['draw']} draws a new chain, and {old['draw']} an old one",
            fix="add_chains again",
        )
        warn(words, ConvergenceWarning)
        return tree.copy()
    found = {}
    for name, node in tree.children.items():
        before = node.to_dataset()
        if name.startswith("prior") or not {"chain", "draw"} <= set(before.sizes):
            found[name] = before
        elif name in more.children:
            after = more[name].to_dataset()
            after = after.assign_coords(chain=after["chain"] + old["chain"])
            both = [v for v in before.data_vars if v in after.data_vars]
            pair = [d[both].isel(draw=slice(0, n)) for d in (before, after)]
            found[name] = xr.concat(pair, dim="chain", join="exact", combine_attrs="override")
    added = [
        *json.loads(tree.attrs.get(ADDED, "[]")),
        {"chains": int(new["chain"]), "random_seed": seed},
    ]
    attributes = {
        **{str(k): v for k, v in tree.attrs.items() if k not in _OF_ONE_RUN},
        "draws": old["draw"],
        "chains": old["chain"] + asked,
        ADDED: json.dumps(added),
    }
    for name in {"sampling_time", "total_time"} & tree.attrs.keys():
        attributes[name] = float(tree.attrs[name]) + float(more.attrs[name])
    for name in {"tuning_steps", "target_accept"} & more.attrs.keys():
        attributes.setdefault(name, more.attrs[name])
    if (len(chains), n) != (attributes["chains"], attributes["draws"]):
        attributes = shortened(attributes, len(chains), n)
    for name in ("posterior", "sample_stats"):
        found[name].attrs = attributes
    joined = xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in found.items()})
    joined.attrs.update(attributes)
    return joined
