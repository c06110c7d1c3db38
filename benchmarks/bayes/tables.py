"""The record of a comparison of samplers as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from contestants import OURS
from samplers import CHAINS

type Model = dict[str, Any]
type Result = dict[str, Any]
type Figure = Callable[[dict[str, Any]], float]

NOTHING = "–"
# Chains with a larger R-hat are doubtful and marked; beyond the second, not from one posterior.
DOUBTFUL, UNUSABLE = 1.01, 1.05
HEAD = (
    "contestant",
    "process, s",
    "after imports, s",
    "of which compiling, s",
    "least ESS",
    "ESS/s",
    "÷ best peer",
    "least ESS, effects too",
    "ESS/s, effects too",
    "÷ best peer, effects too",
    "divergences",
    "largest R-hat",
    "R-hat, effects too",
)
NOTE = (
    "Medians over rounds, least and most in brackets. *process* is from the start of the process "
    "to the package's own summary; *after imports* from the model call, formula and table in "
    "memory, to draws in memory, less the loading of modules: compiling, adaptation and warm-up "
    "are in it. *least ESS* is the lowest bulk ESS of fixed effects, SDs, correlations and "
    "sigma, *effects too* of the random effects as well; *ESS/s* is of the time after imports. "
    f"An R-hat above {DOUBTFUL} is in bold; above {UNUSABLE} a peer cannot be the best. "
    "Divergences of all chains together."
)
PRIORS = (
    "Priors are each package's defaults, and differ. bambi has no correlations between the "
    "effects of one factor and samples independent terms instead, a smaller model. ESS and R-hat "
    "are computed for all by the same functions (rank-normalised, split chains; ArviZ)."
)


def markdown(record: dict[str, Any]) -> str:
    """The whole page."""
    parts = [f"# Sampling, {record['date']}", _preamble(record), PRIORS]
    for model in record["models"]:
        parts += [f"## {model['name']}: `{model['formula']}`", _figures(model), _posteriors(model)]
    parts += [NOTE, "## Remarks", _remarks(record), "## Versions", _versions(record["models"])]
    return "\n\n".join(part for part in parts if part) + "\n"


# -- figures ---------------------------------------------------------------------------
def a_second(suffix: str) -> Figure:
    """Least ESS a second after imports; `_all` with the random effects."""
    return lambda r: float(r[f"ess{suffix}"] / r["seconds"])


def middle(result: Result, figure: Figure) -> float:
    """Median over rounds."""
    return median(figure(r) for r in result["rounds"])


def best_peer(model: Model, suffix: str) -> float | None:
    """The highest ESS a second among peers whose chains agree."""
    values = [
        middle(r, a_second(suffix))
        for r in model["results"].values()
        if r["peer"] != OURS and r["rounds"] and usable(r)
    ]
    return max(values, default=None)


def usable(result: Result) -> bool:
    """Whether the chains of the median round sampled one distribution."""
    return middle(result, lambda r: float(r["rhat"])) <= UNUSABLE


# -- tables ----------------------------------------------------------------------------
def _figures(model: Model) -> str:
    rivals = {suffix: best_peer(model, suffix) for suffix in ("", "_all")}
    rows = []
    for name, result in model["results"].items():
        if not result["rounds"]:
            why = "skipped" if "skipped" in result else str(result.get("ended", NOTHING))
            why = why if why.startswith(">") or why == "skipped" else "failed"
            rows.append([name, why, *[NOTHING] * (len(HEAD) - 2)])
            continue
        cells = [_spread(result, _get(k)) for k in ("process_seconds", "seconds")]
        cells.append(_spread(result, _get("compile_seconds")))
        for suffix in ("", "_all"):
            speed = middle(result, a_second(suffix))
            rival = rivals[suffix]
            cells.append(_spread(result, _get(f"ess{suffix}")))
            cells.append(_spread(result, a_second(suffix)))
            cells.append(f"{speed / rival:.2g}×" if rival else NOTHING)
        cells.append(_spread(result, _get("divergences")))
        cells += [_rhat(middle(result, _get(k))) for k in ("rhat", "rhat_all")]
        rows.append([name, *cells])
    return _table(HEAD, rows)


def _get(key: str) -> Figure:
    return lambda r: float(r[key])


def _rhat(value: float) -> str:
    return f"**{value:.3f}**" if value > DOUBTFUL else f"{value:.3f}"


def _posteriors(model: Model) -> str:
    """Median and SD of each main parameter, to see that one posterior was sampled."""
    first = {name: r["rounds"][0] for name, r in model["results"].items() if r["rounds"]}
    names = list(dict.fromkeys(p for r in first.values() for p in r["posterior"]))
    rows = []
    for parameter in names:
        cells = []
        for r in first.values():
            known = r["posterior"].get(parameter)
            cells.append(f"{_digits(known[0])} ± {_digits(known[1])}" if known else NOTHING)
        rows.append([parameter, *cells])
    if not rows:
        return ""
    return "Posterior median ± SD, first round:\n\n" + _table(["parameter", *first], rows)


# -- prose -----------------------------------------------------------------------------
def _preamble(record: dict[str, Any]) -> str:
    m, o = record["machine"], record["options"]
    quick = "**Quick run: few draws, to see that it works; no figure of it counts.** "
    tuning = "each package's default tuning" if o["tune"] is None else f"{o['tune']} of tuning"
    return (
        f"{quick if o['quick'] else ''}{m['cpu']}, {m['cores']} cores, {m['memory_gb']} GB, "
        f"{m['system']}; {o['cores']} chain(s) at a time and {o['cores']} thread(s) for every "
        f"contestant; load {m['load_at_start']} at the start. {CHAINS} chains of {o['draws']} kept "
        f"draws, {tuning}. {o['rounds']} round(s), contestants taking turns, each in a process "
        f"of its own with {o['memory']:g} GB."
    )


def _remarks(record: dict[str, Any]) -> str:
    lines = [f"- {peer} is absent: {why}." for peer, why in record["absent"].items()]
    for model in record["models"]:
        for name, result in model["results"].items():
            about = f"- {model['name']}, {name}"
            rounds = result["rounds"]
            if "skipped" in result:
                lines.append(f"{about} skipped: {result['skipped']}.")
            if "ended" in result:
                lines.append(f"{about}: {result['ended']}")
            if rounds:
                said = sorted({r["remark"] for r in rounds} - {""})
                where = sorted({r["ess_of"] for r in rounds})
                words = [*said, f"least ESS of {' or '.join(where)}"]
                if not usable(result):
                    words.append("chains do not agree: never the best peer")
                if len(rounds) < record["options"]["rounds"]:
                    words.append(f"{len(rounds)} round(s)")
                lines.append(f"{about}: {'; '.join(words)}.")
    return "\n".join(lines) or "None."


def _versions(models: Iterable[Model]) -> str:
    lines: dict[str, str] = {}
    for model in models:
        for result in model["results"].values():
            for r in result["rounds"]:
                words = [f"{k} {v}" for k, v in r["versions"].items()]
                words += [f"BLAS {b}" for b in r["blas"]]
                lines[result["peer"]] = f"- {result['peer']}: {', '.join(words)}"
    return "\n".join(lines.values())


def _spread(result: Result, figure: Figure) -> str:
    values = [figure(r) for r in result["rounds"]]
    if len(values) == 1 or min(values) == max(values):
        return _digits(median(values))
    return f"{_digits(median(values))} ({_digits(min(values))}–{_digits(max(values))})"


def _digits(x: float) -> str:
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, [":--"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
