"""A formula in lme4's language, read without looking at any data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

from bayeslmm.errors import ArgumentError, FormulaError, UnsupportedSyntaxError
from bayeslmm.formula.allowed import check_extra_names, find_function, quote
from bayeslmm.formula.bars import check_overlap, names_of, random_terms
from bayeslmm.formula.check import check_calls
from bayeslmm.formula.grammar import read_formula
from bayeslmm.formula.refusals import ADDITIONS, PARAMETERS, Refusal
from bayeslmm.formula.render import render
from bayeslmm.formula.spec import Expression, FormulaSpec
from bayeslmm.formula.terms import Algebra
from bayeslmm.formula.tree import (
    Argument,
    Bar,
    Call,
    Column,
    Constant,
    Formula,
    Node,
    Number,
    Operation,
    Sign,
    Subset,
    Sum,
    Text,
    without_groups,
)


def parse_formula(
    text: str, *, groups: str | Sequence[str] = (), extra_names: Collection[str] = ()
) -> FormulaSpec:
    """Read a formula: response, fixed part, offsets, random terms.

    The random terms follow lme4: ``(x | g)`` is ``(1 + x | g)``, ``(x || g)`` has a
    diagonal covariance, ``(1 | a/b)`` is ``(1 | a) + (1 | a:b)``. The fixed part
    follows R: terms are expanded, duplicates fall together, main effects come
    first. Nothing is evaluated.

    Parameters
    ----------
    text : str
        ``"y ~ x + (1 | g)"``.
    groups : str or sequence of str
        Columns that each add a random intercept: ``groups=["a"]`` adds ``(1 | a)``.
    extra_names : collection of str
        Keys of the user's ``extra_namespace``: functions and constants that calls
        may use beside the allow-list.

    Returns
    -------
    FormulaSpec

    Raises
    ------
    FormulaError
        The formula cannot be read; the message points at the place.
    UnsupportedSyntaxError
        It asks for something this package does not have.
    UnsafeFormulaError
        It calls a function that is neither on the allow-list nor in ``extra_names``.
    ArgumentError
        ``groups`` or ``extra_names`` hold something that is not a name.

    Examples
    --------
    >>> spec = parse_formula("rt ~ load + (load || subj) + (1 | item)")
    >>> spec.fixed.text, [term.text for term in spec.random]
    ('1 + load', ['(1 + load || subj)', '(1 | item)'])
    """
    if not isinstance(text, str):
        raise FormulaError(
            "the formula is not a string.",
            found=type(text).__name__,
            fix='write one like "y ~ x + (1 | g)"',
        )
    check_extra_names(extra_names)
    try:
        return _read(text, _group_terms(groups), tuple(extra_names))
    except RecursionError:
        raise FormulaError("the formula is nested too deeply.", fix="make columns first") from None


# many models of one formula are common: responses, simulations, subsets
@lru_cache(maxsize=128)
def _read(text: str, added: str, extra_names: tuple[str, ...]) -> FormulaSpec:
    formula = read_formula(text)
    if added:
        formula = read_formula(f"{text.rstrip()} + {added}")
    return _build(formula, extra_names)


def _group_terms(groups: str | Sequence[str]) -> str:
    names = [groups] if isinstance(groups, str) else list(groups)
    for name in names:
        if not isinstance(name, str) or not name.strip() or "`" in name:
            raise ArgumentError(
                f"groups= takes names of columns, not {name!r}.", fix='groups=["school", "class"]'
            )
    return " + ".join(f"(1 | {quote(name)})" for name in names)


def _build(formula: Formula, extra_names: Collection[str]) -> FormulaSpec:
    response = _response(formula, extra_names)
    check_calls(formula.right, extra_names)
    _check_positions(formula.right, extra_names)
    algebra = Algebra(extra_names)
    found = algebra.expand(formula.right)
    random = [t for part in found.random for t in random_terms(part, algebra, extra_names)]
    check_overlap(random)
    fixed = Expression(found.text(), formula.right.place, names_of(found.atoms(), extra_names))
    offsets = [_offset(call, extra_names) for call in found.offsets.values()]
    return FormulaSpec(
        formula.text, response, fixed, tuple(offsets), tuple(term for term, _ in random)
    )


def _response(formula: Formula, extra_names: Collection[str]) -> Expression:
    if formula.response is None:
        raise FormulaError(
            "the formula has no response.",
            place=formula.tilde,
            fix="it stands to the left of `~`: y ~ x + (1 | g)",
        )
    node = without_groups(formula.response)
    if isinstance(node, Bar):
        raise _addition(node)
    if isinstance(node, (Number, Text, Constant)) or (isinstance(node, Column) and node.is_dot):
        raise FormulaError(
            f"`{node.source}` is not a response.", place=node.place, fix="name a column"
        )
    if isinstance(node, Column) and not node.quoted and node.name in PARAMETERS:
        raise UnsupportedSyntaxError(
            f"a formula for `{node.name}` (distributional regression) is not available.",
            place=node.place,
            fix=f"if `{node.name}` is a column, write it in backticks",
        )
    if isinstance(node, (Operation, Sum, Sign)):
        node = _as_is(node)
    check_calls(node, extra_names)
    whole = isinstance(node, Call) and _known_as(node, extra_names) == "proportion"
    for piece in node.children() if whole else (node,):
        _check_positions(piece, extra_names, where="here")
    if isinstance(node, Call) and node.function == "offset":
        raise FormulaError("an offset cannot be the response.", place=node.place)
    return Expression(
        render(node, extra_names), formula.response.place, names_of([node], extra_names)
    )


def _addition(bar: Bar) -> UnsupportedSyntaxError:
    node = without_groups(bar.factor)
    name = node.function if isinstance(node, Call) else ""
    what, fix = ADDITIONS.get(
        name,
        Refusal("a response has no bar.", "the response alone stands to the left of `~`"),
    )
    return UnsupportedSyntaxError(what, place=bar.factor.place if name else bar.bar_place, fix=fix)


def _offset(call: Call, extra_names: Collection[str]) -> Expression:
    value = without_groups(call.arguments[0].value)
    if not any(isinstance(piece, Column) for piece in value.walk()):
        raise FormulaError(
            "an offset is a column or computed from one.",
            place=value.place,
            fix="a constant offset only shifts the intercept: leave it out",
        )
    if not isinstance(value, (Column, Call)):
        value = _as_is(value)
    return Expression(
        f"0 + {render(value, extra_names)}", value.place, names_of([value], extra_names)
    )


def _as_is(node: Node) -> Call:
    return Call(node.place, "I", node.place, (Argument(node.place, None, node),))


def _known_as(call: Call, extra_names: Collection[str]) -> str:
    function = find_function(call.function, extra_names)
    return function.known_as if function else ""


def _check_positions(
    node: Node, extra_names: Collection[str], where: str = "to the right of `~`"
) -> None:
    """Refuse what has its meaning in one position only, wherever else it stands."""
    for piece in node.walk():
        if isinstance(piece, Call) and _known_as(piece, extra_names) == "proportion":
            raise UnsupportedSyntaxError(
                f"`{piece.function}()` is a response and cannot stand {where}.",
                place=piece.place,
                fix="proportion(y, n) ~ ...; y / n goes into I(y / n)",
            )
        if isinstance(piece, Subset) and where != "here":
            raise UnsupportedSyntaxError(
                "a level is picked from the response only.",
                place=piece.place,
                fix=f"I({quote(piece.column.name)} == '{piece.level}')",
            )
        if isinstance(piece, Call):
            for argument in piece.arguments:
                _check_no_offset(argument, extra_names)


def _check_no_offset(argument: Argument, extra_names: Collection[str]) -> None:
    value = without_groups(argument.value)
    if isinstance(value, Call) and _known_as(value, extra_names) == "offset":
        raise UnsupportedSyntaxError(
            "an offset is a term of its own.",
            place=value.place,
            fix=f"y ~ x + {value.source}",
        )
