"""Many refits in lots, each with a seed of its own, in one process or in several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from bayeslmm.errors import ArgumentError

# Results depend on the lots, and so not on the number of cores that share them.
_SIZE = 50


def seeded_lots(random_seed: int | None, n: int) -> list[tuple[np.random.SeedSequence, int]]:
    """Lots of n refits: the seed and the size of each."""
    sizes = [min(_SIZE, n - first) for first in range(0, n, _SIZE)]
    return list(zip(np.random.SeedSequence(random_seed).spawn(len(sizes)), sizes, strict=True))


def run_lots[R](
    work: Callable[..., R],
    lots: Sequence[tuple[Any, ...]],
    cores: int | None,
    progressbar: bool,
    title: str,
) -> list[R]:
    """Call ``work`` with each lot, in processes where several cores are wanted.

    Parameters
    ----------
    work : callable
    lots : sequence of tuple
        Arguments of the calls; the last is the number of refits, which moves the bar.
    cores : int or None
        None is all there are.
    progressbar : bool
    title : str
        What the bar says.

    Returns
    -------
    list
        In the order of the lots.

    Raises
    ------
    ArgumentError
        ``cores`` is no whole number, or less than one.
    """
    cores = (os.cpu_count() or 1) if cores is None else cores
    if isinstance(cores, bool) or not isinstance(cores, int | np.integer) or cores < 1:
        raise ArgumentError(f"cores={cores!r} is not a number of processes.", fix="cores=1")
    results: Iterable[R]
    if cores == 1 or len(lots) == 1:
        results = (work(*lot) for lot in lots)
    else:
        from joblib import Parallel, delayed

        parallel = Parallel(n_jobs=min(cores, len(lots)), return_as="generator")
        results = parallel(delayed(work)(*lot) for lot in lots)
    if not progressbar:
        return list(results)
    from rich.progress import Progress

    done = []
    with Progress(transient=True) as bar:
        line = bar.add_task(title, total=sum(lot[-1] for lot in lots))
        for result, lot in zip(results, lots, strict=True):
            done.append(result)
            bar.advance(line, lot[-1])
    return done
