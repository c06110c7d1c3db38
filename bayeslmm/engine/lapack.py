"""LAPACK without Python's lock: SciPy's wrappers hold it, and chains in threads would wait."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numba.extending import get_cython_function_address

from bayeslmm.arrays import FloatArray


def cholesky_in_place(M: FloatArray) -> bool:
    """Lower Cholesky factor of M over its lower triangle; False if M is not positive definite.

    ``M``: C-contiguous, symmetric; what is above its diagonal is neither read nor changed.
    """
    n, info = ctypes.c_int(len(M)), ctypes.c_int(0)
    if n.value == 0:
        return True
    if M.dtype != np.float64 or not M.flags.c_contiguous:
        raise ValueError("M must be C-contiguous float64")
    data = M.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
    # LAPACK reads columns where NumPy has rows: its upper triangle is our lower one
    size = ctypes.byref(n)
    _dpotrf()(b"U", size, data, size, ctypes.byref(info))
    return info.value == 0


@cache
def _dpotrf() -> Any:
    address = get_cython_function_address("scipy.linalg.cython_lapack", "dpotrf")
    number, numbers = ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_double)
    # calls through ctypes let other threads run
    return ctypes.CFUNCTYPE(None, ctypes.c_char_p, number, numbers, number, number)(address)
