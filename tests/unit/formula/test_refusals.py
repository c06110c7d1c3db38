"""What is refused: the class of the error, the place it marks, what it says."""

import pytest

from bayeslmm.errors import (
    ArgumentError,
    FormulaError,
    UnsafeFormulaError,
    UnsupportedSyntaxError,
)
from bayeslmm.formula import parse_formula

SYNTAX = [
    ("y ~ (|g)", "|", "nothing stands before"),
    ("y ~ (1|)", "|", "no grouping factor"),
    ("y ~ (1||)", "||", "no grouping factor"),
    ("y ~ (x + |g)", "|", "expected before"),
    ("y ~ (x | z | )", "|", "no grouping factor"),
    ("y ~ (1|1)", "1", "is a number, not a grouping factor"),
    ("y ~ (1|a:a)", "a:a", "stands twice"),
    ("y ~ ((1|g)|h)", "(1|g)", "inside another"),
    ("y ~ x + (0|g)", "0", "nothing varies"),
    ("y ~ (1-1|g)", "1-1", "nothing varies"),
    ("y ~ (1|g)+(1|g)", "(1|g)", "stands twice"),
    ("y ~ (1|a/b)+(1|a)", "(1|a)", "stands twice"),
    ("y ~ (1|a:b)+(1|b:a)", "(1|b:a)", "stands twice"),
    ("y ~ (1|g)+(1+x|g)", "(1+x|g)", "the intercept of `g` stands in two"),
    ("y ~ (1|g)+(x||g)", "(x||g)", "the intercept of `g` stands in two"),
    ("y ~ (x|g)+(0+x|g)", "(0+x|g)", "the slope of `x` of `g`"),
    ("y ~ (a:b|g)+(0+b:a|g)", "(0+b:a|g)", "the slope of `a:b` of `g`"),
    ("y ~ x +", "+", r"missing after `\+`"),
    ("y ~ * x", "*", "expected before `*`"),
    ("y ~ x z", "z", "operator is missing"),
    ("y ~ 2x", "x", "operator is missing"),
    ("y ~ (x).y()", ".y", "operator is missing"),
    ("y ~", "~", "nothing stands to the right"),
    ("~ x", "~", "no response"),
    ("y + x", "y + x", "no `~`"),
    ("y = x ~ z", "=", "outside the arguments"),
    ("1 ~ x", "1", "is not a response"),
    ("'y' ~ x", "'y'", "is not a response"),
    (". ~ x", ".", "is not a response"),
    ("offset(y) ~ x", "offset(y)", "cannot be the response"),
    ("y ~ ()", "()", "nothing stands in these"),
    ("y ~ f(,)", ",", "expected before"),
    ("y ~ 2", "2", "number 2 is not a term"),
    ("y ~ 2*x", "2", "number 2 is not a term"),
    ("y ~ 1:x", "1", "0 and 1 cannot be operands"),
    ("y ~ (1 + x):z", "(1 + x)", "0 and 1 cannot be operands"),
    ("y ~ x > 2", ">", "compares"),
    ("y ~ I(1 < x < 2)", "<", "chained"),
    ("y ~ TRUE", "TRUE", "is not a term"),
    ("y ~ 'x'", "'x'", "is not a term"),
    ("y ~ x^2", "x^2", "would be `x` alone"),
    ("y ~ (a + b)^x", "x", "whole number"),
    ("y ~ (a + b)^0", "0", "whole number"),
    ("y ~ a*b - a:c", "a:c", "cannot be removed"),
    ("y ~ x - offset(z)", "offset(z)", "cannot be removed"),
    ("y ~ offset(2)", "2", "an offset is a column"),
    ("y ~ poly(x, deg=2)", "deg=2", "`poly` has no `deg`"),
    ("y ~ poly(x, 2, degree=2)", "degree=2", "gets `degree` twice"),
    ("y ~ poly(x=x, 2)", "2", "without a name come first"),
    ("y ~ exp(x, z)", "exp(x, z)", "too many arguments"),
    ("y ~ scale()", "scale()", "too few arguments"),
    ("y ~ c(a=1)", "c(a=1)", "have no names"),
    ("proportion(y) ~ x", "proportion(y)", "too few arguments"),
    ("proportion(y + z, n) ~ x", "y + z", "takes columns"),
    ("proportion(y, a + b) ~ x", "a + b", "takes columns"),
]

