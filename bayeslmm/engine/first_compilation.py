"""Says in words that a fit waits for a compiler, which it does once after an installation."""

from __future__ import annotations

import sys
from typing import Any

from numba.core.event import Event, Listener, register

WORDS = (
    "bayeslmm compiles a part of its engine that has not been used here before, which takes up "
    "to half a minute.\nThe code is kept on disk, and later fits do not wait for it."
)


class _Announcer(Listener):
    """Hears when numba begins to compile, which it does not for code that is on disk."""

    def __init__(self) -> None:
        self.said = False

    def on_start(self, event: Event) -> None:
        dispatcher: Any = event.data["dispatcher"]
        if not self.said and (dispatcher.py_func.__module__ or "").startswith("bayeslmm."):
            self.said = True
            print(WORDS, file=sys.stderr, flush=True)

    def on_end(self, event: Event) -> None:
        pass


_announcer = _Announcer()


def announce_compilation() -> None:
    """From now on, say on standard error when a kernel is compiled, the first time only."""
    untyped: Any = register
    untyped("numba:compile", _announcer)
