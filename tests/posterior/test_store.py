"""Draws kept on disk, fewer variables, further chains: the same numbers by every way."""

import importlib.util
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslmm as bl
from bayeslmm.engine.gaussian import MarginalPosterior
from bayeslmm.errors import ArgumentError, FileFormatError, MissingDependencyError
from bayeslmm.sampling import everything, trace
from bayeslmm.sampling.linear import log_likelihood, predictive
from bayeslmm.sampling.settings import PREDICTIVE_STREAM, Settings

pytest.importorskip("zarr")
pytestmark = pytest.mark.filterwarnings(
    "ignore::bayeslmm.ConvergenceWarning", "ignore::bayeslmm.DataWarning"
)

SLEEP = "Reaction ~ Days + (Days | Subject)"
PENICILLIN = "diameter ~ 1 + (1 | plate) + (1 | sample)"
SHORT = {"draws": 130, "tune": 100, "chains": 2, "random_seed": 4, "progressbar": False}
TIMES = {"sampling_time", "total_time"}


def model_of(formula):
    return bl.Model(formula, bl.load_dataset("sleepstudy" if "Days" in formula else "Penicillin"))


def odd_table():
    rng = np.random.default_rng(3)
    g, h = np.repeat(np.arange(8), 9), np.tile(np.arange(9), 8)
    table = pd.DataFrame(
        {
            "y": rng.normal(size=72) + rng.normal(size=8)[g] + rng.normal(size=9)[h],
            "x": rng.normal(size=72),
            "shift": rng.normal(size=72),
            "w": np.where(np.arange(72) % 10 == 0, 0.0, rng.uniform(0.5, 2, 72)),
            "g": g,
            "h": pd.Categorical([f"h{i}" for i in h]),
            "cask": [f"c{i % 2}" for i in h],
        }
    )
    table.loc[[4, 50], "x"] = np.nan
    return table


ODD = {
    "weights, offset, gaps": ("y ~ x + (x || g) + (1 | h)", {
        "weights": "w", "offset": "shift", "na_action": "exclude",
    }),
    "terms on one factor": ("y ~ 1 + (1 | g) + (0 + x | g)", {}),
    "nested": ("y ~ x + (1 | g / cask)", {}),
    "no random effects": ("y ~ x", {}),
    "no fixed columns": ("y ~ 0 + (1 | g)", {}),
    "priors": ("y ~ x + (1 | g)", {"priors": {"sigma": bl.HalfNormal(2)}}),
}  # fmt: skip


def assert_same_record(one, other, apart=TIMES):
    assert set(one.children) == set(other.children)
    for group, node in one.children.items():
        left, right = node.to_dataset(), other[group].to_dataset()
        xr.testing.assert_identical(left.drop_attrs(), right.drop_attrs())
        assert list(left.data_vars) == list(right.data_vars)
        for name in left.data_vars:
            assert left[name].dtype == right[name].dtype
            assert left[name].dims == right[name].dims
    for left, right in ((one, other), *((one[g], other[g]) for g in ("posterior", "sample_stats"))):
        left, right = dict(left.attrs), dict(right.attrs)
        assert {k: v for k, v in left.items() if k not in apart} == {
            k: v for k, v in right.items() if k not in apart
        }


def lazy(variable):
    return not isinstance(variable.variable._data, np.ndarray)


@pytest.mark.parametrize("formula", [SLEEP, PENICILLIN], ids=["sleepstudy", "Penicillin"])
@pytest.mark.parametrize(
    "way",
    [
        {"parameterization": "marginal"},
        pytest.param({"parameterization": "noncentered"}, marks=pytest.mark.slow),
        {"parameterization": "marginal", "sampler": "independence", "tune": None},
    ],
    ids=["marginal", "noncentered", "independence"],
)
def test_memory_store_and_files_hold_the_same_record(formula, way, tmp_path):
    model = model_of(formula)
    options = {**SHORT, **way, "posterior_predictive": True, "prior_predictive": False}
    memory = model.sample(**options)
    stored = model.sample(**options, store=tmp_path / "draws.zarr")
    assert_same_record(memory.datatree, stored.datatree)
    loaded = bl.load(tmp_path / "draws.zarr")
    assert_same_record(stored.datatree, loaded.datatree, apart=set())
    saved = bl.load(stored.save(tmp_path / "fit.nc"))
    assert_same_record(stored.datatree, saved.datatree, apart=set())
    assert stored.diagnostics == memory.diagnostics == loaded.diagnostics == saved.diagnostics
    assert str(stored.summary()) == str(memory.summary()) == str(loaded.summary())
    assert not list((tmp_path / "draws.zarr").rglob("*.partial"))
    # it is read when it is used, and does not stay
    for fit in (stored, loaded):
        b = fit.datatree["posterior"].to_dataset()
        assert all(lazy(v) for v in b.data_vars.values())
        assert b["sigma"].values.shape == (2, 130)
        assert lazy(b["sigma"])


