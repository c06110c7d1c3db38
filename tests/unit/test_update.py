"""`Model.update`: what is kept, what is said."""

import pytest

import bayeslmm as bl
from bayeslmm.errors import DataWarning

FORMULA = "Reaction ~ Days + (Days | Subject)"
PRIORS = {"beta[Days]": bl.Normal(0, 10), "sd_Subject": bl.HalfNormal(50)}


def test_priors_of_kept_parameters_are_kept() -> None:
    model = bl.Model(FORMULA, bl.load_dataset("sleepstudy"), priors=PRIORS)
    with pytest.warns(DataWarning, match=r"that are gone are left out: beta\[Days\]\."):
        smaller = model.update("~ . - Days")
    assert smaller.priors.sd["Subject"] == (bl.HalfNormal(50), bl.HalfNormal(50))
    assert set(smaller._user_priors) == {"sd_Subject"}


def test_new_priors_replace_the_old() -> None:
    model = bl.Model(FORMULA, bl.load_dataset("sleepstudy"), priors=PRIORS)
    updated = model.update(priors={"sigma": bl.Exponential(0.1)})
    assert updated.priors.sources["beta[Days]"] == "default"
    assert updated.priors.sigma == bl.Exponential(0.1)


def test_groups_add() -> None:
    model = bl.Model("strength ~ 1 + (1 | batch)", bl.load_dataset("Pastes"))
    assert model.update(groups=["sample"]).fit().ngroups == {"batch": 10, "sample": 30}
