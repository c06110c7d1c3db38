"""Independence sampling where evaluations are dear: chains in threads, and interruptions."""

import time

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.engine.gaussian import MarginalPosterior
from bayeslmm.sampling import Diagnostics, independence
from tests.posterior.agreement import check_agreement, statistics


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(3)
    n, J, K = 900, 60, 50
    g, h = rng.integers(0, J, n), rng.integers(0, K, n)
    y = 1.0 + rng.normal(size=J)[g] + 0.7 * rng.normal(size=K)[h] + rng.normal(size=n)
    found = bl.Model("y ~ 1 + (1 | g) + (1 | h)", pd.DataFrame({"y": y, "g": g, "h": h}))
    assert MarginalPosterior(found.design, found.priors).small is None
    return found


def draws(model, n=150, **options):
    options = {"random_seed": 4, "chains": 2, "progressbar": False} | options
    return model.sample(n, **options)


@pytest.mark.filterwarnings("ignore::bayeslmm.ConvergenceWarning")
def test_draws_do_not_depend_on_the_threads(model):
    one, two = (draws(model, cores=cores).datatree for cores in (1, 2))
    assert one.attrs["sampler"] == "independence" and one.attrs["acceptance"] > 0.6
    for name, values in one["posterior"].data_vars.items():
        np.testing.assert_array_equal(values, two["posterior"][name])


def all_statistics(fit):
    posterior = fit.datatree["posterior"]
    found = {name: posterior[name].to_numpy() for name in ("sigma", "sd_g", "sd_h", "beta")}
    found |= {f"b_{f}[{k}]": posterior[f"b_{f}"].to_numpy()[:, :, k] for f in "gh" for k in (0, 7)}
    return {name: statistics(v.reshape(v.shape[:2])) for name, v in found.items()}


def test_it_agrees_with_nuts(model):
    ours = draws(model, 1000, chains=4)
    nuts = draws(model, 1000, chains=4, sampler="nutpie", random_seed=5)
    assert ours.converged and nuts.converged
    check_agreement(all_statistics(ours), all_statistics(nuts))


@pytest.mark.validate
@pytest.mark.filterwarnings("ignore::bayeslmm.ConvergenceWarning")
def test_insteval_agrees_with_sampling_everything():
    data = bl.load_dataset("InstEval").assign(y=lambda d: d["y"].astype(float))
    model = bl.Model("y ~ 1 + service + (1 | s) + (1 | d) + (1 | dept)", data)
    options = {"progressbar": False, "log_likelihood": False}
    ours = model.sample(500, random_seed=1, **options)
    attrs = ours.datatree.attrs
    assert attrs["sampler"] == "independence"
    assert attrs["pareto_k"] < 0.7 and attrs["acceptance"] > 0.6
    full = model.sample(1000, random_seed=2, parameterization="noncentered", **options)
    found = []
    for fit in (ours, full):
        posterior = fit.datatree["posterior"]
        draws = {k: posterior[k].to_numpy()[..., 0] for k in ("sd_s", "sd_d", "sd_dept")}
        draws["sigma"] = posterior["sigma"].to_numpy()
        draws |= {f"beta[{k}]": posterior["beta"].to_numpy()[..., k] for k in (0, 1)}
        for name, levels in (("b_s", (0, 1500)), ("b_d", (3, 900)), ("b_dept", (2, 9))):
            draws |= {f"{name}[{j}]": posterior[name].to_numpy()[:, :, j, 0] for j in levels}
        found.append({k: statistics(v) for k, v in draws.items()})
    check_agreement(*found)


def test_an_interruption_leaves_the_draws_so_far(model, monkeypatch):
    whole = draws(model, 3000).datatree["posterior"]
    original = independence.wait

    def interrupted(jobs, **options):
        time.sleep(0.5)
        monkeypatch.setattr(independence, "wait", original)
        raise KeyboardInterrupt

    monkeypatch.setattr(independence, "wait", interrupted)
    with pytest.warns(bl.ConvergenceWarning, match="of 3000 draws"):
        fit = draws(model, 3000)
    posterior = fit.datatree["posterior"]
    n = posterior.sizes["draw"]
    assert 0 < n < 3000 and fit.datatree.attrs["interrupted"] == 1
    if posterior.sizes["chain"] == 2:  # one that was far behind is left out
        for name, values in posterior.data_vars.items():
            np.testing.assert_array_equal(values, whole[name][:, :n])


def test_an_error_in_a_chain_is_raised(model, monkeypatch):
    def fails(self, x):
        raise FloatingPointError("on purpose")

    good = MarginalPosterior.value_and_factor
    calls = []

    def late(self, x):
        calls.append(x)
        return good(self, x) if len(calls) < 50 else fails(self, x)

    monkeypatch.setattr(MarginalPosterior, "value_and_factor", late)
    with pytest.raises(FloatingPointError, match="on purpose"):
        draws(model)


def test_options_of_nuts_are_refused(model):
    for name, value in (("tune", 100), ("target_accept", 0.9)):
        with pytest.raises(bl.BayeslmmError, match=f"{name}= is of NUTS"):
            draws(model, sampler="independence", **{name: value})
        with pytest.warns(bl.ConvergenceWarning, match="one chain"):
            fit = draws(model, 20, chains=1, **{name: value})
        assert fit.datatree.attrs["sampler"] == "nutpie"


def test_tails_that_the_proposals_miss_are_said():
    fine = {"rhat": 1.0, "ess_bulk": 4e3, "ess_tail": 4e3, "divergences": 0, "max_treedepth": 0}
    where = {"rhat_of": "sigma", "ess_bulk_of": "sigma", "ess_tail_of": "sigma"}
    found = Diagnostics(**fine, **where, chains=4, draws=1000, pareto_k=0.9)
    assert not found.converged
    assert "Pareto k" in found.words() and 'sampler="nutpie"' in found.words()
    assert Diagnostics(**fine, **where, chains=4, draws=1000, pareto_k=0.3).converged
    few = fine | {"rhat": 1.02}
    words = Diagnostics(**few, **where, chains=4, draws=250, pareto_k=0.3).words()
    assert "raise draws=" in words and "nutpie" not in words
