import warnings

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.comparison import compare_estimates
from bayeslmm.comparison.remarks import SKEW
from tests.unit.comparison.fake_posterior import fake_posterior


def remarks(*fits):
    return compare_estimates(*fits).remarks


def test_a_clean_fit_has_none(sleep):
    assert remarks(sleep.reml, sleep.posterior).empty
    assert "Remarks" not in repr(compare_estimates(sleep.reml, sleep.posterior))


def test_a_variance_at_zero(dyestuff2):
    found = remarks(dyestuff2.reml, dyestuff2.posterior)
    row = found[found["reason"] == "zero"].iloc[0]
    assert row["parameter"] == "sd_Batch[Intercept]"
    assert "REML at exactly 0" in row["remark"] and "draws above 0 only" in row["remark"]


def test_a_skewed_sd_is_compared_by_its_mode(sleep):
    skewed = fake_posterior(sleep.model, skew=0.25)
    comparison = compare_estimates(sleep.reml, skewed)
    found = comparison.remarks
    assert set(found["reason"]) == {"skewed"}
    assert set(found["parameter"]) == {"sd_Subject[Intercept]", "sd_Subject[Days]"}
    row = comparison.table.set_index("parameter").loc["sd_Subject[Days]"]
    gap = row["posterior_mean"] - row["posterior_mode"]
    assert gap > SKEW * row["posterior_sd"]
    words = " ".join(found["remark"])
    assert "compares with the mode" in words and "disagree" not in words


def test_a_correlation_on_the_boundary_and_few_levels():
    model = bl.Model("score ~ edu + (edu | classroom)", bl.load_dataset("score_parentedu_byclass"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = remarks(model.fit(), fake_posterior(model))
    edge = found[found["reason"] == "boundary"].iloc[0]
    assert edge["parameter"] == "corr_classroom[Intercept, edu]"
    assert "REML at -1, the edge" in edge["remark"]
    few = found[found["reason"] == "few"]
    assert few["parameter"].tolist() == ["sd_classroom[Intercept]", "sd_classroom[edu]"]
    assert "classroom has 3 levels" in few["remark"].iloc[0]


def test_a_prior_that_moves_the_mode(sleep):
    held = sleep.model.update(priors={"sd_Subject[Days]": bl.HalfNormal(2)})
    found = remarks(sleep.reml, held.fit("MAP"))
    row = found[found["parameter"] == "sd_Subject[Days]"].iloc[0]
    assert row["reason"] == "prior" and "moves the mode from 5.922 (REML)" in row["remark"]


def test_a_prior_that_holds_the_mode_off_zero(dyestuff2):
    held = dyestuff2.model.update(priors={"sd_Batch": bl.Gamma(3, 1)})
    found = remarks(dyestuff2.reml, held.fit("MAP"))
    assert found["reason"].tolist() == ["prior"]
    assert "where REML is at 0" in found["remark"].iloc[0]


def test_a_prior_as_narrow_as_the_posterior(sleep):
    reml = sleep.reml.fe_params["Days"]
    model = sleep.model.update(priors={"beta[Days]": bl.Normal(float(reml), 1.6)})
    found = remarks(sleep.reml, fake_posterior(model))
    row = found[(found["parameter"] == "beta[Days]") & (found["reason"] == "prior")]
    assert len(row) == 1 and "the data add little" in row["remark"].iloc[0]


def test_the_intercepts_prior_is_judged_where_it_stands(sleep):
    # narrow for the response at mean Days, wider than the posterior there
    model = sleep.model.update(priors={"beta[Intercept]": bl.Normal(299, 30)})
    found = remarks(sleep.reml, fake_posterior(model))
    assert not (found["parameter"] == "beta[Intercept]").any()


def test_ml_below_reml(penicillin):
    found = remarks(penicillin.reml, penicillin.ml)
    assert found["parameter"].tolist() == ["sd_sample[Intercept]"]
    assert found["reason"].tolist() == ["ML"]


def test_draws_in_doubt(sleep):
    found = remarks(sleep.reml, fake_posterior(sleep.model, ok=False))
    assert found["reason"].tolist() == ["draws"]


@pytest.mark.parametrize("names", [["a", "b"], ["REML", "posterior"]])
def test_remarks_name_the_fit(dyestuff2, names):
    found = compare_estimates(dyestuff2.reml, dyestuff2.posterior, names=names).remarks
    assert set(found["fit"]) == {names[1]}
    assert found["remark"].iloc[0].startswith(names[0])
    assert np.isnan(
        compare_estimates(dyestuff2.reml).table.set_index("parameter")["REML_se"][
            "sd_Batch[Intercept]"
        ]
    )
