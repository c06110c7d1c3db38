"""The nodes a formula is read into; each knows the stretch of text it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bayeslmm.errors import Place


@dataclass(frozen=True, slots=True)
class Node:
    """Any piece of a formula."""

    place: Place

    @property
    def source(self) -> str:
        """The piece as it was written."""
        return self.place.text[self.place.start : self.place.stop]

    def children(self) -> tuple[Node, ...]:
        """Return the nodes directly inside this one."""
        return ()

    def walk(self) -> Iterator[Node]:
        """Yield this node and every node inside it, in the order of the text."""
        yield self
        for child in self.children():
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Column(Node):
    """A name that is not called."""

    name: str
    quoted: bool = False

    @property
    def is_dot(self) -> bool:
        """Whether this is the ``.`` that stands for another formula."""
        return self.name == "." and not self.quoted


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A number."""

    value: int | float


@dataclass(frozen=True, slots=True)
class Text(Node):
    """A string."""

    value: str


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """True, False or None, in Python's words or R's."""

    value: bool | None


@dataclass(frozen=True, slots=True)
class Argument(Node):
    """An argument of a call, named or not."""

    name: str | None
    value: Node

    def children(self) -> tuple[Node, ...]:
        """Return the value."""
        return (self.value,)


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A call; braces ``{...}`` are read as ``I(...)`` and lists ``[...]`` as ``c(...)``."""

    function: str
    function_place: Place
    arguments: tuple[Argument, ...]

    def children(self) -> tuple[Node, ...]:
        """Return the arguments."""
        return self.arguments


@dataclass(frozen=True, slots=True)
class Subset(Node):
    """A level picked from a column, ``y['yes']``."""

    column: Column
    level: str

    def children(self) -> tuple[Node, ...]:
        """Return the column."""
        return (self.column,)


@dataclass(frozen=True, slots=True)
class Sign(Node):
    """A sign before an operand."""

    operator: str
    operand: Node

    def children(self) -> tuple[Node, ...]:
        """Return the operand."""
        return (self.operand,)


@dataclass(frozen=True, slots=True)
class Sum(Node):
    """Items added or subtracted, flat: a long formula must not nest deeply."""

    items: tuple[tuple[str, Node], ...]

    def children(self) -> tuple[Node, ...]:
        """Return the items."""
        return tuple(item for _, item in self.items)


@dataclass(frozen=True, slots=True)
class Operation(Node):
    """Two operands and ``* / : **`` or a comparison between them."""

    operator: str
    operator_place: Place
    left: Node
    right: Node

    def children(self) -> tuple[Node, ...]:
        """Return both operands."""
        return (self.left, self.right)


@dataclass(frozen=True, slots=True)
class Group(Node):
    """Something in parentheses."""

    inner: Node

    def children(self) -> tuple[Node, ...]:
        """Return what the parentheses hold."""
        return (self.inner,)


@dataclass(frozen=True, slots=True)
class Bar(Node):
    """``basis | factor`` or, uncorrelated, ``basis || factor``."""

    bar_place: Place
    basis: Node
    factor: Node
    correlated: bool

    def children(self) -> tuple[Node, ...]:
        """Return the basis and the factor."""
        return (self.basis, self.factor)


@dataclass(frozen=True, slots=True)
class Formula:
    """Both sides of a formula; ``response`` is None if it has one side only."""

    text: str
    tilde: Place
    response: Node | None
    right: Node


def span(first: Place, last: Place) -> Place:
    """Return the stretch from the start of one place to the end of another."""
    return Place(first.text, first.start, last.stop)


def without_groups(node: Node) -> Node:
    """Take the outer parentheses off."""
    while isinstance(node, Group):
        node = node.inner
    return node
