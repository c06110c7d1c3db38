"""Other ways to the optimum of a fit's criterion: other starts, and SciPy's minimisers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.compiled import one_blas_thread
from bayeslmm.engine.estimate import Estimate
from bayeslmm.engine.gaussian.estimate import assemble, prepare_objective, prior_bounds
from bayeslmm.engine.gaussian.moments import moment_start
from bayeslmm.engine.gaussian.objective import Objective, Point
from bayeslmm.engine.gaussian.optimise import Optimum, minimise
from bayeslmm.engine.gaussian.search import Search
from bayeslmm.errors import BayeslmmError
from bayeslmm.outcomes import FitStatus
from bayeslmm.priors import PriorSet

# SDs over the residual's from which Newton starts again.
_STARTS = (1.0, 0.1, 10.0)
_MOST = 20_000
# Each with the gradient or without, and the options that make it end late rather than early.
_SCIPY: dict[str, tuple[bool, dict[str, Any]]] = {
    "L-BFGS-B": (True, {"ftol": 1e-15, "gtol": 1e-8, "maxiter": _MOST}),
    "COBYQA": (False, {"final_tr_radius": 1e-8, "maxfev": _MOST}),
    "Nelder-Mead": (False, {"fatol": 1e-9, "xatol": 1e-7, "maxfev": _MOST, "adaptive": True}),
    "Powell": (False, {"ftol": 1e-13, "xtol": 1e-8, "maxfev": _MOST}),
}


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """Where one way ended.

    ``criterion`` is minus twice the log likelihood (MAP: log posterior), NaN and
    ``estimate`` None where nothing was found; ``seconds`` of wall time.
    """

    name: str
    criterion: float
    estimate: Estimate | None
    evaluations: int
    seconds: float


@one_blas_thread
def search_every_way(
    design: Design, estimate: Estimate, priors: PriorSet | None
) -> tuple[float, list[Found]]:
    """Minimise the criterion of an estimate anew, by every way there is.

    Newton's from moments and from other starts, with the engine's checks of the boundary;
    then SciPy's minimisers from moments, on the same criterion in working coordinates. They
    search without limits: signs of columns of T do not matter, and at a limit of zero, where
    the slope is zero too, they would stay. They are left out where a Uniform prior of an SD
    ends, which they do not know of.

    Parameters
    ----------
    design : Design
    estimate : Estimate
        Of the design; its method is kept.
    priors : PriorSet
        Needed for MAP.

    Returns
    -------
    float
        The criterion of the estimate itself.
    list of Found
    """
    objective = prepare_objective(design, estimate.method, priors)
    joint = estimate.method == "MAP"
    bounds = prior_bounds(design, estimate.method, priors, objective)
    ways: dict[str, Callable[[], Optimum]] = {}
    for ratio in (None, *_STARTS) if objective.layout.size else (None,):
        start = None if ratio is None else ratio * objective.layout.start()
        name = "moments" if ratio is None else f"SDs of {ratio:g} sigma"
        ways[f"Newton, from {name}"] = partial(
            minimise, objective, joint=joint, start=start, bounds=bounds
        )
    if bounds is None:
        ways |= {name: partial(_scipy, name, objective, joint) for name in _SCIPY}
    found = [_timed(n, design, objective, estimate, search) for n, search in ways.items()]
    return _criterion(objective, estimate), found


def _criterion(objective: Objective, estimate: Estimate) -> float:
    """Minus twice the log likelihood or log posterior at an estimate."""
    if estimate.method != "MAP":
        return -2.0 * estimate.loglik
    x = objective.layout.pack(objective.layout.to_working(estimate.T))
    log_sigma = np.log(estimate.sigma / objective.cp.coordinates.y_scale)
    return objective.joint(np.append(x, log_sigma)).value


def _timed(
    name: str,
    design: Design,
    objective: Objective,
    estimate: Estimate,
    search: Callable[[], Optimum],
) -> Found:
    began = perf_counter()
    try:
        optimum = search()
        found = assemble(design, objective, estimate.method, optimum)
    except (BayeslmmError, np.linalg.LinAlgError):
        return Found(name, np.nan, None, 0, perf_counter() - began)
    seconds = perf_counter() - began
    return Found(name, optimum.point.value, found, optimum.evaluations, seconds)


def _scipy(name: str, objective: Objective, joint: bool) -> Optimum:
    """One of SciPy's minimisers from moments, and no other check of where it ended."""
    from scipy.optimize import minimize

    gradient, options = _SCIPY[name]
    search = Search(objective, joint=joint)
    x = moment_start(objective.cp, objective.layout)
    if joint:
        f = objective.factorise(objective.layout.unpack(x))
        x = np.append(x, np.log(1.0 if f is None else objective.best_sigma(f)))
    best = search(x)

    def value(x: FloatArray) -> Any:
        nonlocal best
        point: Point = search(np.array(x))
        if point.value < best.value:
            best = point
        return (point.value, point.gradient) if gradient else point.value

    minimize(value, x, method=name, jac=gradient, options=options)  # type: ignore[call-overload]
    # the effects of a point are there until the next evaluation
    last = search(best.x)
    free = np.ones(len(last.x), dtype=bool)
    count = len(search.trace) - 1
    return Optimum(last, free, np.nan, FitStatus.CONVERGED, count, tuple(search.trace))
