"""Predictions against lme4's and lm's, by value (numbers, script and versions in prediction/)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.engine.gaussian import estimate_at
from bayeslmm.fits import PointFit

REFERENCE = json.loads((Path(__file__).parent / "prediction" / "predictions.json").read_text())
FITS = REFERENCE["fits"]
DATA = {"sleepstudy": "sleepstudy", "penicillin": "Penicillin", "pastes": "Pastes", "cake": "cake"}
OURS = {"pastes": "strength ~ 1 + (1 | batch/cask)"}


@cache
def fitted(name: str) -> PointFit:
    """Our fit at lme4's theta, so that no optimiser stands between the numbers."""
    ref = FITS[name]
    data = bl.load_dataset(DATA[name.partition("_")[0]])
    model = bl.Model(OURS.get(name, ref["formula"]), data, weights=ref.get("weights"))
    own = model.fit()
    theta = np.atleast_1d(ref["theta"])
    matrices, at = [], 0
    factors = model.design.factors
    # lme4 has the factor with more levels first
    for f in sorted(factors, key=lambda f: -f.n_levels):
        T = np.zeros((f.n_columns, f.n_columns))
        places = np.argwhere(f.pattern)
        places = places[np.lexsort((places[:, 0], places[:, 1]))]  # column by column
        T[tuple(places.T)] = theta[at : at + len(places)]
        at += len(places)
        matrices.append((f.name, T))
    given = dict(matrices)
    estimate = estimate_at(model.design, [given[f.name] for f in factors], "REML")
    return PointFit(model.design, estimate, own.definition, model.priors)


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs, dtype=float), rtol=1e-9)


def new_rows(name: str) -> pd.DataFrame:
    return pd.DataFrame(FITS[name]["new"])


@pytest.mark.parametrize("name", FITS)
def test_every_re_form(name):
    fit, ref = fitted(name), FITS[name]
    close(fit.predict(), ref["fitted"])
    close(fit.predict(include_re=False), ref["population"])
    close(fit.predict(include_re="average"), ref["population"])
    new = new_rows(name)
    close(fit.predict(new), ref["new_conditional"])
    close(fit.predict(new, include_re=False), ref["new_population"])
    assert bool(ref["partial"]) == (name in ("sleepstudy_independent", "penicillin", "pastes"))
    for form in ref["partial"]:
        close(fit.predict(terms=form), ref["partial"][form])
        close(fit.predict(new, terms=[form]), ref["new_partial"][form])


@pytest.mark.parametrize("name", FITS)
def test_standard_errors(name):
    fit, ref = fitted(name), FITS[name]
    close(fit.sigma, ref["sigma"])
    close(fit.predict(interval="confidence")["se"], ref["se_conditional"])
    close(fit.predict(include_re=False, interval="confidence")["se"], ref["se_population"])


@pytest.mark.parametrize("name", FITS)
def test_at_our_own_optimum(name):
    """The same within what lme4's optimiser leaves."""
    ref = FITS[name]
    data = bl.load_dataset(DATA[name.partition("_")[0]])
    fit = bl.fit(OURS.get(name, ref["formula"]), data, weights=ref.get("weights"))
    np.testing.assert_allclose(fit.predict(), ref["fitted"], rtol=1e-6)
    se = fit.predict(interval="confidence")["se"]
    np.testing.assert_allclose(se, ref["se_conditional"], rtol=1e-6)


@pytest.mark.parametrize("interval", ["confidence", "prediction"])
def test_linear_models_have_exact_intervals(interval):
    ref = REFERENCE["linear"]
    data = pd.DataFrame(ref["data"]).assign(w=ref["weights"])
    fit = bl.fit("dist ~ speed", data, weights="w")
    frame = fit.predict(pd.DataFrame(ref["new"]), interval=interval, level=0.9)
    close(frame[["fit", "lower", "upper"]], ref[interval])
