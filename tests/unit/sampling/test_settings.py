"""What can be asked of a sampling run, and how draws are cut into stretches."""

import importlib.util

import numpy as np
import pytest

from bayeslmm.errors import ArgumentError, MissingDependencyError
from bayeslmm.sampling.settings import Settings, kept_variables
from bayeslmm.sampling.trace import (
    Stretch,
    Trace,
    interruption_words,
    shortened,
    stretch_length,
    usable,
    written_lengths,
)
from tests.posterior.designs import make_design, slopes

PARAMETERS = {"sd_g", "corr_g", "sigma"}


@pytest.fixture(scope="module")
def design():
    return slopes(12, 6)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (None, {"beta", "b_g"}),
        ([], set()),
        ("~b_g", {"beta"}),
        (["~b_g", "~beta"], set()),
        ("beta", {"beta"}),
        (["b_g", "sigma"], {"b_g"}),
        (["beta", "b_g", "~b_g"], {"beta"}),
    ],
)
def test_parameters_are_kept_and_beta_and_b_on_demand(design, asked, kept):
    assert kept_variables(design, asked) == PARAMETERS | kept


def test_names_that_cannot_be(design):
    with pytest.raises(ArgumentError, match="did you mean 'b_g'"):
        kept_variables(design, ["b_gg"])
    with pytest.raises(ArgumentError, match="always kept"):
        kept_variables(design, ["~sigma"])


def test_something_must_be_kept():
    from bayeslmm import Model

    design = Model("y ~ 1", {"y": [0, 1, 2, 3]}, family="poisson").design
    with pytest.raises(ArgumentError, match="leaves nothing to keep"):
        kept_variables(design, "~beta")


def test_a_store_needs_zarr(monkeypatch):
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "zarr" else object()
    )
    with pytest.raises(MissingDependencyError, match=r"bayeslmm\[zarr\]"):
        Settings(store="draws.zarr")


def test_streams_are_those_of_the_seed_and_apart():
    settings = Settings(random_seed=7)
    first = settings.stream(2, 0, 1).standard_normal(5)
    np.testing.assert_array_equal(first, Settings(random_seed=7).stream(2, 0, 1).standard_normal(5))
    for other in ((2, 1, 0), (1, 0, 1), (2, 0), (2,)):
        assert not np.array_equal(first, settings.stream(*other).standard_normal(5))
    assert Settings().seed != Settings().seed


def test_a_stretch_is_short_where_rows_are_many(design):
    assert stretch_length(design) == 100
    large = make_design(np.zeros(100_000), {"Intercept": np.ones(100_000)}, {}, [])
    assert stretch_length(large) == 20
    huge = make_design(np.zeros(3_000_000), {"Intercept": np.ones(3_000_000)}, {}, [])
    assert stretch_length(huge) == 1


@pytest.mark.parametrize(
    ("lengths", "chains", "draws"),
    [
        ([1000, 1000, 1000], [0, 1, 2], 1000),
        ([700, 650, 690], [0, 1, 2], 650),
        ([1000, 1000, 10, 0], [0, 1], 1000),
        ([0, 500, 0, 480], [1, 3], 480),
        ([500, 250], [0, 1], 250),
        ([0, 0], [0, 1], 0),
    ],
)
def test_chains_that_had_hardly_begun_are_left_out(lengths, chains, draws):
    kept, n = usable(np.array(lengths))
    assert (kept.tolist(), n) == (chains, draws)


def test_a_gap_ends_what_is_written_of_a_chain():
    written = np.array([[100, 100, 50], [100, 0, 50], [0, 100, 50], [100, 30, 0]])
    assert written_lengths(written, 100).tolist() == [250, 100, 0, 130]


def test_what_is_due(design):
    trace = Trace(design, {"posterior": {}, "sample_stats": {}}, 2, 250)
    going = trace.due(np.array([230, 99]), last=False)
    assert going == [Stretch(0, 0, 0, 100), Stretch(0, 1, 100, 200)]
    for stretch in going:
        trace.put(stretch, {})
    assert trace.due(np.array([230, 99]), last=False) == []
    assert trace.due(np.array([250, 100]), last=False) == [
        Stretch(0, 2, 200, 250), Stretch(1, 0, 0, 100),
    ]  # fmt: skip
    assert trace.due(np.array([230, 99]), last=True) == [
        Stretch(0, 2, 200, 230), Stretch(1, 0, 0, 99),
    ]  # fmt: skip
    assert trace.lengths.tolist() == [200, 0]


def test_the_words_of_an_interruption():
    asked = {"chains": 4, "draws": 1000}
    assert "317 of 1000 draws a chain" in interruption_words(shortened(asked, 4, 317))
    assert "317 of 1000 draws of 2 of 4 chains" in interruption_words(shortened(asked, 2, 317))
    assert shortened(asked, 2, 317)["interrupted"] == 1
