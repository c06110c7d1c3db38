import warnings

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.comparison import compare_models
from bayeslmm.errors import ArgumentError
from tests.unit.comparison.fake_posterior import fake_posterior


@pytest.fixture(scope="module")
def plain(sleep):
    return sleep.model.update("~ . - (Days | Subject) + (1 | Subject)")


def test_criteria_and_differences(sleep, plain):
    fits = {"plain": plain.fit(), "slopes": sleep.reml}
    table = compare_models(fits).table.set_index("model")
    assert table.index.tolist() == ["slopes", "plain"]
    for name, fit in fits.items():
        row = table.loc[name]
        assert (row["llf"], row["aic"], row["bic"]) == (fit.llf, fit.aic, fit.bic)
        assert (row["npar"], row["method"]) == (fit.n_params, "REML")
    assert table.loc["plain", "delta_aic"] == pytest.approx(fits["plain"].aic - sleep.reml.aic)
    assert table.loc["slopes", "delta_bic"] == 0.0


def test_fits_may_be_given_one_by_one(sleep, plain):
    fits = {"slopes": sleep.reml, "plain": plain.fit()}
    want = compare_models(fits).table
    named = compare_models(*fits.values(), names=list(fits)).table
    pd.testing.assert_frame_equal(named, want)
    assert set(compare_models(*fits.values()).table["model"]) == {
        sleep.model.formula.text,
        plain.formula.text,
    }
    with pytest.raises(ArgumentError, match="two fits or more"):
        compare_models(sleep.reml)
    with pytest.raises(ArgumentError, match="'Model' is not a fit"):
        compare_models(sleep.reml, sleep.model)


def test_posteriors_without_log_likelihood_are_refused_in_words(sleep, plain):
    bare = fake_posterior(sleep.model)
    del bare.datatree["log_likelihood"]
    with pytest.raises(ArgumentError, match="was stored for slopes") as caught:
        compare_models({"slopes": bare, "plain": fake_posterior(plain, seed=2)})
    assert caught.value.fix == (
        'post.datatree["log_likelihood"] = post.log_likelihood()["log_likelihood"] computes it'
    )


def test_posteriors_by_loo(sleep, plain):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = compare_models({"slopes": sleep.posterior, "plain": fake_posterior(plain, seed=2)})
    assert set(found.table.index) == {"slopes", "plain"}
    assert {"elpd", "weight", "dse"} <= set(found.table.columns)
    assert found.table["weight"].sum() == pytest.approx(1.0)
    assert "PSIS-LOO" in repr(found) and "between levels only" in repr(found).replace("\n", " ")


def test_refusals_say_what_to_do(sleep, plain, penicillin):
    no_days = sleep.model.update("Reaction ~ 1 + (Days | Subject)")
    cases = [
        ({"a": sleep.reml, "b": no_days.fit()}, "refit by ML"),
        ({"a": sleep.reml, "b": plain.fit("ML")}, "refit all by ML"),
        ({"a": sleep.map, "b": plain.fit()}, "LOO"),
        ({"a": sleep.reml, "b": sleep.posterior}, "sample every model"),
        ({"a": sleep.reml, "b": penicillin.reml}, "same rows"),
        ({"a": sleep.reml}, "compare_models"),
        ([sleep.reml, sleep.ml], "refit all by ML"),
    ]
    for models, fix in cases:
        with pytest.raises(ArgumentError) as caught:
            compare_models(models)
        assert fix in caught.value.message, caught.value.message


def test_reml_needs_the_same_columns_not_only_the_same_names(sleep):
    data = bl.load_dataset("sleepstudy")
    data["Days"] = np.sqrt(data["Days"])
    with pytest.raises(ArgumentError, match="other contrasts"):
        compare_models({"days": sleep.reml, "roots": sleep.model.update(data=data).fit()})


def test_ml_may_differ_in_fixed_effects(sleep):
    no_days = sleep.model.update("Reaction ~ 1 + (Days | Subject)")
    table = compare_models({"with": sleep.ml, "without": no_days.fit("ML")}).table
    assert table["model"].tolist() == ["with", "without"]
    assert "<table" in compare_models({"a": sleep.ml, "b": no_days.fit("ML")})._repr_html_()
