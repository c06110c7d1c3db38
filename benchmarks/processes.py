"""One measurement in a process of its own: JSON lines out, a limit on time and memory."""

from __future__ import annotations

import json
import queue
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

NO_MEMORY = (
    "MemoryError",
    "cannot allocate",
    "failed to map segment",
    "Memory allocation still failed",
    "memory allocation of",
    "Unable to allocate",
)


@dataclass
class Round:
    """What one process said: its `lines` by event, and why it ended early, if it did."""

    lines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    ended: str = ""

    @property
    def fits(self) -> list[dict[str, Any]]:
        """The fits that were finished, the cold one first."""
        return self.lines.get("fit", [])


def run(command: Sequence[str], env: dict[str, str], *, limit: float, memory_gb: float) -> Round:
    """Run a command that prints JSON lines.

    `limit` is the time to the next line, so that it holds for each fit alone. Memory is
    limited as address space, where the shell can.
    """
    kilobytes = int(memory_gb * 1e6)
    guarded = ["sh", "-c", 'ulimit -v "$0" 2>/dev/null; exec "$@"', str(kilobytes), *command]
    out = Round()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            guarded, stdout=subprocess.PIPE, stderr=errors, text=True, env=env
        )
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        while True:
            try:
                line = lines.get(timeout=limit)
            except queue.Empty:
                process.kill()
                out.ended = f"> {limit:g} s"
                break
            if line is None:
                break
            if line.startswith("{"):
                said = json.loads(line)
                out.lines.setdefault(said.pop("event"), []).append(said)
        process.wait()
        reader.join()
        if process.returncode and not out.ended:
            errors.seek(0)
            out.ended = _reason(process.returncode, errors.read(), memory_gb)
    return out


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _reason(code: int, errors: str, memory_gb: float) -> str:
    if any(words in errors for words in NO_MEMORY):
        return f"out of memory (limit {memory_gb:g} GB)"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    said = [line.strip() for line in errors.splitlines() if line.strip()]
    # R says what happened before "Execution halted"
    said = [line for line in said if line not in ("Execution halted", "Calls:")]
    # a folder of this machine tells a reader nothing
    return re.sub(r"(/[\w.+-]+)+/", "", said[-1])[:160] if said else f"exit code {code}"
