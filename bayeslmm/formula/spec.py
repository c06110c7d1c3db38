"""What a formula asks for, before any data are seen."""

from __future__ import annotations

from dataclasses import dataclass

from bayeslmm.errors import Place
from bayeslmm.formula.allowed import display, quote


@dataclass(frozen=True, slots=True)
class Name:
    """A name in the formula that must be a column (or in ``extra_namespace``)."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Expression:
    """A piece of the formula for formulae to evaluate.

    ``text`` is canonical: terms expanded, ``^`` written ``**``, whitespace
    normalised, names that formulae cannot scan in backticks, functions under the
    names by which formulae finds them (`bayeslmm.formula.allowed.display` maps them
    back). ``place`` is where it stood. ``names`` are its columns, once each, in the
    order of the text.
    """

    text: str
    place: Place
    names: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """One bar of the formula, ``(basis | factor)``, after ``/`` is written out.

    Attributes
    ----------
    basis : Expression
        What varies, with the intercept explicit: ``1 + Days``, ``0 + Days``.
    factor : str
        Name of the grouping factor; interactions are written ``batch:cask``.
    columns : tuple of Name
        The columns whose combinations are the levels of the factor.
    correlated : bool
        False for ``||``: the covariance of the term is diagonal.
    place : Place
        The bar as it stood in the formula, parentheses included.
    """

    basis: Expression
    factor: str
    columns: tuple[Name, ...]
    correlated: bool
    place: Place

    @property
    def text(self) -> str:
        """The term as lme4 writes it, ``(1 + Days | Subject)``."""
        bar = "|" if self.correlated else "||"
        factor = ":".join(quote(c.name) for c in self.columns)
        return f"({display(self.basis.text)} {bar} {factor})"


@dataclass(frozen=True, slots=True)
class FormulaSpec:
    """A parsed formula.

    Attributes
    ----------
    text : str
        The formula as it was written, the terms of ``groups`` appended.
    response : Expression
        Left-hand side.
    fixed : Expression
        Fixed part without random terms and offsets, intercept explicit
        (``1 + Days``, ``0 + Days``); ``0`` alone if there is no fixed part.
    offsets : tuple of Expression
        Arguments of every ``offset()``, without an intercept: ``0 + log(time)``.
    random : tuple of RandomTerm
        Random terms in the order in which they stand.
    """

    text: str
    response: Expression
    fixed: Expression
    offsets: tuple[Expression, ...] = ()
    random: tuple[RandomTerm, ...] = ()

    @property
    def names(self) -> tuple[Name, ...]:
        """Every column name the formula uses, once each, in order of appearance."""
        found = [*self.response.names, *self.fixed.names]
        for offset in self.offsets:
            found += offset.names
        for term in self.random:
            found += [*term.basis.names, *term.columns]
        once: dict[str, Name] = {}
        for name in found:
            once.setdefault(name.name, name)
        return tuple(once.values())
