"""Formulas and the structure they stand for."""

import pytest

from bayeslmm.errors import ArgumentError, FormulaError
from bayeslmm.formula import parse_formula


def random_of(text, **options):
    return [term.text for term in parse_formula(text, **options).random]


@pytest.mark.parametrize(
    ("bars", "expected"),
    [
        ("(1|g)", ["(1 | g)"]),
        ("(x|g)", ["(1 + x | g)"]),
        ("(1+x|g)", ["(1 + x | g)"]),
        ("(x+1|g)", ["(1 + x | g)"]),
        ("(0+x|g)", ["(0 + x | g)"]),
        ("(x-1|g)", ["(0 + x | g)"]),
        ("(-1+x|g)", ["(0 + x | g)"]),
        ("(x+0|g)", ["(0 + x | g)"]),
        ("(x||g)", ["(1 + x || g)"]),
        ("(0+x+z||g)", ["(0 + x + z || g)"]),
        ("(1||g)", ["(1 | g)"]),
        ("(1|a/b)", ["(1 | a)", "(1 | a:b)"]),
        ("(x||a/b)", ["(1 + x || a)", "(1 + x || a:b)"]),
        ("(1|a/b/c)", ["(1 | a)", "(1 | a:b)", "(1 | a:b:c)"]),
        ("(1|a/(b/c))", ["(1 | a)", "(1 | a:b)", "(1 | a:b:c)"]),
        ("(1|a:b)", ["(1 | a:b)"]),
        ("(1|b:a)", ["(1 | b:a)"]),
        ("(1|a:b/c)", ["(1 | a:b)", "(1 | a:b:c)"]),
        ("(1|a/b:c)", ["(1 | a)", "(1 | a:b:c)"]),
        ("(1|(a/b))", ["(1 | a)", "(1 | a:b)"]),
        ("(1|g)+(0+x|g)+(0+z|g)", ["(1 | g)", "(0 + x | g)", "(0 + z | g)"]),
        ("(cond|subj)", ["(1 + cond | subj)"]),
        ("(scale(x)|g)", ["(1 + scale(x) | g)"]),
        ("(poly(t,2)|g)", ["(1 + poly(t, 2) | g)"]),
        ("(I(x^2)|g)", ["(1 + I(x ** 2) | g)"]),
        ("(a*b|g)", ["(1 + a + b + a:b | g)"]),
        ("(a*b-a|g)", ["(1 + b + a:b | g)"]),
        ("((1|g))", ["(1 | g)"]),
        ("(((1 + x)) | (g))", ["(1 + x | g)"]),
        ("((1|g) + (1|h))", ["(1 | g)", "(1 | h)"]),
        ("(1\n|\tg)", ["(1 | g)"]),
        ("(class|def)", ["(1 + class | def)"]),
        ("(1|`my group`)", ["(1 | `my group`)"]),
        ("(1|my.group)", ["(1 | my.group)"]),
        ("(1|a:b)+(0+x|b:a)", ["(1 | a:b)", "(0 + x | b:a)"]),
    ],
)
def test_random_terms(bars, expected):
    assert random_of(f"y ~ z + {bars}") == expected
    assert parse_formula(f"y ~ z + {bars}").fixed.text == "1 + z"


