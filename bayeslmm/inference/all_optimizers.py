"""A fit made again by every optimiser, and whether they agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.design.residual import refuse_residual_structure
from bayeslmm.engine.estimate import Estimate
from bayeslmm.errors import ArgumentError
from bayeslmm.priors import PriorSet

if TYPE_CHECKING:
    from bayeslmm.engine.gaussian.other_searches import Found

# Differences that a report would not show: of the criterion, in SEs, and of SDs in sigma.
_CRITERION, _FIXED, _SDS = 1e-3, 0.01, 0.01
# A criterion that is lower by more than this has found a better optimum.
_BETTER = 1e-6
# The smallest difference a sentence names.
_SHOWN = 1e-8


@dataclass(frozen=True, eq=False, repr=False)
class OptimizerComparison:
    """What every optimiser made of one fit; prints itself.

    Attributes
    ----------
    table : DataFrame
        A row an optimiser: ``optimizer``; ``criterion``, minus twice the log likelihood
        (restricted for REML), or the log posterior for MAP; ``above_fit``, how much higher
        than the fit's that is; ``fixed_difference``, the largest difference of a fixed effect
        from the fit's, in standard errors; ``sd_difference``, that of an SD, times the root
        mean square of its column, or of sigma, over sigma; ``evaluations`` of the criterion;
        ``seconds``. NaN where an optimiser found nothing.
    agree : bool
        Whether all stay within 0.001 of the criterion, 0.01 standard errors and 0.01 sigma.
    words : str
        The same, in a sentence.
    """

    table: pd.DataFrame
    agree: bool
    words: str

    def __repr__(self) -> str:
        shown = {"criterion": "{:.4f}".format, "seconds": "{:.3f}".format}
        table = self.table.to_string(index=False, formatters=shown, float_format="{:.1e}".format)
        return f"{table}\n\n{self.words}"


def compare_optimizers(design: Design, estimate: Estimate, priors: PriorSet) -> OptimizerComparison:
    """Fit again by every optimiser; see ``PointFit.all_optimizers``."""
    refuse_residual_structure(design, "all_optimizers")
    if not design.factors and estimate.method != "MAP":
        raise ArgumentError(
            "a model without random effects is solved, not searched for: there is no optimiser "
            "to compare.",
            fix="its estimates are those of least squares",
        )
    from bayeslmm.engine.gaussian.other_searches import search_every_way

    own, found = search_every_way(design, estimate, priors)
    ways = [_compared(design, estimate, own, f) for f in found]
    return OptimizerComparison(pd.DataFrame(ways), *_verdict(ways))


class _Way(NamedTuple):
    """A row of the table."""

    optimizer: str
    criterion: float
    above_fit: float
    fixed_difference: float
    sd_difference: float
    evaluations: int
    seconds: float

    @property
    def near(self) -> bool:
        """Whether a report would not show the difference from the fit; never of NaN."""
        near = abs(self.above_fit) < _CRITERION and self.fixed_difference < _FIXED
        return near and self.sd_difference < _SDS


def _compared(design: Design, estimate: Estimate, own: float, found: Found) -> _Way:
    fixed = sds = np.nan
    if found.estimate is not None:
        fixed = _fixed_difference(estimate, found.estimate)
        sds = _sd_difference(design, estimate, found.estimate)
    above = found.criterion - own
    return _Way(found.name, found.criterion, above, fixed, sds, found.evaluations, found.seconds)


def _fixed_difference(one: Estimate, other: Estimate) -> float:
    errors = np.sqrt(np.diag(one.cov_beta))
    return float(np.max(np.abs(other.beta - one.beta) / errors, initial=0.0))


def _sd_difference(design: Design, one: Estimate, other: Estimate) -> float:
    """The largest difference of SDs and sigma, in units of sigma."""
    moved = np.abs(_contributions(design, other) - _contributions(design, one))
    return float(moved.max() / one.sigma)


def _contributions(design: Design, estimate: Estimate) -> FloatArray:
    """Sigma, and each SD times the root mean square of its column: units of the response."""
    out = [np.array([estimate.sigma])]
    for f, cov in zip(design.factors, estimate.covariances, strict=True):
        size = np.sqrt((f.columns[design.used] ** 2).mean(axis=0))
        out.append(np.sqrt(np.diag(cov)) * size)
    return np.concatenate(out)


def _verdict(ways: list[_Way]) -> tuple[bool, str]:
    best = min(ways, key=lambda w: np.nan_to_num(w.above_fit, nan=np.inf))
    if best.above_fit < -_BETTER:
        return False, (
            f"{best.optimizer} found a criterion lower by {-best.above_fit:.2g}: the fit is not "
            "the optimum, so do not report it. Simplify the random part, or sample with a prior."
        )
    far = [w for w in ways if not w.near]
    if not far:
        shown = [
            max(*(abs(getattr(w, name)) for w in ways), _SHOWN)
            for name in ("above_fit", "fixed_difference", "sd_difference")
        ]
        return True, (
            f"All {len(ways)} agree with the fit: criterion within {shown[0]:.1g}, fixed effects "
            f"within {shown[1]:.1g} standard errors, SDs within {shown[2]:.1g} sigma."
        )
    words = (
        f"{len(ways) - len(far)} of {len(ways)} agree with the fit, and none found a lower "
        f"criterion: {'; '.join(map(_shortfall, far))}."
    )
    if any(abs(w.above_fit) < _CRITERION for w in far):
        words += " Where criteria are equal and estimates are not, the criterion is flat."
    return False, words


def _shortfall(way: _Way) -> str:
    if np.isnan(way.above_fit):
        return f"{way.optimizer} found nothing"
    if abs(way.above_fit) < _CRITERION:
        return f"{way.optimizer} ended at other estimates of the same criterion"
    return f"{way.optimizer} ended {way.above_fit:.2g} above it"
