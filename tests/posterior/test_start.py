"""The choice by factor, and where chains begin that sample all effects."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError
from bayeslmm.priors import Flat, HalfCauchy, HalfNormal, Normal, StudentT, Uniform, resolve_priors
from bayeslmm.sampling import sample_posterior
from bayeslmm.sampling.approximation import approximate
from bayeslmm.sampling.choose import _in_words, choose
from bayeslmm.sampling.settings import START_STREAM, Settings
from bayeslmm.sampling.start import find_start
from tests.posterior.designs import crossed, make_design, slopes
from tests.unit.sampling.test_approximation import FAMILIES, counts

SEEDS = range(8)
QUIET = {"progressbar": False, "log_likelihood": False}
HEAVY = {"beta[Intercept]": StudentT(3, 23, 5)}


def two_factors(sd: float, rows: int, family: str = "gaussian") -> Any:
    """``y ~ 1 + (1 | plenty) + (1 | few)``: 12 levels of 40 rows, and 120 or so of ``rows``."""
    rng = np.random.default_rng(1)
    n = 480
    plenty, few = np.repeat(np.arange(12), 40), rng.permutation(n) // rows
    eta = rng.normal(0, 1.5, 12)[plenty] + rng.normal(0, sd, n // rows)[few]
    y = eta + rng.normal(size=n) if family == "gaussian" else rng.poisson(np.exp(eta))
    return make_design(
        y, {"Intercept": np.ones(n)}, {"plenty": plenty, "few": few},
        [("plenty", ("Intercept",), True), ("few", ("Intercept",), True)], family=family,
    )  # fmt: skip


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_each_factor_has_the_way_that_its_information_asks_for(family):
    heavy = {"beta[Intercept]": StudentT(3, 0, 5)}
    design = two_factors(0.3, 4, family)
    plan = choose(design, resolve_priors(design, heavy), "auto", "nutpie")
    assert plan.ways == {"plenty": "centered", "few": "noncentered"}
    assert plan.parameterization == "centered for plenty, noncentered for few"
    first, *reasons = plan.because.split("; ")
    words = "a prior of a fixed" if family == "gaussian" else "the response is not Gaussian"
    assert first.startswith(words)
    assert reasons[0].startswith("centered for plenty (40 rows a level, reliability 0.9")
    assert reasons[1].startswith("noncentered for few (4 rows a level, reliability 0.")
    strong = two_factors(2.0, 8, family)
    plan = choose(strong, resolve_priors(strong, heavy), "auto", "nutpie")
    assert (plan.parameterization, set(plan.ways.values())) == ("centered", {"centered"})


def test_what_is_asked_for_is_taken_and_the_rest_chosen():
    design = two_factors(0.3, 4)
    priors = resolve_priors(design)
    plan = choose(design, priors, {"plenty": "noncentered"}, "auto")
    assert plan.ways == {"plenty": "noncentered", "few": "noncentered"}
    assert "noncentered for plenty (as asked); noncentered for few (4 rows" in plan.because
    plan = choose(design, priors, "centered", "auto")
    assert (plan.parameterization, plan.because) == ("centered", "as asked")
    assert plan.ways == {"plenty": "centered", "few": "centered"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"plent": "centered"}, "did you mean 'plenty'"),
        ({"few": "marginal"}, "one of two names"),
        ("centred", 'did you mean "centered"'),
    ],
)
def test_ways_that_cannot_be(asked, words):
    design = two_factors(0.3, 4)
    with pytest.raises(ArgumentError, match=words):
        choose(design, resolve_priors(design), asked, "auto")


@pytest.mark.parametrize("asked", [None, ["centered"], "auto"])
def test_a_pymc_model_refuses_what_is_no_way(asked):
    from bayeslmm.pymc_model import build_pymc_model

    design = two_factors(0.3, 4)
    with pytest.raises(ArgumentError, match="one of three names, or a name for each factor"):
        build_pymc_model(design, resolve_priors(design), parameterization=asked)


@pytest.mark.parametrize(
    ("ways", "words"),
    [
        ({}, "noncentered"),
        ({"a": "centered", "b": "centered"}, "centered"),
        (
            {"a": "centered", "b": "noncentered", "c": "centered"},
            "centered for a and c, noncentered for b",
        ),
    ],
)
def test_ways_are_grouped_in_words(ways, words):
    assert _in_words(ways) == words


def test_a_response_that_is_all_zero_has_no_fast_fit():
    design = replace(counts("poisson"), y=np.zeros(counts("poisson").n))
    plan = choose(design, resolve_priors(design), "auto", "auto")
    assert plan.approximation is None
    assert "(no fast fit to tell)" in plan.because


def test_without_a_fast_fit_nothing_is_centered(monkeypatch):
    monkeypatch.setattr("bayeslmm.sampling.choose.approximate", lambda *_: None)
    design = two_factors(0.3, 4, "poisson")
    priors = resolve_priors(design)
    plan = choose(design, priors, "auto", "auto")
    assert set(plan.ways.values()) == {"noncentered"}
    assert "noncentered for plenty (no fast fit to tell)" in plan.because
    assert find_start(design, priors, plan.approximation, plan.ways) is None


def structured(structure: Any) -> bl.Model:
    formula = "Reaction ~ Days + (Days | Subject)"
    return bl.Model(formula, bl.load_dataset("sleepstudy"), residual=structure)


DESIGNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "crossed": (crossed, {}),
    "weights": (lambda: replace(crossed(), weights=np.arange(32) % 3 * 1.0), {}),
    "correlated": (lambda: slopes(12, 6), {}),
    "uncorrelated": (lambda: slopes(12, 6, correlated=False), {}),
    "no random": (lambda: make_design(np.arange(9.0) ** 1.5, {"x": np.arange(9.0)}, {}, []), {}),
    "no fixed": (lambda: replace(crossed(), X=np.zeros((32, 0)), fixed_names=()), {}),
    "bounded": (crossed, {"sd_plate": Uniform(0.2, 1.5), "sigma": Uniform(0.1, 4)}),
    "mixed priors": (
        lambda: slopes(12, 6),
        {
            "beta[x]": Normal(0, 5), "beta[Intercept]": Flat(),
            "sd_g[Intercept]": HalfCauchy(3), "sd_g[x]": HalfNormal(2),
        },
    ),
    "not normal": (lambda: slopes(12, 6), {"beta[x]": Uniform(0, 9)}),
    "AR(1)": (lambda: structured(bl.AR1(by="Subject")).design, {}),
    "variances": (lambda: structured(bl.VarianceBy(by="Subject")).design, {}),
    **{family: (lambda family=family: counts(family), {}) for family in FAMILIES},
    "bounded alpha": (lambda: counts("negativebinomial"), {"alpha": Uniform(1, 50)}),
}  # fmt: skip


@pytest.mark.parametrize("way", ["noncentered", "centered"])
@pytest.mark.parametrize("name", DESIGNS)
def test_chains_begin_higher_than_pymc_would_begin(name, way):
    """Every point is one of the model, finite, and of higher density than PyMC's own start."""
    from pymc.initial_point import make_initial_point_fn

    from bayeslmm.pymc_model import build_pymc_model
    from bayeslmm.pymc_model.run import _first_point

    make, user = DESIGNS[name]
    design = make()
    priors = resolve_priors(design, user)
    ways = {f.name: way for f in design.factors}
    start = find_start(design, priors, approximate(design, priors), ways)
    assert start is not None
    model = build_pymc_model(design, priors, parameterization=ways)
    density = model.compile_logp(mode="FAST_COMPILE")
    default = make_initial_point_fn(model=model, jitter_rvs=set(model.free_RVs))
    flat = _first_point(model, start)
    shapes = {name: value.shape for name, value in default(0).items()}
    first = start(np.random.default_rng(0))
    assert {k: np.shape(v) for k, v in first.items()} == dict(
        zip((v.name for v in model.free_RVs), shapes.values(), strict=True)
    )
    moved = make_initial_point_fn(model=model, overrides=first, jitter_rvs=set())(0)
    np.testing.assert_allclose(
        flat(0), np.concatenate([v.ravel() for v in moved.values()]), rtol=1e-12
    )
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes.values()])[:-1]
    ours, theirs = [], []
    for seed in SEEDS:
        parts = zip(shapes.items(), np.split(flat(seed), ends), strict=True)
        ours.append(float(density({k: v.reshape(shape) for (k, shape), v in parts})))
        theirs.append(float(density(default(seed))))
    assert np.isfinite(ours).all() and len(set(ours)) == len(ours)
    assert np.median(ours) > max(theirs) and min(ours) > np.median(theirs)


