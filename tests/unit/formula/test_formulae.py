"""Canonical text is given to formulae and must mean there what it means here."""

import numpy as np
import pandas as pd
import pytest
from formulae import design_matrices
from formulae.environment import Environment

from bayeslmm.formula import parse_formula
from bayeslmm.formula.allowed import display, formula_namespace

EXTRA = {"cube": lambda x: x**3, "k": 2.0, "lv": ["r", "q", "s"], "scale": lambda x: x * 10}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    n = 24
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.uniform(0.5, 4, size=n),
            "z": rng.uniform(0.5, 4, size=n),
            "a": np.resize(["q", "r", "s"], n),
            "b": np.repeat(["u", "v"], n // 2),
            "s": rng.integers(0, 5, size=n),
            "n": 5,
            "my x": rng.normal(size=n),
            "_u": rng.normal(size=n),
            "class": rng.normal(size=n),
            "my.x": rng.normal(size=n),
            "w": np.resize(["yes", "no"], n),
        }
    )


def fixed(right, data, extra=None):
    spec = parse_formula(f"y ~ {right}", extra_names=extra or ())
    environment = Environment([formula_namespace(extra)])
    matrix = design_matrices(spec.fixed.text, data, env=environment).common
    values = np.asarray(matrix.design_matrix, dtype=float)
    return values.reshape(len(data), -1), matrix


@pytest.mark.parametrize(
    ("right", "columns"),
    [
        ("x", lambda d: [d.x]),
        ("0 + x", lambda d: [d.x]),
        ("x + z + x:z", lambda d: [d.x, d.z, d.x * d.z]),
        ("z:x - 1", lambda d: [d.x * d.z]),
        ("x*z - z:x", lambda d: [d.x, d.z]),
        ("I(x^2)", lambda d: [d.x**2]),
        ("I(-x^2)", lambda d: [-(d.x**2)]),
        ("I((-x)^2)", lambda d: [d.x**2]),
        ("I(2^3^x)", lambda d: [2 ** (3**d.x)]),
        ("I(x^-2)", lambda d: [d.x**-2]),
        ("I(x - (z - 1))", lambda d: [d.x - (d.z - 1)]),
        ("I(x / (z * 2))", lambda d: [d.x / (d.z * 2)]),
        ("I(x / z * 2)", lambda d: [d.x / d.z * 2]),
        ("I((x + z) * x) + I(x + z * x)", lambda d: [(d.x + d.z) * d.x, d.x + d.z * d.x]),
        ("I(1e-3 * x + 2.50)", lambda d: [0.001 * d.x + 2.5]),
        ("{x + z}", lambda d: [d.x + d.z]),
        ("I(a == 'q')", lambda d: [d.a == "q"]),
        ("I((x > 2) * z)", lambda d: [(d.x > 2) * d.z]),
        ("log(x)", lambda d: [np.log(d.x)]),
        ("log(x, 2)", lambda d: [np.log2(d.x)]),
        ("log(x, base=10)", lambda d: [np.log10(d.x)]),
        ("np.sqrt(x):z", lambda d: [np.sqrt(d.x) * d.z]),
        ("round(x, 1) + floor(z)", lambda d: [d.x.round(1), np.floor(d.z)]),
        ("scale(x)", lambda d: [(d.x - d.x.mean()) / d.x.std()]),
        ("scale(x):z", lambda d: [(d.x - d.x.mean()) / d.x.std() * d.z]),
        ("scale(log(x))", lambda d: [np.log(d.x).transform(lambda v: (v - v.mean()) / v.std())]),
        ("center(x)", lambda d: [d.x - d.x.mean()]),
        ("`my x` + _u + class + my.x", lambda d: [d["my x"], d["_u"], d["class"], d["my.x"]]),
        ("I(`my x` * `_u`)", lambda d: [d["my x"] * d["_u"]]),
        ("poly(x, 2, raw=TRUE)", lambda d: [d.x, d.x**2]),
        ("a", lambda d: [d.a == "r", d.a == "s"]),
        ("factor(s == 1)", lambda d: [d.s == 1]),
        ("C(a, Treatment('s'))", lambda d: [d.a == "q", d.a == "r"]),
        ("C(a, contr.sum)", lambda d: [1.0 * (d.a == v) - (d.a == "s") for v in "qr"]),
        ("C(a, levels=['s', 'q', 'r'])", lambda d: [d.a == "q", d.a == "r"]),
        ("T(a, 'r')", lambda d: [d.a == "q", d.a == "s"]),
        ("a:x - 1", lambda d: [d.x * (d.a == v) for v in "qrs"]),
    ],
)
def test_values(right, columns, data):
    got, _ = fixed(right, data)
    expected = np.column_stack([np.asarray(c, dtype=float) for c in columns(data)])
    if parse_formula(f"y ~ {right}").fixed.text.startswith("1"):
        expected = np.column_stack([np.ones(len(data)), expected])
    np.testing.assert_allclose(got, expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("right", "rank"),
    [
        ("a*b", 6),
        ("0 + a*b", 6),
        ("a:b", 6),
        ("a:b + a", 6),
        ("(a + b + x)^2", 10),
        ("a*b*x - a:b:x", 10),
        ("a/b", 6),
        ("poly(x, 3)*a", 12),
        ("bs(x, df=4):b + b", 10),
        ("bs(x, df=4, degree=2) + S(a)", 7),
        ("scale(x)*C(a, Sum)", 6),
        ("binary(w, 'yes')", 2),
    ],
)
def test_ranks(right, rank, data):
    got, _ = fixed(right, data)
    assert got.shape[1] == rank
    assert np.linalg.matrix_rank(got) == rank