@pytest.mark.slow
def test_draws_that_nutpie_keeps_on_disk_are_the_same(tmp_path, monkeypatch):
    model, options = model_of(PENICILLIN), {**SHORT, "parameterization": "centered"}
    memory = model.sample(**options)
    monkeypatch.setattr(everything, "LARGE", 0)
    stored = model.sample(**options, store=tmp_path / "draws.zarr")
    assert_same_record(memory.datatree, stored.datatree)
    assert not (tmp_path / "draws.zarr" / "bayeslmm_raw").exists()


@pytest.mark.parametrize("kind", ODD)
def test_every_model_can_be_stored(kind, tmp_path):
    formula, arguments = ODD[kind]
    model = bl.Model(formula, odd_table(), **arguments)
    options = {**SHORT, "parameterization": "marginal", "prior_predictive": kind == "priors"}
    if kind == "priors":
        model = model.update(priors={**arguments["priors"], "beta[x]": bl.Normal(0, 1),
                                     "beta[Intercept]": bl.Normal(0, 1)})  # fmt: skip
    memory = model.sample(**options)
    model.sample(**options, store=tmp_path / "draws.zarr")
    loaded = bl.load(tmp_path / "draws.zarr")
    assert_same_record(memory.datatree, loaded.datatree)
    np.testing.assert_array_equal(memory.predict(), loaded.predict())
    np.testing.assert_array_equal(memory.resid, loaded.resid)


def test_xarray_reads_a_store_by_itself(tmp_path):
    fit = model_of(SLEEP).sample(
        **SHORT, parameterization="marginal", store=tmp_path / "draws.zarr"
    )
    tree = xr.open_datatree(tmp_path / "draws.zarr", engine="zarr", consolidated=False)
    assert {"bayeslmm_model", *fit.datatree.children} == set(tree.children)
    for name, values in fit.datatree["posterior"].data_vars.items():
        np.testing.assert_array_equal(tree["posterior"][name], values)
    assert tree.attrs["formula"] == "Reaction ~ Days + (Days | Subject)"


def test_draws_do_not_depend_on_threads_nor_on_what_is_kept(monkeypatch):
    monkeypatch.setattr(trace, "LONGEST", 7)
    model = model_of(SLEEP)
    options = {**SHORT, "parameterization": "marginal", "posterior_predictive": True}
    one, many = (model.sample(**options, cores=cores).datatree for cores in (1, 5))
    assert_same_record(one, many)
    less = model.sample(**options, var_names=[], log_likelihood=False).datatree
    for group in ("log_prior", "posterior_predictive", "sample_stats"):
        xr.testing.assert_equal(one[group].to_dataset(), less[group].to_dataset())


def test_stretches_are_the_exact_draws_and_densities_of_the_whole():
    """Effects, rows' densities and simulated rows against the same formulas, done at once."""
    model = model_of(SLEEP)
    settings = Settings(**SHORT)
    tree = model.sample(**SHORT, parameterization="marginal", posterior_predictive=True).datatree
    post, design = tree["posterior"], model.design
    posterior = MarginalPosterior(design, model.priors)
    for chain in range(2):
        for index, piece in enumerate((slice(0, 100), slice(100, 130))):
            draws = {k: v[chain, piece].values for k, v in post.data_vars.items()}
            rng = settings.stream(PREDICTIVE_STREAM, chain, index)
            got = tree["posterior_predictive"]["Reaction"][chain, piece]
            np.testing.assert_array_equal(got, predictive(design, draws, rng))
            got = tree["log_likelihood"]["Reaction"][chain, piece]
            np.testing.assert_allclose(got, log_likelihood(design, draws), rtol=1e-12)
            x = np.array([
                posterior.coordinates([sd], [R], s)
                for sd, R, s in zip(
                    draws["sd_Subject"], draws["corr_Subject"], draws["sigma"], strict=True
                )
            ])  # fmt: skip
            effects = posterior.draw(x, settings.stream(2, chain, index))
            np.testing.assert_allclose(draws["b_Subject"], effects["b_Subject"], atol=1e-7)
            np.testing.assert_allclose(draws["beta"], effects["beta"], rtol=1e-9)