def test_points_are_spread_like_the_posterior():
    """Effects of many starts have the posterior's means and SDs, here of a wide design."""
    design = slopes(40, 8)
    priors = resolve_priors(design)
    a = approximate(design, priors)
    start = find_start(design, priors, a, {"g": "centered"})
    points = [start(np.random.default_rng(k)) for k in range(400)]
    tree = sample_posterior(design, priors, draws=500, random_seed=1, sampler="independence",
                            progressbar=False)  # fmt: skip
    post = tree["posterior"]
    b = np.array([p["b_g"] for p in points])
    exact = post["b_g"].to_numpy().reshape(-1, 40, 2)
    sd = exact.std(axis=0)
    # 400 points, so 0.05 SDs of Monte Carlo error, and skew that a mode does not have
    assert np.abs((b.mean(axis=0) - exact.mean(axis=0)) / sd).max() < 0.3
    np.testing.assert_allclose(b.std(axis=0), sd, rtol=0.25)
    log_sd = np.log([p["sd_g"] for p in points])
    wanted = np.log(post["sd_g"].to_numpy().reshape(-1, 2))
    assert np.all(log_sd.std(axis=0) / wanted.std(axis=0) < 2)
    assert np.all(log_sd.std(axis=0) / wanted.std(axis=0) > 0.5)


