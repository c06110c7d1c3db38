"""Effects drawn for draws of the marginal model: their moments, their record, every sampler."""

import warnings
from functools import cache

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from scipy.stats import norm

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, PriorError
from bayeslmm.priors.names import observed_name
from bayeslmm.sampling import check_convergence
from bayeslmm.sampling.record import draws_dataset, variable_dims
from tests.oracle.dense import Dense
from tests.oracle.designs import CASES
from tests.posterior.agreement import check_agreement, statistics
from tests.posterior.test_marginal import all_statistics, crossed_slopes

SLEEP = "Reaction ~ Days + (Days | Subject)"


def tree_of(model, values, chains=4, draws=1000):
    """A posterior in which each chain has the same values in every draw."""
    d = model.design
    dims = {k: v for k, v in variable_dims(d).items() if k.startswith(("sd_", "corr_", "sigma"))}
    arrays = {
        name: np.concatenate(
            [np.repeat(values[c][name][None], draws, axis=0) for c in range(chains)]
        )
        for name in dims
    }
    return xr.DataTree.from_dict({"/posterior": draws_dataset(d, arrays, dims, chains)})


def some_values(model, seed):
    """SDs, correlations and sigma, and the relative factors of the oracle."""
    rng = np.random.default_rng(seed)
    values, T = {"sigma": np.array(rng.uniform(4, 9))}, []
    for f in model.design.factors:
        sd = rng.uniform(1, 12, f.n_columns)
        L = np.linalg.cholesky(np.eye(f.n_columns) + 0.4 * (1 - np.eye(f.n_columns)) * f.pattern)
        L = L * f.pattern
        L /= np.linalg.norm(L, axis=1)[:, None]
        values[f"sd_{f.name}"] = sd
        if f.has_correlations:
            values[f"corr_{f.name}"] = L @ L.T
        T.append(sd[:, None] * L / float(values["sigma"]))
    return values, T


def effects(model, tree, chain):
    found = tree["posterior"].isel(chain=chain)
    names = [f"b_{f.name}" for f in model.design.factors]
    names = ["beta", *names] if model.design.p else names
    return np.hstack([found[name].to_numpy().reshape(found.sizes["draw"], -1) for name in names])


@pytest.mark.parametrize(
    "name",
    [
        "no fixed part",
        "slopes, uncorrelated",
        "two terms on a factor",
        "crossed slopes",
        "weights, slopes, crossed",
        "weights and offset",
        "full couplings",
        "no random term",
    ],
)
def test_effects_have_their_exact_conditional_moments(name):
    """Each chain has SDs of its own, and the effects must be those of its own SDs."""
    model, draws = CASES[name].model(), 500 if name == "full couplings" else 2000
    given = [some_values(model, seed) for seed in (1, 2)]
    tree = tree_of(model, [values for values, _ in given], 2, draws)
    recovered = model.recover(tree, random_seed=3, log_likelihood=False)
    dtype = float if name == "full couplings" else np.longdouble
    for chain, (values, T) in enumerate(given):
        oracle = Dense(model.design, dtype)
        mean, cov = oracle.conditional(T, float(values["sigma"]), model.priors)
        mean, cov = mean.astype(float), cov.astype(float)
        found = effects(model, recovered, chain)
        white = np.linalg.solve(np.linalg.cholesky(cov), (found - mean).T)
        z = white.mean(axis=1) * np.sqrt(draws)
        assert np.abs(z).max() < norm.isf(1e-5 / len(z))
        second = white @ white.T / draws
        lower = np.abs(second[np.tril_indices(len(z), -1)]).max(initial=0.0) * np.sqrt(draws)
        assert lower < 1.1 * norm.isf(1e-5 / len(z) ** 2)
        assert np.abs(np.diag(second) - 1).max() < 1.2 * norm.isf(1e-5 / len(z)) * np.sqrt(
            2 / draws
        )


def weighted():
    return CASES["weights and offset"].model()


