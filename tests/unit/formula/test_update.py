"""R's update rule."""

import pytest

from bayeslmm.errors import FormulaError, UnsupportedSyntaxError
from bayeslmm.formula import parse_formula, update_formula


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("y ~ x + (1|g)", "~ .", "y ~ x + (1 | g)"),
        ("y ~ x + (1|g)", ". ~ .", "y ~ x + (1 | g)"),
        ("y ~ x + (1|g)", "~ . - x", "y ~ 1 + (1 | g)"),
        ("y ~ x + (1|g)", "log(.) ~ .", "log(y) ~ x + (1 | g)"),
        ("y ~ x + (1|g)", "z ~ .", "z ~ x + (1 | g)"),
        ("y ~ x", ". ~ . + (1|item)", "y ~ x + (1 | item)"),
        ("y ~ x + (1|item) + (x|s)", "~ . - (1|item)", "y ~ x + (1 + x | s)"),
        ("y ~ x + (x|g)", "~ . - (x|g) + (x||g)", "y ~ x + (1 + x || g)"),
        ("y ~ x + (1+x|g)", "~ . - (x|g)", "y ~ x"),
        ("y ~ x + (x - 1|g)", "~ . - (0 + x|g)", "y ~ x"),
        ("y ~ (a:b|g)", "~ . - (b:a|g)", "y ~ 1"),
        ("y ~ (1|a/b)", "~ . - (1|b:a)", "y ~ 1 + (1 | a)"),
        ("y ~ (1|a/b)", "~ . - (1|a/b) + (1|a)", "y ~ 1 + (1 | a)"),
        ("y ~ (1|g)", "~ . + (1|g)", "y ~ 1 + (1 | g)"),
        ("y ~ a*b", "~ . - a:b", "y ~ a + b"),
        ("y ~ a*b", "~ . - b:a", "y ~ a + b"),
        ("y ~ a*b", "~ . + c", "y ~ a + b + c + a:b"),
        ("y ~ a*b*c", "~ . - a:b:c", "y ~ a + b + c + a:b + a:c + b:c"),
        ("y ~ a + b + c", "~ .^2 - b:c", "y ~ a + b + c + a:b + a:c"),
        ("y ~ a", "~ . * b", "y ~ a + b + a:b"),
        ("y ~ 0 + x", "~ . + z", "y ~ 0 + x + z"),
        ("y ~ 0 + x", "~ . + 1", "y ~ x"),
        ("y ~ x", "~ . - 1", "y ~ 0 + x"),
        ("y ~ x", "~ 0 + .", "y ~ 0 + x"),
        ("y ~ x", "~ z", "y ~ z"),
        ("y ~ x + offset(e)", "~ . - offset(e) + offset(log(e))", "y ~ x + offset(log(e))"),
        ("y ~ scale(x) + np.log(z)", "~ . - log(z)", "y ~ scale(x)"),
        ("y ~ f(x)", "~ . + I(z^2)", "y ~ f(x) + I(z ** 2)"),
        ("y ~ `my x` + (1|`my g`)", "~ .", "y ~ `my x` + (1 | `my g`)"),
        ("log(y) ~ x", "I(.^2) ~ .", "I(log(y) ** 2) ~ x"),
        ("y + 1 ~ x", "2 * . ~ .", "2 * (y + 1) ~ x"),
    ],
)
def test_update(old, new, expected):
    assert update_formula(old, new) == expected
    assert update_formula(expected, ". ~ .") == expected


def test_the_result_is_a_formula():
    text = update_formula("y ~ scale(x)*C(a, Sum) + (poly(t, 2) || g/h)", "log(.) ~ . - scale(x)")
    spec = parse_formula(text)
    assert spec.fixed.text == "1 + C(a, Sum) + scale_(x):C(a, Sum)"
    assert [t.text for t in spec.random] == [
        "(1 + poly(t, 2) || g)",
        "(1 + poly(t, 2) || g:h)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "marked", "found"),
    [
        ("y ~ x + z", "~ . - q", "q", "terms: x, z"),
        ("y ~ a*b", "~ . - a:c", "a:c", "terms: a, b, a:b"),
        ("y ~ x + (1|g)", "~ . - (x|g)", "(x|g)", r"random terms: \(1 \| g\)"),
        ("y ~ x + (x|g)", "~ . - (x||g)", "(x||g)", r"random terms: \(1 \+ x \| g\)"),
        ("y ~ x", "~ . - (1|g)", "(1|g)", "random terms: none"),
        ("y ~ x", "~ . - offset(z)", "offset(z)", "offsets: none"),
    ],
)
def test_removing_what_is_not_there(old, new, marked, found):
    with pytest.raises(FormulaError, match=found) as caught:
        update_formula(old, new)
    place = caught.value.place
    assert new[place.start : place.stop] == marked


def test_refused():
    with pytest.raises(FormulaError, match="no response"):
        update_formula("~ x", "~ . + z")
    with pytest.raises(FormulaError, match="nested too deeply"):
        update_formula("y ~ x", "~ . + " + "(" * 5000 + "x" + ")" * 5000)
    with pytest.raises(FormulaError, match="string"):
        update_formula("y ~ x", None)
    with pytest.raises(UnsupportedSyntaxError, match="whole terms"):
        update_formula("y ~ x", "~ log(.)")
    with pytest.raises(UnsupportedSyntaxError, match="whole terms"):
        update_formula("y ~ x", "~ (. | g)")
    with pytest.raises(UnsupportedSyntaxError, match="operand"):
        update_formula("y ~ x + (1 | g)", "~ . * z")
