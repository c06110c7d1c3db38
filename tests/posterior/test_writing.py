"""Draws on disk that are still being written, and a kill at every step of the last ones."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.sampling import sample, trace
from bayeslmm.sampling.recorder import Recorder, group_dims
from bayeslmm.sampling.settings import Settings
from bayeslmm.sampling.store import PROGRESS, RAW, StoredTrace, open_store
from bayeslmm.sampling.trace import Stretch, Trace

pytest.importorskip("zarr")


class Killed(Exception):
    """Stands for a kill."""


def dying(monkeypatch, step):
    """Make the write, deletion, renaming or clean-up of this number a kill; how many so far."""
    import zarr

    done = [0]

    def count():
        done[0] += 1
        if done[0] > step:
            raise Killed

    def counted(original):
        def call(*arguments, **named):
            count()
            return original(*arguments, **named)

        return call

    for name in ("set", "delete"):
        own = getattr(zarr.storage.LocalStore, name)
        monkeypatch.setattr(zarr.storage.LocalStore, name, counted(own))
    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    monkeypatch.setattr(shutil, "rmtree", counted(shutil.rmtree))
    return done


def draws_by_hand(folder, lengths):
    """A store of six draws a chain, in stretches of four, of chains that came so far."""
    design = bl.Model("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff")).design
    dims = {"posterior": {"sigma": (), "sd_Batch": ("Batch_term",)}, "sample_stats": {}}
    fixed = {"chains": len(lengths), "draws": 6}
    made = StoredTrace(folder, design, dims, len(lengths), 6, groups={}, attributes=fixed)
    for chain, length in enumerate(lengths):
        for index, first in enumerate(range(0, length, 4)):
            stop = min(first + 4, length)
            values = 100.0 * chain + np.arange(first, stop) + 1.0
            groups = {
                "posterior": {"sigma": values, "sd_Batch": -values[:, None]},
                "sample_stats": {"depth": values.astype(np.int64)},
            }
            made.put(Stretch(chain, index, first, stop), groups)
    return made


@pytest.mark.parametrize(
    ("lengths", "chains", "n"),
    [((6, 6, 6), [0, 1, 2], 6), ((6, 5, 4), [0, 1, 2], 4), ((0, 6, 4), [1, 2], 4),
     ((1, 6, 0, 6), [1, 3], 6), ((1, 0, 6, 1), [2], 6)],
)  # fmt: skip
def test_a_kill_at_any_step_of_finishing(lengths, chains, n, tmp_path, monkeypatch):
    """Every write of the clean-up fails in turn; the draws are there, the same ones, always."""
    import zarr

    monkeypatch.setattr(trace, "LONGEST", 4)
    begun = draws_by_hand(tmp_path / "begun", lengths)
    whole = len(chains) == len(lengths) and n == 6
    last = {"chains": len(chains), "draws": n, "sampling_time": 1.5}
    last |= {} if whole else {"interrupted": 1, "chains_asked": len(lengths), "draws_asked": 6}
    want = np.array([[100.0 * c + i + 1 for i in range(n)] for c in chains])
    step, steps, seen = 0, None, set()
    while steps is None:
        folder = tmp_path / f"step {step}"
        shutil.copytree(tmp_path / "begun", folder)
        one = copy.copy(begun)
        one.folder, one._root = folder, zarr.open_group(folder, mode="a")
        one._progress = one._root[PROGRESS]
        with monkeypatch.context() as patch:
            done = dying(patch, step)
            try:
                one.finish({}, last)
                steps = done[0]
            except Killed:
                step += 1
        found = open_store(folder)
        assert found["posterior"]["sigma"].dims == ("chain", "draw")
        sd = found["posterior"]["sd_Batch"]
        assert sd["Batch_term"].values.tolist() == ["Intercept"]
        assert not isinstance(sd.variable._data, np.ndarray)  # read when it is used
        np.testing.assert_array_equal(found["posterior"]["sigma"], want)
        np.testing.assert_array_equal(found["posterior"]["sd_Batch"][..., 0], -want)
        np.testing.assert_array_equal(found["sample_stats"]["depth"], want)
        for group in ("posterior", "sample_stats"):
            np.testing.assert_array_equal(found[group]["chain"], np.arange(len(chains)))
            np.testing.assert_array_equal(found[group]["draw"], np.arange(n))
            assert found[group].attrs == found.attrs
        without_time = {k: v for k, v in found.attrs.items() if k != "sampling_time"}
        assert without_time == {k: v for k, v in last.items() if k != "sampling_time"}
        seen.add("sampling_time" in found.attrs)
    assert seen == {False, True} and steps == step > 4
    assert found.attrs == last
    assert not (folder / PROGRESS).exists() and not (folder / RAW).exists()


def test_draws_that_a_sampler_is_still_writing(monkeypatch):
    """On disk, whole numbers that are to come cannot be told from zeros."""
    import zarr

    model = bl.Model("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
    settings = Settings(draws=450, tune=100, chains=1, random_seed=2, progressbar=False,
                        parameterization="marginal")  # fmt: skip
    caught = []
    original = Recorder.take_last

    def take_last(self, raw):
        caught.append((self, raw))
        original(self, raw)

    monkeypatch.setattr(Recorder, "take_last", take_last)
    whole = sample.sample_posterior(
        model.design, model.priors, draws=450, tune=100, chains=1, random_seed=2,
        progressbar=False, parameterization="marginal",
    )  # fmt: skip
    recorder, raw = caught[0]
    dims = group_dims(model.design, settings)

    def on_disk(values, n):
        array = zarr.create_array({}, shape=values.shape, chunks=(1, 50, *values.shape[2:]),
                                  dtype=values.dtype,
                                  fill_value=np.nan if values.dtype.kind == "f" else 0)  # fmt: skip
        array[:, :n] = values[:, :n]
        return array

    def seen(late, n):
        """What a look takes when all arrays have 300 draws, and one has n."""
        variables = {k: on_disk(v, 300) for k, v in raw.variables.items()}
        stats = {k: on_disk(v, n if k == late else 300) for k, v in raw.stats.items()
                 if v.dtype.kind in "biuf"}  # fmt: skip
        kept = Trace(model.design, dims, 1, 450)
        look = Recorder(model.design, model.priors, settings, kept, recorder.expand)
        look.take(type(raw)(variables, stats, np.array([300])))
        return kept

    for late, n, stretches in (("depth", 250, 2), ("energy", 150, 1), ("energy", 200, 2)):
        kept = seen(late, n)
        assert (kept.written[0] > 0).tolist() == [i < stretches for i in range(5)]
        for name, values in kept._arrays["sample_stats"].items():
            want = whole["sample_stats"][name].to_numpy()[:, : 100 * stretches]
            np.testing.assert_array_equal(values[:, : 100 * stretches], want)