def test_the_record():
    model = weighted()
    values, _ = some_values(model, 1)
    tree = tree_of(model, [values] * 2, 2, 30)
    # thinned chains keep their labels
    thinned = tree["posterior"].to_dataset().isel(draw=slice(0, None, 3))
    tree = xr.DataTree.from_dict({"/posterior": thinned.assign_coords(chain=[3, 7])})
    tree["posterior"]["extra"] = tree["posterior"]["sigma"] * 2
    before = tree.copy(deep=True)
    out = model.recover(tree, random_seed=1, posterior_predictive=True)
    xr.testing.assert_identical(tree, before)
    dims = variable_dims(model.design)
    posterior = out["posterior"]
    assert set(posterior.data_vars) == {*dims, "extra"}
    for name, own in dims.items():
        assert posterior[name].dims == ("chain", "draw", *own)
        for d in own:
            assert posterior[d].to_numpy().tolist() == model.design.coords[d]
    assert posterior["draw"].to_numpy().tolist() == list(range(0, 30, 3))
    assert posterior["chain"].to_numpy().tolist() == [3, 7]
    y = observed_name(model.design)
    assert list(out["log_likelihood"].data_vars) == [y]
    d = model.design
    used = d.weights > 0
    eta = posterior["beta"].to_numpy() @ d.X[used].T + d.offset[used]
    for f in d.factors:
        eta += posterior[f"b_{f.name}"].to_numpy()[:, :, f.codes[used], 0]
    sd = float(values["sigma"]) / np.sqrt(d.weights[used])
    expected = norm.logpdf(d.y[used], eta, sd)
    np.testing.assert_allclose(out["log_likelihood"][y], expected, rtol=1e-12)
    assert out["posterior_predictive"][y].dims == ("chain", "draw", "obs")
    z = (out["posterior_predictive"][y].to_numpy() - eta) / sd
    assert abs(z.mean()) * np.sqrt(z.size) < 4.5
    assert abs((z**2).mean() - 1) * np.sqrt(z.size / 2) < 4.5
    assert out["posterior_predictive"].attrs["effects"].startswith("recovered")
    assert "recovered" in out.attrs["effects"]
    again = model.recover(tree, random_seed=1)
    np.testing.assert_array_equal(again["posterior"]["beta"], posterior["beta"])
    assert "posterior_predictive" not in again.children
    # what was given other effects does not stay
    other = model.recover(out, random_seed=2, log_likelihood=False)
    assert set(other.children) == {"posterior"}
    assert not np.any(other["posterior"]["beta"] == posterior["beta"])


def test_groups_of_the_marginal_model_say_what_they_are():
    model = weighted()
    y = observed_name(model.design)
    tree = tree_of(model, [some_values(model, 1)[0]], 1, 5)
    tree["log_likelihood"] = xr.DataTree(xr.Dataset({y: (("chain", "draw"), np.zeros((1, 5)))}))
    tree["posterior_predictive"] = xr.DataTree(
        xr.Dataset({y: (("chain", "draw", "obs"), np.zeros((1, 5, 3)))})
    )
    out = model.recover(tree)
    assert out["log_marginal_likelihood"][y].dims == ("chain", "draw")
    assert out["log_likelihood"][y].dims == ("chain", "draw", "obs")
    assert out["posterior_predictive"].attrs["effects"] == "new: b drawn anew, beta from its prior"
    assert "effects" not in tree["posterior_predictive"].attrs


def test_variables_without_labels_of_ours():
    """As in a model without dims: other names of dimensions, a number for one SD."""
    model = CASES["crossed"].model()
    rng = np.random.default_rng(1)
    draws = {k: rng.uniform(1, 3, (2, 4)) for k in ("sd_g", "sigma")}
    draws["sd_h"] = rng.uniform(1, 3, (2, 4, 1))
    dims = {k: ("chain", "draw", "sd_h_dim_0")[: v.ndim] for k, v in draws.items()}
    coords = {"chain": [0, 1], "draw": range(4)}
    dataset = xr.Dataset({k: (dims[k], v) for k, v in draws.items()}, coords=coords)
    turned = xr.DataTree.from_dict({"/posterior": dataset.transpose("draw", "sd_h_dim_0", "chain")})
    tree = xr.DataTree.from_dict({"/posterior": dataset})
    one, two = (model.recover(t, random_seed=1)["posterior"]["b_h"] for t in (tree, turned))
    np.testing.assert_array_equal(one, two)


def test_what_recover_refuses():
    model = bl.Model(SLEEP, bl.load_dataset("sleepstudy"))
    values, _ = some_values(model, 1)
    tree = tree_of(model, [values], 1, 3)
    with pytest.raises(ArgumentError, match="group `posterior`"):
        model.recover(tree["posterior"].to_dataset())
    lacking = xr.DataTree.from_dict(
        {"/posterior": tree["posterior"].to_dataset().drop_vars("sigma")}
    )
    with pytest.raises(ArgumentError, match=r"has no sigma.*\n.*found: sd_Subject"):
        model.recover(lacking)
    with pytest.raises(ArgumentError, match="sd_Subject has another shape"):
        bl.Model("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy")).recover(tree)
    zero = tree.copy(deep=True)
    zero["posterior"]["sd_Subject"][0, 1, 1] = 0.0
    with pytest.raises(ArgumentError, match="sd_Subject are not positive"):
        model.recover(zero)
    heavy = {"beta[Days]": bl.StudentT(3)}
    with pytest.raises(PriorError, match="Normal or Flat priors only"):
        bl.Model(SLEEP, bl.load_dataset("sleepstudy"), priors=heavy).recover(tree)


