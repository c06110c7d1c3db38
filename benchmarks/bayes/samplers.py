"""Who samples, in which variants, and the environments that hold them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contestants import CACHE, LOADER, OURS, Absent, Contestant
from contestants import surroundings as threads_of
from models import Sampled

HERE = Path(__file__).parent
CHAINS = 4

# Requirements in order of preference: the next is tried where one cannot be installed.
REQUIREMENTS = {
    "bambi": (
        ("bambi==0.21.0", "pymc==6.4.0", "nutpie==0.16.11", "numpyro==0.22.0", "jax==0.12.0.1"),
        ("bambi==0.21.0", "pymc==6.4.0", "nutpie==0.16.11"),
        ("bambi==0.21.0",),
    ),
}
VARIANTS = {
    OURS: ("default", "noncentered"),
    "bambi": ("nutpie", "numpyro", "pymc"),
    "rstanarm": ("default",),
    "brms": ("default",),
}
PEERS = tuple(name for name in VARIANTS if name != OURS)
IN_R = ("rstanarm", "brms")
# Packages that a variant needs beyond its peer.
NEEDS = {"bambi/nutpie": "nutpie", "bambi/numpyro": "numpyro"}


@dataclass(frozen=True)
class Plan:
    """How much a contestant draws; without `tune` its own default."""

    draws: int
    tune: int | None
    cores: int
    seed: int


def prepare(peer: str) -> str:
    """The program that runs a peer; its environment is made when it is not there yet."""
    if peer == OURS:
        return sys.executable
    return _rscript(peer) if peer in IN_R else _environment(peer)


def take_part(peer: str, program: str) -> Iterator[tuple[Contestant, str]]:
    """Variants of a peer, each with the reason why it cannot run, empty if it can."""
    for variant in VARIANTS[peer]:
        who = Contestant(peer, variant)
        package = NEEDS.get(who.name)
        missing = package is not None and not _runs(program, "-c", f"import {package}")
        yield who, f"no {package} in its environment" if missing else ""


def _rscript(peer: str) -> str:
    rscript = shutil.which("Rscript")
    if rscript is None:
        raise Absent("no Rscript on the path")
    if not _runs(rscript, "-e", f"library({peer})"):
        raise Absent(f"R has no {peer}")
    if peer == "brms":
        if shutil.which("g++") is None and shutil.which("clang++") is None:
            raise Absent("no C++ compiler on the path")
        # where StanHeaders looks for it; Debian's package BH leaves the folder out
        boost = 'stopifnot(dir.exists(system.file("include", "boost", package = "BH")))'
        if not _runs(rscript, "-e", boost):
            raise Absent("R's package BH has no include/boost")
    return rscript


def _environment(peer: str) -> str:
    folder = CACHE / f"env-{peer}"
    python, stamp = folder / "bin" / "python", folder / "requirements.json"
    wanted = json.dumps([*REQUIREMENTS[peer], *LOADER])
    if stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    uv = shutil.which("uv")
    for requirements in REQUIREMENTS[peer]:
        print(f"installing {', '.join(requirements)} ...", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        if uv:
            make = [uv, "venv", "-q", "--python", sys.executable, str(folder)]
            install = [uv, "pip", "install", "-q", "--python", str(python)]
        else:
            make = [sys.executable, "-m", "venv", str(folder)]
            install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        if _runs(*make) and _runs(*install, *requirements, *LOADER):
            stamp.write_text(wanted)
            return str(python)
    raise Absent(f"{REQUIREMENTS[peer][-1][0]} could not be installed")


def _runs(*command: str) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def command(
    who: Contestant, program: str, model: Sampled, table: Path, plan: Plan, out: Path
) -> list[str]:
    """What to start for one round of a contestant; its draws go to `out`."""
    script = "run_stan.R" if who.peer in IN_R else f"run_{who.peer}.py"
    line = [program, str(HERE / "runners" / script)]
    values = {
        "data": table.with_suffix(".csv") if who.peer in IN_R else table,
        "formula": model.formula,
        "package": who.peer,
        "variant": who.variant,
        "draws": plan.draws,
        "tune": "default" if plan.tune is None else plan.tune,
        "chains": CHAINS,
        "cores": plan.cores,
        "seed": plan.seed,
        "out": out,
    }
    if who.peer in IN_R:
        factors = json.loads(table.with_suffix(".json").read_text())["factors"]
        return [*line, *(f"{k}={v}" for k, v in values.items()), f"factors={','.join(factors)}"]
    return [*line, *(f"--{k}={v}" for k, v in values.items())]


def surroundings(threads: int, mark: str) -> dict[str, str]:
    """Environment variables of a round: threads, and a mark by which to find its processes."""
    # a folder of its own for what PyTensor compiles, so that the first round finds nothing
    compiled = f"base_compiledir={CACHE / 'pytensor'}"
    flags = [f for f in (os.environ.get("PYTENSOR_FLAGS"), compiled) if f]
    return threads_of(threads) | {"PYTENSOR_FLAGS": ",".join(flags), "BAYES_ROUND": mark}
