"""Compare samplers: every contestant on every model, taking turns, and write the tables.

    python benchmarks/bayes/run.py [--quick] [--slow] [--only MODEL ...] [--peers PEER ...]

See the section on sampling of README.md in the folder above.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import processes
from contestants import CACHE, OURS, Absent, Contestant
from contestants import HERE as BENCHMARKS
from convergence import judge, read_draws
from models import MODELS, Sampled
from samplers import PEERS, Plan, command, prepare, surroundings, take_part
from tables import markdown

from run import machine  # isort: skip

# A round longer than this is the only one of its contestant.
ONCE = 300.0
# Seconds beyond the limit, where the system does not tell which processes are a round's.
GRACE = 30.0
QUICK = "sleepstudy"


def parse() -> argparse.Namespace:
    """Arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help=f"{QUICK}, few draws, one round: does it work?")
    add("--slow", action="store_true", help="every contestant on the big models, too")
    add("--only", nargs="+", metavar="MODEL", help="names or patterns")
    add("--peers", nargs="*", choices=PEERS, default=PEERS, metavar="PEER")
    add("--rounds", type=int, help="rounds (3; quick: 1)")
    add("--cores", type=int, default=os.cpu_count() or 1, help="chains at a time, and threads")
    add("--timeout", type=float, help="seconds a contestant may sample, whatever the model")
    add("--memory", type=float, default=16.0, help="gigabytes of address space a process")
    add("--out", type=Path, help="folder (benchmarks/results; quick: benchmarks/cache/quick)")
    add("--name", help="of the files, after the date (bayes; quick: bayes-quick)")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.out = args.out or (CACHE / "quick" if args.quick else BENCHMARKS / "results")
    args.name = args.name or ("bayes-quick" if args.quick else "bayes")
    args.draws, args.tune = (200, 200) if args.quick else (1000, None)
    return args


def selected(only: Iterable[str] | None, quick: bool) -> list[Sampled]:
    """Models asked for."""
    patterns = list(only or ([QUICK] if quick else MODELS))
    names = [n for n in MODELS if any(fnmatch(n, pattern) for pattern in patterns)]
    if not names:
        sys.exit(f"no such model; there are: {', '.join(MODELS)}")
    return [MODELS[n] for n in names]


def data_of(model: Sampled) -> Path:
    """Parquet file of a model's data, made anew, with CSV and names of factors beside it."""
    path = CACHE / "bayes" / f"{model.name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = model.make()
    data.to_parquet(path)
    data.to_csv(path.with_suffix(".csv"), index=False)
    factors = list(data.select_dtypes("category"))
    path.with_suffix(".json").write_text(json.dumps({"factors": factors}))
    return path


def one_round(
    who: Contestant, program: str, model: Sampled, table: Path, plan: Plan, args: argparse.Namespace
) -> dict[str, Any]:
    """A round: its times, what its draws are worth, and why it ended early, if it did."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "draws"
        line = command(who, program, model, table, plan, out)
        env = surroundings(args.cores, mark)
        limit = args.timeout or model.limit
        # ends processes of the round's own, too, which would keep its output open
        late = threading.Timer(limit, _end, args=(mark,))
        late.start()
        begin = time.time()
        try:
            done = processes.run(line, env, limit=limit + GRACE, memory_gb=args.memory)
        finally:
            spent = time.time() - begin
            late.cancel()
            _end(mark)
        if done.ended or "draws" not in done.lines:
            return {"ended": f"> {limit:g} s" if spent >= limit else done.ended or "no draws"}
        handed = done.lines["draws"][0]
        draws = read_draws(out, handed["shape"])
    fit = done.lines["fit"][0]
    return {
        "process_seconds": done.lines["summary"][0]["at"] - begin,
        "ready_seconds": done.lines["ready"][0]["at"] - begin,
        "seconds": fit["seconds"],
        "compile_seconds": fit["compile_seconds"],
        **{k: handed[k] for k in ("shape", "divergences", "remark", "versions", "blas")},
        **judge(draws, handed["names"], handed["main"]),
    }


def _end(mark: str) -> None:
    """End the processes of a round, also those in which a sampler runs its chains."""
    for _ in range(2):  # one may start another meanwhile
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark.encode() in (folder / "environ").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)
            except OSError:
                continue


def run_model(
    model: Sampled, programs: dict[str, str], args: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Rounds in which the contestants take turns."""
    results: dict[str, dict[str, Any]] = {}
    turns: list[Contestant] = []
    for peer, program in programs.items():
        for who, missing in take_part(peer, program):
            result: dict[str, Any] = {"peer": peer, "variant": who.variant, "rounds": []}
            results[who.name] = result
            if missing:
                result["skipped"] = missing
            elif model.slow and not args.slow and who != Contestant(OURS):
                result["skipped"] = "takes long: only with --slow"
            else:
                turns.append(who)
    table = data_of(model)
    for k in range(args.rounds):
        plan = Plan(args.draws, args.tune, args.cores, seed=k + 1)
        for who in list(turns):
            found = one_round(who, programs[who.peer], model, table, plan, args)
            if "ended" in found:
                results[who.name]["ended"] = found["ended"]
                said = str(found["ended"])
            else:
                results[who.name]["rounds"].append(found)
                said = f"{found['seconds']:.4g} s, ESS {found['ess']:.0f} ({found['ess_of']})"
            if "ended" in found or found["process_seconds"] > ONCE:
                turns.remove(who)
            print(f"{model.name:14} {who.name:18} {said}", file=sys.stderr, flush=True)
    return results


def main() -> None:
    """Measure and write."""
    args = parse()
    models = selected(args.only, args.quick)
    programs: dict[str, str] = {}
    absent: dict[str, str] = {}
    for peer in (OURS, *args.peers):
        try:
            programs[peer] = prepare(peer)
        except Absent as reason:
            absent[peer] = str(reason)
    today = datetime.date.today().isoformat()
    shown = ("quick", "slow", "rounds", "cores", "timeout", "memory", "draws", "tune")
    record: dict[str, Any] = {
        "date": today,
        "options": {k: getattr(args, k) for k in shown},
        "machine": machine(args.cores),
        "absent": absent,
        "models": [],
    }
    args.out.mkdir(parents=True, exist_ok=True)
    target = args.out / f"{today}-{args.name}"
    for model in models:
        results = run_model(model, programs, args)
        about = {"name": model.name, "formula": model.formula, "limit": args.timeout or model.limit}
        record["models"].append(about | {"results": results})
        # after each model, so that a run cut short leaves what it has
        target.with_suffix(".json").write_text(json.dumps(record, indent=1))
        target.with_suffix(".md").write_text(markdown(record))
    print(target.with_suffix(".md"))


if __name__ == "__main__":
    main()