UNSUPPORTED = [
    ("y ~ x + 1|g", "|", "needs parentheses"),
    ("y ~ x | g", "|", "needs parentheses"),
    ("y ~ (x|ID|g)", "|ID|", "has one bar"),
    ("y ~ x - (1|g)", "(1|g)", "cannot be subtracted"),
    ("y ~ x - ((1|g))", "(1|g)", "cannot be subtracted"),
    ("y ~ (1|g):x", "(1|g)", "operand of `:`"),
    ("y ~ x*(1|g)", "(1|g)", "operand of `*`"),
    ("y ~ (x + (1|g))^2", "(1|g)", r"operand of `\*\*`"),
    ("y ~ log((1|g))", "|", "inside a function"),
    ("y ~ log(x || g)", "||", "inside a function"),
    ("y ~ (1|a*b)", "*", r"joined by `:` or `/`, not by `\*`"),
    ("y ~ (1|a+b)", "a+b", "not added"),
    ("y ~ (1|log(a))", "log(a)", "a column, not a function"),
    ("y ~ (1|factor(a))", "factor(a)", "make a column first"),
    ("y ~ (1|(a/b):c)", "(a/b):c", "cannot stand inside `:`"),
    ("y ~ (1|'g')", "'g'", "a grouping factor is a column"),
    ("y ~ (1|.)", ".", "a grouping factor is a column"),
    ("y ~ b %in% a", "%in%", "nesting is written with `/`"),
    ("y ~ I(x %% 2)", "%%", "make a column"),
    ("y ~ x ~ z", "~", "one `~`"),
    ("y ~ I(~x)", "~", "one `~`"),
    ("bf(y ~ x)", "~", "cannot stand in parentheses"),
    ("y ~ .", ".", "no meaning"),
    ("sigma ~ x", "sigma", "distributional"),
    ("zi ~ x", "zi", "in backticks"),
    ("y | weights(w) ~ x", "weights(w)", 'weights="w"'),
    ("y | trials(n) ~ x", "trials(n)", r"proportion\(y, n\)"),
    ("y | se(s) ~ x", "se(s)", "precision weights"),
    ("y | cens(s) ~ x", "cens(s)", "no bar"),
    ("y | g ~ x", "|", "no bar"),
    ("mvbind(a, b) ~ x", "mvbind(a, b)", "one response"),
    ("cbind(s, f) ~ x", "cbind(s, f)", r"proportion\(s, n\)"),
    ("y ~ x + mm(a, b)", "mm(a, b)", "multiple membership"),
    ("y ~ (1|mm(a,b))", "mm(a,b)", "multiple membership"),
    ("y ~ (1|gr(g, by=z))", "gr(g, by=z)", "named without it"),
    ("y ~ s(x)", "s(x)", r"bs\(x, df=4\)"),
    ("y ~ t2(x, z)", "t2(x, z)", "smooths"),
    ("y ~ mo(x)", "mo(x)", "monotonic"),
    ("y ~ me(x, s)", "me(x, s)", "measurement error"),
    ("y ~ ar(t)", "ar(t)", "autocorrelation"),
    ("y ~ diag(x|g)", "diag(x|g)", r"\(x \|\| g\)"),
    ("y ~ us(x|g)", "us(x|g)", r"\(x \| g\)"),
    ("y ~ cs(x|g)", "cs(x|g)", "compound-symmetry"),
    ("y ~ ar1(x|g)", "ar1(x|g)", "autoregressive"),
    ("y ~ offset(x):z", "offset(x)", "an offset cannot be an operand"),
    ("y ~ (offset(x)|g)", "offset(x)", "cannot vary by group"),
    ("y ~ log(offset(x))", "offset(x)", "term of its own"),
    ("y ~ proportion(x, n)", "proportion(x, n)", "is a response"),
    ("log(p(x, n)) ~ x", "p(x, n)", "is a response"),
    ("y ~ x['a']", "x['a']", "from the response only"),
    ("y ~ I(x['a'])", "x['a']", "outside of functions"),
    ("y ~ I(a:b)", ":", "inside a function"),
    ("y ~ (x)[a]", "[a", "brackets"),
]

