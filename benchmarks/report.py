"""The record of a run as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

type Case = dict[str, Any]
type Result = dict[str, Any]

OURS = "ours"
STAGES = ("parse", "design", "priors", "crossproducts", "optimise", "results", "other")
NOTHING = "–"
CRITERION = "## Criterion (−2 log restricted likelihood) less the reference's"
# A fit whose criterion is worse than the lowest by more than this has not done the work.
WORSE = 0.01


def markdown(record: dict[str, Any]) -> str:
    """The whole page."""
    cases = record["cases"]
    main = [c for c in cases if not c["name"].startswith("growth-")]
    growth = [c for c in cases if c["name"].startswith("growth-")]
    peers = list(dict.fromkeys(r["peer"] for c in main for r in c["results"].values()))
    peers = [p for p in peers if p != OURS]
    parts = [f"# Benchmarks, {record['date']}", _preamble(record)]
    if main:
        parts += ["## REML fits, seconds", _times(main, peers)]
        parts += [CRITERION, _criteria(main, peers)]
        parts += ["## Peak memory, MB", _memory(main, peers)]
        parts += ["## Stages of ours, warm, ms", _stages(main)]
    if growth:
        parts += ["## Growth curves", _growth(growth)]
    if record["micro"]:
        parts += ["## Evaluations and refits", _micro(record["micro"])]
    parts += ["## Remarks", _remarks(record), "## Versions", _versions(cases)]
    return "\n\n".join(part for part in parts if part) + "\n"


# -- figures ---------------------------------------------------------------------------
def fits_of(result: Result) -> list[list[dict[str, Any]]]:
    """Warm fits of each round; the cold one where it is all there is."""
    return [r["fit"][1:] or r["fit"] for r in result["rounds"]]


def spread(
    result: Result, figure: Callable[[dict[str, Any]], float | None]
) -> tuple[float, float, float] | None:
    """Median, least and most over the rounds of each round's median."""
    values = []
    for fits in fits_of(result):
        known = [v for v in map(figure, fits) if v is not None]
        if known:
            values.append(median(known))
    return (median(values), min(values), max(values)) if values else None


def seconds(result: Result) -> tuple[float, float, float] | None:
    """Time of a warm fit."""
    return spread(result, lambda fit: fit["seconds"])


def stage(result: Result, name: str) -> tuple[float, float, float] | None:
    """Time of a stage of ours."""
    return spread(result, lambda fit: fit["stages"].get(name))


def criterion(result: Result) -> float | None:
    """The lowest criterion a contestant reached."""
    values = [f["criterion"] for r in result["rounds"] for f in r["fit"]]
    return min((v for v in values if v is not None), default=None)


def of_peer(case: Case, peer: str) -> list[Result]:
    """Results of a peer's variants."""
    return [r for r in case["results"].values() if r["peer"] == peer]


def best(case: Case, peer: str) -> Result | None:
    """The fastest variant of a peer among those that reached the optimum, if any did."""
    done = [
        (excess(case, r) > WORSE, s[0], k, r)
        for k, r in enumerate(of_peer(case, peer))
        if (s := seconds(r))
    ]
    return min(done)[-1] if done else None


def excess(case: Case, result: Result) -> float:
    """How far a criterion is above the lowest that anybody reached."""
    mine = criterion(result)
    everybody = [v for r in case["results"].values() if (v := criterion(r)) is not None]
    return mine - min(everybody) if mine is not None else 0.0


def sizes(case: Case) -> dict[str, int]:
    """n, q, p and variance parameters, as ours counts them."""
    for result in of_peer(case, OURS):
        for r in result["rounds"]:
            return dict(r["fit"][0]["sizes"])
    return {}


