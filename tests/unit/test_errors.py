"""The builder of messages, and classes that keep their data."""

import warnings

import pytest

from bayeslmm import errors
from bayeslmm.errors import DataError, Place, UnknownColumnError, build_message, suggest


def test_four_parts_in_order():
    text = build_message("what.", place=Place("y ~ x", 4, 5), found="f", fix="do")
    assert text == "what.\n\n    y ~ x\n        ^\n  found: f\n  fix:   do"
    assert build_message("what.") == "what."


def test_a_place_on_a_later_line():
    place = Place("y ~ x\n  + zz\n + (1 | g)", 10, 12)
    assert place.underlined("") == "  + zz\n    ^^"
    assert Place("y ~ x", 5, 5).underlined("") == "y ~ x\n     ^"
    assert Place("a\nbc", 0, 4).underlined("") == "a\n^"  # never beyond its line


def test_suggestions():
    assert suggest("Subjct", ["item", "subject"]) == "subject"
    assert suggest("DAYS", ["Days"]) == "Days"
    assert suggest("age", ["subject", "item"]) is None
    assert suggest("x", []) is None


def test_each_class_is_what_a_caller_would_catch():
    builtin = {
        errors.FormulaError: ValueError,
        errors.UnknownColumnError: KeyError,
        errors.DataError: ValueError,
        errors.ArgumentError: ValueError,
        errors.FitError: RuntimeError,
        errors.FileFormatError: ValueError,
        errors.MissingDependencyError: ImportError,
        errors.AttributeRefused: AttributeError,
    }
    for ours, theirs in builtin.items():
        assert issubclass(ours, theirs)
        with pytest.raises(theirs) as caught:
            raise ours("what.", found="f")
        assert isinstance(caught.value, errors.BayeslmmError)
        assert str(caught.value) == "what.\n  found: f"  # KeyError would show a repr


def test_parts_are_kept():
    place = Place("y ~ x", 4, 5)
    error = UnknownColumnError("no column.", place=place, fix="look")
    assert (error.what, error.place, error.found, error.fix) == ("no column.", place, None, "look")


def test_every_class_of_ours_has_our_root():
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, Exception):
            root = errors.BayeslmmWarning if issubclass(kind, Warning) else errors.BayeslmmError
            assert issubclass(kind, root), name
            assert kind.__doc__


def test_a_warning_points_at_the_caller():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        errors.warn("look", errors.DataWarning)
    assert said[0].filename == __file__
    assert DataError.__mro__[1] is errors.BayeslmmError
