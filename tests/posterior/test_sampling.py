"""Real sampling runs: the record, what ArviZ makes of it, reproducibility, truth."""

import importlib.util
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy import stats

from bayeslmm.errors import ArgumentError, DataWarning, MissingDependencyError
from bayeslmm.priors import LKJ, Flat, HalfNormal, Normal, resolve_priors
from bayeslmm.sampling import check_convergence, sample, sample_posterior
from tests.posterior.agreement import check_agreement, statistics
from tests.posterior.designs import make_design, slopes
from tests.posterior.importance import importance_statistics

SHORT = {
    "draws": 200, "tune": 200, "chains": 2, "random_seed": 3, "progressbar": False,
    "parameterization": "noncentered",
}  # fmt: skip


def run(design, user=None, **options):
    return sample_posterior(design, resolve_priors(design, user), **{**SHORT, **options})


def all_statistics(tree, names=("beta", "sd_g", "corr_g", "sigma")):
    """Statistics of every number of some variables that varies, with Monte Carlo errors."""
    found = {}
    for name in names:
        values = tree["posterior"][name].to_numpy()
        values = values.reshape(*values.shape[:2], -1)
        varying = [k for k in range(values.shape[2]) if np.ptp(values[..., k]) > 0]
        found |= {f"{name}[{k}]": statistics(values[..., k]) for k in varying}
    return found


@pytest.fixture(scope="module")
def design():
    return slopes(12, 6)


