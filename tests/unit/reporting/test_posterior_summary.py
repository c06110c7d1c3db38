import arviz_stats
import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError
from bayeslmm.reporting import summarise_posterior
from tests.unit.comparison.fake_posterior import CHAINS, DRAWS, fake_posterior


@pytest.fixture(scope="module")
def text(sleep):
    return str(sleep.posterior.summary())


def row(text, name):
    line = next(x for x in text.splitlines() if x.removeprefix(" Subject").strip().startswith(name))
    return line.split(name)[1].split()


def test_layout(text):
    lines = text.splitlines()
    assert lines[:2] == [
        "Linear mixed model, posterior by sampling",
        "Formula: Reaction ~ Days + (Days | Subject)",
    ]
    chains = f"{CHAINS} chains x {DRAWS} draws, 0 divergences"
    assert f"Sampler: nutpie, noncentered; {chains}; seed 1" in text
    assert "Number of obs: 180, groups:  Subject, 18\nRows per level: Subject 10" in text
    assert text.index("Random effects:") < text.index("Fixed effects:")
    assert "2.5 % to 97.5 %: 95 % equal-tailed credible interval" in text
    assert "Convergence" not in text


def test_numbers_are_those_of_the_draws_and_of_arviz(text, sleep):
    draws = sleep.posterior.datatree["posterior"]["beta"].sel(fixed="Days")
    x = draws.to_numpy()
    low, high = np.quantile(x, [0.025, 0.975])
    expected = [x.mean(), x.std(ddof=1), np.median(x), low, high]
    found = row(text, "Days")
    assert found[:5] == [f"{v:.2f}" for v in expected]
    assert float(found[5]) == pytest.approx(float(arviz_stats.rhat(draws)), abs=6e-4)
    assert float(found[6]) == pytest.approx(float(arviz_stats.ess(draws)), abs=0.6)
    assert float(found[7]) == pytest.approx(
        float(arviz_stats.ess(draws, method="tail", prob=(0.05, 0.95))), abs=0.6
    )


def test_sds_and_correlations_have_rows(text):
    for name in ("SD(Intercept)", "SD(Days)", "Corr(Intercept, Days)", "Residual SD"):
        assert name in text


def test_the_level_is_the_readers(sleep):
    half = str(summarise_posterior(sleep.posterior, level=0.5))
    assert "25 % to 75 %: 50 % equal-tailed credible interval" in half
    with pytest.raises(ArgumentError):
        summarise_posterior(sleep.posterior, level=1.5)


def test_doubt_is_said(sleep):
    text = str(fake_posterior(sleep.model, ok=False).summary())
    assert "Convergence: in doubt" in text
    assert "37 of 1000 draws diverged" in text


def test_without_factors_the_residual_has_its_own_heading():
    model = bl.Model("Reaction ~ Days", bl.load_dataset("sleepstudy"))
    for fit in (model.fit(), fake_posterior(model)):
        text, page = str(fit.summary()), fit.summary()._repr_html_()
        assert "\nResidual:\n" in text and "<b>Residual:</b>" in page
        assert "Random effects" not in text and "Random effects" not in page


def test_a_posterior_without_log_likelihood_is_summarised(sleep):
    bare = fake_posterior(sleep.model)
    del bare.datatree["log_likelihood"]
    assert str(bare.summary()) == str(sleep.posterior.summary())


def test_html(sleep):
    page = sleep.posterior.summary()._repr_html_()
    assert "R-hat" in page and "equal-tailed" in page and "http" not in page
