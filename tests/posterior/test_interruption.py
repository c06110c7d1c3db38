"""Runs that are stopped: by Ctrl-C, which leaves a usable fit, or by SIGKILL."""

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.errors import FileFormatError
from bayeslmm.sampling import sample, store
from bayeslmm.sampling.recorder import Recorder
from bayeslmm.sampling.store import StoredTrace

pytest.importorskip("zarr")

ROOT = Path(__file__).parents[2]
FORMULA = "Reaction ~ Days + (Days | Subject)"
FAR = 200_000

# Says GO when a run of far too many draws has come some way, or is still tuning.
CHILD = """
import functools, json, sys, warnings
sys.path.insert(0, {root!r})
import numpy as np
import bayeslmm as bl
from bayeslmm.sampling import everything, live, marginal

least, store, options = json.loads(sys.argv[1])
live.LOOK = 0.2
original = live.run_nutpie

def run(*arguments, receive=None, **named):
    def announce(raw):
        if receive is not None:
            receive(raw)
        # a chain far behind the other would be left out
        if raw.lengths.min() >= max(least, 0.7 * raw.lengths.max()):
            print("GO", flush=True)
    return original(*arguments, receive=announce, **named)

everything.run_nutpie = marginal.run_nutpie = run
model = bl.Model({formula!r}, bl.load_dataset("sleepstudy"))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    fit = model.sample(chains=2, cores=2, random_seed=11, progressbar=False, store=store,
                       log_likelihood=False, **options)
tree = fit.datatree
print("DONE" + json.dumps({{
    "said": [(w.category.__name__, str(w.message)) for w in said],
    "attrs": {{k: v for k, v in tree.attrs.items() if isinstance(v, int | float | str)}},
    "sizes": [dict(tree[g].sizes) for g in ("posterior", "sample_stats", "log_prior")],
    "finite": all(bool(np.isfinite(v).all()) for v in tree["posterior"].data_vars.values()),
    "sigma": tree["posterior"]["sigma"][:, :100].values.tolist(),
    "b": tree["posterior"]["b_Subject"][:, :100].values.tolist(),
    "diagnostics": [fit.diagnostics.chains, fit.diagnostics.draws],
}}))
"""


def stopped(how, *, least=150, store=None, **options):
    """Start a run, stop it when it says GO, and return its exit code and last words."""
    code = CHILD.format(root=str(ROOT), formula=FORMULA)
    asked = json.dumps([least, store and str(store), {"draws": FAR, **options}])
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", code, asked],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    ) as child:  # fmt: skip
        line = child.stdout.readline()
        assert line == "GO\n", child.stderr.read()
        child.send_signal(how)
        out, err = child.communicate(timeout=300)
    words = [text for text in out.splitlines() if text.startswith("DONE")]
    return child.returncode, json.loads(words[0][4:]) if words else None, err


@functools.cache
def uninterrupted(way):
    model = bl.Model(FORMULA, bl.load_dataset("sleepstudy"))
    fit = model.sample(
        draws=200, chains=2, random_seed=11, progressbar=False, log_likelihood=False, **WAYS[way]
    )
    return fit.datatree["posterior"]


