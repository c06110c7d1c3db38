"""Statements about coefficients: the grammar, the tests, the posterior probabilities."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import bayeslmm as bl
from bayeslmm.errors import ArgumentError
from bayeslmm.inference.contrasts import estimate_contrasts
from bayeslmm.inference.hypothesis import parse_statement
from tests.unit.comparison.fake_posterior import fake_posterior


@cache
def model() -> bl.Model:
    data = bl.load_dataset("cake")
    rng = np.random.default_rng(2)
    data = data.assign(**{"two words": rng.normal(size=len(data)), "temp2": data["temp"] / 7.0})
    data["kind"] = pd.Categorical(np.where(rng.random(len(data)) > 0.4, "x - y", "a b"))
    formula = "angle ~ recipe * temp + poly(temp2, 2, raw=True) + kind + `two words`"
    with pytest.warns(UserWarning, match="rank deficient"):
        return bl.Model(f"{formula} + (1 | replicate)", data)


@cache
def fitted() -> Any:
    return model().fit()


NAMES = (
    "Intercept",
    "recipe[B]",
    "recipe[C]",
    "temp",
    "poly(temp2, 2, raw=True)[1]",
    "kind[x - y]",
    "two words",
    "recipe[B]:temp",
    "recipe[C]:temp",
)


def row(**coefficients: float) -> list[float]:
    return [coefficients.get(name, 0.0) for name in model().design.fixed_names]


@pytest.mark.parametrize(
    ("text", "coefficients", "constant", "relation"),
    [
        ("temp > 0", {"temp": 1}, 0, ">"),
        ("0 < temp", {"temp": -1}, 0, "<"),
        ("recipe[B] - recipe[C] = 0", {"recipe[B]": 1, "recipe[C]": -1}, 0, "="),
        ("recipe[B]==recipe[C]", {"recipe[B]": 1, "recipe[C]": -1}, 0, "="),
        ("recipe[B]:temp>=temp", {"recipe[B]:temp": 1, "temp": -1}, 0, ">"),
        ("recipe[ B ] : temp <= 1e-2", {"recipe[B]:temp": 1}, -0.01, "<"),
        ("-2*(temp - 3/4) + temp/2 > .5", {"temp": -1.5}, 1.0, ">"),
        ("2 * 3 * temp * 2 = 12", {"temp": 12}, -12, "="),
        ("--temp - -1 > +1", {"temp": 1}, 0, ">"),
        (
            "(recipe[B] + recipe[C]) / 2 > temp",
            {"recipe[B]": 0.5, "recipe[C]": 0.5, "temp": -1},
            0,
            ">",
        ),
        ("kind[x - y] - 2 > 0", {"kind[x - y]": 1}, -2, ">"),
        ("`two words` > two words * 3", {"two words": -2}, 0, ">"),
        ("poly(temp2,2,raw=True)[1] < 1", {"poly(temp2, 2, raw=True)[1]": 1}, -1, "<"),
        ("`recipe[B]:temp` * (1 - 2) > 3", {"recipe[B]:temp": -1}, -3, ">"),
    ],
)
def test_statements(
    text: str, coefficients: dict[str, float], constant: float, relation: str
) -> None:
    assert set(coefficients) <= set(model().design.fixed_names)
    statement = parse_statement(text, model().design)
    np.testing.assert_allclose(statement.row, row(**coefficients), rtol=1e-15)
    assert statement.constant == pytest.approx(constant, rel=1e-15)
    assert statement.relation == relation


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("recipe[A] > 0", "reference level is zero"),
        ("recip[B] > 0", r"did you mean `recipe\[B\]`"),
        ("temp3 > 0", "`temp3` is not a fixed effect"),
        ("temp * temp > 0", "not linear"),
        ("1 / temp > 0", "only a number that is not zero can divide"),
        ("temp / (2 - 2) > 0", "only a number that is not zero can divide"),
        ("temp", "a comparison, >, < or =, is missing"),
        ("temp > 0 > 1", "one comparison"),
        ("temp > ", "a name or a number is missing"),
        ("(temp > 0", r"`\)` is missing"),
        ("temp > 0)", "one comparison"),
        ("1 > 0", "no coefficient is left"),
        ("temp = temp", "no coefficient is left"),
        ("temp != 0", "a comparison, >, < or =, is missing"),
        ("__import__('os').system('ls') > 0", "`__import__` is not a fixed effect"),
        ("(" * 200 + "temp" + ")" * 200 + " > 0", "nested too deeply"),
        ("-" * 200 + "temp > 0", "nested too deeply"),
        ("", "a name or a number is missing"),
        ("poly(temp2, 2, raw=True)[0] > 0", "other columns determine it"),
    ],
)
def test_refused_statements(text: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        parse_statement(text, model().design)


def test_the_message_points_at_the_place() -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_statement("temp + oops > 0", model().design)
    assert "    temp + oops > 0\n           ^^^^\n" in str(caught.value)


@st.composite
def linear(draw: st.DrawFn, depth: int = 3) -> tuple[str, np.ndarray]:
    """An expression with its coefficients, the constant last."""
    p = len(model().design.fixed_names)
    kind = draw(st.sampled_from(["name", "number", "sum", "product", "minus"])) if depth else "name"
    if kind == "name":
        k = draw(st.integers(0, p - 1))
        return model().design.fixed_names[k], np.eye(p + 1)[k]
    if kind == "number":
        value = draw(st.integers(0, 90)) / 8
        return repr(value), value * np.eye(p + 1)[p]
    text, value = draw(linear(depth - 1))
    if kind == "minus":
        return f"-({text})", -value
    if kind == "sum":
        other, there = draw(linear(depth - 1))
        sign = draw(st.sampled_from(["+", "-"]))
        return f"({text} {sign} {other})", value + there * (1 if sign == "+" else -1)
    factor = draw(st.integers(1, 20)) / 4
    forms = [
        (f"{factor}*({text})", factor),
        (f"({text})*{factor}", factor),
        (f"({text})/{factor}", 1 / factor),
    ]
    form, multiple = draw(st.sampled_from(forms))
    return form, value * multiple


@given(linear(), linear(), st.sampled_from(["<", ">", "="]))
def test_any_expression_is_read_as_it_was_made(
    left: tuple[str, np.ndarray], right: tuple[str, np.ndarray], relation: str
) -> None:
    text = f"{left[0]} {relation} {right[0]}"
    expected = left[1] - right[1]
    if not expected[:-1].any():
        return
    statement = parse_statement(text, model().design)
    np.testing.assert_allclose([*statement.row, statement.constant], expected, atol=1e-12)
    assert statement.relation == relation


def test_point_tests_are_those_of_the_contrast() -> None:
    fit = fitted()
    texts = ["temp > 0.1", "temp < 0.1", "temp = 0.1", "recipe[B] - recipe[C] = 0"]
    table = fit.hypothesis(texts, level=0.9).table
    L = np.array([row(temp=1.0)] * 3 + [row(**{"recipe[B]": 1.0, "recipe[C]": -1.0})])
    c = estimate_contrasts(fit, L)
    estimate = c.estimate - [0.1, 0.1, 0.1, 0.0]
    np.testing.assert_allclose(table["estimate"], estimate, rtol=1e-12)
    np.testing.assert_allclose(table["se"], c.se, rtol=1e-12)
    t = estimate / c.se
    upper = stats.t.sf(t, c.df)
    expected = [
        upper[0],
        1 - upper[1],
        2 * min(upper[2], 1 - upper[2]),
        2 * min(upper[3], 1 - upper[3]),
    ]
    np.testing.assert_allclose(table["p"], expected, rtol=1e-10)
    reach = stats.t.ppf(0.95, c.df) * c.se
    np.testing.assert_allclose(table["upper"], estimate + reach, rtol=1e-10)
    assert table["hypothesis"].tolist() == texts


def test_df_methods_reach_hypotheses() -> None:
    normal = fitted().with_df("normal").hypothesis("temp = 0")
    assert np.isinf(normal.table["df"]).all()
    assert "standard normal" in normal.caption
    fe = fitted().with_df("normal").fe_pvalues["temp"]
    assert normal.table["p"][0] == pytest.approx(fe, rel=1e-10)
    satterthwaite = fitted().hypothesis("temp = 0").table
    assert satterthwaite["p"][0] == pytest.approx(fitted().fe_pvalues["temp"], rel=1e-10)


def test_posterior_probabilities_are_shares_of_draws() -> None:
    post = fake_posterior(
        bl.Model("angle ~ recipe * temp + (1 | replicate)", bl.load_dataset("cake"))
    )
    beta = post.datatree["posterior"]["beta"].to_numpy().reshape(-1, post.design.p)
    names = list(post.design.fixed_names)
    draws = beta[:, names.index("recipe[B]")] - 2 * beta[:, names.index("recipe[C]")] + 1
    result = post.hypothesis(
        ["recipe[B] > 2 * recipe[C] - 1", "recipe[B] + 1 < 2*recipe[C]", "recipe[B] = 0"]
    )
    table = result.table
    above = np.mean(draws > 0)
    assert table["probability"].tolist()[:2] == [above, 1 - above]
    assert table["evidence_ratio"][0] == pytest.approx(above / (1 - above))
    assert np.isnan(table["probability"][2])
    assert table["mean"][0] == pytest.approx(draws.mean())
    assert table["upper"][0] == pytest.approx(np.quantile(draws, 0.975))
    certain = post.hypothesis("temp < 1000").table
    assert np.isinf(certain["evidence_ratio"][0])


def test_wrong_arguments() -> None:
    with pytest.raises(ArgumentError, match="there is no hypothesis"):
        fitted().hypothesis([])
    for text in (5, None, [3], ["temp > 0", None]):
        with pytest.raises(ArgumentError, match="a hypothesis is text"):
            fitted().hypothesis(text)
    with pytest.raises(ArgumentError, match="is not a probability"):
        fitted().hypothesis("temp > 0", level=95)
