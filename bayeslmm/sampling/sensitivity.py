"""How a posterior moves when its prior, or its likelihood, is made a little stronger."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

THRESHOLD = 0.05
"""From which a sensitivity is called one (Kallioinen et al. 2024)."""

CONFLICT = "prior and data both move it: they may disagree"
STRONG_PRIOR = "the prior moves it and the data hardly do: strong prior or weak data"
NO_SIGN = "no sign of a problem"


def power_scaling(
    datatree: xr.DataTree, draws: Mapping[str, FloatArray], threshold: float = THRESHOLD
) -> pd.DataFrame:
    """Sensitivity of each parameter to powers of the prior and of the likelihood.

    Parameters
    ----------
    datatree : xarray.DataTree
        With groups ``log_prior``, of top-level parameters only, and ``log_likelihood``.
    draws : mapping of str to ndarray, each (chains x draws,)
        Parameters by the names they are reported by.
    threshold : float

    Returns
    -------
    DataFrame
        Columns ``parameter``, ``prior``, ``likelihood``, ``diagnosis``.

    Raises
    ------
    ArgumentError
        The log likelihood was not kept, or the threshold is not positive.
    """
    import pandas as pd
    import xarray as xr

    psense = import_module("arviz_stats").psense
    if not threshold > 0:
        raise ArgumentError(
            f"threshold={threshold!r} is not positive.", fix=f"threshold={THRESHOLD} is usual"
        )
    if "log_likelihood" not in datatree.children:
        raise ArgumentError(
            "power scaling needs the log likelihood of every row, and these draws were sampled "
            "without it.",
            found=f"groups {', '.join(datatree.children)}",
            fix='post.datatree["log_likelihood"] = post.log_likelihood()["log_likelihood"] '
            "computes it",
        )
    shape = tuple(datatree["posterior"].sizes[d] for d in ("chain", "draw"))
    keys = {f"p{i}": name for i, name in enumerate(draws)}
    columns = {
        key: (("chain", "draw"), np.reshape(draws[name], shape)) for key, name in keys.items()
    }
    tree = xr.DataTree.from_dict(
        {
            "/posterior": xr.Dataset(columns),
            "/log_prior": datatree["log_prior"].to_dataset(),
            "/log_likelihood": datatree["log_likelihood"].to_dataset(),
        }
    )
    likelihoods = psense(tree, group="likelihood")
    # a prior that is the same at every draw stays so at every power
    priors = None if _constant(tree["log_prior"].to_dataset()) else psense(tree, group="prior")
    rows = []
    for key, name in keys.items():
        prior = 0.0 if priors is None else float(priors[key])
        likelihood = float(likelihoods[key])
        rows.append((name, prior, likelihood, diagnosis(prior, likelihood, threshold)))
    return pd.DataFrame(rows, columns=["parameter", "prior", "likelihood", "diagnosis"])


def _constant(log_prior: xr.Dataset) -> bool:
    return all(float(v.max() - v.min()) == 0.0 for v in log_prior.data_vars.values())


def diagnosis(prior: float, likelihood: float, threshold: float = THRESHOLD) -> str:
    """What two sensitivities mean, in words."""
    if not prior >= threshold:
        return NO_SIGN
    return CONFLICT if likelihood >= threshold else STRONG_PRIOR
