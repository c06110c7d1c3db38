"""The marginal model: its density, its gradient, its draws, and what it refuses."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.stats import norm

import bayeslmm as bl
from bayeslmm.engine.gaussian.marginal import MarginalPosterior
from bayeslmm.engine.gaussian.marginal_likelihood import MarginalLikelihood
from bayeslmm.errors import ArgumentError, PriorError
from bayeslmm.pymc_model import add_marginal_likelihood
from bayeslmm.pymc_model.marginal import MarginalLogLikelihood, simulate
from tests.oracle.dense import Dense
from tests.oracle.designs import CASES

# PyMC takes logs of whole numbers, such as 2 in the half-normal density, in float32.
ROUNDED = 3e-8
REAL = {
    "sleepstudy": ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "sleepstudy, ||": ("Reaction ~ Days + (Days || Subject)", "sleepstudy"),
    "Penicillin": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin"),
}
SIMULATED = [
    "no fixed part",
    "three columns",
    "two terms on a factor",
    "terms on a factor, apart",
    "crossed slopes",
    "nested slopes",
    "weights, slopes, crossed",
    "weights and offset",
    "full couplings",
    "no random term",
]
NAMES = [*REAL, *SIMULATED]


def make(name, priors=None):
    if name in REAL:
        formula, data = REAL[name]
        return bl.Model(formula, bl.load_dataset(data), priors=priors)
    return CASES[name].model(priors=priors)


def flat(name):
    names = make(name).design.fixed_names
    return make(name, {f"beta[{column}]": bl.Flat() for column in names})


def normal(name):
    return make(name)


def somewhere(size, seed=0):
    x = 0.4 * np.random.default_rng(seed).normal(size=size)
    x[-1] += 2.0
    return x


def parameters(model, x):
    """SDs, Cholesky factors of correlations and sigma at coordinates."""
    given = MarginalLikelihood(model.design, model.priors).constrained(x[None])
    sds = {f.name: given[f"sd_{f.name}"][0] for f in model.design.factors}
    Ls = {
        f.name: np.linalg.cholesky(given[f"corr_{f.name}"][0])
        for f in model.design.factors
        if f.has_correlations
    }
    return sds, Ls, float(given["sigma"][0])


def dense(model, sds, Ls, sigma):
    """The same density by n x n matrices in extended precision."""
    T = [
        sds[f.name][:, None] * Ls.get(f.name, np.eye(f.n_columns)) / sigma
        for f in model.design.factors
    ]
    return float(Dense(model.design).log_marginal(T, sigma, model.priors))


def point_of(pymc_model, x):
    """PyMC's unconstrained values at our coordinates: those of correlations are doubled."""
    point, at = {}, 0
    for kind in ("sd_", "partial_", "sigma"):
        for v in pymc_model.free_RVs:
            if v.name.startswith(kind):
                value = pymc_model.rvs_to_values[v]
                size = int(np.prod(v.shape.eval(), dtype=int))
                piece = x[at : at + size] * (2.0 if kind == "partial_" else 1.0)
                point[value.name] = piece.reshape(v.shape.eval())
                at += size
    assert at == len(x)
    return point


@pytest.mark.parametrize("make_model", [normal, flat])
@pytest.mark.parametrize("name", NAMES)
def test_log_density_and_gradient(name, make_model):
    """Those of `MarginalPosterior`: log priors, Jacobian and marginal likelihood."""
    model = make_model(name)
    posterior, pymc_model = MarginalPosterior(model.design, model.priors), model.to_pymc("marginal")
    free = [v.name for v in pymc_model.free_RVs]
    order = [v for kind in ("sd_", "partial_", "sigma") for v in free if v.startswith(kind)]
    wrt = [pymc_model.rvs_to_values[pymc_model[v]] for v in order]
    outputs = [pymc_model.logp(), *pytensor.grad(pymc_model.logp(), wrt)]
    f = pymc_model.compile_fn(outputs, mode="FAST_COMPILE", point_fn=True)
    sizes = [int(np.prod(pymc_model[v].shape.eval(), dtype=int)) for v in order]
    doubled = np.repeat([v.startswith("partial_") for v in order], sizes)
    found, expected = [], []
    for seed in range(2):
        x = somewhere(posterior.size, seed)
        value, *gradient = f(point_of(pymc_model, x))
        log_density, slope = posterior(x)
        found.append(float(value))
        # d y / d logit = 1 / 2 a correlation
        expected.append(log_density - doubled.sum() * np.log(2.0))
        gradient = np.concatenate([np.ravel(g) for g in gradient]) * np.where(doubled, 2.0, 1.0)
        np.testing.assert_allclose(gradient, slope, rtol=1e-9, atol=1e-10 * np.abs(slope).max())
    assert found[0] == pytest.approx(expected[0], rel=1e-12, abs=ROUNDED * len(x))
    scale = 1e-12 * np.abs(expected).max()
    assert found[1] - found[0] == pytest.approx(expected[1] - expected[0], rel=0, abs=scale)


