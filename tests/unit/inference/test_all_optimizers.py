"""Every optimiser, and what is said of them."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.engine.gaussian import estimate_at
from bayeslmm.engine.gaussian.other_searches import Found, search_every_way
from bayeslmm.inference.all_optimizers import compare_optimizers
from tests.laws.tables import fit, table

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep():
    return bl.fit(SLEEP, bl.load_dataset("sleepstudy"))


CASES = {
    "reml": (SLEEP, "sleepstudy", {}),
    "ml": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", {"method": "ML"}),
    "nested": ("strength ~ 1 + (1 | batch/cask)", "Pastes", {}),
    "independent": ("Reaction ~ Days + (Days || Subject)", "sleepstudy", {}),
    "map": (SLEEP, "sleepstudy", {"method": "MAP"}),
    "zero": ("Yield ~ 1 + (1 | Batch)", "Dyestuff2", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_optimiser_finds_the_fit(case):
    formula, name, options = CASES[case]
    one = fit(formula, bl.load_dataset(name), options.get("method"))
    found = one.all_optimizers()
    assert found.agree and "All 8 agree" in found.words
    assert found.table["above_fit"].abs().max() < 1e-7
    assert found.table["fixed_difference"].max() < 1e-5
    assert found.table["sd_difference"].max() < 1e-5
    assert (found.table["evaluations"] > 0).all() and (found.table["seconds"] > 0).all()
    if one.method != "MAP":
        np.testing.assert_allclose(found.table["criterion"], -2 * one.llf, atol=1e-7)


def test_weights_of_zero_and_an_offset():
    data = table(4)
    w = data["w"].to_numpy().copy()
    w[:5] = 0.0
    one = fit("y ~ x + (x | g)", data, weights=w, offset=data["z"])
    assert one.all_optimizers().agree


def test_uniform_priors_keep_to_the_engines_own_searches():
    prior = {"sd_Subject": bl.Uniform(0, 20)}
    one = fit(SLEEP, bl.load_dataset("sleepstudy"), "MAP", priors=prior)
    found = one.all_optimizers()
    assert one.status is bl.FitStatus.AT_END
    assert found.agree and len(found.table) == 4
    assert found.table["optimizer"].str.startswith("Newton").all()


# -- differences are what they are called ------------------------------------------------------


def away(sleep, factor):
    """The estimate at other variances, as if an optimiser had stopped there."""
    T = [factor * t for t in sleep.estimate.T]
    return estimate_at(sleep.design, T, "REML")


def test_a_fit_that_is_no_optimum_is_told(sleep):
    early = away(sleep, 1.5)
    found = compare_optimizers(sleep.design, early, sleep.priors)
    gap = 2 * (sleep.llf - early.loglik)
    assert not found.agree and gap > 0.1
    assert f"found a criterion lower by {gap:.2g}: the fit is not the optimum" in found.words
    row = found.table.iloc[0]
    assert row["above_fit"] == pytest.approx(-gap, rel=1e-6)
    shift = np.abs(sleep.fe_params - early.beta) / np.sqrt(np.diag(early.cov_beta))
    assert row["fixed_difference"] == pytest.approx(shift.max(), rel=1e-6)
    # SDs in units of the response, a slope's times the root mean square of Days
    rms = np.array([1.0, np.sqrt((sleep.design.factors[0].columns[:, 1] ** 2).mean())])
    ours, theirs = (np.sqrt(np.diag(e.covariances[0])) * rms for e in (sleep.estimate, early))
    moved = max(np.abs(ours - theirs).max(), abs(sleep.sigma - early.sigma)) / early.sigma
    assert row["sd_difference"] == pytest.approx(moved, rel=1e-6)


def test_optimisers_that_stop_early_are_named(sleep, monkeypatch):
    from bayeslmm.engine.gaussian import other_searches

    own, ways = search_every_way(sleep.design, sleep.estimate, sleep.priors)
    early = away(sleep, 1.5)
    same = replace(sleep.estimate, beta=sleep.estimate.beta + sleep.fe_bse.to_numpy())
    ways[1:4] = [
        Found("early", -2 * early.loglik, early, 3, 0.1),
        Found("lost", np.nan, None, 0, 0.1),
        Found("beside", own, same, 3, 0.1),
    ]
    monkeypatch.setattr(other_searches, "search_every_way", lambda *_: (own, ways))
    found = sleep.all_optimizers()
    gap = 2 * (sleep.llf - early.loglik)
    assert not found.agree
    assert found.words == (
        "5 of 8 agree with the fit, and none found a lower criterion: "
        f"early ended {gap:.2g} above it; lost found nothing; "
        "beside ended at other estimates of the same criterion. "
        "Where criteria are equal and estimates are not, the criterion is flat."
    )
    assert pd.isna(found.table.loc[2, "fixed_difference"])
    assert found.table.loc[3, "fixed_difference"] == pytest.approx(1.0)


def test_what_cannot_be_compared_is_refused_in_words():
    data = bl.load_dataset("sleepstudy")
    with pytest.raises(bl.BayeslmmError, match="solved, not searched for"):
        bl.fit("Reaction ~ Days", data).all_optimizers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = bl.fit("Reaction ~ 1 + (1 | Subject)", data, residual=bl.AR1(by="Subject"))
    with pytest.raises(bl.BayeslmmError, match="all_optimizers is not there for a model with a"):
        one.all_optimizers()


def test_it_prints_a_table_and_a_sentence(sleep):
    text = repr(sleep.all_optimizers())
    assert "Nelder-Mead 1743.6283" in text
    assert text.endswith("sigma.") and "All 8 agree with the fit: criterion within 1e-08" in text
