"""Log likelihood with the effects integrated out, as a user and ArviZ meet it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslmm as bl
from bayeslmm.engine.gaussian.leaving_out import LeavingOut, Sets
from bayeslmm.errors import ArgumentError, PriorError
from bayeslmm.sampling import sample_posterior
from bayeslmm.sampling.leaving_out import _half
from bayeslmm.sampling.record import draws_of
from tests.unit.comparison.fake_posterior import fake_posterior

SLEEP = "Reaction ~ Days + (Days | Subject)"
QUIET: dict[str, Any] = {"progressbar": False}


@pytest.fixture(scope="module")
def sleep() -> bl.PosteriorFit:
    return fake_posterior(bl.Model(SLEEP, bl.load_dataset("sleepstudy")))


def values(tree: xr.DataTree, name: str = "Reaction") -> xr.DataArray:
    assert list(tree["log_likelihood"].data_vars) == [name]
    return tree["log_likelihood"][name]


@pytest.mark.parametrize(("integrate", "size"), [("Subject", 18), ("obs", 180)])
def test_one_variable_of_chain_draw_and_what_is_left_out(sleep, integrate, size):
    tree = sleep.log_likelihood(integrate=integrate, **QUIET)
    found = values(tree)
    assert found.dims == ("chain", "draw", integrate) and found.shape == (4, 250, size)
    assert tree.attrs["left_out"] == integrate and set(tree.children) == {
        "posterior",
        "log_likelihood",
    }
    labels = sleep.design.coords[integrate]
    assert found[integrate].to_numpy().tolist() == labels
    # one draw, by the engine itself
    design = sleep.design
    sets = Sets.levels(design, 0) if integrate == "Subject" else Sets.each_row(design)
    at = 2 * 250 + 17
    halves = [_half(f, tree)[at : at + 1] for f in design.factors]
    sigma = draws_of(tree, "sigma")[at : at + 1]
    leaving = LeavingOut(design, sleep.priors, sets)
    want = leaving.log_likelihood(halves, sigma)[0]
    np.testing.assert_array_equal(found.to_numpy()[2, 17], want)


def test_by_default_it_is_the_one_given_the_effects():
    model = bl.Model("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post = model.sample(100, random_seed=1, **QUIET)
        stored = post.datatree["log_likelihood"]["Yield"]
        ours = values(post.log_likelihood(), "Yield")
        xr.testing.assert_allclose(ours, stored, rtol=1e-12)
        # a level is more than its rows one by one
        for integrate in ("Batch", "obs"):
            assert az.loo(post.log_likelihood(integrate, **QUIET)).elpd < 0


@pytest.mark.parametrize("gone", ["beta", "b_Batch"])
def test_draws_that_were_not_kept(gone):
    model = bl.Model("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
    options = {"random_seed": 1, "parameterization": "marginal", **QUIET}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        less = model.sample(100, var_names=f"~{gone}", **options)
        every = model.sample(100, **options)
    with pytest.raises(ArgumentError, match=f"needs draws of `{gone}`.*not kept"):
        less.log_likelihood()
    # integrated out, the effects are not needed
    for integrate in ("Batch", "obs"):
        got, want = (values(fit.log_likelihood(integrate, **QUIET), "Yield")
                     for fit in (less, every))  # fmt: skip
        xr.testing.assert_identical(got, want)


def test_draws_are_evenly_spaced(sleep):
    every = values(sleep.log_likelihood("Subject", **QUIET))
    some = sleep.log_likelihood("Subject", draws=4, **QUIET)
    assert some["posterior"].sizes["draw"] == 4
    np.testing.assert_array_equal(values(some), every.isel(draw=[0, 83, 166, 249]))
    for wrong in (0, 251, 2.5, True):
        with pytest.raises(ArgumentError, match="from 1 to 250"):
            sleep.log_likelihood("Subject", draws=wrong)


@pytest.mark.parametrize("integrate", ["Subject", "obs"])
def test_arviz_takes_it(sleep, integrate):
    intercepts = fake_posterior(sleep_without_slopes(), seed=2)
    trees = {
        "slopes": sleep.log_likelihood(integrate, **QUIET),
        "intercepts": intercepts.log_likelihood(integrate, **QUIET),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loo = az.loo(trees["slopes"], pointwise=True)
        table = az.compare(trees, round_to="none")
        ours = bl.compare_models({"slopes": sleep, "intercepts": intercepts}, integrate=integrate)
    assert loo.n_data_points == trees["slopes"]["log_likelihood"].sizes[integrate]
    assert table.loc["slopes", "elpd"] == pytest.approx(loo.elpd)
    assert ours.table.loc["slopes", "elpd"] == pytest.approx(loo.elpd, abs=1e-6)
    assert table.index[0] == ours.table.index[0] == "slopes"
    assert "integrated out" in ours.caption


def sleep_without_slopes() -> bl.Model:
    return bl.Model("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))


def test_nested_factors_go_by_their_names():
    model = bl.Model("strength ~ 1 + (1 | batch/cask)", bl.load_dataset("Pastes"))
    post = fake_posterior(model)
    found = values(post.log_likelihood("batch:cask", draws=5, **QUIET), "strength")
    assert found.dims[-1] == "batch:cask" and found.shape == (4, 5, 30)
    batches = values(post.log_likelihood("batch", draws=5, **QUIET), "strength")
    assert batches.shape == (4, 5, 10)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_rows_that_do_not_count_are_not_in_it(kind):
    data = bl.load_dataset("sleepstudy")
    data["Subject"] = data["Subject"].astype(str)
    data["w"] = np.where(data["Subject"] == "309", 0.0, 1.5)
    data.loc[[3, 25], "Reaction"] = np.nan
    table: Any = data
    if kind == "polars":
        table = pytest.importorskip("polars").DataFrame(data.to_dict("list"))
    model = bl.Model(SLEEP, table, weights="w", offset=None, na_action="exclude")
    post = fake_posterior(model)
    levels = values(post.log_likelihood("Subject", draws=3, **QUIET))
    assert "309" not in levels["Subject"].to_numpy() and levels.shape == (4, 3, 17)
    rows = values(post.log_likelihood("obs", draws=3, **QUIET))
    assert rows.shape == (4, 3, 180 - 10 - 2)
    assert 3 not in rows["obs"].to_numpy() and np.isfinite(rows).all()


def test_what_cannot_be_is_refused_in_words(sleep):
    with pytest.raises(ArgumentError, match="no grouping factor of the model") as caught:
        sleep.log_likelihood("subject")
    assert caught.value.fix == 'did you mean "Subject"?'
    with pytest.raises(ArgumentError, match="no grouping factor") as caught:
        sleep.log_likelihood("Days:Reaction:x")
    assert "obs" in caught.value.fix
    heavy = bl.Model(SLEEP, bl.load_dataset("sleepstudy"), priors={"beta": bl.StudentT(3)})
    with pytest.raises(PriorError, match="under Normal or Flat priors only") as caught:
        fake_posterior(heavy).log_likelihood("Subject")
    assert "beta[Days]: StudentT" in caught.value.found
    data = pd.DataFrame({"g": np.repeat(list("abcd"), 5), "y": np.arange(20.0) % 7})
    data["c"] = np.where(data["g"] == "b", "new", "old")
    flat = {"beta": bl.Flat(), "beta[Intercept]": bl.Flat()}
    alone = fake_posterior(bl.Model("y ~ c + (1 | g)", data, priors=flat))
    with pytest.raises(ArgumentError, match="do not determine the fixed effects") as caught:
        alone.log_likelihood("g")
    assert caught.value.found == "left out: b"
    point = sleep_without_slopes().fit()
    with pytest.raises(ArgumentError, match="integrate= is about posteriors"):
        bl.compare_models({"a": point, "b": point}, integrate="Subject")


def test_other_families_are_refused_in_words():
    data = pd.DataFrame({"y": [0, 1, 1, 0] * 6, "g": np.repeat(list("abcdef"), 4)})
    model = bl.Model("y ~ 1 + (1 | g)", data, family="bernoulli")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post = model.sample(20, 50, chains=2, random_seed=1, **QUIET)
    with pytest.raises(ArgumentError, match="this model is bernoulli") as caught:
        post.log_likelihood("g")
    assert "given the effects" in caught.value.fix
    xr.testing.assert_allclose(
        values(post.log_likelihood(), "y"), post.datatree["log_likelihood"]["y"], rtol=1e-12
    )


@pytest.mark.validate
def test_loo_is_what_sampling_without_each_subject_gives():
    """PSIS-LOO by subject against the mean density under each posterior without the subject."""
    model = bl.Model(SLEEP, bl.load_dataset("sleepstudy"))
    design, priors = model.design, model.priors
    options = {"random_seed": 11, "progressbar": False, "log_likelihood": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post = model.sample(4000, **options)
        loo = az.loo(post.log_likelihood("Subject", **QUIET), pointwise=True)
    leaving = LeavingOut(design, priors, Sets.levels(design, 0))
    gaps = []
    for g in range(18):
        weights = np.where(design.factors[0].codes == g, 0.0, design.weights)
        tree = sample_posterior(replace(design, weights=weights), priors, draws=1000, **options)
        halves = [_half(f, tree) for f in design.factors]
        density = leaving.log_likelihood(halves, draws_of(tree, "sigma"))[:, g]
        share = np.exp(density - density.max())
        elpd = density.max() + np.log(share.mean())
        error = share.std() / share.mean() / np.sqrt(len(share) / 3.0)
        gaps.append((float(loo.elpd_i[g]) - elpd, error, float(loo.pareto_k[g])))
    for gap, error, k in gaps:
        assert abs(gap) < 4.5 * np.hypot(error, 0.01) or k > 0.7, gaps
    assert sum(k > 0.7 for *_, k in gaps) <= 2