def test_a_random_term_in_full():
    text = "y ~ x + (x || `my group`:cask)"
    (term,) = parse_formula(text).random
    assert term.basis.text == "1 + x"
    assert [n.name for n in term.basis.names] == ["x"]
    assert term.factor == "my group:cask"
    assert [c.name for c in term.columns] == ["my group", "cask"]
    assert not term.correlated
    where = [term.place, term.basis.place, *(c.place for c in term.columns)]
    assert [text[p.start : p.stop] for p in where] == [
        "(x || `my group`:cask)",
        "x",
        "`my group`",
        "cask",
    ]


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ("1", "1"),
        ("0", "0"),
        ("(1|g)", "1"),
        ("0 + (1|g)", "0"),
        ("-1 + (1|g)", "0"),
        ("x", "1 + x"),
        ("x - 1", "0 + x"),
        ("x + 0", "0 + x"),
        ("-1 + x", "0 + x"),
        ("0 + x + 1", "1 + x"),
        ("(0 + x)", "0 + x"),
        ("x + x", "1 + x"),
        ("a*b", "1 + a + b + a:b"),
        ("a*b + c", "1 + a + b + c + a:b"),
        ("a*b - a:b", "1 + a + b"),
        ("a*b - b:a", "1 + a + b"),
        ("a*b - (a + b)", "1 + a:b"),
        ("b:a + a:b", "1 + b:a"),
        ("a/b", "1 + a + a:b"),
        ("a/b/c", "1 + a + a:b + a:b:c"),
        ("a/(b+c)", "1 + a + a:b + a:c"),
        ("(a+b)/c", "1 + a + b + a:b:c"),
        ("(a+b+c)^2", "1 + a + b + c + a:b + a:c + b:c"),
        ("(a+b)**2 - a:b", "1 + a + b"),
        ("(a+b)^20", "1 + a + b + a:b"),
        ("a:a", "1 + a"),
        ("x:z:a", "1 + x:z:a"),
        ("I(x^2)", "1 + I(x ** 2)"),
        ("I(x**2):a", "1 + I(x ** 2):a"),
        ("{x + z}", "1 + I(x + z)"),
        ("I((x + z) * a)", "1 + I(paren_(x + z) * a)"),
        ("I(x * (z / a))", "1 + I(x * paren_(z / a))"),
        ("I((x))", "1 + I(x)"),
        ("I(-x^2)", "1 + I(-paren_(x ** 2))"),
        ("I((-x)^2)", "1 + I(paren_(-x) ** 2)"),
        ("I(2^3^x)", "1 + I(2 ** paren_(3 ** x))"),
        ("I(2^-x)", "1 + I(2 ** -x)"),
        ("I(x - (z - a))", "1 + I(x - paren_(z - a))"),
        ("I(1e-3*x + 1e3)", "1 + I(0.001 * x + 1000.0)"),
        ("I(a == 'q')", "1 + I(a == 'q')"),
        ("scale(x)", "1 + scale_(x)"),
        ("scale(x, scale=FALSE)", "1 + scale_(x, scale=False)"),
        ("poly(x, 2L, raw=TRUE)", "1 + poly_(x, 2, raw=True)"),
        ("bs(x, df=4)", "1 + bs_(x, df=4)"),
        ("bs(x, knots=c(1, 2))", "1 + bs_(x, knots=c_(1, 2))"),
        ("bs(x, knots=[1, 2], degree=2)", "1 + bs_(x, knots=c_(1, 2), degree=2)"),
        ("np.log(x) + log(x)", "1 + log(x)"),
        ("numpy.sqrt(x)", "1 + sqrt(x)"),
        ("ceiling(x)", "1 + ceil(x)"),
        ("log(x, 2)", "1 + log(x, 2)"),
        ("C(a, Sum)", "1 + C(a, Sum)"),
        ("C(a, contr.sum)", "1 + C(a, Sum)"),
        ("C(a, contrast=contr.treatment)", "1 + C(a, contrast=Treatment)"),
        ('C(a, Treatment("q"))', "1 + C(a, Treatment('q'))"),
        ("factor(a)", "1 + C(a)"),
        ("`my col` + _x + .x", "1 + `my col` + `_x` + `.x`"),
        ("my.col", "1 + my.col"),
        ("lambda + class", "1 + lambda + class"),
        ("((x)\n +\t (z))", "1 + x + z"),
    ],
)
def test_fixed_part(right, expected):
    assert parse_formula(f"y ~ {right}").fixed.text == expected


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ("y", "y"),
        ("(y)", "y"),
        ("`my y`", "`my y`"),
        ("yield", "yield"),
        ("`sigma`", "sigma"),
        ("log(y)", "log(y)"),
        ("np.log(y)", "log(y)"),
        ("y / n", "I(y / n)"),
        ("-y", "I(-y)"),
        ("100 * y", "I(100 * y)"),
        ("y == 'a'", "I(y == 'a')"),
        ("y['a']", "y['a']"),
        ("y[a]", "y['a']"),
        ("prop(y, n)", "proportion(y, n)"),
        ("p(y, 10)", "proportion(y, 10)"),
        ("binary(y, 'a')", "binary(y, 'a')"),
    ],
)
def test_response(left, expected):
    spec = parse_formula(f"{left} ~ x")
    assert spec.response.text == expected
    assert spec.text[spec.response.place.start : spec.response.place.stop] == left


