"""The tokenizer: what it reads, where each token stands, what it refuses."""

import pytest

from bayeslmm.errors import FormulaError
from bayeslmm.formula.tokens import tokenize


def read(text):
    return [(t.kind, t.text) for t in tokenize(text)[:-1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y", [("name", "y")]),
        ("größe.2_x", [("name", "größe.2_x")]),
        ("e\u0301te", [("name", "e\u0301te")]),
        (".x _y", [("name", ".x"), ("name", "_y")]),
        ("`my col`", [("quoted", "my col")]),
        (
            "1 2.5 .5 5. 1e-3 2.5E+2 2L",
            [("number", n) for n in ("1", "2.5", ".5", "5.", "1e-3", "2.5E+2", "2")],
        ),
        ("'a b' \"c\"", [("string", "a b"), ("string", "c")]),
        (
            "a||b|c",
            [("name", "a"), ("operator", "||"), ("name", "b"), ("operator", "|"), ("name", "c")],
        ),
        ("%in% %", [("operator", "%in%"), ("operator", "%")]),
        ("a\u00a0\t\n b", [("name", "a"), ("name", "b")]),
    ],
)
def test_tokens(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize("text", ["~+-*/:^,", "** || == != <= >= < > = | %", "([{}])"])
def test_operators(text):
    spaced = text.split() if " " in text else list(text)
    assert read(text) == [("operator", operator) for operator in spaced]


def test_places_cover_exactly_the_token():
    text = "log(y) ~ `a b` + 'q' * 1e-3 || x2"
    for token in tokenize(text)[:-1]:
        source = text[token.place.start : token.place.stop]
        assert source.strip("`'") == token.text
        assert token.place.text is text


def test_end_stands_behind_the_text():
    end = tokenize("y ~ x ")[-1]
    assert (end.kind, end.place.start, end.place.stop) == ("end", 6, 6)


@pytest.mark.parametrize(
    ("text", "marked", "words"),
    [
        ("y ~ 'abc", "'abc", "quote"),
        ("y ~ `abc", "`abc", "backtick"),
        ("y ~ `` ", "``", "no name"),
        ('y ~ C(x, "it\'s")', '"it\'s"', "quotes"),
        ("y ~ (x", "(", "never closed"),
        ("y ~ ((x)", "(", "never closed"),
        ("y ~ x)", ")", "closes nothing"),
        ("y ~ (x]", "]", "`)` is expected"),
        ("y ~ d$x", "$", "character $"),
        ("y ~ a & b", "&", "character &"),
        ("y ~ x \u2212 1", "\u2212", "minus"),
        ("y ~ x\x00", "\x00", "U+0000"),
    ],
)
def test_refused(text, marked, words):
    with pytest.raises(FormulaError) as caught:
        tokenize(text)
    place = caught.value.place
    assert text[place.start : place.stop] == marked
    assert words in str(caught.value)
