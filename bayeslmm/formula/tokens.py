"""A formula cut into tokens, each of which knows where it stood."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, NoReturn

from bayeslmm.errors import FormulaError, Place

Kind = Literal["name", "quoted", "number", "string", "operator", "end"]

_NUMBER = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_OPERATOR = re.compile(r"%[^%\s]*%|\*\*|\|\||==|!=|<=|>=|[-~+*/:^|()\[\]{},=<>%]")
_CLOSING = {"(": ")", "[": "]", "{": "}"}

_HINTS = {
    "$": "name the column alone: `data$x` is written x",
    "@": "name the column alone",
    "&": "combine conditions in a column of the data",
    "!": "write != to compare, or make the column first",
    "#": "a formula holds no comments",
    ";": "a formula is one expression",
    "\u2212": "write the minus sign as -",
    "\u2013": "write the minus sign as -",
    "\u223c": "write the tilde as ~",
    "\u02dc": "write the tilde as ~",
    "\u00d7": "write the product as *",
    "\u201c": "write straight quotes",
    "\u201d": "write straight quotes",
    "\u2018": "write straight quotes",
    "\u2019": "write straight quotes",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    ``text`` is what it says: the name without backticks, the string without
    quotes, the number or the operator as written. The last token of every
    formula has kind ``end`` and stands behind the last character.
    """

    kind: Kind
    text: str
    place: Place

    def is_operator(self, *texts: str) -> bool:
        """Whether this is one of these operators."""
        return self.kind == "operator" and self.text in texts


def tokenize(text: str) -> tuple[Token, ...]:
    """Cut a formula into tokens and check that its parentheses balance.

    Parameters
    ----------
    text : str
        The formula.

    Returns
    -------
    tuple of Token
        In order, closed by a token of kind ``end``.

    Raises
    ------
    FormulaError
        An unknown character, a string or backtick that is never closed,
        parentheses that do not match; it points at the place.

    Examples
    --------
    >>> [t.text for t in tokenize("y ~ log(x)")]
    ['y', '~', 'log', '(', 'x', ')', '']
    """
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        token = _next_token(text, at)
        tokens.append(token)
        at = token.place.stop
    tokens.append(Token("end", "", Place(text, len(text), len(text))))
    _check_balance(tokens)
    return tuple(tokens)


def _next_token(text: str, at: int) -> Token:
    char = text[at]
    if char == "`":
        return _quoted(text, at, "quoted", "backtick")
    if char in "'\"":
        return _quoted(text, at, "string", "quote")
    if number := _NUMBER.match(text, at):
        # R writes integers as 2L
        end = number.end() + (text[number.end() : number.end() + 1] == "L")
        return Token("number", number.group(), Place(text, at, end))
    if char.isalpha() or char in "._":
        end = at + 1
        while end < len(text) and _continues_name(text[end]):
            end += 1
        return Token("name", text[at:end], Place(text, at, end))
    if operator := _OPERATOR.match(text, at):
        return Token("operator", operator.group(), Place(text, at, operator.end()))
    _refuse_character(text, at)


def _continues_name(char: str) -> bool:
    return char.isalnum() or char in "._" or unicodedata.category(char).startswith("M")


def _quoted(text: str, at: int, kind: Kind, mark: str) -> Token:
    end = text.find(text[at], at + 1)
    if end < 0:
        line_end = text.find("\n", at)
        stop = len(text) if line_end < 0 else line_end
        raise FormulaError(
            f"the {mark} that opens here is never closed.",
            place=Place(text, at, stop),
            fix=f"close it with {text[at]}",
        )
    place = Place(text, at, end + 1)
    content = text[at + 1 : end]
    if kind == "quoted" and not content.strip():
        raise FormulaError("there is no name between these backticks.", place=place)
    if kind == "string" and any(c in content for c in "'\"\\"):
        raise FormulaError(
            "a string in a formula cannot hold quotes or backslashes.",
            place=place,
            fix="rename the level in the data",
        )
    return Token(kind, content, place)


def _refuse_character(text: str, at: int) -> NoReturn:
    char = text[at]
    shown = char if char.isprintable() else f"U+{ord(char):04X}"
    raise FormulaError(
        f"a formula cannot hold the character {shown}.",
        place=Place(text, at, at + 1),
        fix=_HINTS.get(char, "put names with special characters in backticks"),
    )


def _check_balance(tokens: list[Token]) -> None:
    opened: list[Token] = []
    for token in tokens:
        if token.is_operator(*_CLOSING):
            opened.append(token)
        elif token.is_operator(*_CLOSING.values()):
            if not opened:
                raise FormulaError(
                    f"`{token.text}` closes nothing that was opened.",
                    place=token.place,
                    fix="take it out, or open it before",
                )
            expected = _CLOSING[opened.pop().text]
            if token.text != expected:
                raise FormulaError(
                    f"`{token.text}` stands where `{expected}` is expected.", place=token.place
                )
    if opened:
        unclosed = opened[-1]
        raise FormulaError(
            f"`{unclosed.text}` is never closed.",
            place=unclosed.place,
            fix=f"add the missing {_CLOSING[unclosed.text]}",
        )
