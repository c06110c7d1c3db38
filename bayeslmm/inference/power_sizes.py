"""Sizes that power is asked for: values of coefficients, or numbers of levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from bayeslmm.design import Design
from bayeslmm.design.rank import independent_columns
from bayeslmm.design.residual import check_residual_rows
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError, suggest
from bayeslmm.inference.resampling import copied_levels


class Setting(NamedTuple):
    """A size, with the rows and the parameters that responses are simulated from."""

    size: Any
    design: Design
    estimate: Estimate


def columns_of_effect(design: Design, effect: str | Sequence[str]) -> list[int]:
    """Columns of the fixed part that names of coefficients or terms stand for."""
    names, at = list(design.fixed_names), []
    for name in [effect] if isinstance(effect, str) else list(effect):
        if name in names:
            at.append(names.index(name))
        elif name in design.fixed_terms:
            at += design.fixed_terms[name]
        else:
            close = suggest(name, names)
            raise ArgumentError(
                f"{name!r} is not a fixed effect of the model.",
                found=", ".join(names) or "no fixed effects",
                fix=f"did you mean {close!r}?" if close else "one of fit.fe_params",
            )
    if not at:
        raise ArgumentError("effect= names no fixed effect.", fix=f"one of {', '.join(names)}")
    return list(dict.fromkeys(at))


def power_settings(
    design: Design, estimate: Estimate, at: list[int], sizes: Any, value: Any
) -> tuple[str | None, list[Setting]]:
    """The factor whose levels are counted, if one is, and a setting a size.

    Raises
    ------
    ArgumentError
        Sizes that are none, or too few levels for the fixed effects.
    """
    if isinstance(sizes, Mapping):
        if value is not None:
            (estimate,) = _with_values(design, estimate, at, [value], "value")
        return _along(design, estimate, sizes)
    if value is not None:
        raise ArgumentError(
            "value= is for sizes that are numbers of levels.",
            fix='sizes={"factor": [10, 20]}, or the value in sizes=',
        )
    if sizes is None:
        sizes = [estimate.beta[at]]
    out = []
    for moved in _with_values(design, estimate, at, sizes, "sizes"):
        row = moved.beta[at].tolist()
        out.append(Setting(row[0] if len(at) == 1 else tuple(row), design, moved))
    return None, out


def _with_values(
    design: Design, estimate: Estimate, at: list[int], given: Any, argument: str
) -> list[Estimate]:
    """The estimate with each size in place of its coefficients."""
    try:
        values = np.atleast_1d(np.asarray(given, dtype=float))
    except (TypeError, ValueError):
        values = np.empty(0)
    if len(at) == 1:
        values = values.reshape(-1, 1)
    right = values.ndim == 2 and values.shape[1] == len(at) and len(values)
    if not right or not np.isfinite(values).all():
        one = "5" if len(at) == 1 else repr([1.0] * len(at))
        raise ArgumentError(
            f"{argument}= is not made of values of {', '.join(design.fixed_names[i] for i in at)}.",
            found=repr(given),
            fix=f"sizes=[{one}, ...]" if argument == "sizes" else f"value={one}",
        )
    out = []
    for row in values:
        beta = estimate.beta.copy()
        beta[at] = row
        out.append(replace(estimate, beta=beta))
    return out


def _along(
    design: Design, estimate: Estimate, sizes: Mapping[str, Any]
) -> tuple[str, list[Setting]]:
    """Designs with other numbers of levels of one factor."""
    known = {f.name: f for f in design.factors}
    if len(sizes) != 1 or next(iter(sizes)) not in known:
        raise ArgumentError(
            "sizes= as a mapping has one grouping factor of the model.",
            found=", ".join(map(str, sizes)) or "nothing",
            fix=f"one of {', '.join(known)}" if known else "sizes=[...] of the coefficient",
        )
    (name, given), out = next(iter(sizes.items())), []
    factor, numbers = known[name], np.atleast_1d(np.asarray(given)).tolist()
    if not numbers:
        raise ArgumentError(
            f"sizes= has no number of levels of `{name}`.", fix=f'sizes={{"{name}": [10, 20]}}'
        )
    for J in numbers:
        if isinstance(J, bool) or not isinstance(J, int) or J < 2:
            raise ArgumentError(
                f"{J!r} is not a number of levels of `{name}`.", fix=f'sizes={{"{name}": [10, 20]}}'
            )
        extended, _, _ = copied_levels(design, factor, np.arange(J) % factor.n_levels)
        enough = extended.n_effective > extended.p
        if not enough or len(independent_columns(extended.X[extended.used])) < extended.p:
            raise ArgumentError(
                f"{J} levels of `{name}` do not determine the fixed effects.",
                found=", ".join(design.fixed_names),
                fix=f"more levels; the data have {factor.n_levels}",
            )
        check_residual_rows(extended)
        out.append(Setting(J, extended, estimate))
    return name, out
