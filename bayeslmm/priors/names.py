"""Names of parameters and variables: one spelling for priors, PyMC and posteriors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bayeslmm.design.design import Design
    from bayeslmm.design.rows import Factor

INTERCEPT = "Intercept"


def sd_name(factor: str) -> str:
    """Standard deviations of a factor's effects, ``sd_Subject``."""
    return f"sd_{factor}"


def corr_name(factor: str) -> str:
    """Correlations between a factor's effects, ``corr_Subject``."""
    return f"corr_{factor}"


def effects_name(factor: str) -> str:
    """Effects of a factor's levels, ``b_Subject``."""
    return f"b_{factor}"


def term_dim(factor: str) -> str:
    """Dimension of the effects a level has, ``Subject_term``."""
    return f"{factor}_term"


def term_dim_bis(factor: str) -> str:
    """Second dimension of a correlation matrix: the labels of `term_dim` again."""
    return f"{factor}_term_bis"


def of(variable: str, label: str) -> str:
    """One element of a variable, ``beta[Days]``."""
    return f"{variable}[{label}]"


def correlated_blocks(factor: Factor) -> tuple[tuple[int, int], ...]:
    """First and last-but-one column of every term of a factor that has correlations."""
    return tuple((t.start, t.stop) for t in factor.terms if t.correlated and t.stop - t.start > 1)


def observed_name(design: Design) -> str:
    """Name of the likelihood: the response, or ``<response>_obs`` if that is taken.

    A response may be called ``sigma`` or ``obs``; a variable of the model and a
    dimension may not share its name.
    """
    taken = {"chain", "draw", "beta", "beta_centered", "sigma", "alpha", *design.coords}
    for f in design.factors:
        taken |= {effects_name(f.name), sd_name(f.name), corr_name(f.name)}
        taken |= {f"z_{f.name}", f"partial_{f.name}", term_dim_bis(f.name)}
    if design.residual is not None:
        taken.add(design.residual.variable)
    name = design.response_name
    while name in taken:
        name += "_obs"
    return name


def informative_rows(design: Design) -> NDArray[np.bool_]:
    """Rows of positive weight: those the likelihood and its records are about, shape (n,)."""
    return np.asarray(design.weights > 0)


def obs_labels(design: Design) -> list[Any]:
    """Labels of the informative rows; their positions if the index has no plain, unique ones."""
    used = informative_rows(design)
    labels = [label for label, u in zip(design.coords["obs"], used, strict=True) if u]
    plain = all(isinstance(v, int | str) for v in labels) and len(set(map(type, labels))) == 1
    if plain and len(set(labels)) == len(labels):
        return labels
    return [int(i) for i in np.flatnonzero(used)]
