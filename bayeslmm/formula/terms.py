"""The algebra of terms: ``a * b - a:b`` is the set {a, b}, as in R.

Formulas are expanded here and not by formulae, for which ``a:b`` and ``b:a`` are
different terms and whose terms are not sorted by degree as R's are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from bayeslmm.errors import FormulaError, Place, UnsupportedSyntaxError
from bayeslmm.formula.render import render
from bayeslmm.formula.tree import (
    Bar,
    Call,
    Column,
    Group,
    Node,
    Number,
    Operation,
    Sign,
    Sum,
    without_groups,
)

Key = frozenset[str]
_MOST_TERMS = 2000


@dataclass(frozen=True, slots=True)
class Term:
    """A product of columns and calls; ``key`` forgets their order."""

    atoms: tuple[tuple[str, Node], ...]

    @property
    def key(self) -> Key:
        """The atoms as canonical text, without order."""
        return frozenset(text for text, _ in self.atoms)

    @property
    def text(self) -> str:
        """Canonical text."""
        return ":".join(text for text, _ in self.atoms)

    def times(self, other: Term) -> Term:
        """Return the interaction with another term; ``x:x`` is ``x``."""
        return Term(tuple({**dict(self.atoms), **dict(other.atoms)}.items()))


@dataclass(frozen=True, slots=True)
class RandomPart:
    """A bar with the place of its parentheses."""

    bar: Bar
    place: Place


@dataclass(slots=True)
class TermSet:
    """What one side of a formula adds up to.

    ``intercept`` is None where neither 1 nor 0 was written.
    """

    intercept: bool | None = None
    terms: dict[Key, Term] = field(default_factory=dict)
    offsets: dict[str, Call] = field(default_factory=dict)
    random: list[RandomPart] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        """Whether these are fixed terms only, fit for an interaction."""
        return self.intercept is None and not self.offsets and not self.random

    def sorted_terms(self) -> list[Term]:
        """Main effects first, then interactions by their degree, as R sorts them."""
        return sorted(self.terms.values(), key=lambda t: len(t.atoms))

    def text(self) -> str:
        """Canonical text of the fixed terms, the intercept explicit."""
        start = "0" if self.intercept is False else "1"
        return " + ".join([start, *(t.text for t in self.sorted_terms())])

    def atoms(self) -> list[Node]:
        """Return the columns and calls of the terms, in the order of the text."""
        nodes = (node for term in self.terms.values() for _, node in term.atoms)
        return sorted(nodes, key=lambda n: n.place.start)


class Algebra:
    """Expands trees to sets of terms.

    Parameters
    ----------
    extra_names : collection of str
        The user's functions and constants.
    dot : TermSet, optional
        What ``.`` stands for.
    """

    def __init__(self, extra_names: Collection[str] = (), dot: TermSet | None = None) -> None:
        self._extra_names = extra_names
        self._dot = dot

    def expand(self, node: Node) -> TermSet:
        """Return the set of terms a tree stands for.

        Raises
        ------
        FormulaError
            Something that is not a term, or a removed term that is not there.
        UnsupportedSyntaxError
            A random term or an offset where only fixed terms can stand.
        """
        match node:
            case Column():
                return self._column(node)
            case Call(function="offset") if "offset" not in self._extra_names:
                return TermSet(offsets={self._text(node): node})
            case Call():
                return self._single(node)
            case Number(value=0) | Number(value=1):
                return TermSet(intercept=node.value == 1)
            case Group(inner=Bar() as bar):
                return TermSet(random=[RandomPart(bar, node.place)])
            case Group():
                return self.expand(node.inner)
            case Sign():
                return self._sum(((node.operator, node.operand),))
            case Sum():
                return self._sum(node.items)
            case Operation(operator="*" | "/" | ":"):
                return self._product(node)
            case Operation(operator="**"):
                return self._power(node)
            case _:
                raise _not_a_term(node)

    def _text(self, node: Node) -> str:
        return render(node, self._extra_names)

    def _single(self, node: Node) -> TermSet:
        term = Term(((self._text(node), node),))
        return TermSet(terms={term.key: term})

    def _column(self, node: Column) -> TermSet:
        if not node.is_dot:
            return self._single(node)
        if self._dot is None:
            raise UnsupportedSyntaxError(
                "`.` has no meaning in a formula of its own.",
                place=node.place,
                fix="name the columns; in update() it stands for the old formula",
            )
        dot = self._dot
        return TermSet(dot.intercept, dict(dot.terms), dict(dot.offsets), list(dot.random))

    def _sum(self, items: Iterable[tuple[str, Node]]) -> TermSet:
        total = TermSet()
        for sign, item in items:
            part = self.expand(item)
            if sign == "+":
                _add(total, part)
            else:
                self._subtract(total, part, item)
        return total

    def _subtract(self, total: TermSet, part: TermSet, item: Node) -> None:
        if part.random:
            self.subtract_random(total, part.random)
        if part.intercept is not None:
            total.intercept = not part.intercept
        for key, term in part.terms.items():
            if key not in total.terms:
                there = [render_user(t) for t in total.sorted_terms()]
                raise _not_there(render_user(term), item.place, there, "terms")
            del total.terms[key]
        for text, offset in part.offsets.items():
            if text not in total.offsets:
                raise _not_there(
                    offset.source, item.place, [o.source for o in total.offsets.values()], "offsets"
                )
            del total.offsets[text]

    def subtract_random(self, total: TermSet, parts: list[RandomPart]) -> None:
        """Refuse: within one formula a random term is never taken away."""
        raise UnsupportedSyntaxError(
            "a random term cannot be subtracted.",
            place=parts[0].place,
            fix="leave it out; update() takes a term out of an older formula",
        )

    def _product(self, node: Operation) -> TermSet:
        left = self._factor(node.left, node)
        right = self._factor(node.right, node)
        if node.operator == "/":
            everything = Term(tuple(a for t in left.terms.values() for a in t.atoms))
            crossed = _cross([everything.times(Term(()))], right.terms.values())
        else:
            crossed = _cross(left.terms.values(), right.terms.values())
        if node.operator == ":":
            return self._limited(crossed, node)
        added = {**left.terms, **(right.terms if node.operator == "*" else {})}
        return self._limited(
            {**added, **{k: t for k, t in crossed.items() if k not in added}}, node
        )

    def _power(self, node: Operation) -> TermSet:
        base = self._factor(node.left, node)
        exponent = without_groups(node.right)
        if len(base.terms) == 1:
            (alone,) = base.terms.values()
            raise FormulaError(
                f"`{node.source}` among the terms would be `{render_user(alone)}` alone: "
                "there a power makes interactions.",
                place=node.place,
                fix=f"I({node.source}) for the power; poly(x, 2) for a polynomial",
            )
        if not isinstance(exponent, Number) or exponent.value not in range(1, 21):
            raise FormulaError(
                "the exponent of a sum of terms is a whole number from 1.",
                place=node.right.place,
                fix="(a + b)^2 is a + b + a:b",
            )
        terms = dict(base.terms)
        for _ in range(min(int(exponent.value), len(base.terms)) - 1):
            terms |= {
                k: t
                for k, t in _cross(terms.values(), base.terms.values()).items()
                if k not in terms
            }
            self._limited(terms, node)
        return TermSet(terms=terms)

    def _factor(self, node: Node, whole: Operation) -> TermSet:
        found = self.expand(node)
        if found.is_plain:
            return found
        shown = f"`{whole.operator}`"
        if found.random:
            raise UnsupportedSyntaxError(
                f"a random term cannot be an operand of {shown}.",
                place=found.random[0].place,
                fix="a slope that varies stands inside the bar: (x | g)",
            )
        if found.offsets:
            raise UnsupportedSyntaxError(
                f"an offset cannot be an operand of {shown}.", place=node.place
            )
        raise FormulaError(
            f"0 and 1 cannot be operands of {shown} among the terms.",
            place=node.place,
            fix=f"arithmetic goes into I(): I({whole.source})",
        )

    @staticmethod
    def _limited(terms: dict[Key, Term], node: Node) -> TermSet:
        if len(terms) > _MOST_TERMS:
            raise FormulaError(f"this expands to more than {_MOST_TERMS} terms.", place=node.place)
        return TermSet(terms=terms)


def render_user(term: Term) -> str:
    """Write a term as a user would."""
    return ":".join(render(node, reader="user") for _, node in term.atoms)


def _add(total: TermSet, part: TermSet) -> None:
    if part.intercept is not None:
        total.intercept = part.intercept
    for key, term in part.terms.items():
        total.terms.setdefault(key, term)
    for text, offset in part.offsets.items():
        total.offsets.setdefault(text, offset)
    total.random.extend(part.random)


def _cross(left: Iterable[Term], right: Iterable[Term]) -> dict[Key, Term]:
    crossed: dict[Key, Term] = {}
    others = list(right)
    for a in left:
        for b in others:
            term = a.times(b)
            crossed.setdefault(term.key, term)
    return crossed


def _not_there(what: str, place: Place, there: list[str], kind: str) -> FormulaError:
    return FormulaError(
        f"`{what}` cannot be removed: it is not in the formula.",
        place=place,
        found=f"{kind}: {', '.join(there) or 'none'}",
        fix="remove a term that is listed",
    )


def _not_a_term(node: Node) -> FormulaError:
    if isinstance(node, Bar):
        return UnsupportedSyntaxError(
            "a random term needs parentheses around it.",
            place=node.bar_place,
            fix="y ~ x + (1 | g), not y ~ x + 1 | g",
        )
    if isinstance(node, Operation):
        return FormulaError(
            f"`{node.operator}` compares, which is not a term.",
            place=node.operator_place,
            fix=f"I({node.source})",
        )
    if isinstance(node, Number):
        return FormulaError(
            f"the number {node.source} is not a term; only 0 and 1 are, for the intercept.",
            place=node.place,
            fix=f"arithmetic goes into I(): I({node.source} * x)",
        )
    return FormulaError(
        f"`{node.source}` is not a term.", place=node.place, fix="a term is a column or a call"
    )