@pytest.fixture(scope="module")
def whole():
    return model_of(PENICILLIN).sample(**SHORT, parameterization="marginal")


@pytest.mark.parametrize(
    ("asked", "gone"),
    [("~b_plate", {"b_plate"}), (["beta"], {"b_plate", "b_sample"}), ([], None)],
)
def test_fewer_variables(whole, asked, gone, tmp_path):
    gone = {"beta", "b_plate", "b_sample"} if gone is None else gone
    options = {**SHORT, "parameterization": "marginal", "var_names": asked}
    fit = model_of(PENICILLIN).sample(**options, store=tmp_path / "draws.zarr")
    kept = set(fit.datatree["posterior"].data_vars)
    assert kept == set(whole.datatree["posterior"].data_vars) - gone
    for name in kept:
        np.testing.assert_array_equal(
            fit.datatree["posterior"][name], whole.datatree["posterior"][name]
        )
    for group in ("log_likelihood", "log_prior"):  # computed before anything was left out
        xr.testing.assert_equal(
            fit.datatree[group].to_dataset(), whole.datatree[group].to_dataset()
        )
    assert fit.sigma == whole.sigma
    pd.testing.assert_frame_equal(fit.varcorr, whole.varcorr)
    loaded = bl.load(tmp_path / "draws.zarr")
    assert set(loaded.datatree["posterior"].data_vars) == kept
    assert ("draws not kept" in str(loaded)) == ("beta" in gone)
    for needs in ("predict", "to_frame"):
        with pytest.raises(
            ArgumentError, match=r"(?s)needs draws of `(b_|beta).*var_names"
        ) as error:
            getattr(loaded, needs)(**({"effects": "random"} if needs == "to_frame" else {}))
        assert set(error.value.what.split("`")[1::2]) <= gone
    if "beta" in gone:
        with pytest.raises(ArgumentError, match="draws of `beta`"):
            loaded.fe_params  # noqa: B018
        with pytest.raises(ArgumentError, match="draws of `beta`"):
            bl.compare_estimates(loaded)
    else:
        np.testing.assert_array_equal(loaded.fe_params, whole.fe_params)
        population = loaded.predict(include_re=False)
        np.testing.assert_array_equal(population, whole.predict(include_re=False))