@cache
def crossed_model():
    return bl.Model("y ~ x + (x | s) + (x | i)", crossed_slopes())


def sample_marginal(pymc_model, sampler, draws=2000, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pm.sample(
            draws,
            tune=1000,
            chains=4,
            cores=2,
            model=pymc_model,
            nuts_sampler=sampler,
            random_seed=11,
            progressbar=False,
            compute_convergence_checks=False,
            **options,
        )


@pytest.mark.slow
def test_a_hierarchical_prior_of_standard_deviations():
    """Draws of an extension, against importance weights on draws of the model itself."""
    model = bl.Model("diameter ~ 1 + (1 | plate) + (1 | sample)", bl.load_dataset("Penicillin"))
    with pm.Model() as mine:
        scale = pm.HalfNormal("scale", 2.0)
        sds = {f: pm.HalfNormal(f"sd_{f}", scale) for f in ("plate", "sample")}
        model.marginal_likelihood(sd=sds)
    tree = model.recover(sample_marginal(mine, "nutpie", 1000), random_seed=1)
    assert check_convergence(tree).rhat < 1.01
    found = statistics(np.log(tree["posterior"]["sd_sample"].to_numpy()))["mean"]
    # weights p(sd) / own prior, the scale integrated out over a grid
    fit = model.sample(4000, random_seed=2, progressbar=False, log_likelihood=False)
    draws = {k: fit.datatree["posterior"][f"sd_{k}"].to_numpy().ravel() for k in sds}
    grid = np.linspace(1e-3, 12, 4000)[:, None]
    prior = norm.pdf(grid, 0, 2.0) * np.prod([norm.pdf(v, 0, grid) for v in draws.values()], 0)
    own = model.priors.log_prior(
        {f"sd_{k}": v[:, None] for k, v in draws.items()}
        | {"beta": np.zeros((len(draws["plate"]), 1)), "sigma": np.ones(len(draws["plate"]))}
    )
    weights = prior.sum(axis=0) / np.exp(sum(own[f"sd_{k}"][:, 0] for k in sds))
    weights /= weights.sum()
    log_sd = np.log(draws["sample"])
    expected = weights @ log_sd
    error = np.sqrt(np.sum(weights**2 * (log_sd - expected) ** 2))
    assert 1 / np.sum(weights**2) > 2000
    assert abs(found[0] - expected) < 4.5 * np.hypot(found[1], 1.5 * error)


@pytest.mark.validate
def test_correlations_of_ones_own_sample_and_recover():
    model = bl.Model(SLEEP, bl.load_dataset("sleepstudy"))
    with pm.Model() as mine:
        sd = pm.Gamma("sd", 2, 0.1, shape=2)
        chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2.0, sd_dist=pm.Exponential.dist(1.0))
        model.marginal_likelihood(
            sd={"Subject": sd}, corr={"Subject": chol}, sigma=pt.exp(pm.Normal("log_sigma", 3, 1))
        )
    tree = model.recover(sample_marginal(mine, "nutpie", 300), random_seed=1)
    posterior = tree["posterior"]
    np.testing.assert_allclose(posterior["sigma"], np.exp(posterior["log_sigma"]), rtol=1e-12)
    R = posterior["corr_Subject"].to_numpy()
    np.testing.assert_allclose(
        R[..., 1, 0], posterior["chol_corr"].to_numpy()[..., 1, 0], atol=1e-12
    )
    assert 8 < float(posterior["beta"].sel(fixed="Days").mean()) < 13


@pytest.mark.validate
@pytest.mark.parametrize("sampler", ["nutpie", "pymc"])
@pytest.mark.parametrize("name", ["crossed slopes", "Penicillin", "no random term"])
def test_every_sampler_agrees_with_our_own(name, sampler):
    if name == "no random term":  # evaluated from Python, as large models are
        model = CASES[name].model()
    elif name == "Penicillin":
        data = bl.load_dataset("Penicillin")
        model = bl.Model("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    else:
        model = crossed_model()
    tree = model.recover(sample_marginal(model.to_pymc("marginal"), sampler), random_seed=1)
    diagnostics = check_convergence(tree)
    assert diagnostics.converged, diagnostics.words()
    theirs = bl.PosteriorFit(model.design, tree, diagnostics, model._definition(), model.priors)
    ours = model.sample(2000, random_seed=2, progressbar=False, parameterization="marginal")
    expected = all_statistics(ours)
    found = {k: v for k, v in all_statistics(theirs).items() if k in expected}
    check_agreement(found, expected)
