"""Marginal means, slopes and contrasts: against predictions, draws, and in corners."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr
from scipy import stats

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, UnknownColumnError
from bayeslmm.fits import PosteriorFit
from bayeslmm.inference.adjust import adjusted_pvalues, critical_values
from bayeslmm.inference.marginal_means import MarginalMeans
from bayeslmm.sampling import check_convergence
from tests.unit.comparison.fake_posterior import fake_posterior

UNBALANCED = Path(__file__).parents[2] / "parity" / "emmeans" / "unbalanced.csv"
A, B, C = ("a1", "a2", "a3"), ("b1", "b2"), ("c1", "c2", "c3")


@cache
def table() -> pd.DataFrame:
    return pd.read_csv(UNBALANCED)


@cache
def fitted(formula: str, method: str = "REML") -> Any:
    return bl.fit(formula, table(), method=method)


def by_hand(fit: Any, a: str, weights: str, **held: Any) -> float:
    """Population predictions averaged over B and C with the data's own frequencies."""
    data = table()
    total, share = 0.0, 0.0
    for b, c in product(B, C):
        w = float(((data["B"] == b) & (data["C"] == c)).sum()) if weights != "equal" else 1.0
        row = pd.DataFrame({"A": [a], "B": [b], "C": [c], **{k: [v] for k, v in held.items()}})
        total += w * fit.predict(row, include_re=False)[0]
        share += w
    return total / share


@pytest.mark.parametrize("weights", ["equal", "proportional"])
@pytest.mark.parametrize("method", ["REML", "ML", "MAP"])
def test_means_are_averages_of_predictions(weights: str, method: str) -> None:
    fit = fitted("y ~ A * B + C + A * log(x) + poly(x, 2) + (1 + x | g)", method)
    means = fit.emmeans("A", weights=weights)
    held = {"x": table()["x"].mean()}
    hand = [by_hand(fit, a, weights, **held) for a in A]
    np.testing.assert_allclose(means.table["emmean"], hand, rtol=1e-12)
    assert means.table["A"].tolist() == list(A)


def test_a_slope_is_the_derivative_of_predictions() -> None:
    fit = fitted("y ~ A * B + C + A * log(x) + poly(x, 2) + (1 + x | g)")
    trends = fit.emtrends("A", var="x", at={"x": 3.0}, weights="proportional")
    h = 1e-4
    up = [by_hand(fit, a, "proportional", x=3.0 + h) for a in A]
    down = [by_hand(fit, a, "proportional", x=3.0 - h) for a in A]
    np.testing.assert_allclose(
        trends.table["trend"], (np.array(up) - down) / (2 * h), rtol=1e-7, atol=1e-8
    )


def test_a_slope_of_a_straight_line_is_its_coefficient() -> None:
    fit = fitted("y ~ A * x + B + (1 | g)")
    beta = fit.fe_params
    slopes = fit.emtrends("A", var="x").table
    expected = [beta["x"], beta["x"] + beta["A[a2]:x"], beta["x"] + beta["A[a3]:x"]]
    np.testing.assert_allclose(slopes["trend"], expected, rtol=1e-10)
    assert slopes["se"][0] == pytest.approx(fit.fe_bse["x"], rel=1e-10)
    assert slopes["df"][0] == pytest.approx(fit.fe_df["x"], rel=1e-8)


def test_contrast_coding_changes_nothing() -> None:
    treatment = fitted("y ~ A * B + x + (1 | g)").emmeans("A", by="B")
    summed = fitted("y ~ S(A) * C(B, Sum) + x + (1 | g)").emmeans("A", by="B")
    for method in ("pairwise", "treatment", "sum"):
        ours, theirs = treatment.contrast(method).table, summed.contrast(method).table
        numbers = ours.select_dtypes("float").columns
        np.testing.assert_allclose(ours[numbers], theirs[numbers], rtol=1e-5, atol=1e-8)
        assert ours["contrast"].equals(theirs["contrast"])


