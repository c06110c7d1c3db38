"""bayeslmm's runner, and the one file that knows where its stages live.

Timed is `Model(formula, table).fit()`, the table in memory. A clock around the function of
each stage, put where that function is looked up, splits the same fit into its parts.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))

_begin = time.perf_counter()
from bayeslmm.engine.gaussian.crossproducts import compute_crossproducts  # noqa: E402
from bayeslmm.engine.gaussian.objective import Objective  # noqa: E402
from bayeslmm.engine.gaussian.parameters import Layout  # noqa: E402
from bayeslmm.model import Model  # noqa: E402

IMPORT_SECONDS = time.perf_counter() - _begin

from common import arguments, measure, read_table  # noqa: E402

# stage: where the function is looked up when a model is fitted
STAGES = {
    "parse": ("bayeslmm.model", "parse_formula"),
    "design": ("bayeslmm.model", "build_design"),
    "priors": ("bayeslmm.model", "resolve_priors"),
    "arrays": ("bayeslmm.engine.gaussian", "fit_gaussian"),
    "crossproducts": ("bayeslmm.engine.gaussian.estimate", "compute_crossproducts"),
    "optimise": ("bayeslmm.engine.gaussian.estimate", "minimise"),
}


def objective(design: Any) -> Any:
    """The REML criterion of a design as a function of its variance parameters."""
    cp = compute_crossproducts(design)
    return Objective(cp, Layout.of(design, cp.coordinates), reml=True)


def somewhere(criterion: Any) -> Any:
    """A vector at which to evaluate: every SD 0.3 of the residual's."""
    return 0.3 * criterion.layout.start()


class Stopwatch:
    """Seconds spent in each stage since the last reset."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        for stage, (place, name) in STAGES.items():
            module = import_module(place)
            if hasattr(module, name):
                setattr(module, name, self._timed(stage, getattr(module, name)))
            else:
                print(f"{place}.{name} has moved: stage {stage} not measured", file=sys.stderr)

    def _timed(self, stage: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[stage] += time.perf_counter() - begin

        return call

    def stages(self, total: float) -> dict[str, float]:
        """Stages that add up to the total, and `arrays`, from the design to the estimates."""
        s = dict(self.seconds)
        inside = [s[k] for k in ("crossproducts", "optimise") if k in s]
        s["results"] = s.get("arrays", 0.0) - sum(inside)
        s["other"] = total - sum(s.get(k, 0.0) for k in ("parse", "design", "priors", "arrays"))
        return s


def sizes(design: Any) -> dict[str, int]:
    """Rows, fixed columns, random effects and variance parameters (sigma apart)."""
    parameters = sum(int(f.pattern.sum()) for f in design.factors)
    return {"n": design.n, "p": design.p, "q": design.q, "parameters": parameters}


def threads() -> str:
    """Numba's threads, and its threading layer once one is in use."""
    import numba

    try:
        layer = numba.threading_layer()
    except ValueError:
        layer = "not started"
    return f"{numba.config.NUMBA_NUM_THREADS} ({layer})"


if __name__ == "__main__":
    args = arguments()
    table = read_table(args.data)
    clock = Stopwatch()

    def fit() -> Any:
        """One fit, and what its stages took."""
        clock.seconds.clear()
        begin = time.perf_counter()
        result = Model(args.formula, table).fit("REML")
        return result, clock.stages(time.perf_counter() - begin)

    def report(outcome: Any) -> dict[str, Any]:
        """What the parent wants to know of a fit."""
        result, stages = outcome
        return {
            "criterion": -2.0 * result.llf,
            "evaluations": result.estimate.evaluations,
            "status": result.estimate.status.name,
            "singular": result.singular,
            "stages": stages,
            "sizes": sizes(result.design),
            "numba_threads": threads(),
        }

    measure(
        fit,
        report,
        packages=["bayeslmm", "numba", "llvmlite", "formulae"],
        budget=args.budget,
        most=args.most,
        import_seconds=IMPORT_SECONDS,
    )
