"""The allow-list as data, and the way back from internal names."""

import numpy as np
import pytest
from formulae.scanner import Scanner
from formulae.transforms import TRANSFORMS

from bayeslmm.errors import ArgumentError
from bayeslmm.formula import allowed
from bayeslmm.formula.allowed import display, find_function, formula_namespace, quote


def test_every_function_is_supplied_or_known_to_formulae():
    known = {*TRANSFORMS, "Treatment", "Sum"}
    for name, function in allowed.ALLOWED.items():
        assert (function.supplied is None) == (function.known_as in known), name


def test_the_numpy_names_are_the_elementwise_ones():
    elementwise = {"log", "log2", "log10", "log1p", "exp", "expm1", "sqrt", "abs", "square"}
    assert elementwise | {"sin", "cos", "tan"} == allowed.NUMPY_SAFE
    assert find_function("np.log") is find_function("numpy.log") is find_function("log")
    for name in ("np.floor", "np.load", "np.exp.at", "numpy.linalg.inv", "pd.log", "np.scale"):
        assert find_function(name) is None


def test_namespace_holds_what_canonical_text_may_call():
    namespace = formula_namespace({"f": len, "k": 3})
    assert namespace["extra__f"] is len
    assert namespace["extra__k"] == 3
    assert "f" not in namespace
    for function in allowed.ALLOWED.values():
        assert (function.supplied is None) == (function.known_as not in namespace)


def test_numpy_functions_cannot_write_into_a_column():
    with pytest.raises(TypeError):
        formula_namespace()["exp"](np.ones(2), np.zeros(2))


@pytest.mark.parametrize("extra", [{"a.b": 1}, {"__f__": 1}, {3: 1}, {"a b": 1}])
def test_namespace_refuses_names(extra):
    with pytest.raises(ArgumentError, match="extra_namespace"):
        formula_namespace(extra)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("scale_(x)", "scale(x)"),
        ("scale_(x):poly_(t, 2)[0]", "scale(x):poly(t, 2)[0]"),
        ("bs_(x, knots=c_(1, 2))", "bs(x, knots=c(1, 2))"),
        ("I(paren_(a + b) * c)", "I((a + b) * c)"),
        ("extra__f(x, extra__k)", "f(x, k)"),
        ("scale_", "scale_"),
        ("myscale_(x)", "myscale_(x)"),
        ("extra__scale(x)", "scale(x)"),
        ("C(a, Sum)[q]", "C(a, Sum)[q]"),
    ],
)
def test_display(label, expected):
    assert display(label) == expected


@pytest.mark.parametrize("name", ["x", "größe", "a.b", "yield", "x_1"])
def test_plain_names_are_scanned_by_formulae(name):
    assert quote(name) == name
    assert [t.kind for t in Scanner(name).scan(add_intercept=False)] == ["IDENTIFIER", "EOF"]


@pytest.mark.parametrize("name", ["_x", ".x", "my col", "2x", "True", "None", "e\u0301", "a-b"])
def test_other_names_are_quoted(name):
    assert quote(name) == f"`{name}`"
    assert [t.kind for t in Scanner(quote(name)).scan(add_intercept=False)] == ["BQNAME", "EOF"]
