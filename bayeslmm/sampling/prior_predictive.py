"""What the priors say before any data: draws of parameters, and of responses given them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.design import Design
from bayeslmm.priors import PriorSet
from bayeslmm.priors.names import observed_name
from bayeslmm.sampling.linear import predictive
from bayeslmm.sampling.prior_draws import sample_prior
from bayeslmm.sampling.settings import PRIOR_STREAM, Settings

if TYPE_CHECKING:
    import xarray as xr


def sample_prior_predictive(
    design: Design, priors: PriorSet, *, draws: int = 1000, random_seed: int | None = None
) -> xr.DataTree:
    """Draws from the priors, and a simulated response of each.

    Parameters
    ----------
    design : Design
    priors : PriorSet
    draws : int
    random_seed : int, optional
        The same seed gives the same draws, and those of
        ``sample(prior_predictive=True)`` if there are 1000. Without one a seed is drawn,
        and recorded.

    Returns
    -------
    xarray.DataTree
        Groups ``prior``, ``prior_predictive``, ``observed_data``, and ``constant_data``
        where there are weights, an offset or trials; one chain.

    Raises
    ------
    PriorError
        A prior is improper.
    ArgumentError
        ``draws`` or ``random_seed`` cannot be.
    """
    import xarray as xr

    from bayeslmm.sampling.record import constant_dataset, observed_dataset, record_attributes

    asked = Settings(draws=draws, chains=1, random_seed=random_seed)
    groups = prior_groups(design, priors, draws, asked.stream(PRIOR_STREAM))
    groups["observed_data"] = observed_dataset(design)
    if (constant := constant_dataset(design)) is not None:
        groups["constant_data"] = constant
    attributes = {
        **record_attributes(design, priors),
        "inference_library": "bayeslmm",
        "random_seed": asked.seed,
        "draws": int(draws),
    }
    groups["prior"].attrs.update(attributes)
    tree = xr.DataTree.from_dict({f"/{name}": ds for name, ds in groups.items()})
    tree.attrs.update(attributes)
    return tree


def prior_groups(
    design: Design, priors: PriorSet, draws: int, rng: np.random.Generator
) -> dict[str, xr.Dataset]:
    """The groups ``prior`` and ``prior_predictive``, one chain of ``draws``."""
    from bayeslmm.sampling.record import draws_dataset, variable_dims

    drawn = sample_prior(design, priors, draws, rng)
    rows = {observed_name(design): predictive(design, drawn, rng)}
    return {
        "prior": draws_dataset(design, drawn, variable_dims(design), 1),
        "prior_predictive": draws_dataset(design, rows, dict.fromkeys(rows, ("obs",)), 1),
    }
