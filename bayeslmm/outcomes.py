"""Every way a fit can end, each with its words and its advice."""

from __future__ import annotations

from enum import Enum


class FitStatus(Enum):
    """How an optimisation ended. ``words`` say what it means, ``advice`` what to do."""

    CONVERGED = (
        "converged",
        "the gradient is zero and the criterion is curved in every direction",
        "",
    )
    SINGULAR = (
        "converged on the boundary",
        "a variance is estimated as zero, or a correlation as plus or minus one",
        "the data do not support every variance component that was asked for: drop one, "
        "keep it and report it, or sample with a prior",
    )
    AT_END = (
        "converged at the end of a prior",
        "the mode lies where a Uniform prior of a standard deviation ends: the density would "
        "still rise beyond it",
        "the prior decides this estimate, not the data: widen it, or use a prior without ends, "
        "such as HalfNormal or HalfStudentT",
    )
    FLAT = (
        "converged, but flat",
        "the criterion does not change along some combination of variance parameters",
        "these data cannot tell some variance parameters apart: simplify the random part, "
        "or sample with a prior",
    )
    FAILED = (
        "not converged",
        "the optimiser stopped where the criterion can still be improved",
        "rescale predictors that differ by orders of magnitude, simplify the random part, "
        "or sample with a prior; do not report these estimates",
    )

    def __init__(self, label: str, words: str, advice: str) -> None:
        self.label = label
        self.words = words
        self.advice = advice

    @property
    def converged(self) -> bool:
        """Whether the estimates are the optimum."""
        return self is not FitStatus.FAILED