@pytest.fixture(scope="module")
def long_run(design):
    """The marginal posterior, which shares neither geometry nor sampler with the full one."""
    return run(
        design, parameterization="marginal", sampler="independence", tune=None, draws=4000,
        chains=4, log_likelihood=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tree(design):
    return run(design, prior_predictive=True, posterior_predictive=True, draws=500, tune=500)


def test_the_groups_and_their_variables(tree, design):
    groups = {name: set(tree[name].data_vars) for name in tree.children}
    parameters = {"beta", "sd_g", "corr_g", "sigma"}
    assert groups["posterior"] == parameters | {"b_g"} == groups["prior"]
    assert groups["log_prior"] == parameters
    for name in ("log_likelihood", "observed_data", "posterior_predictive", "prior_predictive"):
        assert groups[name] == {"y"}
    assert {"diverging", "tree_depth", "step_size", "reached_max_treedepth"} <= groups[
        "sample_stats"
    ]
    assert tree["posterior"]["b_g"].dims == ("chain", "draw", "g", "g_term")
    assert tree["posterior"]["corr_g"].dims == ("chain", "draw", "g_term", "g_term_bis")
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw", "obs")
    assert list(tree["posterior"]["fixed"].values) == ["Intercept", "x"]
    assert tree["log_prior"]["corr_g"].dims == ("chain", "draw")


def test_the_attributes_say_what_made_it(tree):
    assert tree.attrs["creation_library"] == "bayeslmm"
    assert tree.attrs["random_seed"] == 3
    assert tree.attrs["sampler"] == "nutpie"
    assert tree.attrs["formula"] == "y ~ x"
    assert tree.attrs["target_accept"] == 0.9
    assert tree.attrs["adaptation"] == "draw_diag"
    assert 0 < tree.attrs["sampling_time"] <= tree.attrs["total_time"]
    assert "HalfStudentT" in tree.attrs["priors"]


def test_log_likelihood_and_log_prior_are_those_of_the_draws(tree, design):
    post = tree["posterior"]
    b = post["b_g"].values[:, :, design.factors[0].codes]
    eta = post["beta"].values @ design.X.T + (design.factors[0].columns * b).sum(-1)
    want = stats.norm.logpdf(design.y, eta, post["sigma"].values[..., None])
    np.testing.assert_allclose(tree["log_likelihood"]["y"].values, want, rtol=1e-9)
    prior = resolve_priors(design).sigma
    np.testing.assert_allclose(tree["log_prior"]["sigma"], prior.logpdf(post["sigma"].values))


def test_a_large_log_likelihood_is_announced_and_can_be_left_out(design, monkeypatch):
    monkeypatch.setattr(sample, "LARGE", 8 * design.n * 400 - 1)
    with pytest.warns(DataWarning, match="log_likelihood=False") as said:
        whole = run(design)
    assert len([w for w in said if w.category is DataWarning]) == 1
    assert f"{design.n} rows x 400 draws" in str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        bare = run(design, log_likelihood=False)
        monkeypatch.setattr(sample, "LARGE", 8 * design.n * 400)
        run(design)
    assert set(whole.children) - set(bare.children) == {"log_likelihood"}
    np.testing.assert_array_equal(bare["posterior"]["beta"], whole["posterior"]["beta"])


def test_the_size_said_is_that_of_rows_times_draws():
    n = 73_421
    design = make_design(np.zeros(n), {"Intercept": np.ones(n)}, {}, [])
    with pytest.warns(DataWarning, match=r"takes 2\.35 GB"):
        sample._announce_size(design, 4000)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
def test_arviz_works_on_it_untouched(tree, tmp_path):
    import arviz as az

    summary = az.summary(tree, var_names=["beta", "sd_g", "sigma"], ci_prob=0.95, ci_kind="eti")
    assert list(summary.index[:2]) == ["beta[Intercept]", "beta[x]"]
    assert len(az.summary(tree)) > 20
    assert np.isfinite(az.loo(tree).elpd)
    assert len(az.compare({"a": tree, "b": tree})) == 2
    assert np.isfinite(
        az.psense_summary(tree, var_names=["beta", "sd_g", "sigma"])["prior"].astype(float)
    ).all()
    az.plot_trace(tree, var_names=["sd_g"])
    az.plot_forest(tree, var_names=["beta"])
    az.plot_ppc_dist(tree)
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")


def test_the_same_seed_gives_the_same_draws(design):
    one, two, other = run(design), run(design), run(design, random_seed=4)
    for name in ("beta", "b_g", "corr_g"):
        np.testing.assert_array_equal(one["posterior"][name], two["posterior"][name])
    assert not np.array_equal(one["posterior"]["beta"], other["posterior"]["beta"])


SEEDED = """
import sys
sys.path.insert(0, {folder!r})
from tests.posterior.designs import slopes
from bayeslmm.priors import resolve_priors
from bayeslmm.sampling import sample_posterior
design = slopes(5, 4)
tree = sample_posterior(design, resolve_priors(design), draws=50, tune=50, chains=1,
                        random_seed=1, progressbar=False)
print(repr(float(tree["posterior"]["sigma"].sum())))
"""


@pytest.mark.slow
def test_the_draws_do_not_depend_on_what_numba_has_cached(tmp_path):
    """An empty cache, then the cache it filled: the same numbers to the last bit."""
    import os
    from pathlib import Path

    environment = {**os.environ, "PYTENSOR_FLAGS": f"base_compiledir={tmp_path}"}
    code = SEEDED.format(folder=str(Path(__file__).parent))
    sums = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert sums[0] == sums[1]


def test_a_conjugate_posterior_is_found():
    """Known sigma in all but name, flat priors: beta is normal around least squares."""
    rng = np.random.default_rng(5)
    x = 2010 + rng.normal(size=200)
    y = 3 + 2 * (x - 2010) + rng.normal(size=200)
    design = make_design(y, {"Intercept": np.ones(200), "x": x}, {}, [])
    user = {"beta": Flat(), "beta[Intercept]": Flat(), "sigma": Flat()}
    tree = run(design, user, draws=1000, tune=500, chains=4)
    assert check_convergence(tree).converged
    least, *_ = np.linalg.lstsq(design.X, y, rcond=None)
    rss = ((y - design.X @ least) ** 2).sum()
    # sigma flat: beta is t with n - p - 1 degrees of freedom
    df = 200 - 2 - 1
    scale = np.sqrt(np.diag(rss / df * np.linalg.inv(design.X.T @ design.X)))
    exact = {}
    for k in range(2):
        t = stats.t(df, least[k], scale[k])
        q = {f"q{q}": t.ppf(q / 100) for q in (5, 25, 50, 75, 95)}
        values = {"mean": t.mean(), "sd": t.std()} | q
        exact[f"beta[{k}]"] = {key: (float(v), 0.0) for key, v in values.items()}
    check_agreement(all_statistics(tree, ("beta",)), exact)


@pytest.mark.parametrize("parameterization", ["noncentered", "centered"])
def test_every_parameterization_draws_from_the_same_posterior(design, long_run, parameterization):
    tree = run(design, parameterization=parameterization, draws=1000, tune=1000, chains=4)
    check_agreement(all_statistics(tree), all_statistics(long_run))


@pytest.mark.slow
def test_pymcs_own_sampler_agrees(design, long_run):
    tree = run(design, sampler="pymc", draws=1000, tune=1000, cores=1)
    check_agreement(all_statistics(tree), all_statistics(long_run))
    assert {"diverging", "tree_depth"} <= set(tree["sample_stats"].data_vars)


@pytest.mark.parametrize("family", ["poisson", "negativebinomial", "bernoulli", "binomial"])
def test_other_families(family):
    rng = np.random.default_rng(6)
    base = slopes(12, 6)
    g, x = base.factors[0].codes, base.X[:, 1] / 5
    names = ("beta", "sd_g", "alpha")[: 3 if family == "negativebinomial" else 2]
    eta = 0.5 + x + rng.normal(0, 0.7, 12)[g]
    trials = np.full(base.n, 8) if family == "binomial" else None
    y = {
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "negativebinomial": lambda: rng.poisson(np.exp(eta) * rng.gamma(3, 1 / 3, base.n)),
        "bernoulli": lambda: rng.uniform(size=base.n) < 1 / (1 + np.exp(-eta)),
        "binomial": lambda: rng.binomial(8, 1 / (1 + np.exp(-eta))),
    }[family]()
    design = make_design(
        y,
        {"Intercept": np.ones(base.n), "x": x},
        {"g": g},
        [("g", ("Intercept",), True)],
        family=family,
        trials=trials,
    )
    tree = run(
        design, posterior_predictive=True, prior_predictive=True, draws=1000, tune=1000, chains=4
    )
    found = all_statistics(tree, names)
    drawn = [tree["posterior"][k].to_numpy().reshape(4000, -1) for k in names]
    near = np.column_stack([drawn[0], *(np.log(d) for d in drawn[1:])])
    exact = importance_statistics(design, resolve_priors(design), near)
    ours = {k: {m: s[m] for m in ("mean", "sd")} for k, s in found.items()}
    check_agreement(ours, dict(zip(ours, exact.values(), strict=True)))
    assert np.isfinite(tree["log_likelihood"]["y"].values).all()
    assert ("alpha" in tree["posterior"]) == (family == "negativebinomial")
    assert ("trials" in tree["constant_data"] if "constant_data" in tree else False) == (
        trials is not None
    )


def test_a_strong_prior_speaks():
    """Against the data, by the same densities integrated and explicit."""
    design = slopes()
    user = {"beta[x]": Normal(-5, 0.01), "sd_g": HalfNormal(0.1), "corr_g": LKJ(50)}
    many = {"draws": 1000, "tune": 1000, "chains": 4}
    full, marginal = (
        run(design, user, parameterization=p, **many) for p in ("noncentered", "marginal")
    )
    check_agreement(all_statistics(full), all_statistics(marginal))
    post = full["posterior"]
    assert float(post["beta"].sel(fixed="x").mean()) == pytest.approx(-5, abs=0.02)
    assert float(post["sd_g"].max()) < 1
    assert abs(float(post["corr_g"][..., 0, 1].mean())) < 0.2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampler": "nutpy"}, "did you mean `nutpie`"),
        ({"draws": 0}, "draws= must be"),
        ({"chains": 1.5}, "chains= must be"),
        ({"target_accept": 1.2}, "between 0 and 1"),
        ({"random_seed": -1}, "random_seed="),
        ({"random_seed": "x"}, "takes an integer"),
        ({"parameterization": "center"}, "parameterization="),
    ],
)
def test_arguments_that_cannot_be(design, options, words):
    with pytest.raises(ArgumentError, match=words):
        run(design, **options)


@pytest.mark.parametrize("sampler", ["numpyro", "blackjax"])
def test_a_sampler_that_is_not_installed(design, sampler, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=rf"bayeslmm\[{sampler}\]"):
        run(design, sampler=sampler)