def test_contrasts_one_by_one() -> None:
    fit = fitted("y ~ A * B + x + (1 | g)")
    means = fit.emmeans("A")
    m = dict(zip(A, means.table["emmean"], strict=True))
    pairs = means.contrast().table
    assert pairs["contrast"].tolist() == ["a1 - a2", "a1 - a3", "a2 - a3"]
    np.testing.assert_allclose(
        pairs["estimate"], [m["a1"] - m["a2"], m["a1"] - m["a3"], m["a2"] - m["a3"]], rtol=1e-10
    )
    to_a2 = means.contrast("treatment", reference="a2").table
    assert to_a2["contrast"].tolist() == ["a1 - a2", "a3 - a2"]
    np.testing.assert_allclose(to_a2["estimate"], [m["a1"] - m["a2"], m["a3"] - m["a2"]])
    own = means.contrast({"two": {"a3": 2, "a1": -2}, "list": [1, 0, -1]}).table
    np.testing.assert_allclose(own["estimate"], [2 * (m["a3"] - m["a1"]), m["a1"] - m["a3"]])
    matrix = means.contrast([[1, -1, 0]], adjust="none").table
    np.testing.assert_allclose(matrix["p"], 2 * stats.t.sf(np.abs(matrix["t"]), matrix["df"]))
    assert matrix["contrast"].tolist() == ["+1*a1 -1*a2"]


def test_adjustments_against_their_definitions() -> None:
    t, df = np.array([2.5, -0.4, 3.1, 1.9]), np.array([12.0, 8.5, np.inf, 30.0])
    p = 2 * stats.t.sf(np.abs(t), df)
    np.testing.assert_allclose(adjusted_pvalues(t, df, "none", 4), p)
    np.testing.assert_allclose(adjusted_pvalues(t, df, "bonferroni", 4), np.minimum(4 * p, 1))
    order = np.argsort(p)
    holm = np.empty(4)
    worst = 0.0
    for step, k in enumerate(order):
        worst = max(worst, (4 - step) * p[k])
        holm[k] = min(worst, 1.0)
    np.testing.assert_allclose(adjusted_pvalues(t, df, "holm", 4), holm)
    tukey = [
        stats.studentized_range.sf(np.sqrt(2) * abs(x), 4, d) for x, d in zip(t, df, strict=True)
    ]
    np.testing.assert_allclose(adjusted_pvalues(t, df, "tukey", 4), tukey)
    np.testing.assert_allclose(adjusted_pvalues(t, df, "tukey", 2), p)
    missing = adjusted_pvalues(np.append(t, np.nan), np.append(df, 5.0), "holm", 4)
    np.testing.assert_allclose(missing, np.append(holm, np.nan))


def test_tails_beyond_the_precision_of_the_studentized_range() -> None:
    t = np.linspace(5.0, 30.0, 60)
    for df in (10.0, 41.7, 200.0, np.inf):
        p = adjusted_pvalues(t, np.full(60, df), "tukey", 3)
        plain = 2 * stats.t.sf(t, df)
        assert (np.diff(p) < 0).all()
        assert (p > plain).all() and (p <= 3 * plain * (1 + 1e-4)).all()


def test_an_interval_ends_where_the_p_value_is_its_level() -> None:
    df = np.array([7.3, 7.3, 41.0, np.inf])
    for adjust, n_means in (("tukey", 3), ("tukey", 2), ("bonferroni", 3), ("none", 3)):
        reach = critical_values(df, 0.9, adjust, n_means, 4)
        p = adjusted_pvalues(reach, df, adjust, n_means)
        np.testing.assert_allclose(p, 0.1, rtol=1e-7)
    unknown = critical_values(np.array([np.nan, 7.3]), 0.9, "tukey", 3, 1)
    assert np.isnan(unknown[0]) and unknown[1] == pytest.approx(
        stats.studentized_range.ppf(0.9, 3, 7.3) / np.sqrt(2), rel=1e-9
    )


def test_rows_of_weight_zero_count_nowhere() -> None:
    data = table()
    weights = np.where(np.arange(len(data)) % 5 == 0, 0.0, 1.0 + np.arange(len(data)) % 3)
    formula = "y ~ A * B + C + x + offset(0.1 * z) + (1 | g)"
    zero = bl.fit(formula, data, weights=weights)
    dropped = bl.fit(formula, data[weights > 0], weights=weights[weights > 0])
    for weighting in ("equal", "proportional"):
        ours, theirs = (f.emmeans("A", weights=weighting).table for f in (zero, dropped))
        numbers = ["emmean", "se", "df"]
        np.testing.assert_allclose(ours[numbers], theirs[numbers], rtol=1e-5)


