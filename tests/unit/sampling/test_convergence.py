"""R-hat and effective sample sizes are ArviZ's."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayeslmm.sampling.convergence import convergence

LONG = {"rhat": "rank", "bulk": "bulk", "tail": "tail"}


def arviz(draws):
    """The same of each number by ArviZ."""
    return {
        "rhat": [array_stats.rhat(d, method="rank") for d in draws],
        "bulk": [array_stats.ess(d, method="bulk") for d in draws],
        "tail": [array_stats.ess(d, method="tail", prob=(0.05, 0.95)) for d in draws],
    }


def autoregressive(rho, shape, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    for t in range(1, shape[-1]):
        x[..., t] = rho * x[..., t - 1] + np.sqrt(1 - rho**2) * x[..., t]
    return x


@pytest.mark.parametrize("rho", [-0.7, 0.0, 0.5, 0.95, 0.999])
@pytest.mark.parametrize("shape", [(70, 4, 250), (5, 4, 1000), (5, 1, 101), (5, 2, 4), (5, 3, 7)])
def test_as_arviz(rho, shape):
    draws = autoregressive(rho, shape)
    found, expected = convergence(draws), arviz(draws)
    for name in LONG:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10, err_msg=name)


def test_chains_that_repeat_values():
    draws = np.repeat(autoregressive(0.3, (6, 4, 100)), 3, axis=2)
    found, expected = convergence(draws), arviz(draws)
    for name in LONG:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10)


def test_chains_that_do_not_agree():
    draws = autoregressive(0.0, (4, 4, 200))
    draws[:, 0] += 3.0
    found, expected = convergence(draws), arviz(draws)
    assert (found["rhat"] > 1.2).all()
    for name in LONG:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10)


def test_what_never_moved_or_is_not_finite():
    draws = autoregressive(0.0, (3, 2, 50))
    draws[0, 1] = 1.0
    draws[1, 0, 3] = np.nan
    found = convergence(draws)
    assert np.isinf(found["rhat"][:2]).all()
    assert np.isfinite(found["rhat"][2])
    assert (found["bulk"][:2] == 0).all()
    assert (found["tail"][:2] == 0).all()
