"""Models with their fits, made once a folder."""

import warnings
from types import SimpleNamespace

import pytest

import bayeslmm as bl
from tests.unit.comparison.fake_posterior import fake_posterior


def fitted(formula: str, data: str, **posterior: float) -> SimpleNamespace:
    model = bl.Model(formula, bl.load_dataset(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = {m.lower(): model.fit(m) for m in ("REML", "ML", "MAP")}
        return SimpleNamespace(model=model, posterior=fake_posterior(model, **posterior), **fits)


@pytest.fixture(scope="session")
def sleep():
    return fitted("Reaction ~ Days + (Days | Subject)", "sleepstudy")


@pytest.fixture(scope="session")
def penicillin():
    return fitted("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin")


@pytest.fixture(scope="session")
def dyestuff2():
    return fitted("Yield ~ 1 + (1 | Batch)", "Dyestuff2", skew=0.3)
