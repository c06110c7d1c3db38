"""What the PyMC model is made of, beside its density (see ``tests/posterior``)."""

import numpy as np
import pytest

from bayeslmm.errors import ArgumentError
from bayeslmm.priors import HalfNormal, resolve_priors
from bayeslmm.pymc_model import build_pymc_model
from bayeslmm.pymc_model.run import nuts_options
from tests.posterior.designs import make_design, slopes


def build(design, user=None, **options):
    return build_pymc_model(design, resolve_priors(design, user), **options)


def test_free_variables_of_each_parameterization():
    free = {v.name for v in build(slopes()).free_RVs}
    assert free == {"beta_centered", "z_g", "sd_g", "partial_g", "sigma"}
    free = {v.name for v in build(slopes(), parameterization="centered").free_RVs}
    assert free == {"beta_centered", "b_g", "sd_g", "partial_g", "sigma"}


def test_an_intercept_alone_needs_no_centring():
    design = make_design(np.arange(10.0), {"Intercept": np.ones(10)}, {}, [])
    assert {v.name for v in build(design).free_RVs} == {"beta", "sigma"}


def test_priors_of_two_kinds_become_one_named_vector():
    model = build(slopes(), {"sd_g[x]": HalfNormal(3)})
    assert {"sd_g[Intercept]", "sd_g[x]"} <= {v.name for v in model.free_RVs}
    assert model.named_vars_to_dims["sd_g"] == ("g_term",)


def test_many_fixed_columns_give_the_same_density(monkeypatch):
    """The matrix product of wide designs and the sum of narrow ones."""
    values = []
    for limit in (0, 12):
        monkeypatch.setattr("bayeslmm.pymc_model.build.MANY_COLUMNS", limit)
        model = build(slopes())
        values.append(model.compile_logp(mode="FAST_COMPILE")(model.initial_point()))
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_an_unknown_parameterization():
    with pytest.raises(ArgumentError, match="parameterization="):
        build(slopes(), parameterization="semi")


def test_options_follow_the_size_of_the_model():
    few = {"sampler": "nutpie", "n_effects": 30, "target_accept": None}
    many = {**few, "n_effects": 5000}
    assert nuts_options(centered=True, **few) == {
        "target_accept": 0.9,
        "adaptation": "low_rank",
    }
    assert nuts_options(centered=True, **many) == {
        "target_accept": 0.8,
        "adaptation": "diag",
    }
    own = {**few, "sampler": "pymc", "target_accept": 0.99}
    assert nuts_options(centered=False, **own) == {"target_accept": 0.99}
