"""What the Python runners share: arguments, clocks, and handing over the draws.

Timed is the model call, from formula and table in memory to draws in memory, less what
was spent loading modules meanwhile: packages that import lazily and those that import
everything at once are measured alike.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "peers"))

import numpy as np
from common import describe, emit, read_table

# Functions that do nothing but compile, by the module that they are looked up in.
COMPILING = {"nutpie": "compile_pymc_model", "pymc.sampling.mcmc": "init_nuts"}

type Named = Mapping[str, np.ndarray]


def arguments() -> argparse.Namespace:
    """Arguments every runner takes."""
    parser = argparse.ArgumentParser()
    for name in ("data", "formula", "package", "variant", "out"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("draws", "chains", "cores", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--tune", help="a number, or `default`")
    args = parser.parse_args()
    args.tuning = {} if args.tune == "default" else {"tune": int(args.tune)}
    return args


class Clock:
    """Seconds spent within, calls inside each other counted once, without what `less` counts."""

    def __init__(self, less: Clock | None = None) -> None:
        self.seconds = 0.0
        self._less = less
        self._depth = 0
        self._begin = 0.0

    def now(self) -> float:
        """Seconds so far, with those of the call that is going on."""
        return self.seconds + (self._reading() - self._begin if self._depth else 0.0)

    def _reading(self) -> float:
        return time.perf_counter() - (self._less.now() if self._less else 0.0)

    def __enter__(self) -> None:
        if not self._depth:
            self._begin = self._reading()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self.seconds += self._reading() - self._begin

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with this clock around it."""

        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return call


class Clocks:
    """Clocks for loading modules and for compiling, from the moment it is made."""

    def __init__(self) -> None:
        self.loading = Clock()
        self.compiling = Clock(less=self.loading)
        self.xla_seconds = 0.0
        bootstrap: Any = importlib._bootstrap  # type: ignore[attr-defined]
        load = bootstrap._find_and_load

        def find_and_load(name: str, import_: Any) -> Any:
            # called for modules that are not loaded yet, by every form of import
            with self.loading:
                module = load(name, import_)
            self._loaded(name)
            return module

        bootstrap._find_and_load = find_and_load

    def _loaded(self, name: str) -> None:
        """Put a clock around what compiles in a module that has just been loaded."""
        if name in COMPILING:
            module, function = sys.modules[name], COMPILING[name]
            setattr(module, function, self.compiling.around(getattr(module, function)))
        elif name == "numba":
            self._listen_to_numba()
        elif name == "jax.numpy":  # jax itself may stand there unloaded
            self._listen_to_jax()

    def _listen_to_numba(self) -> None:
        from numba.core import event

        clock = self.compiling

        class Listener(event.Listener):  # type: ignore[misc]
            def on_start(self, event: Any) -> None:
                clock.__enter__()

            def on_end(self, event: Any) -> None:
                clock.__exit__()

        event.register("numba:compile", Listener())

    def _listen_to_jax(self) -> None:
        from jax import monitoring

        def heard(event: str, seconds: float, **_: Any) -> None:
            if event == "/jax/core/compile/backend_compile_duration":
                self.xla_seconds += seconds

        monitoring.register_event_duration_secs_listener(heard)

    def compiled(self) -> float:
        """Seconds of compiling so far."""
        return self.compiling.seconds + self.xla_seconds


def run(
    sample: Callable[[argparse.Namespace, Any], Any],
    summarise: Callable[[Any], Any],
    collect: Callable[[Any], tuple[Named, Named, int]],
    *,
    clocks: Clocks,
    packages: Sequence[str],
    remark: Callable[[Any], str] | None = None,
) -> None:
    """One round: sample, summarise, hand over.

    Parameters
    ----------
    sample : the model call, of arguments and table.
    summarise : the package's own summary of what `sample` gave.
    collect : main parameters and random effects by name, as chains x draws, and the number of
        divergences.
    remark : something worth saying of the fit.
    """
    args = arguments()
    table = read_table(args.data)
    warnings.simplefilter("ignore")
    emit("ready", at=time.time())
    loading, compiled = clocks.loading.seconds, clocks.compiled()
    begin = time.perf_counter()
    fit = sample(args, table)
    total = time.perf_counter() - begin
    imports = clocks.loading.seconds - loading
    emit("fit", seconds=total - imports, compile_seconds=clocks.compiled() - compiled)
    summarise(fit)
    emit("summary", at=time.time())
    main, effects, divergences = collect(fit)
    everything = {**main, **effects}
    draws = np.stack([np.asarray(x, dtype=float) for x in everything.values()])
    draws.tofile(args.out)
    emit(
        "draws",
        shape=draws.shape,
        names=list(everything),
        main=len(main),
        divergences=divergences,
        remark=remark(fit) if remark else "",
        load=os.getloadavg()[0],
        **describe(list(packages)),
    )