UNSAFE = [
    ("y ~ x + os.system('rm -rf')", "os.system"),
    ("y ~ np.load('x')", "np.load"),
    ("y ~ np.log.reduce(x)", "np.log.reduce"),
    ("y ~ pd.io.x()", "pd.io.x"),
    ("y ~ f(x)", "f"),
    ("f(y) ~ x", "f"),
    ("y ~ {f(x)}", "f"),
    ("y ~ I(log(f(x)))", "f"),
    ("y ~ (f(x) | g)", "f"),
    ("y ~ (1 | f(g))", "f"),
    ("y ~ offset(f(x))", "f"),
    ("y ~ eval('1')", "eval"),
    ("y ~ __import__('os')", "__import__"),
    ("y ~ x.__class__", "x.__class__"),
    ("y ~ __builtins__", "__builtins__"),
    ("y ~ (f)(x)", "(f)("),
    ("y ~ f(x)(z)", "f(x)("),
    ("y ~ 'os'(x)", "'os'("),
]


def check(text, kind, marked, words=None, **options):
    with pytest.raises(kind, match=words) as caught:
        parse_formula(text, **options)
    assert type(caught.value) is kind
    place = caught.value.place
    assert place.text[place.start : place.stop] == marked


@pytest.mark.parametrize(("text", "marked", "words"), SYNTAX, ids=str)
def test_syntax(text, marked, words):
    check(text, FormulaError, marked, words)


@pytest.mark.parametrize(("text", "marked", "words"), UNSUPPORTED, ids=str)
def test_unsupported(text, marked, words):
    check(text, UnsupportedSyntaxError, marked, words)


@pytest.mark.parametrize(("text", "marked"), UNSAFE, ids=str)
def test_unsafe(text, marked):
    check(text, UnsafeFormulaError, marked)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty(text):
    with pytest.raises(FormulaError, match="empty"):
        parse_formula(text)


@pytest.mark.parametrize("text", [None, 3, b"y ~ x", ["y ~ x"]])
def test_not_a_string(text):
    with pytest.raises(FormulaError, match="not a string"):
        parse_formula(text)


def test_a_group_that_already_stands():
    check("y ~ (1|a)", FormulaError, "(1 | a)", "stands twice", groups=["a"])
    check("y ~ x", FormulaError, "(1 | a)", "stands twice", groups=["a", "a"])
    check("y ~ (x|a)", FormulaError, "(1 | a)", "the intercept", groups=["a"])


@pytest.mark.parametrize("name", ["np.log", "__f__", "a b", "", 3])
def test_extra_names_must_be_plain(name):
    with pytest.raises(ArgumentError, match="extra_namespace"):
        parse_formula("y ~ x", extra_names=[name])


def test_extra_names_open_what_is_closed():
    for name in ("f", "s", "mm", "cbind", "load"):
        spec = parse_formula(f"y ~ {name}(x)", extra_names={name})
        assert spec.fixed.text == f"1 + extra__{name}(x)"


def test_a_dotted_call_stays_closed_whatever_is_handed_over():
    check("y ~ np.load(x)", UnsafeFormulaError, "np.load", extra_names={"np", "load"})


def test_unsafe_says_what_may_be_called_and_how_to_hand_over():
    with pytest.raises(UnsafeFormulaError) as caught:
        parse_formula("y ~ scal(x)", extra_names={"mine"})
    message = str(caught.value)
    assert "did you mean `scale`?" in message
    assert 'extra_namespace={"scal": scal}' in message
    assert "mine" in message
    assert "poly" in message
