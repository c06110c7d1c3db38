"""Who takes part, in which variants, and the environments that hold them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cases import Case

HERE = Path(__file__).parent
CACHE = HERE / "cache"
OURS = "ours"
# what the runners read the data with, and what tells them of their BLAS
LOADER = ("pandas", "pyarrow", "threadpoolctl")


class Absent(Exception):
    """A peer that cannot be had here, and why."""


@dataclass(frozen=True)
class Contestant:
    """A package used in one way."""

    peer: str
    variant: str = "default"

    @property
    def name(self) -> str:
        """`peer` or `peer/variant`."""
        return self.peer if self.variant == "default" else f"{self.peer}/{self.variant}"


# Requirements in order of preference: the next is tried where one cannot be installed.
REQUIREMENTS = {
    "glmm": ("glmm==0.6.2",),
    "mixedlm": ("mixedlm==1.3.0",),
    "interlace": ("interlace-lme[fast]==0.3.2", "interlace-lme==0.3.2"),
    "statsmodels": ("statsmodels==0.15.0",),
}
VARIANTS = {
    OURS: ("default",),
    "lme4": ("default", "noderivs"),
    "glmm": ("default", "lean"),
    "mixedlm": ("default", "lean"),
    "interlace": ("default",),
    "statsmodels": ("default", "lbfgs"),
}
PEERS = tuple(name for name in VARIANTS if name != OURS)


def prepare(peer: str) -> str:
    """The program that runs a peer; its environment is made when it is not there yet."""
    if peer == OURS:
        return sys.executable
    if peer == "lme4":
        rscript = shutil.which("Rscript")
        if rscript is None:
            raise Absent("no Rscript on the path")
        if subprocess.run([rscript, "-e", "library(lme4)"], capture_output=True).returncode:
            raise Absent("R has no lme4")
        return rscript
    return _environment(peer)


def _environment(peer: str) -> str:
    folder = CACHE / f"env-{peer}"
    python, stamp = folder / "bin" / "python", folder / "requirements.json"
    wanted = json.dumps([*REQUIREMENTS[peer], *LOADER])
    if stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    make = [uv, "venv", "-q", "--python"] if uv else []
    _run([*make, sys.executable, str(folder)] if uv else [sys.executable, "-m", "venv", folder])
    install = (
        [uv, "pip", "install", "-q", "--python", python]
        if uv
        else [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    )
    for requirement in REQUIREMENTS[peer]:
        print(f"installing {requirement} ...", file=sys.stderr)
        if _run([*install, requirement, *LOADER]):
            stamp.write_text(wanted)
            return str(python)
    raise Absent(f"{REQUIREMENTS[peer][-1]} could not be installed")


def _run(command: Sequence[str | Path | None]) -> bool:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    return done.returncode == 0


def command(
    who: Contestant, program: str, case: Case, data: Path, *, budget: float, most: int
) -> list[str]:
    """What to start for one round of a contestant."""
    if who.peer == "lme4":
        factors = ",".join(json.loads(data.with_suffix(".json").read_text())["factors"])
        script = HERE / "peers" / "run_lme4.R"
        table = data.with_suffix(".csv")
        return [
            *(program, str(script), str(table), factors, case.formula, who.variant),
            *(str(budget), str(most)),
        ]
    script = HERE / ("ours.py" if who.peer == OURS else f"peers/run_{who.peer}.py")
    spec = case.specs.get(who.peer, {})
    formula = spec.get("formula", case.formula) if not isinstance(spec, str) else case.formula
    return [
        *(program, str(script), "--data", str(data), "--formula", str(formula)),
        *("--variant", who.variant, "--spec", json.dumps(spec)),
        *("--budget", str(budget), "--most", str(most)),
    ]


def surroundings(threads: int) -> dict[str, str]:
    """Environment variables of every contestant: the same number of threads for all."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    pools = ("OPENBLAS", "OMP", "MKL", "BLIS", "NUMBA", "RAYON")
    return kept | {f"{pool}_NUM_THREADS": str(threads) for pool in pools}
