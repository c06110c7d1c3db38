"""How kernels are compiled, and how many threads linear algebra may take beside them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

from numba import njit, typeof, types
from threadpoolctl import ThreadpoolController


def kernel(function: Callable[..., Any]) -> Any:
    """Compile at the first call.

    The code is kept on disk, so that a second process does not compile again; threads may
    run it side by side; a division by zero gives inf or NaN, as in NumPy.
    """
    compiled = njit(cache=True, nogil=True, error_model="numpy")(function)
    # Numba takes code from disk while its own file is unchanged, but kernels contain
    # the kernels they call: let it look at all files that have any.
    file: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if hasattr(file, "_source_stamp"):
        file._source_stamp = (file._source_stamp, fingerprint())
    return compiled


class Pointer(types.WrapperAddressProtocol):
    """A kernel as the argument of another, which calls it by its address.

    A kernel that names another has it compiled into itself, all of it once more; one that
    gets it handed over does not, which saves the longest waits of a cold start.

    Parameters
    ----------
    function : kernel
    arguments : tuple
        Of the types it will be called with.
    """

    def __init__(self, function: Any, arguments: tuple[Any, ...]) -> None:
        given = tuple(map(typeof, arguments))
        function.compile(given)
        made = function.overloads[given]
        self._signature = made.signature
        self._address = made.library.get_pointer_to_function(made.fndesc.llvm_cfunc_wrapper_name)
        # numba finds the type here at once, and by a search that takes longer than the call
        self._numba_type_ = types.FunctionType(made.signature)

    def __wrapper_address__(self) -> int:
        return int(self._address)

    def signature(self) -> Any:
        """Types of the result and of the arguments."""
        return self._signature


@cache
def fingerprint() -> str:
    """Digest of every file that has kernels: what compiled code kept anywhere must bear."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        if b"@kernel" in (text := path.read_bytes()) or path == Path(__file__):
            found.update(text)
    return found.hexdigest()


def one_blas_thread[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Run a function with BLAS on one thread.

    The matrices of a fit are too small to gain much from more, threads of BLAS that wait
    for one another cost a multiple where the machine is busy, and the last digits would
    depend on their number. The number belongs to the process: the first of several callers
    sets it, and the last gives back what the first found.
    """

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        _enter()
        try:
            return function(*args, **kwargs)
        finally:
            _leave()

    return limited


_lock = threading.Lock()
_inside = 0
_before: list[int] = []


def _enter() -> None:
    global _inside
    with _lock:
        if _inside == 0:
            _before[:] = [library.num_threads for library in _blas().lib_controllers]
        _inside += 1
        _set_threads([1] * len(_before))


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            _set_threads(_before)


def _set_threads(numbers: list[int]) -> None:
    for library, number in zip(_blas().lib_controllers, numbers, strict=True):
        library.set_num_threads(number)
        # else threadpoolctl (from 3.8) lets no other Python thread change it
        getattr(library, "clear_controlling_thread", lambda: None)()


@cache
def _blas() -> ThreadpoolController:
    import numpy.linalg  # noqa: F401  the libraries must be there to be found
    import scipy.linalg  # noqa: F401

    return ThreadpoolController().select(user_api="blas")
