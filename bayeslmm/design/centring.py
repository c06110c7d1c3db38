"""Which way the effects of each factor enter a model that has them as variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from bayeslmm.design.design import Design
from bayeslmm.errors import ArgumentError, suggest

Way = Literal["noncentered", "centered"]


def check_ways(design: Design, given: Mapping[str, Way]) -> dict[str, Way]:
    """The ways given by factor, if there are such factors and such ways.

    Raises
    ------
    ArgumentError
    """
    names = [f.name for f in design.factors]
    for name, way in given.items():
        if name not in names:
            near = suggest(str(name), names)
            raise ArgumentError(
                f"parameterization= names {name!r}, which is not a factor of this model.",
                found=", ".join(names) or "no random terms",
                fix=f"did you mean {near!r}?" if near else "leave it out",
            )
        if way not in get_args(Way):
            raise ArgumentError(
                f"parameterization= takes one of two names for a factor, here {name!r}.",
                found=repr(way),
                fix='use "noncentered" or "centered"',
            )
    return dict(given)