def test_offsets_leave_the_fixed_part():
    spec = parse_formula("y ~ x + offset(log(e)) + offset(u) + offset(a + b) + (1 | g)")
    assert spec.fixed.text == "1 + x"
    assert [o.text for o in spec.offsets] == ["0 + log(e)", "0 + u", "0 + I(a + b)"]
    assert [[n.name for n in o.names] for o in spec.offsets] == [["e"], ["u"], ["a", "b"]]
    assert [spec.text[o.place.start : o.place.stop] for o in spec.offsets] == [
        "log(e)",
        "u",
        "a + b",
    ]


@pytest.mark.parametrize(
    ("text", "extra", "names"),
    [
        ("y ~ x + x:z + (x | a/b)", (), "y x z a b"),
        ("log(y) ~ bs(x, df=4) + C(a, Sum) + C(b, levels=lv)", (), "y x a b lv"),
        ("y ~ C(b, levels=lv)", ("lv",), "y b"),
        ("y ~ I(x * k) + f(z, k)", ("k", "f"), "y x z"),
        ("y ~ k + I(`k` * x)", ("k",), "y k x"),
        ("y ~ C(Sum) + C(a, contrast=Sum)", (), "y Sum a"),
        ("y ~ x*z - x:z + offset(e)", (), "y x z e"),
        ("y ~ x + z - z", (), "y x"),
    ],
)
def test_names(text, extra, names):
    found = parse_formula(text, extra_names=extra).names
    assert [n.name for n in found] == names.split()
    for name in found:
        assert text[name.place.start : name.place.stop].strip("`") == name.name


def test_extra_functions_and_constants_get_names_of_their_own():
    spec = parse_formula("f(y) ~ f(x, k=3) + I(x * k) + scale(x)", extra_names={"f", "k", "scale"})
    assert spec.response.text == "extra__f(y)"
    assert spec.fixed.text == ("1 + extra__f(x, k=3) + I(x * extra__k) + extra__scale(x)")


def test_groups_append_random_intercepts():
    spec = parse_formula("y ~ x + (x | g)\n", groups=["a", "my class"])
    assert spec.text == "y ~ x + (x | g) + (1 | a) + (1 | `my class`)"
    assert [t.text for t in spec.random] == ["(1 + x | g)", "(1 | a)", "(1 | `my class`)"]
    place = spec.random[1].place
    assert spec.text[place.start : place.stop] == "(1 | a)"


def test_groups_as_one_string_or_none():
    assert parse_formula("y ~ x", groups="ab").random[0].factor == "ab"
    assert parse_formula("y ~ x", groups=[]).random == ()
    assert parse_formula("y ~ x").text == "y ~ x"


def test_groups_do_not_hide_a_bar_without_parentheses():
    with pytest.raises(FormulaError, match="needs parentheses"):
        parse_formula("y ~ 1 | g", groups="a")


@pytest.mark.parametrize("groups", [[1], [""], ["a`b"], [None]])
def test_groups_must_be_names(groups):
    with pytest.raises(ArgumentError, match="groups="):
        parse_formula("y ~ x", groups=groups)


def test_long_formulas_are_read():
    names = [f"x{i}" for i in range(3000)]
    assert parse_formula("y ~ " + " + ".join(names)).fixed.text == " + ".join(["1", *names])


@pytest.mark.parametrize(
    "text", ["y ~ " + "(" * 5000 + "x" + ")" * 5000, "y ~ " + "-" * 5000 + "1"]
)
def test_deep_nesting_is_an_error_in_words(text):
    with pytest.raises(FormulaError, match="nested too deeply"):
        parse_formula(text)


def test_expansion_is_bounded():
    product = " * ".join(f"x{i}" for i in range(16))
    with pytest.raises(FormulaError, match="more than 2000 terms"):
        parse_formula(f"y ~ {product}")


def test_what_was_read_before_depends_on_the_extra_names():
    constant = parse_formula("y ~ I(x * k)", extra_names=["k"])
    column = parse_formula("y ~ I(x * k)")
    assert [n.name for n in constant.names] == ["y", "x"]
    assert [n.name for n in column.names] == ["y", "x", "k"]
    assert parse_formula("y ~ I(x * k)", extra_names=["k"]) == constant
