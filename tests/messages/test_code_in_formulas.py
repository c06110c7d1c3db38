"""A formula is data: nothing in it runs but listed functions and those handed over."""

import os

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.errors import FormulaError
from tests.messages.bad_input import DATA, model

# Each would leave the canary behind, or read it, if it were evaluated in this module.
ATTEMPTS = [
    "os.system('touch CANARY')",
    "I(os.system('touch CANARY'))",
    "scale(os.system('touch CANARY'))",
    "np.load('CANARY')",
    "np.save('CANARY', load)",
    "load.to_csv('CANARY')",
    "load.__class__.__bases__",
    "load.__class__.__bases__[0]",
    "__import__('os').system('touch CANARY')",
    "eval('touch()')",
    "exec('touch()')",
    "touch()",
    "open('CANARY', 'w')",
    "I(open('CANARY', 'w'))",
    "poly(load, touch())",
    "bs(load, knots=touch())",
    "C(cond, touch())",
    "(lambda: touch())()",
    "[touch() for i in load]",
    "{touch()}",
    "f'{touch()}'",
    "load if touch() else load",
    "offset(touch())",
    "np.log(touch())",
    "np.lib.npyio.load('CANARY')",
    "getattr(os, 'system')('touch CANARY')",
    "DATA.load",
]
PLACES = ["rt ~ {} + (1 | subj)", "rt ~ load + ({} | subj)", "rt ~ load + (1 | {})", "{} ~ load"]


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A file that does not exist, and stays so unless something of a formula runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(globals(), "touch", lambda: (tmp_path / "CANARY").touch())
    return tmp_path / "CANARY"


def test_the_canary_would_sing(canary):
    eval("os.system('touch CANARY')")
    assert canary.exists()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nothing_runs(attempt, place, canary):
    assert os and np
    touch = globals()["touch"]  # within reach of a formula that looked at its caller
    with pytest.raises((FormulaError, KeyError)):
        bl.Model(place.format(attempt), DATA)
    assert not canary.exists()
    assert touch is not None


def test_a_function_handed_over_runs():
    calls = []

    def twice(x):
        calls.append(len(x))
        return 2 * x

    with_function = model("rt ~ twice(load) + (1 | subj)", extra_namespace={"twice": twice})
    assert calls
    assert with_function.design.fixed_names == ("Intercept", "twice(load)")
    np.testing.assert_array_equal(with_function.design.X[:, 1], 2 * DATA["load"])


def test_a_saved_formula_runs_nothing_by_itself(tmp_path):
    fit = model("rt ~ f(load) + (1 | subj)", extra_namespace={"f": np.sqrt}).fit()
    path = fit.save(tmp_path / "fit.nc")
    with pytest.raises(bl.BayeslmmError, match=r"not stored in the file: f\."):
        bl.load(path)
    again = bl.load(path, extra_namespace={"f": np.sqrt})
    np.testing.assert_array_equal(again.predict(DATA), fit.predict(DATA))
