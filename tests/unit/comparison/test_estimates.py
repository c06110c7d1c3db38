import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import bayeslmm as bl
from bayeslmm.comparison import compare_estimates
from bayeslmm.comparison.parameters import point_values
from bayeslmm.errors import ArgumentError
from bayeslmm.results.posterior import parameter_draws
from tests.unit.comparison.fake_posterior import fake_posterior

PARAMETERS = [
    "beta[Intercept]",
    "beta[Days]",
    "sd_Subject[Intercept]",
    "sd_Subject[Days]",
    "corr_Subject[Intercept, Days]",
    "sigma",
]


@pytest.fixture(scope="module")
def both(sleep):
    return compare_estimates(sleep.reml, sleep.posterior)


def test_columns_are_the_statistics_of_each_fit(both):
    point = ["REML_estimate", "REML_se"]
    draws = [f"posterior_{k}" for k in ("mode", "median", "mean", "sd", "lower", "upper")]
    assert list(both.table.columns) == ["parameter", "kind", *point, *draws]
    assert both.table["parameter"].tolist() == PARAMETERS
    assert both.table["kind"].tolist() == ["fixed", "fixed", "sd", "sd", "corr", "residual"]


def test_point_columns_are_those_of_the_fit(both, sleep):
    table = both.table.set_index("parameter")
    fixed, variance = sleep.reml.to_frame("fixed"), sleep.reml.varcorr.set_index("parameter")
    assert_allclose(table["REML_estimate"].iloc[:2], fixed["estimate"])
    assert_allclose(table["REML_se"].iloc[:2], fixed["se"])
    for name in PARAMETERS[2:]:
        kind = "corr" if name.startswith("corr") else "sd"
        assert table.loc[name, "REML_estimate"] == pytest.approx(variance.loc[name, kind])
        assert table.loc[name, "REML_se"] == pytest.approx(variance.loc[name, f"{kind}_se"])


def test_posterior_columns_are_those_of_the_draws(both, sleep):
    table = both.table.set_index("parameter")
    draws = parameter_draws(sleep.model.design, sleep.posterior.datatree)
    for name in PARAMETERS:
        x, row = draws[name], table.loc[name]
        assert row["posterior_mean"] == pytest.approx(x.mean())
        assert row["posterior_sd"] == pytest.approx(x.std(ddof=1))
        assert_allclose(
            row[["posterior_lower", "posterior_median", "posterior_upper"]].to_numpy(float),
            np.quantile(x, [0.025, 0.5, 0.975]),
        )


def test_the_mode_is_the_map_estimate_of_the_same_priors(both, sleep):
    mode = both.table.set_index("parameter")["posterior_mode"]
    assert_allclose(mode, point_values(sleep.map)["estimate"])


def test_level_moves_the_interval_and_is_said(sleep):
    half = compare_estimates(sleep.posterior, level=0.5)
    sigma = parameter_draws(sleep.model.design, sleep.posterior.datatree)["sigma"]
    assert half.table["posterior_lower"].iloc[-1] == pytest.approx(np.quantile(sigma, 0.25))
    assert "50 % equal-tailed credible interval" in half.caption
    assert "75 %" in repr(half)


def test_long_holds_the_same_numbers(both):
    assert list(both.long.columns) == ["parameter", "kind", "fit", "method", "statistic", "value"]
    assert len(both.long) == len(PARAMETERS) * 8
    one = both.long.query("parameter == 'sigma' and fit == 'REML' and statistic == 'estimate'")
    assert one["value"].item() == both.table["REML_estimate"].iloc[-1]


def test_icc_and_its_standard_error(penicillin):
    table = compare_estimates(penicillin.reml, penicillin.posterior).table.set_index("parameter")
    e = penicillin.reml.estimate
    total = np.sum(e.variance_values**2)
    assert table.loc["icc[plate]", "REML_estimate"] == pytest.approx(
        penicillin.reml.variance_components["plate"] / total
    )
    cov, step = penicillin.reml.variance_cov.to_numpy(), 1e-6

    def icc(sds):
        return sds[0] ** 2 / np.sum(sds**2)

    values = e.variance_values
    gradient = [
        (icc(values + step * unit) - icc(values - step * unit)) / (2 * step) for unit in np.eye(3)
    ]
    assert table.loc["icc[plate]", "REML_se"] == pytest.approx(
        np.sqrt(gradient @ cov @ gradient), rel=1e-6
    )
    draws = parameter_draws(penicillin.model.design, penicillin.posterior.datatree)
    v = {k: draws[k] ** 2 for k in ("sd_plate[Intercept]", "sd_sample[Intercept]", "sigma")}
    assert table.loc["icc[plate]", "posterior_mean"] == pytest.approx(
        np.mean(v["sd_plate[Intercept]"] / sum(v.values()))
    )


