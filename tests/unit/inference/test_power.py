"""Power: each p-value is the user's, and the shares are those of closed forms."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayeslmm as bl
from bayeslmm.inference.power import _lrt, _wald
from bayeslmm.plots import plot_power


def paired(J=12, seed=3):
    """Two conditions of J subjects whose SD is ten times the residual's: never singular."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(J), 2)
    y = 10.0 * rng.normal(size=J)[subject] + rng.normal(size=2 * J)
    return pd.DataFrame({"y": y, "late": np.tile([0.0, 1.0], J), "subject": subject})


@pytest.fixture(scope="module")
def sleep():
    return bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def pairs():
    return bl.fit("y ~ late + (1 | subject)", paired())


# -- each test is the one that its name says --------------------------------------------------


@pytest.mark.parametrize("df_method", ["satterthwaite", "kenward-roger", "normal"])
def test_p_values_are_those_of_the_refit(sleep, df_method):
    fit = sleep.with_df(df_method)
    Y = fit.simulate(4, random_seed=1)
    ours = _wald(df_method, fit.design, fit.estimate, [1], Y).p
    theirs = [fit.refit(y).fe_pvalues["Days"] for y in Y.T]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_p_values_of_pairs_are_those_of_the_paired_t_test(pairs):
    Y = pairs.simulate(20, random_seed=2)
    found = _wald("satterthwaite", pairs.design, pairs.estimate, [1], Y)
    exact = [stats.ttest_rel(y[1::2], y[::2]).pvalue for y in Y.T]
    np.testing.assert_allclose(found.p, exact, rtol=1e-5)
    assert found.singular == 0


def test_joint_p_values_are_those_of_anova():
    fit = bl.fit("angle ~ recipe + temp + (1 | recipe:replicate)", bl.load_dataset("cake"))
    Y = fit.simulate(3, random_seed=3)
    ours = _wald("satterthwaite", fit.design, fit.estimate, [1, 2], Y).p
    theirs = [fit.refit(y).anova().table.set_index("term")["p"]["recipe"] for y in Y.T]
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)


def test_likelihood_ratios_are_those_of_anova(sleep):
    data = bl.load_dataset("sleepstudy")
    Y = sleep.simulate(3, random_seed=4)
    ours = _lrt(sleep.design, sleep.estimate, [1], Y).p
    for p, y in zip(ours, Y.T, strict=True):
        small, large = (
            bl.Model(f"y ~ {x} + (Days | Subject)", data.assign(y=y)).fit("ML")
            for x in ("1", "Days")
        )
        statistic = 2.0 * (large.llf - small.llf)
        assert p == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-7)


# -- shares against closed forms, at four Monte Carlo errors ----------------------------------


def near_share(found, exact, n):
    assert abs(found - exact) < 4.0 * np.sqrt(exact * (1.0 - exact) / n)


def test_power_of_paired_t_tests(pairs):
    n, J, sizes = 600, 12, [0.0, 0.8, 1.5]
    found = bl.power(pairs, "late", sizes, n_sim=n, random_seed=1, progressbar=False).table
    cut = stats.t.ppf(0.975, J - 1)
    for row in found.itertuples():
        shift = row.size / (pairs.sigma * np.sqrt(2.0 / J))
        exact = stats.nct.sf(cut, J - 1, shift) + stats.nct.cdf(-cut, J - 1, shift)
        near_share(row.power, exact if row.size else 0.05, n)
        assert row.failed == 0 and row.singular == 0.0


def test_power_of_a_one_way_layout_with_more_groups_of_subjects():
    """Three treatments of whole subjects: noncentral F with 2 and J - 3 df, J extended."""
    rng, J, m, n = np.random.default_rng(5), 9, 4, 400
    subject = np.repeat(np.arange(J), m)
    data = pd.DataFrame({"subject": subject, "dose": np.array(list("abc"))[subject % 3]})
    data["y"] = 2.0 * rng.normal(size=J)[subject] + rng.normal(size=J * m)
    fit = bl.fit("y ~ dose + (1 | subject)", data)
    value, sd2 = [2.0, 3.0], fit.variance_components["subject"] + fit.scale / m
    found = bl.power(fit, "dose", {"subject": [9, 18]}, n, 0.05, 2, progressbar=False, value=value)
    means = np.array([0.0, *value])
    for row in found.table.itertuples():
        shift = row.size / 3 * np.sum((means - means.mean()) ** 2) / sd2
        cut = stats.f.ppf(0.95, 2, row.size - 3)
        near_share(row.power, stats.ncf.sf(cut, 2, row.size - 3, shift), n)
    assert found.along == "subject" and found.effect == ("dose[b]", "dose[c]")


