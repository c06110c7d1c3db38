"""Samplers of other packages draw from the same posterior; they are optional, and so is this."""

import pytest

import bayeslmm as bl
from tests.posterior.agreement import check_agreement
from tests.posterior.test_marginal import all_statistics


@pytest.mark.validate
@pytest.mark.parametrize("sampler", ["numpyro", "blackjax"])
def test_it_agrees_with_integrating_the_effects_out(sampler):
    pytest.importorskip(sampler)
    model = bl.Model("Reaction ~ 1 + Days + (1 + Days | Subject)", bl.load_dataset("sleepstudy"))
    theirs = model.sample(2000, sampler=sampler, random_seed=1, progressbar=False)
    assert theirs.converged, theirs.diagnostics.words()
    ours = model.sample(2000, random_seed=2, progressbar=False)
    expected = all_statistics(ours)
    found = {k: v for k, v in all_statistics(theirs).items() if k in expected}
    check_agreement(found, expected)
