"""Figures show the numbers of the fit; how they look was judged by eye."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import bayeslmm as bl
from bayeslmm.comparison import compare_estimates
from bayeslmm.errors import ArgumentError
from bayeslmm.plots import (
    gallery,
    plot_agreement,
    plot_caterpillar,
    plot_estimates,
    plot_group_fits,
    plot_shrinkage,
)
from bayeslmm.plots.shrinkage import no_pooling


def line(axes, marker):
    return next(artist for artist in axes.lines if artist.get_marker() == marker)


def test_caterpillar_is_sorted_and_says_its_interval(sleep):
    figure = plot_caterpillar(sleep.reml, "Subject", level=0.9)
    assert [a.get_title() for a in figure.axes] == ["Intercept", "Days"]
    x = line(figure.axes[1], "o").get_xdata()
    assert_allclose(x, np.sort(sleep.reml.random_effects["Subject"]["Days"]))
    labels = [t.get_text() for t in figure.axes[1].get_yticklabels()]
    assert labels[0] == "335" and len(labels) == 18
    assert "90 % normal intervals" in figure.get_suptitle()
    posterior = plot_caterpillar(sleep.posterior)
    assert "95 % equal-tailed intervals" in posterior.get_suptitle()


def test_estimates_have_a_panel_a_parameter(sleep):
    comparison = compare_estimates(sleep.reml, sleep.posterior)
    figure = plot_estimates(comparison)
    titles = [a.get_title(loc="left") for a in figure.axes if a.get_visible()]
    assert titles == comparison.table["parameter"].tolist()
    row = comparison.table.iloc[3]
    axes = figure.axes[3]
    assert line(axes, "D").get_xdata()[0] == row["posterior_mode"]
    assert line(axes, "|").get_xdata()[0] == row["posterior_mean"]
    legend = " ".join(t.get_text() for t in figure.legends[0].get_texts())
    assert "95 % normal interval" in legend and "95 % equal-tailed interval" in legend


def test_intervals_stop_where_the_parameter_does(dyestuff2):
    figure = plot_estimates(compare_estimates(dyestuff2.ml, dyestuff2.posterior))
    for axes in figure.axes[1:]:
        for collection in axes.collections:
            for segment in collection.get_segments():
                assert segment[:, 0].min() >= 0.0


def test_no_pooling_is_least_squares_of_each_level(sleep):
    f = sleep.model.design.factors[0]
    own = no_pooling(sleep.reml, f) + sleep.reml.fe_params.to_numpy()
    data = bl.load_dataset("sleepstudy")
    for level, found in zip(f.levels, own, strict=True):
        mine = data[data["Subject"].astype(str) == str(level)]
        slope, intercept = np.polyfit(mine["Days"], mine["Reaction"], 1)
        assert_allclose(found, [intercept, slope], rtol=1e-8)


def test_shrinkage_of_slopes_and_of_intercepts(sleep, penicillin):
    plane = plot_shrinkage(sleep.reml).axes[0]
    blups = sleep.reml.random_effects["Subject"] + sleep.reml.fe_params
    assert_allclose(np.column_stack(plane.lines[1].get_data()), blups)
    axes = plot_shrinkage(penicillin.posterior, "plate").axes[0]
    assert len(axes.get_yticklabels()) == 24
    with pytest.raises(ArgumentError, match="did you mean 'plate'") as caught:
        plot_shrinkage(penicillin.reml, "plates")
    assert caught.value.found == "plate, sample"


def test_lines_are_the_fits_predictions(sleep):
    axes = plot_group_fits(sleep.reml, "Days")
    first = axes.lines[1]
    level = sleep.model.design.factors[0].levels[0]
    new = {"Days": first.get_xdata(), "Subject": [level] * len(first.get_xdata())}
    assert_allclose(first.get_ydata(), sleep.reml.predict(new))
    population = axes.lines[-1]
    assert population.get_label() == "population"
    new = {"Days": population.get_xdata()}
    assert_allclose(population.get_ydata(), sleep.reml.predict(new, include_re=False))


def test_lines_hold_other_predictors_and_say_so():
    model = bl.Model("angle ~ temp * recipe + (1 | recipe:replicate)", bl.load_dataset("cake"))
    axes = plot_group_fits(model.fit(), "temp", "recipe:replicate")
    assert "recipe = A" in axes.get_title()
    with pytest.raises(ArgumentError, match="labels"):
        plot_group_fits(model.fit(), "recipe")
    with pytest.raises(ArgumentError, match="did you mean 'temp'"):
        plot_group_fits(model.fit(), "tempe")


def test_lines_leave_out_offset_and_missing_rows():
    data = bl.load_dataset("sleepstudy")
    data["w"] = np.linspace(0.5, 2.0, len(data))
    data["o"] = 3.0
    data.loc[5, "Reaction"] = np.nan
    with pytest.warns(bl.BayeslmmWarning):
        model = bl.Model(
            "Reaction ~ Days + (1 | Subject)", data, weights="w", offset="o", na_action="exclude"
        )
    fit = model.fit()
    axes = plot_group_fits(fit, "Days")
    assert len(axes.lines[0].get_xdata()) == 179
    beta = fit.fe_params
    assert_allclose(axes.lines[-1].get_ydata()[0], beta["Intercept"])
    array = bl.Model("Reaction ~ Days + (1 | Subject)", data.dropna(), offset=np.full(179, 3.0))
    assert_allclose(
        plot_group_fits(array.fit(), "Days").lines[-1].get_ydata()[0],
        array.fit().fe_params["Intercept"],
    )


def test_agreement_needs_two_fits(sleep):
    comparison = compare_estimates(sleep.reml, sleep.ml, sleep.posterior)
    figure = comparison.plot_random_effects()
    assert [a.get_title() for a in figure.axes] == ["Subject: Intercept", "Subject: Days"]
    x, y = line(figure.axes[1], "D").get_data()
    assert_allclose(x, sleep.reml.random_effects["Subject"]["Days"])
    assert_allclose(y, sleep.posterior.random_effects["Subject"]["Days"])
    with pytest.raises(ArgumentError, match="two fits"):
        plot_agreement(comparison.random_effects(), ["REML"])


def test_gallery_has_what_suits_the_model(sleep, penicillin):
    assert list(gallery(sleep.reml)) == [
        "caterpillar_Subject",
        "shrinkage_Subject",
        "lines_Subject",
    ]
    assert len(gallery(penicillin.posterior)) == 4
    assert gallery(bl.fit("Reaction ~ Days", bl.load_dataset("sleepstudy"))) == {}


def test_a_model_without_factors_has_nothing_to_draw():
    fit = bl.fit("Reaction ~ Days", bl.load_dataset("sleepstudy"))
    with pytest.raises(ArgumentError, match="no grouping factor"):
        plot_caterpillar(fit)


def test_many_levels_and_three_columns():
    fit = bl.fit("Reaction ~ Days + (poly(Days, 2) | Subject)", bl.load_dataset("sleepstudy"))
    assert len(plot_shrinkage(fit).axes) == 3
    assert len(plot_group_fits(fit, "Days").lines) == 20