def test_missing_rows_and_other_tables() -> None:
    data = table().copy()
    data.loc[[3, 40], "x"] = np.nan
    formula = "y ~ A + B * x + (1 | g)"
    exclude = bl.fit(formula, data, na_action="exclude").emmeans("A", by="B")
    complete = bl.fit(formula, pl.from_pandas(data.dropna())).emmeans("A", by="B")
    for column in ("emmean", "se"):
        np.testing.assert_allclose(exclude.table[column], complete.table[column], rtol=1e-9)


def test_an_offset_is_at_its_mean_however_it_was_given() -> None:
    data = table().assign(o=lambda d: np.log(d["w"]))
    in_formula = bl.fit("y ~ A + x + offset(o) + (1 | g)", data)
    as_column = bl.fit("y ~ A + x + (1 | g)", data, offset="o")
    as_array = bl.fit("y ~ A + x + (1 | g)", data, offset=data["o"].to_numpy())
    beta = in_formula.fe_params
    hand = beta["Intercept"] + beta["x"] * data["x"].mean() + data["o"].mean()
    for fit in (in_formula, as_column, as_array):
        assert fit.emmeans("A").table["emmean"][0] == pytest.approx(hand, rel=1e-9)


def test_an_empty_cell_is_not_estimable() -> None:
    data = table()
    data = data[~((data["A"] == "a3") & (data["B"] == "b2"))]
    with pytest.warns(UserWarning, match="rank deficient"):
        fit = bl.fit("y ~ A * B + x + (1 | g)", data)
    means = fit.emmeans("A")
    assert means.table["emmean"].isna().tolist() == [False, False, True]
    pairs = means.contrast().table
    assert pairs["estimate"].isna().tolist() == [False, True, True]
    within = fit.emmeans("A", by="B").contrast("pairwise", adjust="none").table
    assert within["estimate"].isna().tolist() == [False] * 3 + [False, True, True]
    row = pd.DataFrame({"A": ["a3"], "B": ["b1"], "x": [data["x"].mean()]})
    cell = fit.emmeans("A", at={"B": "b1"}).table["emmean"][2]
    assert cell == pytest.approx(fit.predict(row, include_re=False)[0], rel=1e-10)


def test_a_note_names_the_interactions_that_are_averaged_over() -> None:
    data = table().rename(columns={"B": "my B"})
    fit = bl.fit("y ~ A * `my B` + A * x + (1 | g)", data)
    assert 'the interaction A:my B, which such averages can hide; by="my B" shows it.' in (
        fit.emmeans("A").caption
    )
    assert "interaction A:x," in fit.emtrends("my B", "x").caption
    both = fit.emmeans("A", at={"x": [0.0, 1.0]}).caption
    assert "interactions A:my B, A:x, which such averages can hide; by=[" in both
    assert 'by=["my B", "x"] shows them.' in both
    for silent in (
        fit.emmeans("A", by="my B"),
        fit.emmeans("A", at={"my B": "b1"}),
        fit.emmeans(()),
        fit.emtrends("A", "x"),
        bl.fit("y ~ A + `my B` + A:x + (1 | g)", data).emmeans("A"),
    ):
        assert "interaction" not in silent.caption


def test_models_without_random_effects_or_predictors() -> None:
    ordinary = bl.fit("y ~ A + x", table())
    means = ordinary.emmeans("A")
    assert (means.table["df"] == len(table()) - 4).all()
    assert "n - p" in means.caption
    mean_only = bl.fit("y ~ 1 + (1 | g)", table()).emmeans(())
    assert mean_only.table["emmean"][0] == pytest.approx(
        fitted("y ~ 1 + (1 | g)").fe_params["Intercept"]
    )
    with pytest.raises(UnknownColumnError, match="not a predictor of the fixed part"):
        bl.fit("y ~ 0 + (1 | g)", table()).emmeans("A")


def test_a_refit_and_a_loaded_fit_have_means(tmp_path: Path) -> None:
    fit = fitted("y ~ A * B + x + (1 | g)")
    again = fit.refit(2.0 * fit.design.y)
    np.testing.assert_allclose(
        again.emmeans("A").table["emmean"], 2.0 * fit.emmeans("A").table["emmean"], rtol=1e-7
    )
    loaded = bl.load(fit.save(tmp_path / "fit.nc"))
    pd.testing.assert_frame_equal(loaded.emmeans("A").table, fit.emmeans("A").table, rtol=1e-9)