def test_the_draws_do_not_depend_on_cores():
    design = crossed()
    options = {"draws": 60, "tune": 60, "chains": 3, "random_seed": 8, **QUIET}
    trees = [
        sample_posterior(design, resolve_priors(design, HEAVY), cores=cores, **options)
        for cores in (1, 3)
    ]
    for name, one in trees[0]["posterior"].data_vars.items():
        np.testing.assert_array_equal(one, trees[1]["posterior"][name])


def test_the_choice_is_recorded_and_kept_by_further_chains():
    from bayeslmm.sampling.more_chains import add_chains

    design = two_factors(0.3, 4)
    priors = resolve_priors(design, {"beta[Intercept]": StudentT(3, 0, 5)})
    options = {"draws": 40, "tune": 40, "chains": 2, "random_seed": 8, **QUIET}
    tree = sample_posterior(design, priors, **options)
    assert tree.attrs["parameterization_by_factor"] == (
        '{"plenty": "centered", "few": "noncentered"}'
    )
    assert "reliability" in tree.attrs["parameterization_because"]
    assert tree.attrs["adaptation"] == "low_rank"
    more = add_chains(design, priors, tree, chains=1, random_seed=9, progressbar=False)
    again = sample_posterior(design, priors, **{**options, "chains": 1, "random_seed": 9})
    np.testing.assert_array_equal(more["posterior"]["b_few"][2], again["posterior"]["b_few"][0])


@pytest.mark.slow
def test_pymcs_own_sampler_begins_there_too(monkeypatch):
    import pymc as pm

    design = crossed()
    priors = resolve_priors(design, HEAVY)
    seen = {}
    whole = pm.sample

    def spy(**options: Any) -> Any:
        seen.update(options)
        return whole(**options)

    monkeypatch.setattr(pm, "sample", spy)
    options = {"draws": 30, "tune": 30, "chains": 2, "cores": 1, "random_seed": 8, **QUIET}
    sample_posterior(design, priors, sampler="pymc", **options)
    plan = choose(design, priors, "auto", "pymc")
    start = find_start(design, priors, plan.approximation, plan.ways)
    settings = Settings(random_seed=8)
    assert seen["init"] == "adapt_diag" and len(seen["initvals"]) == 2
    for chain, point in enumerate(seen["initvals"]):
        wanted = start(settings.stream(START_STREAM, chain))
        for name, value in wanted.items():
            np.testing.assert_array_equal(point[name], value)
