"""Bars to random terms: nesting written out, duplicates refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from bayeslmm.errors import FormulaError, Place, UnsupportedSyntaxError
from bayeslmm.formula.allowed import display
from bayeslmm.formula.render import column_names
from bayeslmm.formula.spec import Expression, Name, RandomTerm
from bayeslmm.formula.terms import Algebra, Key, RandomPart, TermSet
from bayeslmm.formula.tree import Bar, Call, Column, Group, Node, Number, Operation, Sum

_INTERCEPT: Key = frozenset()


def random_terms(
    part: RandomPart, algebra: Algebra, extra_names: Collection[str]
) -> list[tuple[RandomTerm, frozenset[Key]]]:
    """Write a bar out: one random term for each factor it names.

    Parameters
    ----------
    part : RandomPart
    algebra : Algebra
        Expands the basis.
    extra_names : collection of str
        The user's functions and constants.

    Returns
    -------
    list of (RandomTerm, frozenset)
        Each with the keys of its basis; the empty key is the intercept.

    Raises
    ------
    FormulaError
        The bar does not say what varies, or by what.
    """
    bar = part.bar
    _check_sides(bar)
    basis = algebra.expand(bar.basis)
    _check_basis(basis, bar)
    keys = frozenset(basis.terms) | ({_INTERCEPT} if basis.intercept is not False else set())
    expression = Expression(basis.text(), bar.basis.place, names_of(basis.atoms(), extra_names))
    # With nothing but an intercept there is no correlation to leave out.
    correlated = bar.correlated or keys == {_INTERCEPT}
    return [
        (
            RandomTerm(
                expression, ":".join(c.name for c in columns), columns, correlated, part.place
            ),
            keys,
        )
        for columns in _nested(bar.factor)
    ]


def names_of(atoms: Iterable[Node], extra_names: Collection[str]) -> tuple[Name, ...]:
    """Columns of several atoms, once each, in the order of the text."""
    found: dict[str, Name] = {}
    for atom in atoms:
        for name in column_names(atom, () if isinstance(atom, Column) else extra_names):
            found.setdefault(name.name, name)
    return tuple(found.values())


def check_overlap(terms: Sequence[tuple[RandomTerm, frozenset[Key]]]) -> None:
    """Refuse two random terms that give one factor the same column twice.

    Raises
    ------
    FormulaError
        Names the pair and points at the second.
    """
    seen: list[tuple[RandomTerm, frozenset[Key]]] = []
    for term, keys in terms:
        for other, other_keys in seen:
            both = keys & other_keys
            if both and _columns(term) == _columns(other):
                raise _overlap(other, term, both, same=keys == other_keys)
        seen.append((term, keys))


def _columns(term: RandomTerm) -> frozenset[str]:
    return frozenset(c.name for c in term.columns)


def _overlap(
    first: RandomTerm, second: RandomTerm, both: frozenset[Key], *, same: bool
) -> FormulaError:
    if same:
        return FormulaError(
            f"`{second.text}` stands twice in the formula.",
            place=second.place,
            found=f"{first.text} and {second.text}",
            fix="leave one of them out",
        )
    if _INTERCEPT in both:
        what = "the intercept"
        slopes = max((first, second), key=lambda t: len(t.basis.text))
        without = display("0" + slopes.basis.text[1:])
        fix = (
            f"{slopes.text} alone; or, uncorrelated, "
            f"(1 | {second.factor}) + ({without} | {second.factor})"
        )
    else:
        slope = min((":".join(sorted(k)) for k in both), key=len)
        what, fix = f"the slope of `{display(slope)}`", "leave it out of one of them"
    return FormulaError(
        f"{what} of `{second.factor}` stands in two random terms.",
        place=second.place,
        found=f"{first.text} and {second.text}",
        fix=fix,
    )


def _check_sides(bar: Bar) -> None:
    inner = next((s for s in (bar.basis, bar.factor) if isinstance(s, Bar)), None)
    if inner is None:
        return
    if isinstance(bar.basis, Bar):
        basis, factor = bar.basis.basis.source, bar.factor.source
        raise UnsupportedSyntaxError(
            "a random term has one bar; correlations across terms are not available.",
            place=Place(bar.place.text, bar.basis.bar_place.start, bar.bar_place.stop),
            fix=f"({basis} | {factor})",
        )
    raise FormulaError("a random term has one bar.", place=inner.bar_place)


def _check_basis(basis: TermSet, bar: Bar) -> None:
    if basis.random:
        raise FormulaError(
            "a random term cannot stand inside another.", place=basis.random[0].place
        )
    if basis.offsets:
        offset = next(iter(basis.offsets.values()))
        raise UnsupportedSyntaxError(
            "an offset cannot vary by group.",
            place=offset.place,
            fix="move it out of the parentheses",
        )
    if basis.intercept is False and not basis.terms:
        raise FormulaError(
            "nothing varies in this random term.",
            place=bar.basis.place,
            fix="(1 | g) for an intercept, (0 + x | g) for a slope without one",
        )


def _nested(node: Node) -> list[tuple[Name, ...]]:
    match node:
        case Group():
            return _nested(node.inner)
        case Column() if not node.is_dot:
            return [(Name(node.name, node.place),)]
        case Operation(operator="/"):
            outer, inner = _nested(node.left), _nested(node.right)
            return [*outer, *(_combined(outer[-1], part, node) for part in inner)]
        case Operation(operator=":"):
            left, right = _nested(node.left), _nested(node.right)
            if len(left) > 1 or len(right) > 1:
                raise UnsupportedSyntaxError(
                    "`/` cannot stand inside `:` in a grouping factor.",
                    place=node.place,
                    fix="write the terms out: (1 | a) + (1 | a:b)",
                )
            return [_combined(left[0], right[0], node)]
        case _:
            raise _not_a_factor(node)


def _combined(left: tuple[Name, ...], right: tuple[Name, ...], node: Node) -> tuple[Name, ...]:
    columns = (*left, *right)
    if len({c.name for c in columns}) < len(columns):
        raise FormulaError(
            "a column stands twice in this grouping factor.",
            place=node.place,
            fix="name each column once",
        )
    return columns


def _not_a_factor(node: Node) -> FormulaError:
    fix = 'make a column first: data["group"] = ..., then (1 | group)'
    if isinstance(node, Number):
        return FormulaError(
            f"`{node.source}` is a number, not a grouping factor.",
            place=node.place,
            fix="name the column that holds the groups; one in backticks may begin with a digit",
        )
    if isinstance(node, Operation) and node.operator == "*":
        return UnsupportedSyntaxError(
            "grouping factors are joined by `:` or `/`, not by `*`.",
            place=node.operator_place,
            fix="a*b is three factors: (1 | a) + (1 | b) + (1 | a:b)",
        )
    if isinstance(node, Sum):
        items = [item.source for _, item in node.items]
        return UnsupportedSyntaxError(
            "grouping factors are joined by `:` or `/`, not added.",
            place=node.place,
            fix=" + ".join(f"(1 | {item})" for item in items),
        )
    what = "a function" if isinstance(node, Call) else f"`{node.source}`"
    return UnsupportedSyntaxError(
        f"a grouping factor is a column, not {what}.", place=node.place, fix=fix
    )
