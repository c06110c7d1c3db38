"""Kernels compile again when any file with kernels changes; BLAS threads are given back."""

import shutil
import threading
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bayeslmm.engine import blocks, compiled
from bayeslmm.engine.compiled import Pointer, kernel, one_blas_thread
from bayeslmm.engine.gaussian import sums

ENGINE = Path(compiled.__file__).parent
FILES = sorted(p.relative_to(ENGINE).as_posix() for p in ENGINE.rglob("*.py"))
KERNELS = [f for f in FILES if "@kernel" in (ENGINE / f).read_text()]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the engine's files, and the fingerprint that kernels of it would bear."""
    shutil.copytree(ENGINE, tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "engine" / "compiled.py"))
    return tmp_path / "engine"


def fingerprint():
    return compiled.fingerprint.__wrapped__()


def test_kernels_bear_the_fingerprint():
    for function in (blocks.eliminate, sums.level_sums):
        _, engine = function._cache._cache_file._source_stamp
        assert engine == fingerprint()


def test_a_copy_has_the_same_fingerprint(copy):
    assert fingerprint() == compiled.fingerprint()


@pytest.mark.parametrize("file", FILES)
def test_it_depends_on_every_file_with_kernels(copy, file):
    before = fingerprint()
    with (copy / file).open("a") as changed:
        changed.write("# another line\n")
    assert (fingerprint() != before) == (file in [*KERNELS, "compiled.py"])


@pytest.mark.parametrize("file", KERNELS)
def test_kernels_contain_nothing_of_other_files_but_kernels(file):
    module = import_module(f"bayeslmm.engine.{file.removesuffix('.py').replace('/', '.')}")
    text = (ENGINE / file).read_text()
    for name, found in vars(module).items():
        if not hasattr(found, "py_func"):
            continue
        for used in found.py_func.__code__.co_names:
            value = vars(module).get(used)
            ours = hasattr(value, "py_func") or value is None or isinstance(value, ModuleType)
            assert ours or f"\n{used} " in text or f"\nclass {used}" in text, (name, used)


def test_it_depends_on_contents_not_on_times(copy):
    before = fingerprint()
    for path in copy.rglob("*.py"):
        path.touch()
    assert fingerprint() == before


def test_a_kernel_divides_as_numpy_does():
    @kernel
    def over(a, b):
        return a / b

    assert over(1.0, 0.0) == np.inf
    assert np.isnan(over(0.0, 0.0))


def threads():
    """Threads of every BLAS that is loaded."""
    return [library.num_threads for library in compiled._blas().lib_controllers]


def set_threads(numbers):
    for library, number in zip(compiled._blas().lib_controllers, numbers, strict=True):
        library.set_num_threads(number)
        # threadpoolctl (from 3.8) lets one Python thread change it, until that lets go
        getattr(library, "clear_controlling_thread", lambda: None)()


@pytest.fixture
def two_threads():
    """BLAS on two threads; skipped where it cannot be told so."""
    before = threads()
    set_threads([2] * len(before))
    try:
        if set(threads()) != {2}:
            pytest.skip("this BLAS has one thread, or none that can be counted")
        yield
    finally:
        set_threads(before)


@one_blas_thread
def inside(*, fail=False):
    """What a function sees."""
    if fail:
        raise ZeroDivisionError("on purpose")
    return threads()


@pytest.mark.usefixtures("two_threads")
def test_one_thread_inside_and_as_before_after():
    assert set(inside()) == {1}
    assert set(threads()) == {2}


@pytest.mark.usefixtures("two_threads")
def test_as_before_after_an_exception():
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        inside(fail=True)
    assert set(threads()) == {2}


@pytest.mark.usefixtures("two_threads")
def test_one_inside_another():
    @one_blas_thread
    def outside():
        within = inside()
        return within, threads()

    within, after = outside()
    assert set(within) == set(after) == {1}
    assert set(threads()) == {2}


@pytest.mark.usefixtures("two_threads")
def test_two_python_threads_that_overlap():
    """The first in leaves first: the second keeps its one thread, and two are given back."""
    entered, leave = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]
    seen = []

    @one_blas_thread
    def wait(k):
        entered[k].set()
        leave[k].wait(30)
        seen.append(threads())

    workers = [threading.Thread(target=wait, args=(k,)) for k in (0, 1)]
    for k, worker in enumerate(workers):
        worker.start()
        assert entered[k].wait(30)
    for k, worker in enumerate(workers):
        leave[k].set()
        worker.join()
    assert [set(s) for s in seen] == [{1}, {1}]
    assert set(threads()) == {2}


def test_name_and_docstring_are_kept():
    assert inside.__name__ == "inside"
    assert inside.__doc__ == "What a function sees."


@kernel
def _halved(x):
    return 0.5 * x


@kernel
def _twice(function, x):
    return function(x) + function(x)


def test_a_kernel_handed_to_another():
    half = Pointer(_halved, (1.0,))
    assert _twice(half, 3.0) == 3.0
    # compiled for the signature alone: another function does not compile it again
    assert _twice(Pointer(_doubled, (1.0,)), 3.0) == 12.0
    assert len(_twice.signatures) == 1


@kernel
def _doubled(x):
    return 2.0 * x
