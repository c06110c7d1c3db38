"""How every kernel is compiled."""

from __future__ import annotations

from functools import partial

from numba import njit

# Kept on disk, so that a second process does not compile again; threads may run them
# side by side; a division by zero gives inf or NaN, as in NumPy, not an exception.
kernel = partial(njit, cache=True, nogil=True, error_model="numpy")
