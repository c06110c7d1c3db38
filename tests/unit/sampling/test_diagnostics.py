"""Convergence diagnostics and their words."""

import numpy as np
import pytest
import xarray as xr

from bayeslmm.sampling import check_convergence, record_diagnostics, recorded_diagnostics


def tree(draws, *, diverging=0, deep=0, matrix=None):
    chains, n = draws.shape[:2]
    data = {"sd_g": (("chain", "draw", "g_term"), draws)}
    if matrix is not None:
        data["corr_g"] = (("chain", "draw", "g_term", "g_term_bis"), matrix)
    names = [f"x{i}" for i in range(draws.shape[2])]
    coords = {"g_term": names} | ({} if matrix is None else {"g_term_bis": names})
    bad, cut = np.zeros((chains, n), bool), np.zeros((chains, n), bool)
    bad.flat[:diverging] = True
    cut.flat[:deep] = True
    stats = {
        "diverging": (("chain", "draw"), bad),
        "reached_max_treedepth": (("chain", "draw"), cut),
    }
    posterior = xr.Dataset(data, coords=coords)
    return xr.DataTree.from_dict({"/posterior": posterior, "/sample_stats": xr.Dataset(stats)})


@pytest.fixture
def good():
    return np.random.default_rng(0).normal(size=(4, 500, 2))


def test_good_chains(good):
    found = check_convergence(tree(good))
    assert found.converged
    assert found.findings == ()
    assert found.rhat < 1.01
    assert 1500 < found.ess_bulk < 2500
    assert "chains agree" in found.words()


def test_chains_that_disagree(good):
    good[0, :, 1] += 1
    found = check_convergence(tree(good))
    assert not found.converged
    assert found.rhat_of == "sd_g[x1]"
    assert "R-hat of sd_g[x1]" in found.words()
    assert "raise tune=" in found.words()


def test_divergences_are_counted_and_explained(good):
    found = check_convergence(tree(good, diverging=7, deep=3))
    assert (found.divergences, found.max_treedepth) == (7, 3)
    assert "7 of 2000 draws diverged" in found.words()
    assert "parameterization=" in found.words()
    assert "largest tree" in found.words()


def test_few_independent_draws():
    rng = np.random.default_rng(1)
    steps = rng.normal(size=(4, 3000, 1))
    slow = np.zeros_like(steps)
    for t in range(1, steps.shape[1]):
        slow[:, t] = 0.97 * slow[:, t - 1] + steps[:, t]
    found = check_convergence(tree(slow))
    assert found.ess_bulk < 400
    assert "bulk ESS of sd_g[x0]" in found.words()


def test_constants_by_construction_do_not_count(good):
    r = np.tanh(good[..., 0] / 3)
    R = np.ones((4, 500, 2, 2))
    R[..., 0, 1] = R[..., 1, 0] = r
    assert check_convergence(tree(good, matrix=R)).converged
    R[..., 0, 1] = R[..., 1, 0] = 0
    assert check_convergence(tree(good, matrix=R)).converged


def test_correlations_are_named_as_in_every_table(good):
    slow = np.tanh(np.linspace(-1, 1, 500) + np.zeros((4, 1)))
    R = np.ones((4, 500, 2, 2))
    R[..., 0, 1] = R[..., 1, 0] = slow
    found = check_convergence(tree(good, matrix=R))
    assert found.rhat_of == found.ess_bulk_of == "corr_g[x0, x1]"


def test_diagnostics_travel_with_the_tree(good):
    one = tree(good, diverging=2)
    assert recorded_diagnostics(one) is None
    for draws in (good, good * [0.0, 1.0]):  # an infinite R-hat too
        found = check_convergence(tree(draws, diverging=2))
        record_diagnostics(one, found)
        assert isinstance(one.attrs["diagnostics"], str)
        assert recorded_diagnostics(one) == found
    for damaged in ("{", "[]", '{"rhat": 1.0}', '"x"'):
        one.attrs["diagnostics"] = damaged
        assert recorded_diagnostics(one) is None


def test_a_chain_that_never_moved(good):
    good[2, :, 0] = 0.3
    found = check_convergence(tree(good))
    assert found.rhat == np.inf
    assert not found.converged


def test_one_chain_and_few_draws(good):
    assert "one chain" in check_convergence(tree(good[:1])).words()
    assert "too few draws" in check_convergence(tree(good[:, :3])).words()
