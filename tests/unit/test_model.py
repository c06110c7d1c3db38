"""`Model`: what it prints and what it passes on."""

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError

DATA = pd.DataFrame(
    {
        "y": np.sin(np.arange(20.0) ** 2) + 3 * np.cos(np.arange(20) % 5),
        "x": np.arange(20.0),
        "g": np.arange(20) % 5,
    }
)


def test_it_says_what_it_is():
    model = bl.Model("y ~ x + (1 | g)", DATA)
    assert repr(model) == (
        "bayeslmm.Model: y ~ x + (1 | g)\n"
        "  family gaussian (identity); 20 rows; 2 fixed columns; 5 random effects (g 5)\n"
        "  .fit() point estimates   .sample() posterior   .priors   .describe()"
    )


@pytest.mark.parametrize(("given", "used"), [(None, "REML"), ("reml", "REML"), ("Ml", "ML")])
def test_methods(given, used):
    assert bl.Model("y ~ x + (1 | g)", DATA).fit(given).method == used


def test_one_call_is_model_and_fit():
    weights = np.linspace(1, 2, 20)
    one = bl.fit("y ~ x", DATA, method="ML", groups="g", weights=weights)
    two = bl.Model("y ~ x", DATA, groups="g", weights=weights).fit("ML")
    np.testing.assert_array_equal(one.fe_params, two.fe_params)
    assert one.formula == two.formula == "y ~ x + (1 | g)"
    with pytest.raises(ArgumentError, match="has no argument 'optimiser'"):
        bl.fit("y ~ x", DATA, optimiser="bobyqa")


def test_data_are_not_changed():
    before = DATA.copy(deep=True)
    bl.Model("y ~ scale(x) + (1 | g)", DATA, weights=np.ones(20), offset="x").fit("ML")
    pd.testing.assert_frame_equal(DATA, before)


def test_a_model_keeps_what_it_was_given(tmp_path):
    data = DATA.copy()
    model = bl.Model("y ~ x + (1 | g)", data)
    first = model.fit()
    data["y"] = 0.0
    again = model.fit()
    np.testing.assert_array_equal(again.fe_params, first.fe_params)
    loaded = bl.load(again.save(tmp_path / "fit.nc"))
    np.testing.assert_array_equal(loaded.resid, first.resid)
    np.testing.assert_array_equal(model.update("~ .").fit().fe_params, first.fe_params)


def test_arguments_of_other_families():
    model = bl.Model("k ~ x + (1 | g)", DATA.assign(k=DATA["g"]), family="poisson")
    assert model.design.family.name == "poisson"
    with pytest.raises(ArgumentError, match=r"poisson \(log\)"):
        model.fit()


def test_a_fit_keeps_the_data_it_was_made_of():
    table = bl.load_dataset("Dyestuff").copy()
    before, w = table.copy(), np.ones(len(table))
    fit = bl.Model("Yield ~ 1 + (1 | Batch)", table, weights=w).fit()
    w[:] = 2.0
    table.loc[0, "Yield"] = -1.0
    table["Batch"] = "A"
    kept = fit.definition.data
    np.testing.assert_array_equal(kept["Yield"], before["Yield"])
    np.testing.assert_array_equal(kept["Batch"], before["Batch"])
    np.testing.assert_array_equal(kept[fit.definition.weights], 1.0)