def test_extra_names_win_over_ours_and_over_formulae_s(data):
    got, matrix = fixed("cube(x) + I(x * k) + scale(x) + C(a, levels=lv)", data, EXTRA)
    expected = [np.ones(24), data.x**3, data.x * 2, data.x * 10, data.a == "q", data.a == "s"]
    np.testing.assert_allclose(got, np.column_stack(expected))
    labels = [display(name) for name in matrix.terms]
    assert labels[1:] == ["cube(x)", "I(x * k)", "scale(x)", "C(a, levels=lv)"]


def test_new_data_reuse_what_was_learnt(data):
    _, matrix = fixed("scale(x) + poly(z, 2) + bs(x, df=4) + center(z) + a", data)
    whole = np.asarray(matrix.design_matrix)
    part = np.asarray(matrix.evaluate_new_data(data.iloc[3:9]).design_matrix)
    np.testing.assert_allclose(part, whole[3:9], rtol=0, atol=1e-13)


def test_labels_are_what_was_written(data):
    _, matrix = fixed("I((x + z) * x) + scale(x):a + poly(x, 2)", data)
    assert [display(name) for name in matrix.terms] == [
        "Intercept",
        "I((x + z) * x)",
        "poly(x, 2)",
        "scale(x):a",
    ]


@pytest.mark.parametrize(
    ("left", "value"),
    [
        ("y", lambda d: d.y),
        ("log(x)", lambda d: np.log(d.x)),
        ("x / z", lambda d: d.x / d.z),
        ("-x^2", lambda d: -(d.x**2)),
        ("`my x`", lambda d: d["my x"]),
        ("a == 'q'", lambda d: d.a == "q"),
        ("w['yes']", lambda d: d.w == "yes"),
        ("binary(w, 'yes')", lambda d: d.w == "yes"),
        ("proportion(s, n)", lambda d: d[["s", "n"]]),
        ("prop(s, 5)", lambda d: d[["s", "n"]]),
    ],
)
def test_responses(left, value, data):
    spec = parse_formula(f"{left} ~ z")
    text = f"{spec.response.text} ~ {spec.fixed.text}"
    found = design_matrices(text, data, env=Environment([formula_namespace()])).response
    expected = np.asarray(value(data), dtype=float)
    np.testing.assert_allclose(np.asarray(found.design_matrix, dtype=float), expected)


def test_offsets_are_single_columns(data):
    for offset in parse_formula("y ~ offset(log(x)) + offset(z) + offset(x + z)").offsets:
        environment = Environment([formula_namespace()])
        matrix = np.asarray(
            design_matrices(offset.text, data, env=environment).common.design_matrix
        )
        assert matrix.reshape(24, -1).shape[1] == 1


def test_nothing_of_the_caller_is_seen(data):
    secret = data.x  # noqa: F841 - there to be looked for
    with pytest.raises(KeyError):
        fixed("I(secret)", data)
