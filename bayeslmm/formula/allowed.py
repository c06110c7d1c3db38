"""What a formula may call: one table, and how each entry is known to formulae.

formulae looks a function up in its own transforms before the namespace it is given.
A function that must be ours although formulae has one of that name therefore
gets an internal name in canonical text (``scale(x)`` is ``scale_(x)``), and so does
everything a user hands over (``f(x)`` is ``extra__f(x)``). `display` maps labels back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeslmm.errors import ArgumentError
from bayeslmm.formula import transforms


@dataclass(frozen=True, slots=True)
class Function:
    """A function a formula may call.

    Attributes
    ----------
    known_as : str
        Its name in the text given to formulae.
    parameters : tuple of str or None
        Names of its arguments in order; None takes any number without names.
    supplied : object or None
        What goes under that name into the namespace; None if formulae has it.
    required : int
        How many arguments it needs.
    """

    known_as: str
    parameters: tuple[str, ...] | None = ("x",)
    supplied: Any = None
    required: int = 1


def _numpy(name: str) -> Function:
    return Function(name, ("x",), transforms.elementwise(getattr(np, name)))


_ELEMENTWISE = ("log2", "log10", "log1p", "exp", "expm1", "sqrt", "abs", "square")
_TRIGONOMETRIC = ("sin", "cos", "tan")
_LEVELS = ("data", "contrast", "levels")

ALLOWED: Mapping[str, Function] = {
    "log": Function("log", ("x", "base"), transforms.log),
    **{name: _numpy(name) for name in (*_ELEMENTWISE, *_TRIGONOMETRIC, "floor", "ceil")},
    "ceiling": _numpy("ceil"),
    "round": Function("round", ("x", "digits"), transforms.round_),
    "scale": Function("scale_", ("x", "center", "scale"), transforms.Scale),
    "poly": Function("poly_", ("x", "degree", "raw"), transforms.Poly),
    "bs": Function(
        "bs_",
        ("x", "df", "knots", "degree", "intercept", "lower_bound", "upper_bound"),
        transforms.Splines,
    ),
    "c": Function("c_", None, transforms.values),
    "center": Function("center"),
    "I": Function("I"),
    "C": Function("C", _LEVELS),
    "factor": Function("C", _LEVELS),
    "as.factor": Function("C", _LEVELS),
    "T": Function("T", ("data", "ref", "levels")),
    "S": Function("S", ("data", "omit", "levels")),
    "Treatment": Function("Treatment", ("reference",), required=0),
    "Sum": Function("Sum", ("omit",), required=0),
    "binary": Function("binary", ("x", "success")),
    "proportion": Function("proportion", ("successes", "trials"), required=2),
    "prop": Function("proportion", ("successes", "trials"), required=2),
    "p": Function("proportion", ("successes", "trials"), required=2),
    "offset": Function("offset"),
}

# Written with their module; the module itself is never looked at.
NUMPY_SAFE = frozenset({"log", *_ELEMENTWISE, *_TRIGONOMETRIC})

# Contrasts as arguments of C(), in R's and in formulae's words.
CONTRASTS: Mapping[str, str] = {
    "Sum": "Sum",
    "Treatment": "Treatment",
    "contr.sum": "Sum",
    "contr.treatment": "Treatment",
}

PAREN = "paren_"
_EXTRA = "extra__"
_INTERNAL = re.compile(
    r"(?<![\w.])(?:" + _EXTRA + r"(?=\w)|paren_(?=\()|(?P<own>scale|poly|bs|c)_(?=\())"
)


def find_function(name: str, extra_names: Collection[str] = ()) -> Function | None:
    """Look a function up as it is written in a formula.

    Parameters
    ----------
    name : str
        ``scale``, ``np.log``.
    extra_names : collection of str
        Names of the user's own functions; they go before ours.

    Returns
    -------
    Function or None
        None if a formula may not call it.

    Examples
    --------
    >>> find_function("np.log").known_as
    'log'
    >>> find_function("os.system") is None
    True
    """
    if name in extra_names:
        return Function(extra_name(name), None, required=0)
    module, _, bare = name.rpartition(".")
    if module in ("np", "numpy"):
        return ALLOWED[bare] if bare in NUMPY_SAFE else None
    return ALLOWED.get(name)


def extra_name(name: str) -> str:
    """Name of a user's function or constant in canonical text."""
    return f"{_EXTRA}{name}"


def formula_namespace(extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything canonical text may refer to, for ``formulae.environment.Environment``.

    Parameters
    ----------
    extra : mapping, optional
        The user's ``extra_namespace``: functions and constants by name.

    Returns
    -------
    dict
        Our functions under the names of canonical text, and the user's.

    Raises
    ------
    ArgumentError
        A name in ``extra`` cannot be written in a formula.

    Examples
    --------
    >>> formula_namespace({"k": 3})["extra__k"]
    3
    """
    extra = extra or {}
    check_extra_names(extra)
    own = {f.known_as: f.supplied for f in ALLOWED.values() if f.supplied is not None}
    return {PAREN: transforms.paren} | own | {extra_name(k): v for k, v in extra.items()}


def check_extra_names(names: Collection[str]) -> None:
    """Refuse names that could not be written in a formula."""
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or is_dunder(name):
            raise ArgumentError(
                f"extra_namespace has a key that a formula cannot use: {name!r}.",
                fix='a plain name, such as extra_namespace={"f": f}',
            )


def is_dunder(name: str) -> bool:
    """Whether some part of a dotted name is a Python special name."""
    return any(part.startswith("__") and part.endswith("__") for part in name.split("."))


def quote(name: str) -> str:
    """Write a column name so that formulae can scan it, in backticks if need be."""
    plain = name[:1].isalpha() and all(c.isalnum() or c in "._" for c in name)
    return name if plain and name not in ("True", "False", "None") else f"`{name}`"


def display(label: str) -> str:
    """Turn a label of formulae, or canonical text, into what the user wrote.

    Parameters
    ----------
    label : str

    Returns
    -------
    str

    Examples
    --------
    >>> display("scale_(x):extra__f(z)")
    'scale(x):f(z)'
    """
    return _INTERNAL.sub(lambda m: m["own"] or "", label)
