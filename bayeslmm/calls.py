"""Whole jobs in one call: fit, sample, load."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bayeslmm.design.residual_structures import structure_of
from bayeslmm.errors import ArgumentError, ConvergenceWarning, warn
from bayeslmm.families.resolve import FAMILIES
from bayeslmm.fits import PointFit, PosteriorFit
from bayeslmm.model import Model


def fit(
    formula: str, data: Any, *, method: Any = None, strict: bool = False, **model: Any
) -> PointFit:
    """Point estimates in one call; keyword arguments are those of `Model`.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
    >>> round(fit.variance_components["Batch"], 2)
    1764.05
    """
    arguments, rest = _split(model)
    return Model(formula, data, **arguments).fit(method, strict=strict, **rest)


def sample(formula: str, data: Any, **arguments: Any) -> PosteriorFit:
    """Posterior draws in one call; keyword arguments are those of `Model` and ``Model.sample``."""
    model, rest = _split(arguments)
    return Model(formula, data, **model).sample(**rest)


def load(
    path: str | Path, *, extra_namespace: Mapping[str, Callable[..., Any]] | None = None
) -> PointFit | PosteriorFit:
    """Read a fit written by ``fit.save``, or the draws that ``model.sample(store=)`` kept.

    The model is built again from the formula and the data in the file, which runs
    allow-listed functions only; estimates and draws are those that were saved. Of a run
    that was killed, a store has the draws up to the last stretch that was whole.

    Parameters
    ----------
    path : str or Path
        A file, or the directory of a store, from which draws are read when they are used.
    extra_namespace : mapping, optional
        Functions of your own that the formula used; they are never stored.

    Raises
    ------
    ArgumentError
        No such file, or functions are missing in ``extra_namespace``.
    FileFormatError
        Not a file of this package, one of a newer version, or a store without draws.
    MissingDependencyError
        A store, and Zarr is not installed.

    Warns
    -----
    ConvergenceWarning
        The run that made a store was killed: how many draws there are.
    """
    from bayeslmm.results.storage import read_fit

    definition, estimate, datatree = read_fit(path)
    missing = set(definition.extra_names) - set(extra_namespace or {})
    if missing:
        raise ArgumentError(
            "the formula uses functions that are not stored in the file: "
            f"{', '.join(sorted(missing))}.",
            fix="pass them: bl.load(path, extra_namespace={...})",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said when the model was made
        model = Model(
            definition.formula,
            definition.data,
            family=FAMILIES[definition.family](definition.link),
            priors=definition.priors,
            weights=definition.weights,
            offset=definition.offset,
            residual=structure_of(definition.residual),
            na_action=definition.na_action,  # type: ignore[arg-type]
            rank_deficient=definition.rank_deficient,  # type: ignore[arg-type]
            extra_namespace=extra_namespace,
        )
    if estimate is not None:
        return PointFit(model.design, estimate, definition, model.priors, definition.df_method)
    from bayeslmm.sampling import check_convergence, recorded_diagnostics
    from bayeslmm.sampling.trace import interruption_words

    assert datatree is not None
    diagnostics = recorded_diagnostics(datatree)
    if diagnostics is None:
        if "interrupted" in datatree.attrs:
            warn(interruption_words(datatree.attrs), ConvergenceWarning)
        diagnostics = check_convergence(datatree)
    return PosteriorFit(model.design, datatree, diagnostics, definition, model.priors)


_MODEL_ARGUMENTS = frozenset(
    {
        "family",
        "priors",
        "groups",
        "weights",
        "offset",
        "residual",
        "na_action",
        "rank_deficient",
        "extra_namespace",
    }
)


def _split(arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of `Model`, and the others."""
    own = {k: v for k, v in arguments.items() if k in _MODEL_ARGUMENTS}
    return own, {k: v for k, v in arguments.items() if k not in own}
