"""Trees back to text: for formulae, or as a user writes them."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Literal

from bayeslmm.formula.allowed import CONTRASTS, PAREN, extra_name, find_function, quote
from bayeslmm.formula.spec import Name
from bayeslmm.formula.tree import (
    Argument,
    Bar,
    Call,
    Column,
    Constant,
    Group,
    Node,
    Number,
    Operation,
    Sign,
    Subset,
    Sum,
    Text,
    without_groups,
)

Reader = Literal["formulae", "user"]

_COMPARISON, _SUM, _PRODUCT, _INTERACTION, _POWER, _SIGN, _ATOM = range(1, 8)
_STRENGTH = {"*": _PRODUCT, "/": _PRODUCT, ":": _INTERACTION, "**": _POWER}


def render(node: Node, extra_names: Collection[str] = (), reader: Reader = "formulae") -> str:
    """Write a piece of a formula in canonical form.

    Parameters
    ----------
    node : Node
    extra_names : collection of str
        The user's functions and constants.
    reader : {"formulae", "user"}
        For formulae, functions bear the names under which it finds them, and
        parentheses inside calls are kept by a function, since formulae drops them
        from its labels. For a user, the text can be parsed again.

    Returns
    -------
    str
    """
    return _Writer(extra_names, reader).write(node, inside_call=False)


def column_names(node: Node, extra_names: Collection[str] = ()) -> tuple[Name, ...]:
    """Columns a piece refers to, once each, in the order of the text.

    Names of functions, of arguments, of contrasts and, inside calls, of the user's
    constants are not columns.
    """
    found: dict[str, Name] = {}

    def visit(piece: Node, inside_call: bool) -> None:
        if isinstance(piece, Column):
            if not (inside_call and piece.name in extra_names and not piece.quoted):
                found.setdefault(piece.name, Name(piece.name, piece.place))
            return
        for child in piece.children():
            if not (isinstance(piece, Call) and is_contrast(piece, child)):
                visit(child, inside_call or isinstance(piece, Call))

    visit(node, False)
    return tuple(found.values())


def is_contrast(call: Call, argument: Node) -> bool:
    """Whether an argument of ``C()`` names a contrast."""
    if not isinstance(argument, Argument) or call.function not in ("C", "factor", "as.factor"):
        return False
    second = argument.name is None and call.arguments.index(argument) == 1
    value = without_groups(argument.value)
    return (
        (second or argument.name == "contrast")
        and isinstance(value, Column)
        and value.name in CONTRASTS
    )


class _Writer:
    def __init__(self, extra_names: Collection[str], reader: Reader) -> None:
        self._extra_names = extra_names
        self._for_formulae = reader == "formulae"

    def write(self, node: Node, inside_call: bool) -> str:
        match node:
            case Column():
                if self._for_formulae and inside_call and self._is_extra(node):
                    return extra_name(node.name)
                return quote(node.name)
            case Number():
                return _number(node.value)
            case Text():
                return f"'{node.value}'" if "'" not in node.value else f'"{node.value}"'
            case Constant():
                return str(node.value)
            case Subset():
                return f"{quote(node.column.name)}['{node.level}']"
            case Call():
                return self._call(node)
            case Group():
                return self.write(node.inner, inside_call)
            case Sign():
                return node.operator + self._operand(node.operand, _SIGN, inside_call)
            case Sum():
                return self._sum(node, inside_call)
            case Operation():
                return self._operation(node, inside_call)
            case Bar():
                bar = "|" if node.correlated else "||"
                return f"{self.write(node.basis, False)} {bar} {self.write(node.factor, False)}"
            case _:
                raise TypeError(type(node).__name__)

    def _is_extra(self, column: Column) -> bool:
        return not column.quoted and column.name in self._extra_names

    def _call(self, call: Call) -> str:
        function = find_function(call.function, self._extra_names)
        name = call.function
        if function is not None and self._for_formulae:
            name = function.known_as
        written = []
        for argument in call.arguments:
            value = self.write(argument.value, inside_call=True)
            if argument.name is not None and _strength(without_groups(argument.value)) < _SUM:
                # formulae reads no comparison behind the `=` of an argument
                value = self._parenthesised(value, inside_call=True)
            contrast = without_groups(argument.value)
            if is_contrast(call, argument) and isinstance(contrast, Column):
                value = CONTRASTS[contrast.name]
            written.append(value if argument.name is None else f"{argument.name}={value}")
        return f"{name}({', '.join(written)})"

    def _sum(self, node: Sum, inside_call: bool) -> str:
        text = ""
        for position, (sign, item) in enumerate(node.items):
            written = self._operand(item, _PRODUCT if position else _SUM, inside_call)
            text = written if position == 0 else f"{text} {sign} {written}"
        return text

    def _operation(self, node: Operation, inside_call: bool) -> str:
        strength = _STRENGTH.get(node.operator, _COMPARISON)
        if node.operator == "**":
            sides = (_ATOM, _SIGN)
        elif strength == _COMPARISON:
            sides = (_SUM, _SUM)
        else:
            sides = (strength, strength + 1)
        left = self._operand(node.left, sides[0], inside_call)
        right = self._operand(node.right, sides[1], inside_call)
        space = "" if node.operator == ":" else " "
        return f"{left}{space}{node.operator}{space}{right}"

    def _operand(self, node: Node, least: int, inside_call: bool) -> str:
        text = self.write(node, inside_call)
        if _strength(without_groups(node)) >= least:
            return text
        return self._parenthesised(text, inside_call)

    def _parenthesised(self, text: str, inside_call: bool) -> str:
        keep = inside_call and self._for_formulae
        return f"{PAREN}({text})" if keep else f"({text})"


def _strength(node: Node) -> int:
    match node:
        case Operation():
            return _STRENGTH.get(node.operator, _COMPARISON)
        case Sum():
            return _SUM
        case Sign():
            return _SIGN
        case Bar():
            return 0
        case _:
            return _ATOM


def _number(value: int | float) -> str:
    # formulae scans no exponents
    return str(value) if isinstance(value, int) else format(Decimal(repr(value)), "f")