def test_figures_of_the_documentation_are_near_their_closed_forms():
    found = json.loads((Path(__file__).parents[3] / "docs/power/power.json").read_text())
    for rows, n in ((found["pairs"], found["n_sim"]), (found["curve"], found["n_sim"] // 5)):
        for row in rows:
            if row["singular"] < 0.01:  # the closed form knows of no boundary
                near_share(row["power"], row["exact"], n)


# -- sizes ------------------------------------------------------------------------------------


def test_extended_levels_copy_rows_in_turn_and_fewer_are_the_first(sleep):
    from bayeslmm.inference.power_sizes import power_settings

    along, (few, many) = power_settings(
        sleep.design, sleep.estimate, [1], {"Subject": [5, 40]}, 3.0
    )
    assert along == "Subject" and few.estimate.beta[1] == 3.0
    assert (few.design.n, many.design.n) == (50, 400)
    np.testing.assert_array_equal(few.design.X, sleep.design.X[:50])
    np.testing.assert_array_equal(many.design.factors[0].codes, np.repeat(np.arange(40), 10))
    np.testing.assert_array_equal(many.design.X[180:360], sleep.design.X)
    np.testing.assert_array_equal(many.design.X[360:], sleep.design.X[:40])


def test_the_same_seed_gives_the_same_table_and_a_model_is_fitted(sleep):
    model = bl.Model("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    one, other = (
        bl.power(m, "Days", [3.0], 60, random_seed=9, progressbar=p).table
        for m, p in ((sleep, False), (model, True))
    )
    pd.testing.assert_frame_equal(one, other)
    assert list(one) == ["size", "power", "lower", "upper", "n_sim", "singular", "failed"]


def test_the_table_is_the_same_for_any_number_of_cores(pairs):
    arguments = ("late", [0.0, 1.0], 120)
    tables = [
        bl.power(pairs, *arguments, random_seed=5, test=test, progressbar=p, cores=cores).table
        for test in ("wald", "lrt")
        for cores, p in ((1, False), (2, True), (None, False))
    ]
    for one, *others in (tables[:3], tables[3:]):
        for other in others:
            pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert not tables[0]["power"].equals(tables[3]["power"])


def test_by_default_the_size_is_the_estimate_and_the_interval_is_exact(pairs):
    row = bl.power(pairs, "late", n_sim=40, random_seed=1, progressbar=False).table.iloc[0]
    assert row["size"] == pairs.fe_params["late"]
    k, n = row["power"] * 40, 40  # Clopper and Pearson by quantiles of the beta distribution
    assert row["lower"] == pytest.approx(stats.beta.ppf(0.025, k, n - k + 1) if k else 0.0)
    assert row["upper"] == pytest.approx(stats.beta.ppf(0.975, k + 1, n - k))


# -- features of models -----------------------------------------------------------------------


def test_rows_of_weight_zero_change_nothing(pairs):
    data = paired()
    heavy = pd.concat([data, data.iloc[:2].assign(y=99.0)], ignore_index=True)
    w = np.append(np.ones(len(data)), [0.0, 0.0])
    fit = bl.fit("y ~ late + (1 | subject)", heavy, weights=w)
    Y = np.vstack([Y := pairs.simulate(5, 1), 7.0 * Y[:2]])
    for tests, arguments in ((_wald, ("satterthwaite",)), (_lrt, ())):
        one = tests(*arguments, pairs.design, pairs.estimate, [1], Y[: len(data)]).p
        other = tests(*arguments, fit.design, fit.estimate, [1], Y).p
        np.testing.assert_allclose(other, one, rtol=1e-6)


def test_the_offset_is_no_effect(pairs):
    data = paired()
    moved = bl.fit("y ~ late + (1 | subject)", data.assign(y=data.y + 5), offset=np.full(24, 5.0))
    one, other = (
        bl.power(f, "late", [1.0], 50, random_seed=4, progressbar=False).table
        for f in (pairs, moved)
    )
    pd.testing.assert_frame_equal(one, other)


def test_without_random_effects_it_is_the_t_test():
    data = paired()
    fit = bl.fit("y ~ late", data)
    Y = fit.simulate(5, random_seed=1)
    ours = _wald("satterthwaite", fit.design, fit.estimate, [1], Y).p
    theirs = [stats.ttest_ind(y[1::2], y[::2]).pvalue for y in Y.T]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_failed_refits_are_counted_and_said(pairs):
    spoilt = replace(pairs.estimate, sigma=0.0, T=(np.zeros((1, 1)),))
    fit = bl.PointFit(pairs.design, spoilt, pairs.definition, pairs.priors)
    with pytest.warns(bl.DataWarning, match="5 of 5 refits failed and are left out"):
        found = bl.power(fit, "late", [1.0], 5, random_seed=1, progressbar=False)
    row = found.table.iloc[0]
    assert row["failed"] == 5 and row["n_sim"] == 5 and np.isnan(row["power"])


# -- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "sizes", "options", "words"),
    [
        ("Day", None, {}, "did you mean 'Days'"),
        ([], None, {}, "names no fixed effect"),
        ("Days", [1.0, np.nan], {}, "not made of values of Days"),
        ("Days", "x", {}, "not made of values of Days"),
        (["Intercept", "Days"], [1.0, 2.0], {}, "not made of values of Intercept, Days"),
        ("Days", {"Sub": [4]}, {}, "one of Subject"),
        ("Days", {"Subject": []}, {}, "no number of levels of `Subject`"),
        ("Days", {"Subject": [1]}, {}, "1 is not a number of levels"),
        ("Days", {"Subject": [4.5]}, {}, "4.5 is not a number of levels"),
        ("Days", [1.0], {"value": 2.0}, "value= is for sizes that are numbers of levels"),
        ("Days", None, {"n_sim": 0}, "n_sim=0"),
        ("Days", None, {"level": 5}, "level=5"),
        ("Days", None, {"test": "score"}, "test='score'"),
        ("Days", None, {"cores": 0}, "cores=0 is not a number of processes"),
        ("Days", None, {"cores": 1.5}, "cores=1.5 is not a number of processes"),
    ],
)
def test_refusals(sleep, effect, sizes, options, words):
    with pytest.raises(bl.BayeslmmError, match=words):
        bl.power(sleep, effect, sizes, **({"progressbar": False} | options))


def test_levels_that_do_not_determine_the_fixed_effects():
    data = paired().assign(group=lambda d: np.where(d.subject < 6, "a", "b"))
    fit = bl.fit("y ~ group + (1 | subject)", data)
    with pytest.raises(bl.BayeslmmError, match="4 levels of `subject` do not determine"):
        bl.power(fit, "group", {"subject": [4]}, progressbar=False)


def test_p_values_with_a_residual_structure_are_those_of_the_refit():
    data = bl.load_dataset("sleepstudy")
    fit = bl.fit(
        "Reaction ~ Days + (1 | Subject)", data, residual=bl.AR1(by="Subject", time="Days")
    )
    Y = fit.simulate(2, random_seed=1)
    ours = _wald(fit.df_method, fit.design, fit.estimate, [1], Y).p
    theirs = [fit.refit(y).fe_pvalues["Days"] for y in Y.T]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_map_fits_and_what_is_no_fit_are_refused_in_words():
    data = bl.load_dataset("sleepstudy")
    mode = bl.fit("Reaction ~ Days + (1 | Subject)", data, method="MAP")
    with pytest.raises(bl.BayeslmmError, match="power is of the likelihood"):
        bl.power(mode, "Days", progressbar=False)
    with pytest.raises(bl.BayeslmmError, match="simulates from point estimates"):
        bl.power("Reaction ~ Days", "Days")


def test_the_figure_shows_every_size(sleep):
    found = bl.power(sleep, "Days", [4.0, 0.0], 20, random_seed=1, progressbar=False)
    (axes,) = plot_power(found).axes
    (line,) = (c[0] for c in axes.containers)
    np.testing.assert_array_equal(line.get_xdata(), [0.0, 4.0])
    np.testing.assert_array_equal(line.get_ydata(), found.table["power"].to_numpy()[::-1])
    assert "(df_method 'satterthwaite')" in axes.get_title(loc="left")
    assert "Power for Days, t test" in repr(found)
