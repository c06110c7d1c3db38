"""Tokens to tree, with R's precedence of operators.

From the weakest to the strongest: ``| ||``, comparisons, ``+ -``, ``* /``,
``:``, signs, ``^ **``. Nothing is looked up or evaluated here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from bayeslmm.errors import FormulaError, Place, UnsafeFormulaError, UnsupportedSyntaxError
from bayeslmm.formula.tokens import Token, tokenize
from bayeslmm.formula.tree import (
    Argument,
    Bar,
    Call,
    Column,
    Constant,
    Formula,
    Group,
    Node,
    Number,
    Operation,
    Sign,
    Subset,
    Sum,
    Text,
    span,
)

_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_CONSTANTS: dict[str, bool | None] = {
    "True": True,
    "TRUE": True,
    "False": False,
    "FALSE": False,
    "None": None,
    "NULL": None,
}


def read_formula(text: str) -> Formula:
    """Read a formula into a tree.

    Parameters
    ----------
    text : str
        One- or two-sided formula.

    Returns
    -------
    Formula

    Raises
    ------
    FormulaError
        The text is not a formula; points at the first token that does not fit.
    """
    if not text.strip():
        raise FormulaError("the formula is empty.", fix='write one like "y ~ x + (1 | g)"')
    tokens = tokenize(text)
    at = _find_tilde(text, tokens)
    tilde = tokens[at]
    before = (*tokens[:at], Token("end", "", Place(text, tilde.place.start, tilde.place.stop)))
    response = _Reader(before).whole() if at else None
    if tokens[at + 1].kind == "end":
        raise FormulaError(
            "nothing stands to the right of `~`.", place=tilde.place, fix="write `~ 1` at least"
        )
    return Formula(text, tilde.place, response, _Reader(tokens[at + 1 :]).whole())


def _find_tilde(text: str, tokens: Sequence[Token]) -> int:
    depth, found = 0, -1
    for at, token in enumerate(tokens):
        depth += token.is_operator("(", "[", "{") - token.is_operator(")", "]", "}")
        if not token.is_operator("~"):
            continue
        if found >= 0:
            raise UnsupportedSyntaxError(
                "a formula has one `~`, and here is another.",
                place=token.place,
                fix="one response a model; the residual SD cannot have a formula of its own",
            )
        if depth:
            raise UnsupportedSyntaxError(
                "`~` cannot stand in parentheses.",
                place=token.place,
                fix="one plain formula a model: y ~ x + (1 | g)",
            )
        found = at
    if found < 0:
        raise FormulaError(
            "there is no `~` in the formula.",
            place=Place(text, 0, len(text.rstrip())),
            fix="the response stands to the left of `~`: y ~ x + (1 | g)",
        )
    return found


class _Reader:
    """Recursive descent over one side of a formula."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def whole(self) -> Node:
        node = self._bars()
        if self._now.kind != "end":
            self._refuse_leftover()
        return node

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._now
        self._at += 1
        return token

    def _expect(self, text: str) -> Token:
        if not self._now.is_operator(text):
            self._refuse_leftover()
        return self._take()

    def _bars(self) -> Node:
        if self._now.is_operator("|", "||"):
            raise FormulaError(
                f"nothing stands before `{self._now.text}`.",
                place=self._now.place,
                fix="(1 | g) for an intercept that varies by g",
            )
        left = self._comparison()
        while self._now.is_operator("|", "||"):
            bar = self._take()
            if self._now.kind == "end" or self._now.is_operator(")", "|", "||"):
                raise FormulaError(
                    f"no grouping factor stands after `{bar.text}`.",
                    place=bar.place,
                    fix="name the column that holds the groups: (1 | g)",
                )
            right = self._comparison()
            left = Bar(span(left.place, right.place), bar.place, left, right, bar.text == "|")
        return left

    def _comparison(self) -> Node:
        left = self._sum()
        if not self._now.is_operator(*_COMPARISONS):
            return left
        operator = self._take()
        right = self._sum()
        if self._now.is_operator(*_COMPARISONS):
            raise FormulaError("comparisons cannot be chained.", place=self._now.place)
        return _operation(operator, left, right)

    def _sum(self) -> Node:
        first = self._product()
        items = [("+", first)]
        while self._now.is_operator("+", "-"):
            sign = self._take()
            items.append((sign.text, self._product()))
        if len(items) == 1:
            return first
        return Sum(span(first.place, items[-1][1].place), tuple(items))

    def _product(self) -> Node:
        return self._left_to_right(self._interaction, "*", "/")

    def _interaction(self) -> Node:
        return self._left_to_right(self._signed, ":")

    def _left_to_right(self, operand: Callable[[], Node], *operators: str) -> Node:
        left = operand()
        while self._now.is_operator(*operators):
            operator = self._take()
            left = _operation(operator, left, operand())
        return left

    def _signed(self) -> Node:
        if not self._now.is_operator("+", "-"):
            return self._power()
        sign = self._take()
        operand = self._signed()
        return Sign(span(sign.place, operand.place), sign.text, operand)

    def _power(self) -> Node:
        base = self._postfix()
        if not self._now.is_operator("^", "**"):
            return base
        operator = self._take()
        return _operation(operator, base, self._signed())

    def _postfix(self) -> Node:
        node = self._primary()
        if self._now.is_operator("("):
            raise UnsafeFormulaError(
                f"`{node.source}` is not the name of a function, so it cannot be called.",
                place=span(node.place, self._now.place),
                fix="only functions known by their name are called in a formula",
            )
        if self._now.is_operator("["):
            return self._subset(node)
        return node

    def _primary(self) -> Node:
        token = self._take()
        place = token.place
        if token.kind == "name":
            if self._now.is_operator("("):
                return self._call(token)
            if token.text in _CONSTANTS:
                return Constant(place, _CONSTANTS[token.text])
            return Column(place, token.text)
        if token.kind == "quoted":
            return Column(place, token.text, quoted=True)
        if token.kind == "number":
            whole = token.text.isdigit()
            return Number(place, int(token.text) if whole else float(token.text))
        if token.kind == "string":
            return Text(place, token.text)
        if token.is_operator("("):
            if self._now.is_operator(")"):
                raise FormulaError(
                    "nothing stands in these parentheses.", place=span(place, self._now.place)
                )
            inner = self._bars()
            return Group(span(place, self._expect(")").place), inner)
        if token.is_operator("{"):
            value = self._bars()
            closing = self._expect("}")
            argument = Argument(value.place, None, value)
            return Call(span(place, closing.place), "I", place, (argument,))
        if token.is_operator("["):
            arguments = self._arguments("]")
            return Call(span(place, self._take().place), "c", place, arguments)
        self._at -= 1
        self._refuse_missing_operand()

    def _call(self, function: Token) -> Call:
        self._take()
        arguments = self._arguments(")")
        closing = self._take()
        return Call(span(function.place, closing.place), function.text, function.place, arguments)

    def _arguments(self, closing: str) -> tuple[Argument, ...]:
        found: list[Argument] = []
        if self._now.is_operator(closing):
            return ()
        while True:
            found.append(self._argument())
            if self._now.is_operator(closing):
                return tuple(found)
            self._expect(",")

    def _argument(self) -> Argument:
        name = None
        start = self._now.place
        if self._now.kind == "name" and self._tokens[self._at + 1].is_operator("="):
            name = self._take().text
            self._take()
        value = self._bars()
        return Argument(span(start, value.place), name, value)

    def _subset(self, node: Node) -> Subset:
        opening = self._take()
        level = self._take()
        if not isinstance(node, Column) or level.kind not in ("string", "name", "quoted"):
            raise UnsupportedSyntaxError(
                "brackets pick a level of a column only.",
                place=span(opening.place, level.place),
                fix="write it like y['yes']",
            )
        return Subset(span(node.place, self._expect("]").place), node, level.text)

    def _refuse_missing_operand(self) -> NoReturn:
        token = self._now
        previous = self._tokens[self._at - 1] if self._at else None
        if token.kind == "operator":
            _refuse_percent(token)
        if token.kind == "end" and previous is not None:
            raise FormulaError(f"a term is missing after `{previous.text}`.", place=previous.place)
        shown = f"`{token.text}`" if token.text else "the end"
        raise FormulaError(
            f"a column, a number or a function is expected before {shown}.",
            place=token.place,
        )

    def _refuse_leftover(self) -> NoReturn:
        token = self._now
        if token.kind == "operator":
            _refuse_percent(token)
            if token.is_operator("="):
                raise FormulaError(
                    "`=` stands outside the arguments of a function.",
                    place=token.place,
                    fix="the response and the terms are separated by ~; equality is ==",
                )
            raise FormulaError(f"`{token.text}` cannot stand here.", place=token.place)
        raise FormulaError(
            f"an operator is missing before `{token.text}`.",
            place=token.place,
            fix="terms are joined by +, interactions by :; a name with spaces needs backticks",
        )


def _operation(operator: Token, left: Node, right: Node) -> Operation:
    text = "**" if operator.text == "^" else operator.text
    return Operation(span(left.place, right.place), text, operator.place, left, right)


def _refuse_percent(token: Token) -> None:
    if token.text.startswith("%"):
        fix = (
            "nesting is written with `/`: a + b %in% a is a / b"
            if token.text == "%in%"
            else ("make a column of it first")
        )
        raise UnsupportedSyntaxError(
            f"the operator `{token.text}` is not read here.", place=token.place, fix=fix
        )
