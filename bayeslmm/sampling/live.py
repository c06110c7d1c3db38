"""A NUTS sampler that runs in the background and can be read, and stopped, meanwhile."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bayeslmm.sampling.drawn import RawDraws, Receiver
from bayeslmm.sampling.settings import Settings

# Seconds between two looks at a running sampler, and times as long as a look takes.
LOOK, SHARE = 1.0, 9.0


def run_nutpie(
    compiled: Any,
    settings: Settings,
    *,
    tune: int,
    options: dict[str, Any],
    receive: Receiver | None = None,
    folder: Path | None = None,
) -> RawDraws:
    """Run nutpie; an interruption by the keyboard ends it with the draws it has.

    Parameters
    ----------
    compiled : nutpie's compiled model
    settings : Settings
    tune : int
    options : dict
        Further arguments of ``nutpie.sample``.
    receive : callable, optional
        Called every now and then with the draws so far.
    folder : Path, optional
        Where nutpie keeps the draws; in memory by default.

    Returns
    -------
    RawDraws
        Chains differ in length after an interruption.
    """
    import nutpie

    kept: dict[str, Any] = {}
    if folder is not None:
        folder.mkdir(parents=True)
        store = nutpie.zarr_store.LocalStore(str(folder))
        kept = {"zarr_store": store, "return_raw_trace": True}
    sampler = nutpie.sample(
        compiled,
        draws=settings.draws,
        # nuts-rs cannot do without any
        tune=max(tune, 1),
        chains=settings.chains,
        cores=settings.cores,
        seed=settings.seed,
        save_warmup=False,
        progress_bar=settings.progressbar,
        blocking=False,
        **kept,
        **options,
    )

    def draws(found: Any) -> RawDraws:
        return _of_tree(found, settings) if folder is None else _of_folder(folder, settings)

    pause = LOOK
    try:
        while True:
            with suppress(TimeoutError):
                return draws(sampler.wait(timeout=pause))
            if receive is not None:
                began = time.perf_counter()
                receive(draws(sampler.inspect()))
                pause = max(LOOK, SHARE * (time.perf_counter() - began))
    except KeyboardInterrupt:
        return draws(sampler.abort())
    except BaseException:
        sampler.cancel()
        raise


def _of_tree(tree: Any, settings: Settings) -> RawDraws:
    """Draws that nutpie holds in memory; it pads chains that are behind with NaN."""
    if "posterior" not in tree.children or "logp" not in tree["sample_stats"]:
        return RawDraws({}, {}, np.zeros(settings.chains, dtype=np.int64))
    variables = {str(k): v.to_numpy() for k, v in tree["posterior"].data_vars.items()}
    found = tree["sample_stats"].data_vars.items()
    stats = {str(k): v.to_numpy() for k, v in found if v.dims == ("chain", "draw")}
    return RawDraws(variables, stats, _lengths(stats["logp"]))


def _of_folder(folder: Path, settings: Settings) -> RawDraws:
    """Draws that nutpie has written, complete stretches of them while it runs."""
    import zarr

    group: Any = zarr.open_group(folder, mode="r")
    shape = (settings.chains, settings.draws)
    variables = {name: a for name, a in group["posterior"].arrays() if a.shape[:2] == shape}
    stats = {name: a for name, a in group["sample_stats"].arrays() if a.shape == shape}
    return RawDraws(variables, stats, _lengths(stats["logp"][:]))


def _lengths(logp: Any) -> Any:
    return np.isfinite(logp).sum(axis=1)