def test_draws_of_means_and_contrasts() -> None:
    model = bl.Model("y ~ A * B + log(x) + (1 | g)", table())
    post = fake_posterior(model)
    beta = post.datatree["posterior"]["beta"].to_numpy().reshape(-1, model.design.p)
    means = post.emmeans("A")
    x = np.log(table()["x"].mean())
    names = list(model.design.fixed_names)
    L = np.zeros((2, len(names)))
    L[:, names.index("Intercept")], L[:, names.index("log(x)")] = 1.0, x
    L[:, names.index("B[b2]")] = 0.5
    L[1, names.index("A[a2]")], L[1, names.index("A[a2]:B[b2]")] = 1.0, 0.5
    draws = beta @ L.T
    np.testing.assert_allclose(means.table["mean"][:2], draws.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(means.table["posterior_sd"][:2], draws.std(axis=0, ddof=1))
    difference = draws[:, 0] - draws[:, 1]
    first = means.contrast().table.iloc[0]
    assert first["contrast"] == "a1 - a2"
    assert first["lower"] == pytest.approx(np.quantile(difference, 0.025), rel=1e-8)
    assert first["median"] == pytest.approx(np.median(difference), rel=1e-8)
    assert first["prob_positive"] == np.mean(difference > 0)
    assert "not adjusted" in means.contrast().caption
    slopes = post.emtrends("A", var="x").table
    expected = beta[:, names.index("log(x)")] / table()["x"].mean()
    np.testing.assert_allclose(slopes["mean"], expected.mean(), rtol=1e-8)
    with pytest.raises(ArgumentError, match="not adjusted for their number"):
        means.contrast(adjust="tukey")


@cache
def binomial() -> PosteriorFit:
    """Draws of a logistic model, made up: no sampler is needed to average them."""
    model = bl.Model(
        "proportion(incidence, size) ~ period + (1 | herd)",
        bl.load_dataset("cbpp"),
        family="binomial",
    )
    rng, size, d = np.random.default_rng(5), (4, 100), model.design
    beta = np.array([-1.4, -1.0, -1.1, -1.6]) + 0.3 * rng.normal(size=(*size, 4))
    sizes = {"fixed": d.p, "herd": d.factors[0].n_levels, "herd_term": 1}
    variables = {
        "beta": (("chain", "draw", "fixed"), beta),
        "sd_herd": (("chain", "draw", "herd_term"), np.exp(0.2 * rng.normal(size=(*size, 1)))),
        "b_herd": (
            ("chain", "draw", "herd", "herd_term"),
            rng.normal(size=(*size, sizes["herd"], 1)),
        ),
    }
    coords = {k: np.array(d.coords[k], dtype=object) for k in sizes}
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(variables, coords=coords),
            "sample_stats": xr.Dataset({"diverging": (("chain", "draw"), np.zeros(size, bool))}),
        }
    )
    return PosteriorFit(d, tree, check_convergence(tree), model._definition(), model.priors)