def test_random_slopes_have_no_icc_and_the_table_says_so(both):
    assert not both.table["parameter"].str.startswith("icc").any()
    assert "No ICC: with random slopes" in both.caption


def test_point_fits_alone(sleep):
    table = compare_estimates(sleep.reml, sleep.ml, sleep.map).table
    assert [c for c in table if c.endswith("estimate")] == [
        "REML_estimate",
        "ML_estimate",
        "MAP_estimate",
    ]


def test_repeated_methods_are_numbered_and_names_can_be_given(sleep):
    assert compare_estimates(sleep.reml, sleep.reml).names == ("REML 1", "REML 2")
    assert compare_estimates(sleep.reml, sleep.ml, names=["a", "b"]).names == ("a", "b")
    with pytest.raises(ArgumentError, match="one name a fit"):
        compare_estimates(sleep.reml, sleep.ml, names=["a", "a"])


def test_fits_may_come_in_a_list_or_by_name(sleep):
    fits = [sleep.reml, sleep.posterior]
    want = compare_estimates(*fits).table
    for given in (fits, tuple(fits), {"REML": sleep.reml, "posterior": sleep.posterior}):
        pd.testing.assert_frame_equal(compare_estimates(given).table, want)
    assert compare_estimates({"a": sleep.reml, "b": sleep.ml}).names == ("a", "b")
    assert compare_estimates(fits, names=["a", "b"]).names == ("a", "b")
    with pytest.raises(ArgumentError, match="nothing to compare"):
        compare_estimates([])


def test_random_effects_side_by_side_with_their_spread(sleep):
    effects = compare_estimates(sleep.reml, sleep.posterior, level=0.8).random_effects()
    point = ["REML_estimate", "REML_se"]
    draws = [f"posterior_{k}" for k in ("mean", "sd", "lower", "upper")]
    assert list(effects.columns) == ["factor", "level", "term", *point, *draws]
    days = effects[effects["term"] == "Days"]
    levels = sleep.reml.random_effects["Subject"].index
    assert days["level"].astype(str).tolist() == levels.astype(str).tolist()
    b = sleep.posterior.datatree["posterior"]["b_Subject"].sel(Subject_term="Days").to_numpy()
    b = b.reshape(-1, len(days))
    for column, want in {
        "REML_estimate": sleep.reml.random_effects["Subject"]["Days"],
        "REML_se": sleep.reml.random_effects_se["Subject"]["Days"],
        "posterior_mean": b.mean(axis=0),
        "posterior_sd": b.std(axis=0, ddof=1),
        "posterior_lower": np.quantile(b, 0.1, axis=0),
        "posterior_upper": np.quantile(b, 0.9, axis=0),
    }.items():
        assert_allclose(days[column], want, rtol=1e-12)


def test_a_model_without_factors_has_no_random_effects():
    model = bl.Model("Reaction ~ Days", bl.load_dataset("sleepstudy"))
    effects = compare_estimates(model.fit(), fake_posterior(model)).random_effects()
    assert effects.empty
    assert {"REML_estimate", "posterior_lower"} <= set(effects.columns)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"formula": "Reaction ~ 1 + (Days | Subject)"}, "fixed effects Intercept, Days"),
        ({"formula": "Reaction ~ Days + (Days || Subject)"}, "random terms differ"),
        ({"formula": "log(Reaction) ~ Days + (Days | Subject)"}, "response"),
        ({"data": bl.load_dataset("sleepstudy").iloc[:-1]}, "180 and 179 rows"),
        ({"offset": np.ones(180)}, "offset differ"),
    ],
)
def test_other_models_are_refused_in_words(sleep, change, words):
    other = sleep.model.update(change.pop("formula", ". ~ ."), **change)
    with pytest.raises(ArgumentError, match=words):
        compare_estimates(sleep.reml, other.fit())


def test_what_is_not_a_fit_is_refused(sleep):
    with pytest.raises(ArgumentError, match="is not a fit"):
        compare_estimates(sleep.model)
    with pytest.raises(ArgumentError, match="nothing to compare"):
        compare_estimates()
    with pytest.raises(ArgumentError, match="level=") as caught:
        compare_estimates(sleep.reml, level=95)
    assert caught.value.fix == "level=0.95 gives 95 % intervals"


def test_no_mode_where_none_is_computed(sleep):
    model = sleep.model.update(priors={"beta[Days]": bl.StudentT(3, 0, 50)})
    table = compare_estimates(fake_posterior(model))
    assert table.table["posterior_mode"].isna().all()
    assert "no mode: it needs Normal or Flat priors" in table.caption


def test_text_and_html_say_kind_and_level(both):
    text, page = repr(both), both._repr_html_()
    for words in ("95 % equal-tailed credible interval", "joint mode", "standard error"):
        assert words in text.replace("\n", " ")
        assert words in page
    assert len(max(text.splitlines(), key=len)) <= 100
    assert "corr_Subject[Intercept, Days]" in page and "<script" not in page
