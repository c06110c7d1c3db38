"""R's ``update()`` for formulas: ``.`` stands for the old side."""

from __future__ import annotations

from dataclasses import replace

from bayeslmm.errors import FormulaError, UnsupportedSyntaxError
from bayeslmm.formula.bars import random_terms
from bayeslmm.formula.grammar import read_formula
from bayeslmm.formula.render import render
from bayeslmm.formula.spec import Name, RandomTerm
from bayeslmm.formula.terms import Algebra, Key, RandomPart, TermSet, render_user
from bayeslmm.formula.tree import (
    Argument,
    Bar,
    Call,
    Column,
    Group,
    Node,
    Operation,
    Sign,
    Sum,
)

Identity = tuple[frozenset[str], bool, frozenset[Key]]


def update_formula(old: str, new: str) -> str:
    """Change a formula as R's ``update()`` does.

    Terms are compared without regard to order or spelling: ``a:b`` is ``b:a``, and
    ``(x | g)`` is ``(1 + x | g)``. Products of the old formula are expanded.

    Parameters
    ----------
    old : str
        Two-sided formula.
    new : str
        What to change. ``.`` stands for the old side: ``"~ . - x"``,
        ``"log(.) ~ ."``, ``"~ . + (1 | item)"``. Without a left-hand side the
        response stays.

    Returns
    -------
    str
        The new formula.

    Raises
    ------
    FormulaError
        One of the formulas cannot be read, or a term to be removed is not there;
        the message lists the terms that are.

    Examples
    --------
    >>> update_formula("y ~ a * b + (1 | g)", "log(.) ~ . - a:b + (0 + a | g)")
    'log(y) ~ a + b + (1 | g) + (0 + a | g)'
    """
    for formula in (old, new):
        if not isinstance(formula, str):
            raise FormulaError("a formula is a string.", found=type(formula).__name__)
    try:
        return _updated(old, new)
    except RecursionError:
        raise FormulaError("the formula is nested too deeply.", fix="make columns first") from None


def _updated(old: str, new: str) -> str:
    before, after = read_formula(old), read_formula(new)
    if before.response is None:
        raise FormulaError("the formula has no response to update.", place=before.tilde)
    response = before.response
    if after.response is not None:
        response = _substitute(after.response, before.response)
    _check_dots(after.right)
    result = _Update(dot=Algebra().expand(before.right)).expand(after.right)
    return f"{render(response, reader='user')} ~ {_write(result)}"


class _Update(Algebra):
    """The algebra in which random terms can be taken away."""

    def subtract_random(self, total: TermSet, parts: list[RandomPart]) -> None:
        there = [one for part in total.random for one in _single_factors(part)]
        for part in parts:
            for unwanted in _single_factors(part):
                identity = _identity(unwanted)
                kept = [one for one in there if _identity(one) != identity]
                if len(kept) == len(there):
                    raise FormulaError(
                        f"`{_write_random(unwanted)}` cannot be removed: it is not in the formula.",
                        place=part.place,
                        found=f"random terms: {', '.join(map(_write_random, there)) or 'none'}",
                        fix="remove a term that is listed",
                    )
                there = kept
        total.random = there


def _single_factors(part: RandomPart) -> list[RandomPart]:
    """Write ``/`` out."""
    found = random_terms(part, Algebra(), ())
    return [
        RandomPart(replace(part.bar, factor=_factor_node(term.columns)), part.place)
        for term, _ in found
    ]


def _factor_node(columns: tuple[Name, ...]) -> Node:
    node: Node = Column(columns[0].place, columns[0].name, quoted=True)
    for name in columns[1:]:
        right = Column(name.place, name.name, quoted=True)
        node = Operation(name.place, ":", name.place, node, right)
    return node


def _only(part: RandomPart) -> tuple[RandomTerm, frozenset[Key]]:
    (found,) = random_terms(part, Algebra(), ())
    return found


def _identity(part: RandomPart) -> Identity:
    term, keys = _only(part)
    return frozenset(c.name for c in term.columns), term.correlated, keys


def _write(terms: TermSet) -> str:
    fixed = [render_user(t) for t in terms.sorted_terms()]
    if terms.intercept is False:
        fixed.insert(0, "0")
    offsets = [render(o, reader="user") for o in terms.offsets.values()]
    random = {
        _identity(one): _write_random(one) for part in terms.random for one in _single_factors(part)
    }
    return " + ".join([*(fixed or ["1"]), *offsets, *random.values()])


def _write_random(part: RandomPart) -> str:
    term, _ = _only(part)
    basis = Algebra().expand(part.bar.basis)
    start = "0" if basis.intercept is False else "1"
    columns = " + ".join([start, *(render_user(t) for t in basis.sorted_terms())])
    bar = "|" if term.correlated else "||"
    return f"({columns} {bar} {render(part.bar.factor)})"


def _substitute(node: Node, old: Node) -> Node:
    """Put the old response in the place of each ``.``."""
    match node:
        case Column() if node.is_dot:
            return Group(old.place, old)
        case Call():
            arguments = (_substitute(a, old) for a in node.arguments)
            kept = tuple(a for a in arguments if isinstance(a, Argument))
            return replace(node, arguments=kept)
        case Argument():
            return replace(node, value=_substitute(node.value, old))
        case Group():
            return replace(node, inner=_substitute(node.inner, old))
        case Sign():
            return replace(node, operand=_substitute(node.operand, old))
        case Sum():
            items = tuple((sign, _substitute(item, old)) for sign, item in node.items)
            return replace(node, items=items)
        case Operation():
            return replace(
                node, left=_substitute(node.left, old), right=_substitute(node.right, old)
            )
        case _:
            return node


def _check_dots(right: Node) -> None:
    for piece in right.walk():
        if not isinstance(piece, (Call, Bar)):
            continue
        dot = next((n for n in piece.walk() if isinstance(n, Column) and n.is_dot), None)
        if dot is not None:
            raise UnsupportedSyntaxError(
                "`.` stands for whole terms, not for something inside of one.",
                place=dot.place,
                fix="name the column here",
            )