@pytest.mark.parametrize("make_model", [normal, flat])
@pytest.mark.parametrize("name", NAMES)
def test_the_response_has_the_density_of_a_dense_normal(name, make_model):
    """log N(y; X m + offset, V + X B X'), or the restricted likelihood, constants included."""
    model = make_model(name)
    pymc_model = model.to_pymc("marginal")
    (observed,) = pymc_model.observed_RVs
    f = pymc_model.compile_logp(vars=[observed], mode="FAST_COMPILE")
    x = somewhere(MarginalPosterior(model.design, model.priors).size, 3)
    expected = dense(model, *parameters(model, x))
    assert float(f(point_of(pymc_model, x))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["sleepstudy", "weights and offset", "full couplings"])
def test_compiled_code_gives_what_python_gives(name):
    model = make(name)
    likelihood = MarginalLikelihood(model.design, model.priors)
    assert (likelihood.compiled is None) == (name == "full couplings")
    v = pt.vector()
    value, gradient = MarginalLogLikelihood(likelihood)(v)
    outputs = [value, gradient, pytensor.grad(3.0 * value, v)]
    compiled = pytensor.function([v], outputs, mode="NUMBA")
    for seed in range(3):
        x = somewhere(likelihood.size, seed)
        found, expected = compiled(x), likelihood(x)
        assert found[0] == pytest.approx(expected[0], rel=1e-13)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-10)
        np.testing.assert_allclose(found[2], 3.0 * found[1], rtol=1e-15)
    x[0] = np.inf
    found = compiled(x)
    assert found[0] == -np.inf and not found[1].any()
    assert likelihood(x)[0] == -np.inf


def test_value_and_gradient_are_of_one_evaluation():
    pymc_model = make("sleepstudy").to_pymc("marginal")
    outputs = [pymc_model.logp(), pymc_model.dlogp()]
    nodes = pymc_model.compile_fn(outputs, mode="FAST_RUN").f.maker.fgraph.apply_nodes
    assert sum(isinstance(n.op, MarginalLogLikelihood) for n in nodes) == 1


@pytest.mark.parametrize("name", NAMES)
def test_variables_dims_and_labels_are_those_of_the_full_model(name):
    model = make(name)
    ours, full = model.to_pymc("marginal"), model.to_pymc()
    effects = {"beta", "beta_centered", *(f"z_{f.name}" for f in model.design.factors)}
    assert {v.name for v in ours.free_RVs} == {v.name for v in full.free_RVs} - effects
    assert not ours.potentials
    assert [v.name for v in ours.observed_RVs] == [v.name for v in full.observed_RVs]
    assert {k: tuple(v) for k, v in ours.coords.items()} == {
        k: tuple(v) for k, v in full.coords.items()
    }
    for v in (*ours.free_RVs, *ours.observed_RVs, *ours.deterministics):
        assert ours.named_vars_to_dims.get(v.name) == full.named_vars_to_dims.get(v.name)