WAYS = {
    "marginal": {"parameterization": "marginal", "tune": 200},
    "noncentered": {"parameterization": "noncentered", "tune": 200},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::bayeslmm.ConvergenceWarning")
@pytest.mark.parametrize("stored", [False, True], ids=["memory", "store"])
@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_leaves_the_draws_so_far(way, stored, tmp_path):
    store = tmp_path / "draws.zarr" if stored else None
    code, found, err = stopped(signal.SIGINT, store=store, **WAYS[way])
    assert code == 0, err
    n = found["attrs"]["draws"]
    assert 150 <= n < FAR
    assert found["attrs"]["interrupted"] == 1
    assert (found["attrs"]["draws_asked"], found["attrs"]["chains_asked"]) == (FAR, 2)
    assert all((s["chain"], s["draw"]) == (2, n) for s in found["sizes"])
    assert found["finite"] and found["diagnostics"] == [2, n]
    words = [text for kind, text in found["said"] if kind == "ConvergenceWarning"]
    assert any(f"{n} of {FAR} draws a chain" in text for text in words)
    # they are the draws that the whole run would have begun with
    whole = uninterrupted(way)
    np.testing.assert_array_equal(found["sigma"], whole["sigma"][:, :100])
    np.testing.assert_array_equal(found["b"], whole["b_Subject"][:, :100])
    if stored:
        fit = bl.load(store)
        assert not (store / "bayeslmm_progress").exists()
        assert fit.datatree.attrs == pytest.approx(fit.datatree.attrs | found["attrs"])
        assert dict(fit.datatree["posterior"].sizes) == found["sizes"][0]
        np.testing.assert_array_equal(fit.datatree["posterior"]["sigma"][:, :100], found["sigma"])


@pytest.mark.slow
@pytest.mark.parametrize("stored", [False, True], ids=["memory", "store"])
def test_ctrl_c_before_any_draw_is_an_interruption(stored, tmp_path):
    store = tmp_path / "draws.zarr" if stored else None
    code, found, err = stopped(
        signal.SIGINT, least=0, store=store, parameterization="marginal", tune=10_000_000
    )
    assert found is None
    assert code == -signal.SIGINT and "KeyboardInterrupt" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::bayeslmm.ConvergenceWarning")
@pytest.mark.parametrize("way", WAYS)
def test_a_store_survives_a_kill(way, tmp_path):
    store = tmp_path / "draws.zarr"
    code, found, _ = stopped(signal.SIGKILL, store=store, least=150, **WAYS[way])
    assert code == -signal.SIGKILL and found is None
    with pytest.warns(bl.ConvergenceWarning, match=rf"of {FAR} draws a chain are there"):
        fit = bl.load(store)
    posterior, attrs = fit.datatree["posterior"], fit.datatree.attrs
    n = posterior.sizes["draw"]
    assert posterior.sizes["chain"] == 2 and n >= 100
    assert (attrs["interrupted"], attrs["draws"], attrs["draws_asked"]) == (1, n, FAR)
    assert set(fit.datatree.children) == {
        "posterior", "sample_stats", "log_prior", "observed_data",
    }  # fmt: skip
    for group in ("posterior", "sample_stats", "log_prior"):
        for values in fit.datatree[group].data_vars.values():
            assert np.isfinite(values).all()
    whole = uninterrupted(way)
    for name in ("beta", "sd_Subject", "corr_Subject", "sigma", "b_Subject"):
        np.testing.assert_array_equal(posterior[name][:, :100], whole[name][:, :100])
    assert fit.predict().shape == (180,)


@pytest.fixture
def short():
    return bl.Model(FORMULA, bl.load_dataset("sleepstudy")), {
        "draws": 250, "tune": 100, "chains": 2, "random_seed": 1, "progressbar": False,
        "parameterization": "marginal", "cores": 1,
    }  # fmt: skip


def interrupt_after(monkeypatch, n):
    """An interruption while the effects are drawn, after n stretches."""
    original, seen = Recorder._add, []

    def add(self, *arguments, **named):
        if len(seen) == n:
            raise KeyboardInterrupt
        seen.append(original(self, *arguments, **named))

    monkeypatch.setattr(Recorder, "_add", add)


@pytest.mark.filterwarnings("ignore::bayeslmm.ConvergenceWarning")
@pytest.mark.parametrize("stored", [False, True], ids=["memory", "store"])
def test_an_interruption_while_the_effects_are_drawn(short, stored, tmp_path, monkeypatch):
    model, options = short
    whole = model.sample(**options).datatree["posterior"]
    interrupt_after(monkeypatch, 4)  # the first chain and 100 draws of the second
    if stored:
        options["store"] = tmp_path / "draws.zarr"
    tree = model.sample(**options).datatree
    assert dict(tree["posterior"].sizes)["draw"] == 250 and tree.attrs["chains"] == 1
    assert (tree.attrs["chains_asked"], tree.attrs["interrupted"]) == (2, 1)
    for name, values in tree["posterior"].data_vars.items():
        np.testing.assert_array_equal(values, whole[name][:1])


def test_an_interruption_before_the_first_effects(short, tmp_path, monkeypatch):
    model, options = short
    interrupt_after(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        model.sample(**options, store=tmp_path / "draws.zarr")
    assert not (tmp_path / "draws.zarr").exists()


def test_a_store_without_draws_is_refused_in_words(short, tmp_path, monkeypatch):
    """As a kill in the middle of tuning leaves it."""
    model, options = short
    store = tmp_path / "draws.zarr"

    def killed(*_):
        raise SystemExit

    monkeypatch.setattr(sample, "_draw", killed)
    monkeypatch.setattr("shutil.rmtree", lambda path, **_: None)
    with pytest.raises(SystemExit):
        model.sample(**options, store=store)
    with pytest.raises(FileFormatError, match="no draws yet"):
        bl.load(store)


def test_a_store_that_was_killed_before_its_first_groups(short, tmp_path, monkeypatch):
    model, options = short
    path = tmp_path / "draws.zarr"

    def killed(*_):
        raise SystemExit

    monkeypatch.setattr(sample, "choose", killed)
    monkeypatch.setattr("shutil.rmtree", lambda path, **_: None)
    with pytest.raises(SystemExit):
        model.sample(**options, store=path)
    with pytest.raises(FileFormatError, match="no draws yet"):
        bl.load(path)


def test_an_interruption_is_not_hidden_by_a_store_that_cannot_be_read(short, tmp_path, monkeypatch):
    model, options = short

    def interrupted(*_):
        raise KeyboardInterrupt

    def unreadable(*_):
        raise IndexError

    monkeypatch.setattr(sample, "_draw", interrupted)
    monkeypatch.setattr(store, "open_store", unreadable)
    with pytest.raises(KeyboardInterrupt):
        model.sample(**options, store=tmp_path / "draws.zarr")


def killed_at_the_end(monkeypatch, model, options, path):
    """A store as a kill before the end leaves it, with the first chain whole."""

    def killed(*_):
        raise SystemExit

    with monkeypatch.context() as patch:
        interrupt_after(patch, 4)
        patch.setattr(StoredTrace, "finish", killed)
        with pytest.raises(SystemExit):
            model.sample(**options, store=path)
    return bl.load(path)


@pytest.mark.filterwarnings("ignore::bayeslmm.ConvergenceWarning")
@pytest.mark.parametrize(
    "given", [{"tune": 120, "target_accept": 0.93}, {"tune": None, "sampler": "nutpie"}]
)
def test_more_chains_of_a_run_that_was_killed(given, short, tmp_path, monkeypatch):
    model, options = short
    options |= given
    begun = killed_at_the_end(monkeypatch, model, options, tmp_path / "draws.zarr")
    attrs = begun.datatree.attrs
    assert (attrs["chains"], attrs["chains_asked"], attrs["interrupted"]) == (1, 2, 1)
    assert "sampling_time" not in attrs
    fit = begun.add_chains(2, random_seed=7, cores=1, progressbar=False)
    new = model.sample(**{**options, "random_seed": 7}).datatree
    for name, values in fit.datatree["posterior"].data_vars.items():
        np.testing.assert_array_equal(values[:1], begun.datatree["posterior"][name])
        np.testing.assert_array_equal(values[1:], new["posterior"][name])
    attrs = fit.datatree.attrs
    assert (attrs["chains"], attrs["draws"]) == (3, 250)
    for name in ("tuning_steps", "target_accept"):
        assert attrs[name] == new.attrs[name]
    gone = {"interrupted", "chains_asked", "draws_asked", "sampling_time", "total_time"}
    assert not gone & attrs.keys()


@pytest.mark.filterwarnings("ignore::bayeslmm.ConvergenceWarning")
def test_a_column_called_as_a_dimension_of_draws(short, tmp_path, monkeypatch):
    table = bl.load_dataset("sleepstudy").rename(columns={"Days": "draw"})
    model = bl.Model("Reaction ~ draw + (1 | Subject)", table)
    fit = killed_at_the_end(monkeypatch, model, short[1], tmp_path / "draws.zarr")
    np.testing.assert_array_equal(fit.design.X, model.design.X)


def test_a_killed_run_says_which_sampler_took_over(short, tmp_path, monkeypatch):
    model, options = short
    options |= {"sampler": "independence", "tune": None}
    monkeypatch.setattr(sample, "sample_independence", lambda *_: None)
    with pytest.warns(bl.ConvergenceWarning):
        begun = killed_at_the_end(monkeypatch, model, options, tmp_path / "draws.zarr")
    assert begun.datatree.attrs["sampler"] == "nutpie"


@pytest.mark.filterwarnings("ignore::bayeslmm.ConvergenceWarning")
@pytest.mark.parametrize(
    ("stretches", "chains", "n"), [(6, 4, 250), (4, 3, 250), (2, 3, 200), (1, 2, 250)]
)
def test_more_chains_that_are_interrupted(stretches, chains, n, short, monkeypatch):
    model, options = short
    first = model.sample(**options)
    new = model.sample(**{**options, "random_seed": 7}).datatree["posterior"]
    with monkeypatch.context() as patch:
        interrupt_after(patch, stretches)
        more = functools.partial(first.add_chains, 2, random_seed=7, cores=1, progressbar=False)
        if chains == 2:
            with pytest.warns(bl.ConvergenceWarning, match="new chains are too short"):
                fit = more()
        else:
            fit = more()
    attrs, posterior = fit.datatree.attrs, fit.datatree["posterior"]
    assert (attrs["chains"], attrs["draws"]) == (chains, n)
    interrupted = {"interrupted": 1, "chains_asked": 4, "draws_asked": 250}
    assert {k: attrs[k] for k in interrupted.keys() & attrs.keys()} == (
        interrupted if chains == 3 else {}
    )
    for name, values in posterior.data_vars.items():
        np.testing.assert_array_equal(values[:2], first.datatree["posterior"][name][:, :n])
        np.testing.assert_array_equal(values[2:], new[name][: chains - 2, :n])
