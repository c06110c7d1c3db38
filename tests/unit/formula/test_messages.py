"""Whole messages, the line of carets included."""

import pytest

from bayeslmm.errors import FormulaError
from bayeslmm.formula import parse_formula, update_formula


def message(text, **options):
    with pytest.raises(FormulaError) as caught:
        parse_formula(text, **options)
    return str(caught.value)


def test_empty_side():
    assert message("y ~ x + (|g)") == (
        "nothing stands before `|`.\n"
        "\n"
        "    y ~ x + (|g)\n"
        "             ^\n"
        "  fix:   (1 | g) for an intercept that varies by g"
    )


def test_intercept_twice():
    assert message("rt ~ load + (1|subj) + (1 + load|subj)") == (
        "the intercept of `subj` stands in two random terms.\n"
        "\n"
        "    rt ~ load + (1|subj) + (1 + load|subj)\n"
        "                           ^^^^^^^^^^^^^^^\n"
        "  found: (1 | subj) and (1 + load | subj)\n"
        "  fix:   (1 + load | subj) alone; or, uncorrelated, (1 | subj) + (0 + load | subj)"
    )


def test_identifier_bar():
    assert message("y ~ (x|ID|g)") == (
        "a random term has one bar; correlations across terms are not available.\n"
        "\n"
        "    y ~ (x|ID|g)\n"
        "          ^^^^\n"
        "  fix:   (x | g)"
    )


def test_the_line_of_the_place_is_shown():
    assert message("y ~ x\n  + s(z)\n  + (1|g)") == (
        "smooths such as `s()` are not available.\n"
        "\n"
        "      + s(z)\n"
        "        ^^^^\n"
        "  fix:   bs(x, df=4) is a spline with fixed knots; poly(x, 3) a polynomial"
    )


def test_appended_groups_are_shown():
    assert "y ~ (1|a) + (1 | a)\n                ^^^^^^^\n" in message("y ~ (1|a)", groups="a")


def test_end_of_the_formula():
    assert "y ~ x +\n          ^" in message("y ~ x +")


def test_removal_of_what_is_not_there():
    with pytest.raises(FormulaError) as caught:
        update_formula("y ~ scale(a)*b + (1 | g)", "~ . - c")
    assert str(caught.value) == (
        "`c` cannot be removed: it is not in the formula.\n"
        "\n"
        "    ~ . - c\n"
        "          ^\n"
        "  found: terms: scale(a), b, scale(a):b\n"
        "  fix:   remove a term that is listed"
    )