@pytest.mark.parametrize(
    "name", ["crossed slopes", "three columns", "terms on a factor, apart", "weights and offset"]
)
def test_tensors_of_ones_own_give_the_same_density(name):
    model = make(name)
    likelihood = MarginalLikelihood(model.design, model.priors)
    x = somewhere(likelihood.size, 4)
    sds, Ls, sigma = parameters(model, x)
    with pm.Model() as mine:
        shift = pm.Normal("shift")
        # rows of any length: a Cholesky factor of the covariance will do
        model.marginal_likelihood(
            sd={k: pt.as_tensor(v) * pt.exp(shift) for k, v in sds.items()},
            corr={k: pt.as_tensor(L) * sds[k][:, None] for k, L in Ls.items()},
            sigma=sigma * pt.exp(2.0 * shift),
        )
    (observed,) = mine.observed_RVs
    f = mine.compile_logp(vars=[observed], mode="FAST_COMPILE")
    for move in (0.0, 0.3):
        moved = {k: v * np.exp(move) for k, v in sds.items()}
        expected = dense(model, moved, Ls, sigma * np.exp(2.0 * move))
        assert float(f({"shift": move})) == pytest.approx(expected, rel=1e-12)
    names = {"sigma", *(f"sd_{k}" for k in sds), *(f"corr_{k}" for k in Ls)}
    assert {v.name for v in mine.deterministics} == names
    for k, L in Ls.items():
        np.testing.assert_allclose(mine[f"corr_{k}"].eval(), L @ L.T, atol=1e-14)
    # by the chain rule: every SD moves by 1, sigma by 2
    slope = mine.compile_dlogp(vars=[mine["shift"]], jacobian=False, mode="FAST_COMPILE")
    n_sd = sum(map(len, sds.values()))
    x = likelihood.coordinates(
        [sds[f.name] for f in model.design.factors],
        [Ls.get(f.name, np.eye(f.n_columns)) @ Ls.get(f.name, np.eye(f.n_columns)).T
         for f in model.design.factors],
        sigma,
    )  # fmt: skip
    gradient = likelihood(x)[1]
    expected = gradient[:n_sd].sum() + 2.0 * gradient[-1]
    assert float(slope({"shift": 0.0})[0]) == pytest.approx(expected, rel=1e-9)


def test_correlations_near_one_keep_their_digits():
    """The square of 1e-9 is lost beside 1, and artanh of the correlation would be infinite."""
    model, tiny = make("sleepstudy"), 1e-9
    L = np.array([[1.0, 0.0], [np.sqrt(1 - tiny**2), tiny]])
    with pm.Model():
        observed = model.marginal_likelihood(corr={"Subject": L})
    x = pt.stack(observed.owner.inputs[-1].owner.inputs[-4:])
    # log SD, log SD, artanh of the correlation, log sigma
    assert float(x[2].eval(mode="FAST_COMPILE")) == pytest.approx(np.arcsinh(1 / tiny), rel=1e-15)


@pytest.mark.parametrize("name", ["weights, slopes, crossed", "weights and offset"])
def test_simulated_responses_have_the_moments_of_the_model(name):
    priors = {"beta[Intercept]": bl.Normal(5, 3), "beta[x]": bl.Normal(-1, 2)}
    model = make(name, priors)
    x = somewhere(MarginalPosterior(model.design, model.priors).size, 5)
    sds, Ls, sigma = parameters(model, x)
    d, S = model.design, 40_000
    given = {f"sd_{k}": np.tile(v, (S, 1)) for k, v in sds.items()}
    given |= {f"corr_{k}": np.tile(L @ L.T, (S, 1, 1)) for k, L in Ls.items()}
    given["sigma"] = np.full(S, sigma)
    y = simulate(d, model.priors, given, np.random.default_rng(1))
    oracle = Dense(d, float)
    T = [sds[f.name][:, None] * Ls.get(f.name, np.eye(f.n_columns)) / sigma for f in d.factors]
    mean, precision = model.priors.normal_beta()
    X = d.X[d.weights > 0]
    mu = X @ mean + d.offset[d.weights > 0]
    V = sigma**2 * oracle.V(T) + X @ np.linalg.solve(precision, X.T)
    white = np.linalg.solve(np.linalg.cholesky(V), (y - mu).T)
    # every mean and product of two is one of many standard normals
    n = len(mu)
    z = np.append(white.mean(axis=1), (white @ white.T / S)[np.tril_indices(n, -1)]) * np.sqrt(S)
    assert np.abs(z).max() < norm.isf(1e-4 / len(z))
    squares = ((white**2).mean(axis=1) - 1) * np.sqrt(S / 2)
    assert np.abs(squares).max() < norm.isf(1e-4 / n)


