"""Statements about fixed effects: read, estimated and tested.

    statement := side (">" | "<" | "=") side
    side      := term (("+" | "-") term)*
    term      := signed (("*" | "/") signed)*
    signed    := ("+" | "-") signed | number | name | "(" side ")"

A name is one of the design's, matched as a whole: ``recipe[B]:temp`` holds no operator.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np
import pandas as pd
from scipy import stats

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.errors import ArgumentError, Place, check_level, suggest
from bayeslmm.inference.contrasts import estimate_contrasts
from bayeslmm.inference.draws import beta_draws
from bayeslmm.inference.marginal_means import t_words
from bayeslmm.inference.printed import PrintedTable
from bayeslmm.results.posterior import describe_draws

Relation = Literal[">", "<", "="]

_NUMBER = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_RELATION = re.compile(r"[<>]=?|==?")
_WORD = re.compile(r"`[^`]*`|[^\s+\-*/()<>=]+")
_DEEPEST = 50


@dataclass(frozen=True, eq=False, slots=True)
class Statement:
    """``row @ beta + constant`` compared with zero."""

    row: FloatArray
    constant: float
    relation: Relation


@dataclass(frozen=True, eq=False, slots=True)
class _Linear:
    """A linear expression: coefficients of the fixed effects, and a constant."""

    row: FloatArray
    constant: float

    @property
    def is_number(self) -> bool:
        return not self.row.any()

    def plus(self, other: _Linear, sign: float) -> _Linear:
        return _Linear(self.row + sign * other.row, self.constant + sign * other.constant)

    def times(self, factor: float) -> _Linear:
        return _Linear(self.row * factor, self.constant * factor)


def parse_statement(text: str, design: Design) -> Statement:
    """Read one statement; both sides are brought to the left.

    Parameters
    ----------
    text : str
    design : Design
        Its ``fixed_names`` are the names that may stand in the text.

    Raises
    ------
    ArgumentError
        It points at the place.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> data = bl.load_dataset("sleepstudy")
    >>> design = bl.Model("Reaction ~ Days + (1 | Subject)", data).design
    >>> s = parse_statement("2 * (Days - 3) > 1", design)
    >>> s.row.tolist(), s.constant, s.relation
    ([0.0, 2.0], -7.0, '>')
    """
    return _Reader(text, design).statement()


def evaluate_hypotheses(fit: Any, hypotheses: str | Sequence[str], level: float) -> PrintedTable:
    """Estimate and test statements; see ``fit.hypothesis``."""
    check_level(level)
    several = np.iterable(hypotheses) and not isinstance(hypotheses, str)
    texts: list[Any] = list(hypotheses) if several else [hypotheses]
    if not texts:
        raise ArgumentError("there is no hypothesis.", fix='hypothesis("x > 0")')
    statements = [parse_statement(t, fit.design) for t in texts]
    L = np.array([s.row for s in statements])
    constants = np.array([s.constant for s in statements])
    relations = [s.relation for s in statements]
    interval = f"{100 * level:g} % intervals are two-sided"
    beta = beta_draws(fit)
    if beta is None:
        table = _tests(fit, L, constants, relations, level)
        caption = (
            f"Left side less right side; p-values by {t_words(fit)}, not adjusted; {interval}."
        )
    else:
        table = _probabilities(beta @ L.T + constants, relations, level)
        caption = (
            "Left side less right side; posterior probability of the statement and its odds, "
            f"the evidence ratio; {interval}, equal-tailed."
        )
    table.insert(0, "hypothesis", [" ".join(t.split()) for t in texts])
    return PrintedTable(table, caption)


def _tests(
    fit: Any, L: FloatArray, constants: FloatArray, relations: list[Relation], level: float
) -> pd.DataFrame:
    c = estimate_contrasts(fit, L)
    estimate = c.estimate + constants
    t = estimate / c.se
    upper, lower, both = (stats.t.sf(x, c.df) for x in (t, -t, np.abs(t)))
    above, below = (np.array([r == sign for r in relations]) for sign in "><")
    p = np.where(above, upper, np.where(below, lower, 2.0 * both))
    reach = stats.t.isf((1.0 - level) / 2.0, c.df) * c.se
    columns = {"estimate": estimate, "se": c.se, "df": c.df, "t": t, "p": p}
    return pd.DataFrame(columns | {"lower": estimate - reach, "upper": estimate + reach})


def _probabilities(draws: FloatArray, relations: list[Relation], level: float) -> pd.DataFrame:
    table = describe_draws(draws, level)
    shares = {
        ">": (draws > 0).mean(0),
        "<": (draws < 0).mean(0),
        "=": np.full(draws.shape[1], np.nan),
    }
    p = np.array([shares[r][k] for k, r in enumerate(relations)])
    table["probability"] = p
    with np.errstate(divide="ignore"):
        table["evidence_ratio"] = p / (1.0 - p)
    return table


class _Reader:
    """A text and the position up to which it is read."""

    def __init__(self, text: str, design: Design) -> None:
        if not isinstance(text, str):
            raise ArgumentError(f"a hypothesis is text, not {text!r}.", fix='"x > 0"')
        self.text, self.at, self.depth = text, 0, 0
        self.design = design

    def statement(self) -> Statement:
        left = self._side()
        relation = self._match(_RELATION)
        if relation is None:
            self._refuse_rest("a comparison, >, < or =, is missing.")
        right = self._side()
        if self._peek():
            self._refuse_rest("one comparison of two linear expressions is all a hypothesis has.")
        difference = left.plus(right, -1.0)
        if difference.is_number:
            raise ArgumentError(
                "no coefficient is left in this hypothesis.",
                place=Place(self.text, 0, len(self.text)),
                found=", ".join(self.design.fixed_names),
            )
        kinds: dict[str, Relation] = {">": ">", "<": "<"}
        return Statement(difference.row, difference.constant, kinds.get(relation[0], "="))

    def _side(self) -> _Linear:
        value = self._term()
        while (sign := self._peek()) in ("+", "-"):
            self.at += 1
            value = value.plus(self._term(), 1.0 if sign == "+" else -1.0)
        return value

    def _term(self) -> _Linear:
        value = self._signed()
        while (operator := self._peek()) in ("*", "/"):
            place = Place(self.text, self.at, self.at + 1)
            self.at += 1
            other = self._signed()
            if operator == "/" and (not other.is_number or other.constant == 0.0):
                raise ArgumentError("only a number that is not zero can divide.", place=place)
            if operator == "/":
                value = value.times(1.0 / other.constant)
            elif other.is_number:
                value = value.times(other.constant)
            elif value.is_number:
                value = other.times(value.constant)
            else:
                raise ArgumentError(
                    "a product of coefficients is not linear.",
                    place=place,
                    fix="one factor of a product must be a number",
                )
        return value

    def _signed(self) -> _Linear:
        self.depth += 1
        if self.depth > _DEEPEST:
            self._refuse_rest("this is nested too deeply.")
        value = self._unsigned()
        self.depth -= 1
        return value

    def _unsigned(self) -> _Linear:
        char = self._peek()
        if char in ("+", "-"):
            self.at += 1
            return self._signed().times(-1.0 if char == "-" else 1.0)
        if (name := self._name(self.design.fixed_names)) is not None:
            row = np.zeros(self.design.p)
            row[self.design.fixed_names.index(name)] = 1.0
            return _Linear(row, 0.0)
        if (number := self._match(_NUMBER)) is not None:
            return _Linear(np.zeros(self.design.p), float(number))
        if char == "(":
            self.at += 1
            value = self._side()
            if self._peek() != ")":
                self._refuse_rest("`)` is missing.")
            self.at += 1
            return value
        self._refuse_operand()

    def _peek(self) -> str:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        self._peek()
        if (found := pattern.match(self.text, self.at)) is None:
            return None
        self.at = found.end()
        return found.group()

    def _name(self, known: Sequence[str]) -> str | None:
        """The longest of some names that stands here, alone or in backticks; spaces are free."""
        quoted = self.text.startswith("`", self.at)
        best: tuple[int, bool, str] | None = None
        for name in known:
            pattern = r"\s*".join(map(re.escape, "".join(name.split())))
            found = re.compile(pattern).match(self.text, self.at + quoted)
            if found is None or not self._ends(found.end(), name, quoted):
                continue
            candidate = (found.end(), found.group() == name, name)
            best = max(best, candidate) if best else candidate
        if best is None:
            return None
        self.at = best[0] + quoted
        return best[2]

    def _ends(self, stop: int, name: str, quoted: bool) -> bool:
        """Whether a name that ends here does not go on: ``x`` is not the start of ``x2``."""
        after = self.text[stop : stop + 1]
        if quoted:
            return after == "`"
        word = name[-1].isalnum() or name[-1] in "._"
        return not (after in ("[", ":") and after) and not (
            word and after and (after.isalnum() or after in "._(")
        )

    def _refuse_operand(self) -> NoReturn:
        start = self.at
        if (aliased := self._name(self.design.aliased)) is not None:
            raise ArgumentError(
                f"`{aliased}` was left out of the fixed part, since other columns determine it.",
                place=Place(self.text, start, self.at),
                found=", ".join(self.design.fixed_names),
            )
        word = _WORD.match(self.text, self.at)
        if word is None:
            self._refuse_rest("a name or a number is missing.")
        name = word.group().strip("`")
        known = self.design.fixed_names
        close = suggest(name, known)
        raise ArgumentError(
            f"`{name}` is not a fixed effect.",
            place=Place(self.text, self.at, word.end()),
            found=", ".join(known) or "no fixed effect",
            fix="the coefficient of a factor's reference level is zero: leave it out"
            if self._is_reference(name)
            else f"did you mean `{close}`?"
            if close
            else "names are those of fit.fe_params",
        )

    def _is_reference(self, name: str) -> bool:
        """Whether this is a level of a factor that has no column of its own."""
        factor, bracket, level = name.partition("[")
        kind = self.design.encoding.kinds.get(factor)
        levels = kind.categories if kind is not None and bracket else None
        return levels is not None and level.removesuffix("]") in map(str, levels)

    def _refuse_rest(self, words: str) -> NoReturn:
        self._peek()
        stop = max(len(self.text.rstrip()), self.at + 1)
        raise ArgumentError(
            words,
            place=Place(self.text, self.at, stop),
            fix='write it like "A[b] - A[c] > 0" or "2 * x = 1"',
        )