# -- tables ----------------------------------------------------------------------------
def _times(cases: Sequence[Case], peers: Sequence[str]) -> str:
    head = ["case", "n", "q", "var. par.", "ours: formula →", "ours: arrays →", "ours: cold"]
    head += [*peers, "best peer ÷ formula →", "best peer ÷ arrays →"]
    rows = []
    for case in cases:
        ours = best(case, OURS)
        formula = seconds(ours) if ours else None
        arrays = stage(ours, "arrays") if ours else None
        cold = [r["fit"][0]["seconds"] for r in ours["rounds"]] if ours else []
        rivals = [
            s[0]
            for p in peers
            if (r := best(case, p)) and (s := seconds(r)) and excess(case, r) <= WORSE
        ]
        rivals_best = min(rivals, default=None)
        rows.append(
            [
                *_identity(case),
                _peer_time(case, OURS),
                _time(arrays),
                _digits(median(cold)) if cold else NOTHING,
                *(_peer_time(case, p) for p in peers),
                _ratio(rivals_best, formula),
                _ratio(rivals_best, arrays),
            ]
        )
    return _table(head, rows) + "\n\n" + TIMES_NOTE


TIMES_NOTE = (
    "Medians over rounds of warm fits (the second and later ones of a process), least and most "
    "in brackets. *formula →* is from formula and table to the finished result, as for the "
    "peers; *arrays →* starts from the design; *cold* is the first fit of a process, compiled "
    "code read from disk. Of a peer's variants the fastest counts, named behind its time. "
    "Remarks say why a peer has no time."
)


def _peer_time(case: Case, peer: str) -> str:
    result = best(case, peer)
    if result is None:
        return _why(of_peer(case, peer))
    variant = "" if result["variant"] == "default" else f" {result['variant']}"
    over = excess(case, result)
    short = f" **short by {over:.2g}**" if over > WORSE else ""
    return _time(seconds(result)) + variant + short


def _why(results: Sequence[Result]) -> str:
    for result in results:
        if "skipped" in result:
            return "skipped"
        if ended := result.get("ended"):
            return str(ended) if str(ended).startswith(">") else "failed"
    return NOTHING


def _criteria(cases: Sequence[Case], peers: Sequence[str]) -> str:
    rows = []
    for case in cases:
        reference = next((k for k in ("lme4", OURS) if _lowest(case, k) is not None), OURS)
        base = _lowest(case, reference)
        cells = [reference, NOTHING if base is None else f"{base:.4f}"]
        for peer in (OURS, *peers):
            value = _lowest(case, peer)
            known = value is not None and base is not None and peer != reference
            cells.append(f"{value - base:+.2e}" if known else NOTHING)
        rows.append([case["name"], *cells])
    head = ["case", "reference", "its criterion", OURS, *peers]
    return _table(head, rows) + "\n\nNegative is better than the reference."


def _lowest(case: Case, peer: str) -> float | None:
    values = [v for r in of_peer(case, peer) if (v := criterion(r)) is not None]
    return min(values, default=None)


def _memory(cases: Sequence[Case], peers: Sequence[str]) -> str:
    rows = []
    for case in cases:
        cells = []
        for peer in (OURS, *peers):
            result = best(case, peer)
            peak = _peak(result) if result else None
            if result and peak:
                loaded = median(r["ready"][0]["loaded_mb"] or 0.0 for r in result["rounds"])
                cells.append(f"{peak:,.0f} ({peak - loaded:+,.0f})")
            else:
                cells.append(NOTHING)
        rows.append([case["name"], *cells])
    note = "Peak of the process while fitting; in brackets what that is above data and imports."
    return _table(["case", OURS, *peers], rows) + "\n\n" + note


def _peak(result: Result) -> float | None:
    peaks = [f["peak_mb"] for r in result["rounds"] for f in r["fit"] if f["peak_mb"]]
    return max(peaks, default=None)


def _stages(cases: Sequence[Case]) -> str:
    rows = []
    for case in cases:
        ours = best(case, OURS)
        if ours is None:
            continue
        cells = [_milliseconds(stage(ours, name)) for name in STAGES]
        last = ours["rounds"][-1]["fit"][-1]
        imports = median(r["ready"][0]["import_seconds"] for r in ours["rounds"])
        lformula = [
            s["seconds"]
            for result in of_peer(case, "lme4")
            for r in result["rounds"]
            for s in r.get("stage", [])
        ]
        apart = f"{1e3 * median(lformula):.1f}" if lformula else NOTHING
        rows.append([case["name"], *cells, str(last["evaluations"]), f"{1e3 * imports:.0f}", apart])
    head = ["case", *STAGES, "evaluations", "import", "lme4's lFormula"]
    return _table(head, rows)


