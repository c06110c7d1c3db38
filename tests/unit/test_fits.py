"""What fits answer in corners: zero weights, frozen records, index of arguments, trials."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import (
    ArgumentError,
    DataWarning,
    FitError,
    MissingDataWarning,
    SingularFitWarning,
)

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return bl.load_dataset("sleepstudy")


def test_rows_of_weight_zero_count_nowhere(data: pd.DataFrame) -> None:
    weights = np.ones(len(data))
    weights[::10] = 0.0
    zero = bl.fit(FORMULA, data, weights=weights)
    dropped = bl.fit(FORMULA, data[weights > 0])
    for name in ("llf", "aic", "bic"):
        assert getattr(zero, name) == pytest.approx(getattr(dropped, name), abs=1e-8)
    assert zero.df_resid == dropped.df_resid
    full = bl.fit(FORMULA, data)
    with pytest.raises(ArgumentError, match="weights are zero in different rows"):
        bl.compare_models({"full": full, "zero": zero})


def test_the_record_cannot_be_changed(data: pd.DataFrame) -> None:
    fit = bl.fit(FORMULA, data)
    with pytest.raises(ValueError, match="read-only"):
        fit.fe_cov[0, 0] = 99.0
    before = fit.fe_params["Days"]
    params = fit.fe_params
    params["Days"] = 0.0
    assert fit.fe_params["Days"] == before


def test_a_series_goes_by_its_index(data: pd.DataFrame) -> None:
    weights = pd.Series(1.0 + np.arange(len(data)) % 3, index=data.index)
    shuffled = data.sample(frac=1.0, random_state=1)
    ours = bl.fit(FORMULA, shuffled, weights=weights)
    straight = bl.fit(FORMULA, data, weights=weights.to_numpy())
    assert ours.llf == pytest.approx(straight.llf, abs=1e-9)
    with pytest.raises(ArgumentError, match="index is not that of the data"):
        bl.fit(FORMULA, data, weights=weights.set_axis(weights.index + 1000))


def test_a_series_in_another_order_is_saved_in_that_of_the_rows(
    data: pd.DataFrame, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    weights = pd.Series(rng.uniform(0.2, 3, len(data)), data.index).sample(frac=1, random_state=1)
    offset = pd.Series(rng.normal(size=len(data)), data.index).sample(frac=1, random_state=2)
    fit = bl.Model(FORMULA, data, weights=weights, offset=offset).fit()
    fit.save(tmp_path / "fit")
    again = bl.load(tmp_path / "fit")
    np.testing.assert_array_equal(again.design.weights, weights.sort_index())
    np.testing.assert_array_equal(again.design.offset, offset.sort_index())


def test_numbers_that_can_be_read_once_are_refused_in_words(data: pd.DataFrame) -> None:
    with pytest.raises(ArgumentError, match="has 1 value"):
        bl.Model(FORMULA, data, weights=(1.0 for _ in range(len(data))))  # type: ignore[arg-type]


def test_a_predictor_called_intercept_is_refused(data: pd.DataFrame) -> None:
    with pytest.raises(ArgumentError, match="cannot be called `Intercept`"):
        bl.Model("Reaction ~ Intercept + (1 | Subject)", data.rename(columns={"Days": "Intercept"}))


def test_binomial_residuals_are_counts() -> None:
    model = bl.Model(
        "proportion(incidence, size) ~ period + (1 | herd)",
        bl.load_dataset("cbpp"),
        family="binomial",
    )
    post = model.sample(draws=500, tune=500, chains=4, random_seed=1, progressbar=False)
    trials = model.design.trials
    assert trials is not None
    probability = post.predict(bl.load_dataset("cbpp"))
    np.testing.assert_allclose(post.fittedvalues, trials * probability, rtol=1e-12)
    assert abs(post.resid.mean()) < 0.2


def test_independent_columns_of_a_factor_are_announced() -> None:
    with pytest.warns(DataWarning, match="lme4 would keep the columns of a factor correlated"):
        bl.Model("angle ~ 1 + (recipe || replicate)", bl.load_dataset("cake"))


def test_a_far_predictor_widens_the_default_prior(data: pd.DataFrame) -> None:
    """The intercepts at year zero spread 2,000 years' worth of slopes more than those in 2014."""
    near = bl.Model(FORMULA, data).priors.sd["Subject"]
    far = bl.Model(
        "Reaction ~ year + (year | Subject)", data.assign(year=data["Days"] + 2010)
    ).priors.sd["Subject"]
    assert near[1] == far[1]
    spread = data["Days"].std(ddof=1)
    ratio = np.hypot(1, 2014.5 / spread) / np.hypot(1, 4.5 / spread)
    assert far[0].sigma / near[0].sigma == pytest.approx(ratio, rel=0.01)


def test_an_end_of_a_prior_and_a_singular_fit_are_both_announced() -> None:
    priors = {"sd_Subject[Intercept]": bl.Uniform(0, 3)}
    model = bl.Model(
        "Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"), priors=priors
    )
    end, perfect = (
        r"is 3, where its prior .* ends",
        r"correlation of `Intercept` and `Days`.* is \+1",
    )
    with pytest.warns(DataWarning, match=end), pytest.warns(SingularFitWarning, match=perfect):
        fit = model.fit("MAP")
    assert fit.status is bl.FitStatus.AT_END and fit.singular
    with pytest.raises(FitError, match=f"(?s){end}.*{perfect}"):
        model.fit("MAP", strict=True)


@pytest.mark.parametrize("policy", ["exclude", "drop"])
def test_responses_may_be_given_for_the_whole_table(policy: str) -> None:
    gaps = bl.load_dataset("sleepstudy")
    gaps.loc[[3, 50], "Days"] = np.nan
    with pytest.warns(MissingDataWarning):
        fit = bl.fit("Reaction ~ Days + (Days | Subject)", gaps, na_action=policy)
    used = fit.design.rows.kept
    drawn = fit.simulate(4, random_seed=1)
    whole = drawn if policy == "exclude" else np.full((180, 4), np.nan)
    if policy == "drop":
        whole[used] = drawn
    many = fit.refit(whole)
    pd.testing.assert_frame_equal(many.fe_params, fit.refit(whole[used]).fe_params)
    pd.testing.assert_frame_equal(many.variances, fit.refit(whole[used]).variances)
    one = fit.refit(whole[:, 0])
    assert one.llf == pytest.approx(fit.refit(whole[used, 0]).llf, rel=1e-12)
    assert one.nobs == 178
    whole[0, 0] = np.nan
    with pytest.raises(ArgumentError, match="missing or infinite"):
        fit.refit(whole)
    with pytest.raises(ArgumentError, match="178 rows of the 180 of the table"):
        fit.refit(whole[:179])


def test_fits_and_models_go_to_other_processes():
    data = bl.load_dataset("sleepstudy")
    model = bl.Model("Reaction ~ log(Days + 1) + (1 | Subject)", data)
    fit = model.fit()
    there = pickle.loads(pickle.dumps(fit))
    assert str(there) == str(fit)
    np.testing.assert_array_equal(there.predict(data), fit.predict(data))
    again = pickle.loads(pickle.dumps(model)).fit()
    np.testing.assert_array_equal(again.fe_params, fit.fe_params)
