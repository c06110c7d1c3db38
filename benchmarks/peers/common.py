"""What every Python runner shares: arguments, timing, memory, one JSON line a fit.

Timed is the fit alone: data in memory, in the form the peer likes best, to an object that
holds estimates, standard errors and the criterion. Reading the file, importing and
bringing the table into that form are not.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

# A first fit longer than this is not repeated in the same process.
LONG = 8.0
BAR = re.compile(r"\(([^()|]*(?:\|\|?)[^()|]*)\)")


def arguments() -> argparse.Namespace:
    """Arguments every runner takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="Parquet file")
    parser.add_argument("--formula", required=True)
    parser.add_argument("--variant", default="default")
    parser.add_argument("--spec", type=json.loads, default={}, help="JSON of the case's spec")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds of repeated fits")
    parser.add_argument("--most", type=int, default=50, help="fits at most")
    return parser.parse_args()


def read_table(path: str) -> Any:
    """The data as pandas."""
    import pandas as pd

    return pd.read_parquet(path)


def emit(event: str, **values: Any) -> None:
    """One line for the parent."""
    print(json.dumps({"event": event, **values}), flush=True)


def describe(packages: list[str]) -> dict[str, Any]:
    """Versions, BLAS and threads of this process."""
    names = [*packages, "numpy", "scipy", "pandas"]
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = version(name)
        except ModuleNotFoundError:
            continue
    try:
        from threadpoolctl import threadpool_info

        blas = [
            f"{i['internal_api']} {i.get('version') or '?'} ({i['num_threads']} threads)"
            for i in threadpool_info()
            if i["user_api"] == "blas"
        ]
    except ModuleNotFoundError:
        blas = [f"unknown ({os.environ.get('OPENBLAS_NUM_THREADS', '?')} threads)"]
    return {"versions": versions, "blas": sorted(set(blas))}


def memory_mb(field: str) -> float | None:
    """VmRSS or VmHWM of this process."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        unit = 1e6 if sys.platform == "darwin" else 1e3
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        return peak if field == "VmHWM" else None
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    return int(found[1]) / 1e3 if found else None


def reset_peak() -> None:
    """Forget the peak of loading, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def repeats(budget: float, most: int) -> Iterator[int]:
    """Numbers of fits: a cold one, then warm ones until the budget is spent, at least one."""
    begin = time.perf_counter()
    for k in range(most):
        spent = time.perf_counter() - begin
        if (k == 1 and spent > LONG) or (k > 1 and spent > budget):
            return
        yield k


def measure(
    fit: Callable[[], Any],
    report: Callable[[Any], dict[str, Any]],
    *,
    packages: list[str],
    budget: float,
    most: int,
    **ready: Any,
) -> None:
    """Time a fit over and over and emit a line each."""
    warnings.simplefilter("ignore")
    gc.collect()
    reset_peak()
    emit("ready", **describe(packages), loaded_mb=memory_mb("VmRSS"), **ready)
    for _ in repeats(budget, most):
        gc.collect()
        # or the next collection walks every object of the libraries, and the fit after it
        # starts with the processor's caches empty of what it needs
        gc.freeze()
        begin = time.perf_counter()
        result = fit()
        seconds = time.perf_counter() - begin
        emit("fit", seconds=seconds, peak_mb=memory_mb("VmHWM"), **report(result))
        del result


def split_formula(formula: str) -> tuple[str, list[str]]:
    """Fixed part and bars of a formula without brackets inside its bars."""
    bars = [f"({' '.join(b.split())})" for b in BAR.findall(formula)]
    fixed = BAR.sub("", formula)
    fixed = re.sub(r"(\s*\+\s*)+$", "", re.sub(r"(\+\s*)+", "+ ", fixed)).strip()
    return fixed if not fixed.endswith("~") else f"{fixed} 1", bars
