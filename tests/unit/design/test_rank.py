"""Random columns no data can tell apart are refused; all others pass."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.errors import DataError

N, J = 96, 12


def table():
    rng = np.random.default_rng(5)
    g, x = np.repeat(np.arange(J), N // J), np.tile(np.arange(N / J), J)
    return {
        "y": rng.normal(size=J)[g] + 0.5 * x + rng.normal(size=N),
        "x": x,
        "g": g,
        "k": np.full(N, 3.0),
        "zero": np.zeros(N),
        "twice": 2 * x,
        "later": x + 1,
        "seconds": 1.6e9 + x,
        "level2": rng.normal(size=J)[g],
        "sex": np.array(["f", "m"])[g % 2],
        "cond": np.array(list("abc"))[np.arange(N) % 3],
        "w": np.where(np.arange(N) < 48, 0.0, 1.0),
        "late": np.where(np.arange(N) < 48, x, 1.0),
    }


REFUSED = {
    "(1 + k | g)": "k",
    "(k | g)": "k",
    "(1 + k || g)": "k",
    "(x + twice | g)": "twice",
    "(x + later | g)": "later",
    "(0 + x + twice | g)": "twice",
    "(x + twice || g)": "twice",
    "(1 | g) + (0 + k | g)": "k",
    "(x | g) + (0 + twice | g)": "twice",
    "(0 + zero | g)": "zero",
    "(zero || g)": "zero",
}
ACCEPTED = [
    "(0 + k | g)",
    "(0 + x + later | g)",
    "(x + later || g)",
    "(level2 | g)",
    "(level2 || g)",
    "(sex | g)",
    "(0 + cond | g)",
    "(cond | g)",
    "(1 | g) + (0 + cond | g)",
    "(1 + seconds | g)",
    "(poly(x, 2) | g)",
    "(1 | cond) + (x | g)",
]


@pytest.mark.parametrize("term", REFUSED)
def test_refused(term):
    with pytest.raises(DataError, match=r"cannot be told apart|do nothing") as caught:
        bl.Model(f"y ~ x + {term}", table())
    place = caught.value.place
    assert place.text[place.start : place.stop] == REFUSED[term]


@pytest.mark.parametrize("term", ACCEPTED)
def test_accepted(term):
    assert bl.Model(f"y ~ x + {term}", table()).design.q > 0


def test_the_fix_is_a_formula_that_works():
    data = table()
    for term in REFUSED:
        with pytest.raises(DataError) as caught:
            bl.Model(f"y ~ x + {term}", data)
        fix = caught.value.fix
        if "leave it out: " in fix:
            bl.Model(f"y ~ x + {fix.partition(': ')[2]}", data)


def test_only_rows_of_positive_weight_count():
    data = table()
    bl.Model("y ~ x + (late | g)", data)
    with pytest.raises(DataError, match="`late` in"):
        bl.Model("y ~ x + (late | g)", data, weights="w")
