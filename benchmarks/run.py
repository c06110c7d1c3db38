"""Run the benchmarks: every contestant on every case, taking turns, and write the tables.

    python benchmarks/run.py [--quick] [--only CASE ...] [--peers PEER ...] [--repeats N]

See README.md beside this file.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import processes
from cases import CASES, Case
from contestants import (
    CACHE,
    HERE,
    OURS,
    PEERS,
    VARIANTS,
    Absent,
    Contestant,
    command,
    prepare,
    surroundings,
)
from report import markdown

# A fit longer than this is measured in one round only.
ONCE = 60.0
MICRO = "micro"


def parse() -> argparse.Namespace:
    """Arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="small sizes, two rounds: does the suite work?")
    add("--only", nargs="+", metavar="CASE", help=f"names or patterns; also {MICRO}")
    add("--peers", nargs="*", choices=PEERS, default=PEERS, metavar="PEER")
    add("--repeats", type=int, help="rounds (5; quick: 2)")
    add("--threads", type=int, help="threads of every contestant (all cores; quick: 1)")
    add("--timeout", type=float, help="seconds a fit may take (120; quick: 10)")
    add("--memory", type=float, default=12.0, help="gigabytes of address space a process")
    add("--out", type=Path, help="folder (benchmarks/results; quick: benchmarks/cache/quick)")
    add("--name", help="of the files, after the date (suite; quick: quick)")
    args = parser.parse_args()
    args.repeats = args.repeats or (2 if args.quick else 5)
    args.threads = args.threads or (1 if args.quick else os.cpu_count() or 1)
    args.timeout = args.timeout or (10.0 if args.quick else 120.0)
    args.out = args.out or (CACHE / "quick" if args.quick else HERE / "results")
    args.name = args.name or ("quick" if args.quick else "suite")
    args.budget, args.most = (0.2, 5) if args.quick else (1.0, 200)
    return args


def selected(only: Iterable[str] | None) -> tuple[list[Case], bool]:
    """Cases asked for, and whether the micro figures are."""
    if only is None:
        return list(CASES.values()), True
    names = [n for n in CASES if any(fnmatch(n, pattern) for pattern in only)]
    micro = MICRO in only
    if not names and not micro:
        sys.exit(f"no such case; there are: {', '.join([*CASES, MICRO])}")
    return [CASES[n] for n in names], micro


def data_of(case: Case, quick: bool, *, csv: bool) -> Path:
    """Parquet file of a case, with a CSV file beside it where R takes part; made once."""
    path = CACHE / "data" / f"{case.name}{'-quick' if quick else ''}.parquet"
    about = path.with_suffix(".json")
    recipe = {"formula": case.formula, "code": _fingerprint()}
    fresh = about.exists() and json.loads(about.read_text()).items() >= recipe.items()
    if fresh and path.exists() and (path.with_suffix(".csv").exists() or not csv):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    data = case.make(quick)
    data.to_parquet(path)
    if csv:
        data.to_csv(path.with_suffix(".csv"), index=False)
    factors = list(data.select_dtypes("category"))
    about.write_text(json.dumps(recipe | {"factors": factors}))
    return path


def _fingerprint() -> str:
    """Changes when the data may have: the sources that make them."""
    import hashlib

    text = b"".join((HERE / name).read_bytes() for name in ("cases.py", "simulate.py"))
    return hashlib.sha256(text).hexdigest()[:12]


def machine(threads: int) -> dict[str, Any]:
    """Where this ran."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.split(":", 1)[1].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.exists() else [])
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def run_case(
    case: Case, programs: dict[str, str], args: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Rounds in which the contestants take turns."""
    results: dict[str, dict[str, Any]] = {}
    turns = []
    for peer in (OURS, *(p for p in args.peers if p in case.peers)):
        spec = case.specs.get(peer, {})
        if peer not in programs:
            continue
        if isinstance(spec, str):
            results[peer] = {"peer": peer, "skipped": spec, "rounds": []}
            continue
        for variant in VARIANTS[peer]:
            who = Contestant(peer, variant)
            results[who.name] = {"peer": peer, "variant": variant, "rounds": []}
            turns.append(who)
    data = data_of(case, args.quick, csv="lme4" in programs and "lme4" in case.peers)
    env = surroundings(args.threads)
    for _ in range(args.repeats):
        for who in list(turns):
            limit = args.timeout
            if not args.quick:
                limit = max(limit, case.limits.get(who.peer, 0.0))
            line = command(who, programs[who.peer], case, data, budget=args.budget, most=args.most)
            done = processes.run(line, env, limit=limit, memory_gb=args.memory)
            result = results[who.name]
            if done.fits:
                result["rounds"].append(done.lines)
            if done.ended:
                result["ended"] = f"a repeated fit: {done.ended}" if done.fits else done.ended
            if done.ended or done.fits[0]["seconds"] > ONCE:
                turns.remove(who)
            first = f"{done.fits[-1]['seconds']:.4g} s" if done.fits else done.ended
            print(f"{case.name:24} {who.name:20} {first}", file=sys.stderr, flush=True)
    return results


def run_micro(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Evaluations and refits, and a first fit with nothing compiled yet."""
    env = surroundings(args.threads)
    options = ["--budget", str(args.budget), *(["--quick"] if args.quick else [])]
    line = [sys.executable, str(HERE / "micro.py"), *options]
    done = processes.run(line, env, limit=600.0, memory_gb=args.memory)
    figures = done.lines.get("micro", [])
    if done.ended:
        figures.append({"what": f"ended early: {done.ended}"})
    case = CASES["sleepstudy"]
    data = data_of(case, args.quick, csv=False)
    line = command(Contestant(OURS), sys.executable, case, data, budget=0.0, most=2)
    with tempfile.TemporaryDirectory() as empty:
        for what in ("with nothing compiled yet", "in a new process, compiled code on disk"):
            again = processes.run(
                line, env | {"NUMBA_CACHE_DIR": empty}, limit=600.0, memory_gb=args.memory
            )
            if not again.fits:
                figures.append({"what": f"sleepstudy, first fit {what}: {again.ended}"})
                continue
            seconds = again.fits[0]["seconds"]
            once = {"median": seconds, "least": seconds, "most": seconds}
            figures.append({"what": f"sleepstudy, first fit {what}"} | once)
    return figures


def main() -> None:
    """Measure and write."""
    args = parse()
    cases, micro = selected(args.only)
    programs: dict[str, str] = {}
    absent: dict[str, str] = {}
    for peer in (OURS, *args.peers):
        try:
            programs[peer] = prepare(peer)
        except Absent as reason:
            absent[peer] = str(reason)
    today = datetime.date.today().isoformat()
    shown = {k: getattr(args, k) for k in ("quick", "repeats", "timeout", "memory", "budget")}
    record: dict[str, Any] = {
        "date": today,
        "options": shown,
        "machine": machine(args.threads),
        "absent": absent,
        "cases": [],
        "micro": [],
    }
    args.out.mkdir(parents=True, exist_ok=True)
    target = args.out / f"{today}-{args.name}"

    def write() -> None:
        # after each case, so that a run cut short leaves what it has
        target.with_suffix(".json").write_text(json.dumps(record, indent=1))
        target.with_suffix(".md").write_text(markdown(record))

    for case in cases:
        results = run_case(case, programs, args)
        record["cases"].append({"name": case.name, "formula": case.formula, "results": results})
        write()
    if micro:
        record["micro"] = run_micro(args)
        write()
    print(target.with_suffix(".md"))


if __name__ == "__main__":
    main()