def test_a_store_is_never_overwritten_and_a_run_that_fails_leaves_none(tmp_path):
    model = model_of(SLEEP)
    (tmp_path / "taken").mkdir()
    with pytest.raises(ArgumentError, match="never overwritten"):
        model.sample(**SHORT, store=tmp_path / "taken")
    with pytest.raises(ArgumentError, match="there is no folder"):
        model.sample(**SHORT, store=tmp_path / "none" / "draws.zarr")
    with pytest.raises(ArgumentError, match="draws="):
        model.sample(**{**SHORT, "draws": 0}, store=tmp_path / "draws.zarr")
    with pytest.raises(ArgumentError, match="b_Subjekt"):
        model.sample(**SHORT, var_names="~b_Subjekt", store=tmp_path / "draws.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_folders_that_are_no_stores(tmp_path):
    import zarr

    with pytest.raises(ArgumentError, match="is a folder"):
        bl.load(tmp_path)
    zarr.open_group(tmp_path / "other.zarr", mode="w").attrs.update({"a": 1})
    with pytest.raises(FileFormatError, match="not a fit saved by bayeslmm"):
        bl.load(tmp_path / "other.zarr")


def test_without_zarr_it_is_said_before_anything_is_done(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "zarr" else found(name, *a)
    )
    with pytest.raises(MissingDependencyError, match=r"bayeslmm\[zarr\]"):
        model_of(SLEEP).sample(**SHORT, store=tmp_path / "draws.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", ["memory", "netCDF", "store"])
def test_more_chains(source, tmp_path):
    model = model_of(SLEEP)
    options = {**SHORT, "parameterization": "marginal", "var_names": ["beta"],
               "posterior_predictive": True, "target_accept": 0.9}  # fmt: skip
    store = tmp_path / "draws.zarr" if source == "store" else None
    first = model.sample(**options, store=store)
    begun = {
        "memory": lambda: first,
        "netCDF": lambda: bl.load(first.save(tmp_path / "fit.nc")),
        "store": lambda: bl.load(store),
    }[source]()
    fit = begun.add_chains(3, random_seed=9, progressbar=False)
    new = model.sample(**{**options, "chains": 3, "random_seed": 9}).datatree
    assert set(fit.datatree.children) == set(first.datatree.children) == set(new.children)
    for group in ("posterior", "sample_stats", "log_prior", "log_likelihood",
                  "posterior_predictive"):  # fmt: skip
        assert fit.datatree[group]["chain"].values.tolist() == [0, 1, 2, 3, 4]
        for name, values in fit.datatree[group].data_vars.items():
            np.testing.assert_array_equal(values[:2], first.datatree[group][name])
            np.testing.assert_array_equal(values[2:], new[group][name])
    assert fit.diagnostics.chains == 5
    assert fit.diagnostics != first.diagnostics
    attrs = fit.datatree.attrs
    assert (attrs["chains"], attrs["random_seed"], attrs["target_accept"]) == (5, 4, 0.9)
    assert json.loads(attrs["added_chains"]) == [{"chains": 3, "random_seed": 9}]
    assert begun.datatree["posterior"].sizes["chain"] == 2
    again = bl.load(fit.save(tmp_path / "more.nc")).add_chains(1, progressbar=False)
    seeds = [a["random_seed"] for a in json.loads(again.datatree.attrs["added_chains"])]
    assert len({4, *seeds}) == 3
    assert again.datatree["posterior"].sizes["chain"] == 6
    for used in (4, 9):
        with pytest.raises(ArgumentError, match="made chains of this posterior already"):
            fit.add_chains(1, random_seed=used)


def test_more_chains_by_independence_sampling():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = model_of(PENICILLIN).sample(**{**SHORT, "tune": None}, sampler="independence")
        fit = first.add_chains(1, random_seed=5, progressbar=False)
    assert fit.datatree.attrs["sampler"] == "independence"
    assert fit.datatree["posterior"].sizes["chain"] == 3
    draws = fit.datatree["posterior"]["sigma"].values
    assert len(np.unique(draws[:, 0])) == 3


def test_the_command_line_keeps_draws_on_disk(tmp_path):
    from typer.testing import CliRunner

    from bayeslmm.cli import app

    def run(*arguments):
        words = ["fit", SLEEP, "sleepstudy", *map(str, arguments)]
        return CliRunner().invoke(app, words)

    store = tmp_path / "draws.zarr"
    short = ["--sample", "--draws", 130, "--chains", 2, "--seed", 4, "--store", store]
    done = run(*short, "--var-names", "~b_Subject")
    assert done.exit_code in (0, 3), done.output
    assert "posterior by sampling" in done.stdout
    fit = bl.load(store)
    assert set(fit.datatree["posterior"].data_vars) == {"beta", "sd_Subject", "corr_Subject",
                                                        "sigma"}  # fmt: skip
    assert dict(fit.datatree["posterior"].sizes)["draw"] == 130
    for arguments, words in (
        (["--store", tmp_path / "other"], "add --sample"),
        ([*short[:-1], tmp_path / "other", "--var-names", "~beta"], "need draws of beta"),
        ([*short[:-1], tmp_path / "other", "--var-names", "beta", "--out", tmp_path / "out"],
         "need draws of b_Subject"),
        (short, "never overwritten"),
    ):  # fmt: skip
        refused = run(*arguments)
        assert refused.exit_code == 1 and words in refused.stderr
    assert not (tmp_path / "other").exists()


def test_auto_may_be_asked_for():
    fit = model_of(SLEEP).sample(**SHORT, sampler="auto")
    assert fit.datatree.attrs["sampler"] in ("nutpie", "independence")
