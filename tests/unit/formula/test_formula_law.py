"""Any formula of the grammar, however spaced and parenthesised, keeps its meaning."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bayeslmm.errors import BayeslmmError
from bayeslmm.formula import parse_formula, update_formula

NAMES = ["x", "z", "u", "class", "größe", "my.x"]
FACTORS = ["g", "h", "k", "yield"]

spaces = st.sampled_from(["", " ", "  ", "\n", "\t "])


@st.composite
def wrapped(draw, text):
    """Add parentheses and whitespace that mean nothing."""
    for _ in range(draw(st.integers(0, 2))):
        text = f"({draw(spaces)}{text}{draw(spaces)})"
    return f"{draw(spaces)}{text}{draw(spaces)}"


@st.composite
def atoms(draw):
    name = draw(st.sampled_from(NAMES))
    kinds = ["{0}", "log({0})", "scale({0})", "I({0}^2)", "poly({0}, 2)", "`{0}`"]
    shape = draw(st.sampled_from(kinds))
    canonical = {"scale({0})": "scale_({0})", "I({0}^2)": "I({0} ** 2)"}.get(shape, shape)
    canonical = {"poly({0}, 2)": "poly_({0}, 2)", "`{0}`": "{0}"}.get(shape, canonical)
    return shape.format(name), canonical.format(name)


@st.composite
def sums(draw):
    """A sum of atoms with an intercept written in one of many ways."""
    items = draw(st.lists(atoms(), min_size=1, max_size=3))
    intercept = draw(st.booleans())
    before = {True: ["", "1 +"], False: ["0+", "-1 +", "0 +"]}[intercept]
    pieces = [draw(wrapped(written)) for written, _ in items]
    text = draw(st.sampled_from(before)) + "+".join(pieces)
    if not intercept and draw(st.booleans()):
        text = "+".join(pieces) + draw(st.sampled_from(["-1", "+ 0", "- 1"]))
    terms = list(dict.fromkeys(canonical for _, canonical in items))
    return text, " + ".join(["1" if intercept else "0", *terms])


@st.composite
def bars(draw, factors):
    basis, canonical = draw(st.one_of(st.just(("1", "1")), sums()))
    bar = draw(st.sampled_from(["|", "||"]))
    joint = draw(st.sampled_from([":", "/"])) if len(factors) > 1 else ""
    written = joint.join(draw(wrapped(f)) for f in factors)
    text = f"({draw(wrapped(basis))}{bar}{draw(wrapped(written))})"
    correlated = bar == "|" or canonical == "1"
    names = [":".join(factors[: i + 1]) for i in range(len(factors))]
    names = names if joint == "/" else names[-1:]
    return draw(wrapped(text)), [(canonical, name, correlated) for name in names]


@st.composite
def formulas(draw):
    fixed, canonical = draw(sums())
    order = draw(st.permutations(FACTORS))
    cut = draw(st.sampled_from([[], [1], [2], [1, 1], [2, 1], [1, 2, 1]]))
    pieces, expected, at = [fixed], [], 0
    for size in cut:
        text, terms = draw(bars(order[at : at + size]))
        at += size
        pieces.append(text)
        expected += terms
    space = draw(spaces)
    return f"y{space}~{'+'.join(pieces)}", canonical, expected


@settings(max_examples=150, deadline=None)
@given(formulas())
def test_parse_is_the_structure(case):
    text, fixed, random = case
    spec = parse_formula(text)
    assert spec.fixed.text == fixed
    assert [(t.basis.text, t.factor, t.correlated) for t in spec.random] == random
    for name in spec.names:
        assert text[name.place.start : name.place.stop].strip("`") == name.name


@settings(max_examples=60, deadline=None)
@given(formulas())
def test_an_update_that_changes_nothing(case):
    text, fixed, random = case
    spec = parse_formula(update_formula(text, ". ~ ."))
    assert spec.fixed.text == fixed
    assert [(t.basis.text, t.factor, t.correlated) for t in spec.random] == random


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="xyg01 ~+-*/:^|()[]{}`'.,=<%\n_\\e", max_size=25))
def test_any_text_is_a_formula_or_an_error_in_words(text):
    try:
        parse_formula(text)
    except BayeslmmError as error:
        assert error.message
        if error.place is not None:
            assert 0 <= error.place.start <= error.place.stop <= len(error.place.text)
