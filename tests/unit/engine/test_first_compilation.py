"""Compilation is said once, in words, and only where something is compiled."""

import os
import subprocess
import sys

import numba
import pytest
from numba.core import event

import bayeslmm.engine.gaussian  # noqa: F401  it registers the listener
from bayeslmm.engine import blocks, first_compilation
from bayeslmm.engine.first_compilation import WORDS


@pytest.fixture
def silent(monkeypatch):
    """As in a process that has compiled nothing."""
    monkeypatch.setattr(first_compilation._announcer, "said", False)


def compile_event(dispatcher):
    with event.trigger_event("numba:compile", data={"dispatcher": dispatcher}):
        pass


@pytest.mark.usefixtures("silent")
def test_it_is_said_once_on_standard_error(capfd):
    compile_event(blocks.eliminate)
    compile_event(blocks.walk_back)
    said = capfd.readouterr()
    assert said.err == f"{WORDS}\n" and said.out == ""


@pytest.mark.usefixtures("silent")
def test_compilation_of_others_is_their_own_matter(capfd):
    assert numba.njit(lambda x: x + 1.0)(1.0) == 2.0
    assert capfd.readouterr().err == ""


FIT = "import bayeslmm as bl; bl.fit('Yield ~ 1 + (1 | Batch)', bl.load_dataset('Dyestuff'))"


@pytest.mark.slow
def test_the_first_process_says_it_and_the_second_does_not(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", FIT], env=environment, capture_output=True, text=True, check=True
        ).stderr
        for _ in range(2)
    ]
    assert said == [f"{WORDS}\n", ""]