def test_both_scales_of_a_binomial_posterior() -> None:
    post = binomial()
    beta = post.datatree["posterior"]["beta"].to_numpy().reshape(-1, 4)
    eta = beta[:, :1] + np.hstack([np.zeros((len(beta), 1)), beta[:, 1:]])
    link = post.emmeans("period")
    np.testing.assert_allclose(link.table["mean"], eta.mean(axis=0), rtol=1e-10)
    assert "on the logit scale" in link.caption
    response = post.emmeans("period", scale="response")
    p = 1 / (1 + np.exp(-eta))
    np.testing.assert_allclose(response.table["mean"], p.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(
        response.contrast().table["mean"][0], (p[:, 0] - p[:, 1]).mean(), rtol=1e-10
    )
    overall = post.emmeans((), scale="response").table
    np.testing.assert_allclose(overall["mean"], p.mean(), rtol=1e-10)


def test_a_two_valued_covariate_keeps_both_values() -> None:
    fit = fitted("y ~ A + z + flag + (1 | g)")
    beta = fit.fe_params
    equal = beta["Intercept"] + 0.5 * beta["z"] + 0.5 * beta["flag"]
    assert fit.emmeans("A").table["emmean"][0] == pytest.approx(equal)
    share = (
        beta["Intercept"] + table()["z"].mean() * beta["z"] + table()["flag"].mean() * beta["flag"]
    )
    proportional = fit.emmeans("A", weights="proportional").table["emmean"][0]
    assert proportional == pytest.approx(share)
    assert fit.emmeans(["z", "A"]).table[["z", "A"]].to_numpy().tolist()[:3] == [
        [0, "a1"],
        [1, "a1"],
        [0, "a2"],
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"specs": "g"}, "`g` is not a predictor of the fixed part"),
        ({"specs": "A", "by": "b"}, "did you mean `B`"),
        ({"specs": "A", "at": {"A": "a9"}}, "no level 'a9'"),
        ({"specs": "A", "at": {"x": "much"}}, "`x` is a number"),
        ({"specs": "A", "at": {"x": []}}, "no value of `x`"),
        ({"specs": "A", "weights": "cells"}, "weights='cells' is not known"),
        ({"specs": "A", "scale": "log"}, "scale='log' is not known"),
        ({"specs": "A", "level": 95}, "level=95 is not a probability"),
        ({"specs": "x", "at": {"x": range(100_000)}}, "reference grid has 600,000 points"),
    ],
)
def test_refusals(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((ArgumentError, UnknownColumnError), match=words.replace("(", r"\(")):
        fitted("y ~ A * B + x + (1 | g)").emmeans(**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "dunnett"}, "'dunnett' are not known"),
        ({"method": "treatment", "adjust": "tukey"}, "for all pairwise differences"),
        ({"method": "treatment", "reference": "a4"}, "did you mean 'a1'|no mean 'a4'"),
        ({"method": "sum", "reference": "a1"}, "belongs to treatment contrasts"),
        ({"adjust": "fdr"}, "adjust='fdr' is not known"),
        ({"method": [[1, -1]]}, "a column a mean"),
        ({"method": {"x": [1, -1]}}, "needs a number for each mean"),
        ({"method": {"q": {"a1": "one"}}}, "'q' needs a number for each mean"),
        ({"method": {"q": {"a1": [1, 2]}}}, "'q' needs a number for each mean"),
        ({"method": {"q": ["one", 2, 3]}}, "'q' needs a number for each mean"),
        ({"method": [["one", 2, 3]]}, "a column a mean"),
        ({"method": {}}, "has no contrast"),
    ],
)
def test_refused_contrasts(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        fitted("y ~ A * B + x + (1 | g)").emmeans("A").contrast(**arguments)


def test_slopes_of_factors_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`dose` is a factor"):
        fitted("y ~ A * C(dose) + (1 | g)").emtrends("A", var="dose")
    fit = fitted("y ~ A * B + x + (1 | g)")
    with pytest.raises(ArgumentError, match="`B` is a factor"):
        fit.emtrends("A", var="B")
    with pytest.raises(UnknownColumnError, match="`w` is not a predictor"):
        fit.emtrends("A", var="w")
    with pytest.raises(UnknownColumnError, match="`None` is not a predictor"):
        fit.emtrends("A", None)
    with pytest.raises(UnknownColumnError, match="`5` is not a predictor"):
        fit.emmeans(5)


def test_one_mean_has_nothing_to_compare() -> None:
    overall = fitted("y ~ A * B + x + (1 | g)").emmeans(())
    for method in ("pairwise", "treatment"):
        contrasts = overall.contrast(method)
        assert repr(contrasts) == "There is one mean only, and nothing to compare it with."
        assert contrasts._repr_html_() == f"<p>{contrasts.caption}</p>"
        assert {"contrast", "estimate", "p"} <= set(contrasts.table.columns)
    alone = overall.contrast("sum").table
    assert alone["estimate"].tolist() == [0.0] and alone["p"].isna().all()


def test_the_kinds_of_means_are_two() -> None:
    with pytest.raises(TypeError, match="abstract"):
        MarginalMeans(pd.DataFrame(), "", (), (), 0.95)  # type: ignore[abstract]


def test_means_print_themselves() -> None:
    means = fitted("y ~ A * B + x + (1 | g)").emmeans("A")
    text = repr(means)
    assert text.splitlines()[0].split() == ["A", "emmean", "se", "df", "lower", "upper"]
    assert "averaged equally over B; at x = 4.95512." in text
    assert "<table" in means._repr_html_()