def _growth(cases: Sequence[Case]) -> str:
    rows = []
    for case in cases:
        ours = best(case, OURS)
        rows.append(
            [
                *_identity(case),
                _time(seconds(ours)) if ours else _why(of_peer(case, OURS)),
                _time(stage(ours, "arrays")) if ours else NOTHING,
                *(_milliseconds(stage(ours, s)) if ours else NOTHING for s in STAGES[3:5]),
                _peer_time(case, "lme4"),
            ]
        )
    head = ["case", "n", "q", "var. par.", "ours: formula →", "ours: arrays →"]
    head += ["crossproducts, ms", "optimise, ms", "lme4"]
    return _table(head, rows)


def _micro(figures: Iterable[dict[str, Any]]) -> str:
    rows = [
        [f["what"], *(f"{1e3 * f[k]:.3g}" if k in f else NOTHING for k in FIGURES)] for f in figures
    ]
    return _table(["what", *(f"{k}, ms" for k in FIGURES)], rows)


FIGURES = ("median", "least", "most")


# -- prose -----------------------------------------------------------------------------
def _preamble(record: dict[str, Any]) -> str:
    m, o = record["machine"], record["options"]
    quick = "**Quick run: small sizes, to see that the suite works; no figure of it counts.** "
    return (
        f"{quick if o['quick'] else ''}{m['cpu']}, {m['cores']} cores, {m['memory_gb']} GB, "
        f"{m['system']}; {m['threads']} thread(s) for every contestant; load {m['load_at_start']} "
        f"at the start. {o['repeats']} rounds, contestants taking turns, each in a process of its "
        f"own; {o['timeout']:g} s a fit unless remarked, {o['memory']:g} GB."
    )


def _remarks(record: dict[str, Any]) -> str:
    lines = [f"- {peer} is absent: {why}." for peer, why in record["absent"].items()]
    for case in record["cases"]:
        for name, result in case["results"].items():
            if "skipped" in result:
                lines.append(f"- {case['name']}, {name} skipped: {result['skipped']}.")
            if "ended" in result:
                lines.append(f"- {case['name']}, {name}: {result['ended']}")
            fits = [f for r in result["rounds"] for f in r["fit"]]
            if any(f.get("converged") is False for f in fits):
                lines.append(f"- {case['name']}, {name} says it has not converged.")
            for status in sorted({f["status"] for f in fits if "status" in f} - {"CONVERGED"}):
                lines.append(f"- {case['name']}, {name}: {status.lower()}.")
            rounds = len(result["rounds"])
            if 0 < rounds < record["options"]["repeats"]:
                lines.append(f"- {case['name']}, {name}: {rounds} round(s).")
    return "\n".join(lines) or "None."


def _versions(cases: Iterable[Case]) -> str:
    lines: dict[str, str] = {}
    for case in cases:
        for result in case["results"].values():
            for r in result["rounds"]:
                ready = r["ready"][0]
                words = [f"{k} {v}" for k, v in ready["versions"].items()]
                words += [f"BLAS {b}" for b in ready["blas"]]
                words += [ready["remark"]] if "remark" in ready else []
                numba = r["fit"][-1].get("numba_threads")
                words += [f"numba threads {numba}"] if numba else []
                # a later case may have started what an earlier one had no use for
                lines[result["peer"]] = f"- {result['peer']}: {', '.join(words)}"
    return "\n".join(lines.values())


def _identity(case: Case) -> list[str]:
    s = sizes(case)
    return [case["name"], *(f"{s[k]:,}" if s else NOTHING for k in ("n", "q", "parameters"))]


def _time(value: tuple[float, float, float] | None) -> str:
    if value is None:
        return NOTHING
    middle, least, most = map(_digits, value)
    return f"{middle} ({least}–{most})"


def _digits(x: float) -> str:
    return f"{x:.0f}" if x >= 100 else f"{x:.3g}" if x >= 0.01 else f"{x:.5f}"


def _milliseconds(value: tuple[float, float, float] | None) -> str:
    return f"{1e3 * value[0]:.3g}" if value else NOTHING


def _ratio(rival: float | None, ours: tuple[float, float, float] | None) -> str:
    return f"{rival / ours[0]:.2g}×" if rival and ours else NOTHING


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, [":--"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
