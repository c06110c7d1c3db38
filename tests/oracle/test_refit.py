"""Refits of other responses, one by one and in compiled batches, against fits from scratch."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.errors import FitError
from tests.oracle.designs import CASES

MODELS = [
    ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    ("Reaction ~ Days + (Days || Subject)", "sleepstudy"),
    ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin"),
    ("strength ~ 1 + (1 | batch/cask)", "Pastes"),
    ("angle ~ recipe * temperature + (1 | recipe:replicate)", "cake"),
    ("Yield ~ 1 + (1 | Batch)", "Dyestuff2"),
]
BATCH = 12


def simulated(fit: bl.PointFit, batch: int) -> np.ndarray:
    """Responses from the fitted model with every SD as estimated, shape (n, batch)."""
    rng = np.random.default_rng(5)
    Z, population = fit.design.Z(), fit.predict(include_re=False)
    out = np.empty((fit.nobs, batch))
    for k in range(batch):
        b = [
            (rng.normal(size=(f.n_levels, f.n_columns)) @ T.T).ravel()
            for f, T in zip(fit.design.factors, fit.estimate.T, strict=True)
        ]
        effects = np.concatenate(b)
        out[:, k] = population + fit.sigma * (Z @ effects + rng.normal(size=fit.nobs))
    return out


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize(("formula", "dataset"), MODELS)
def test_batch_equals_single_fits(formula: str, dataset: str, method: str) -> None:
    data = bl.load_dataset(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.SingularFitWarning)
        fit = bl.fit(formula, data, method=method)
        Y = simulated(fit, BATCH)
        batch = fit.refit(Y)
        singles = [
            bl.fit(formula, data.assign(**{fit.design.response_name: Y[:, k]}), method=method)
            for k in range(BATCH)
        ]
    assert len(batch) == BATCH
    for k, single in enumerate(singles):
        assert batch.llf[k] == pytest.approx(single.llf, abs=1e-8)
        gap = (batch.fe_params.loc[k] - single.fe_params) / single.fe_bse
        assert np.abs(gap).max() < 1e-6
        ours = batch.variances.loc[k].to_numpy()
        theirs = single.estimate.variance_values
        np.testing.assert_array_equal(ours == 0.0, theirs == 0.0)
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-5)


def test_single_refit_is_a_fit() -> None:
    fit = bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    again = fit.refit(2.0 * fit.design.y + 3.0)
    assert isinstance(again, bl.PointFit)
    np.testing.assert_allclose(again.theta, fit.theta, rtol=1e-6)
    assert again.sigma == pytest.approx(2.0 * fit.sigma, rel=1e-8)
    assert again.fe_params["Intercept"] == pytest.approx(2.0 * fit.fe_params["Intercept"] + 3.0)


def test_a_refit_can_be_saved(tmp_path: Path) -> None:
    fit = bl.fit("log(Reaction) ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    again = fit.refit(fit.design.y[::-1].copy())
    loaded = bl.load(again.save(tmp_path / "refit.nc"))
    np.testing.assert_array_equal(loaded.resid, again.resid)


def test_refused() -> None:
    fit = bl.fit("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    with pytest.raises(bl.BayeslmmError, match=r"uses 180 rows"):
        fit.refit(fit.design.y[:-1])
    with pytest.raises(bl.BayeslmmError, match="missing or infinite"):
        fit.refit(np.full(180, np.nan))


def test_a_response_without_residual_is_refused_alone_and_blank_in_a_batch():
    fit = CASES["crossed"].model().fit()
    x = fit.design.X[:, 1]
    with pytest.raises(FitError, match="reproduces the response exactly"):
        fit.refit(2 * x + 1)
    batch = fit.refit(np.column_stack([fit.design.y, 2 * x + 1]))
    assert batch.status.tolist() == [fit.status.name, "FAILED"]
    assert batch.llf[0] == pytest.approx(fit.llf, rel=1e-10)
    assert np.isnan(batch.llf[1]) and batch.fe_params.loc[1].isna().all()
    assert batch.variances.loc[1].isna().all()


def test_what_the_data_cannot_tell_apart_is_flat():
    table = CASES["crossed"].table().assign(again=lambda t: t["g"])
    with pytest.warns(bl.ConvergenceWarning):
        assert bl.fit("y ~ x + (1 | g) + (1 | again)", table).status.name == "FLAT"
