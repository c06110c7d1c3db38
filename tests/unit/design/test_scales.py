"""Notes on columns that make a correct fit hard to read: rare, and with a cure that works."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl

EXAMPLES = [
    ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    ("angle ~ recipe * temp + (1 | recipe:replicate)", "cake"),
    ("strength ~ 1 + (1 | batch/cask)", "Pastes"),
    ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin"),
    ("Yield ~ 1 + (1 | Batch)", "Dyestuff"),
    ("Yield ~ 1 + (1 | Batch)", "Dyestuff2"),
]


def notes(formula, data, **options):
    words = bl.Model(formula, data, **options).describe().notes
    return [n for n in words if "SD of" in n]


def table():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 6)
    x, income = rng.normal(size=48), rng.normal(4e4, 9e4, size=48)
    y = 2 * x + 3e-5 * income + rng.normal(size=8)[g] + rng.normal(size=48)
    return pd.DataFrame(
        {"y": y, "x": x, "income": income, "year": 2000 + np.arange(48) % 6, "g": g}
    )


@pytest.mark.parametrize(("formula", "name"), EXAMPLES)
def test_examples_are_readable(formula, name):
    assert notes(formula, bl.load_dataset(name)) == []


def test_orders_of_magnitude_are_named_with_their_cure():
    (note,) = notes("y ~ x + income + (1 | g)", table())
    assert note.startswith("the SD of `income` is ") and "that of `x` " in note
    assert notes("y ~ x + scale(income) + (1 | g)", table()) == []
    thousands = table().assign(income=lambda d: d.income / 1000)
    assert notes("y ~ x + income + (1 | g)", thousands) == []


def test_the_estimates_are_right_anyway():
    far, near = (bl.fit(f"y ~ x + {c} + (1 | g)", table()) for c in ("income", "I(income / 1e6)"))
    np.testing.assert_allclose(far.fe_params.iloc[:2], near.fe_params.iloc[:2], rtol=1e-9)
    assert far.fe_params.iloc[2] * 1e6 == pytest.approx(near.fe_params.iloc[2], rel=1e-9)
    assert far.llf == pytest.approx(near.llf - np.log(1e6), abs=1e-7)


def test_slopes_far_from_zero_are_named_with_their_cure():
    (note,) = notes("y ~ year + (year | g)", table())
    assert "`year` is around 2002 with an SD of 1.71" in note and "center(year)" in note
    assert notes("y ~ center(year) + (center(year) | g)", table()) == []
    assert notes("y ~ year + (year || g)", table()) == []  # no correlation to be misread
    assert notes("y ~ year + (1 | g)", table()) == []


def test_rows_of_weight_zero_do_not_count():
    data = pd.concat([table(), table().iloc[:1].assign(x=1e9)], ignore_index=True)
    w = np.append(np.ones(48), 0.0)
    assert notes("y ~ x + (1 | g)", data, weights=w) == []
    assert len(notes("y ~ x + c + (1 | g)", data.assign(c=data.x.lt(0) * 1.0))) == 1


def test_a_fit_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error", bl.DataWarning)
        bl.Model("y ~ x + income + (1 | g)", table()).fit()
