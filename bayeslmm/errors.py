"""Every error and warning of the package, and the one builder of their words.

A message has up to four parts: what is wrong, where in the formula it stands,
what was found there, and how to mend it. Each class also derives from the
builtin a caller would expect to catch, and keeps its data as attributes.
"""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of a formula: characters ``start`` to ``stop`` of ``text``."""

    text: str
    start: int
    stop: int

    def underlined(self, indent: str = "    ") -> str:
        """The line of the formula the place stands on, carets below the place."""
        first = self.text.rfind("\n", 0, self.start) + 1
        last = self.text.find("\n", self.start)
        last = len(self.text) if last < 0 else last
        line = self.text[first:last]
        width = max(1, min(self.stop, last) - self.start)
        return f"{indent}{line}\n{indent}{' ' * (self.start - first)}{'^' * width}"


def build_message(
    what: str,
    *,
    place: Place | None = None,
    found: str | None = None,
    fix: str | None = None,
) -> str:
    """Join the four parts of a message in their fixed order."""
    lines = [what]
    if place is not None:
        lines += ["", place.underlined()]
    if found is not None:
        lines.append(f"  found: {found}")
    if fix is not None:
        lines.append(f"  fix:   {fix}")
    return "\n".join(lines)


def suggest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to ``name``, if one is close enough to offer."""
    names = {str(k).casefold(): str(k) for k in known}
    close = difflib.get_close_matches(name.casefold(), list(names), n=1, cutoff=0.6)
    return names[close[0]] if close else None


_PACKAGE = os.path.dirname(__file__)


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's code that called into the package."""
    warnings.warn(message, category, skip_file_prefixes=(_PACKAGE,))


class BayeslmmError(Exception):
    """Root of every error this package raises on purpose."""

    def __init__(
        self,
        what: str,
        *,
        place: Place | None = None,
        found: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what, self.place, self.found, self.fix = what, place, found, fix
        self.message = build_message(what, place=place, found=found, fix=fix)
        super().__init__(self.message)

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return self.message


class FormulaError(BayeslmmError, ValueError):
    """The formula cannot be read."""


class UnsupportedSyntaxError(FormulaError):
    """The formula asks for something this package does not have."""


class UnsafeFormulaError(FormulaError):
    """The formula calls a function that is not on the allow-list."""


class UnknownColumnError(BayeslmmError, KeyError):
    """A name in the formula or an argument is not a column of the data."""


class DataError(BayeslmmError, ValueError):
    """The data cannot carry the model that was asked for."""


class MissingValuesError(DataError):
    """Missing values, and ``na_action="error"``."""


class UnseenLevelError(DataError):
    """New data have a level of a fixed factor that the fit never saw."""


class RankDeficientError(DataError):
    """Columns of the fixed part are linear combinations of others."""


class ArgumentError(BayeslmmError, ValueError):
    """An argument has a value that is not one of those it may take."""


class PriorError(ArgumentError):
    """A prior names no parameter, or cannot be used where it stands."""


class FitError(BayeslmmError, RuntimeError):
    """The estimates could not be computed, or ``strict=True`` refused them."""


class FileFormatError(BayeslmmError, ValueError):
    """A file is not one that this package saved, or was made by a newer one."""


class MissingDependencyError(BayeslmmError, ImportError):
    """An optional package is needed for what was asked."""


class AttributeRefused(BayeslmmError, AttributeError):
    """This kind of fit cannot have that attribute; the message names what to use."""


class BayeslmmWarning(UserWarning):
    """Root of every warning of this package."""


class DataWarning(BayeslmmWarning):
    """The data are usable, but say something the user should know."""


class SingularFitWarning(BayeslmmWarning):
    """A variance is estimated as zero or a correlation as plus or minus one."""


class ConvergenceWarning(BayeslmmWarning):
    """An optimiser or a sampler stopped before its result can be trusted."""


class MissingDataWarning(BayeslmmWarning):
    """Rows with missing values were left out."""


class RankDeficiencyWarning(BayeslmmWarning):
    """Columns of the fixed part were dropped because others determine them."""


def check_level(level: float) -> None:
    """Refuse a level of intervals that is not a probability, such as 0.95.

    Raises
    ------
    ArgumentError
    """
    if not 0.0 < level < 1.0:
        share = level / 100 if 1 < level < 100 else 0.95
        raise ArgumentError(
            f"level={level!r} is not a probability.",
            fix=f"level={share:g} gives {100 * share:g} % intervals",
        )