def test_prior_predictive_draws_and_their_refusal():
    pymc_model = make("crossed slopes").to_pymc("marginal")
    mode = {"mode": "FAST_COMPILE"}
    drawn = pm.sample_prior_predictive(40, pymc_model, compile_kwargs=mode)
    y = drawn["prior_predictive"]["y"]
    assert y.dims == ("chain", "draw", "obs") and y.shape == (1, 40, 60)
    assert np.isfinite(y).all() and (y.std("draw") > 0).all()
    with pytest.raises(PriorError, match="flat one has no draws"):
        pm.draw(flat("crossed slopes").to_pymc("marginal")["y"], mode="FAST_COMPILE")


def test_what_cannot_be_integrated_out_is_refused():
    data = bl.load_dataset("sleepstudy").assign(slow=lambda d: (d["Reaction"] > 300) * 1)
    binary = bl.Model("slow ~ Days + (1 | Subject)", data, family="bernoulli")
    with pytest.raises(ArgumentError, match=r"Gaussian response.*\n.*found: bernoulli \(logit\)"):
        binary.to_pymc("marginal")
    heavy = make("sleepstudy", {"beta[Days]": bl.StudentT(3, 0, 10)})
    with pytest.raises(PriorError, match=r"Normal or Flat priors only.*\n.*beta\[Days\]: StudentT"):
        heavy.to_pymc("marginal")
    with pytest.raises(ArgumentError, match="one of three names"):
        make("sleepstudy").to_pymc("semi")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sd": {"subject": 1.0}}, "did you mean 'Subject'"),
        ({"sd": 1.0}, "takes a dict by factor"),
        ({"sd": {"Subject": 1.0}}, r"shape \(2,\)"),
        ({"sd": {"Subject": np.ones(3)}}, r"found: \(3,\)"),
        ({"corr": {"Subject": np.ones(2)}}, r"shape \(2, 2\)"),
        ({"corr": {"Subject": None}}, r"\|\| in the formula"),
        ({"sigma": np.ones(2)}, "sigma has another shape"),
    ],
)
def test_arguments_that_do_not_fit(given, words):
    model = make("sleepstudy")
    with pm.Model(), pytest.raises(ArgumentError, match=words):
        model.marginal_likelihood(**given)


def test_a_factor_without_correlations_takes_none():
    model = make("sleepstudy, ||")
    with pm.Model(), pytest.raises(ArgumentError, match="no factor with correlations"):
        model.marginal_likelihood(corr={"Subject": np.eye(2)})


def test_names_that_are_taken():
    model = make("sleepstudy")
    with pm.Model():
        log_sd = pm.Normal("sd_Subject", shape=2)
        with pytest.raises(ArgumentError, match="another tensor was given for it"):
            model.marginal_likelihood(sd={"Subject": pt.exp(log_sd)})
    with pm.Model():
        pm.Deterministic("corr_Subject", pt.eye(2))
        with pytest.raises(ArgumentError, match="has a variable 'corr_Subject' already"):
            model.marginal_likelihood(corr={"Subject": pt.eye(2)})


def test_only_the_observed_response_has_a_density():
    pymc_model = make("sleepstudy").to_pymc("marginal")
    with pytest.raises(NotImplementedError, match="observed response"):
        pm.logp(pymc_model["Reaction"], np.zeros(180))
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        pymc_model.d2logp()


def test_the_room_takes_a_design_too():
    model = make("Penicillin")
    with pm.Model() as mine:
        observed = add_marginal_likelihood(model.design, model.priors)
    assert observed.name == "diameter" and mine.named_vars_to_dims["diameter"] == ("obs",)
