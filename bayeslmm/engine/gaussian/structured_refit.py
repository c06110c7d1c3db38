"""The same model with a residual structure for other responses.

Whitened columns change with the structure's parameters, so that nothing but the design is
kept: each response has a search of its own, which tries the parameters of the fit as well.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design import Design
from bayeslmm.engine.estimate import Estimate, Method
from bayeslmm.engine.gaussian.refit import BatchEstimate
from bayeslmm.engine.gaussian.residual import fit_structured
from bayeslmm.engine.gaussian.variances import variance_names
from bayeslmm.errors import FitError
from bayeslmm.outcomes import FitStatus


class StructuredRefitter:
    """Fits one design with a residual structure to other responses by REML or ML.

    Parameters
    ----------
    design : Design
    method : {"REML", "ML"}
    start : Estimate
        The fit of the design's own response; its structure's parameters are where each
        search may start.
    """

    def __init__(self, design: Design, method: Method, start: Estimate) -> None:
        self.design, self.method = design, method
        self.phi = start.residual_values

    def fit(self, Y: FloatArray) -> BatchEstimate:
        """Fit every column of Y, shape (n, batch).

        ``variances`` of the result has the structure's parameters after sigma.
        """
        batch, d = Y.shape[1], self.design
        k = len(variance_names(d)) + len(self.phi)
        out = BatchEstimate(
            beta=np.full((batch, d.p), np.nan),
            loglik=np.full(batch, np.nan),
            variances=np.full((batch, k), np.nan),
            status=[],
        )
        for i in range(batch):
            try:
                found = self.estimate(Y[:, i])
            except (FitError, np.linalg.LinAlgError):
                out.status.append(FitStatus.FAILED)
                continue
            out.status.append(found.status)
            if found.status is FitStatus.FAILED:
                continue
            out.beta[i], out.loglik[i] = found.beta, found.loglik
            out.variances[i] = np.concatenate([found.variance_values, found.residual_values])
        return out

    def estimate(self, y: FloatArray) -> Estimate:
        """Everything of one response, shape (n,)."""
        return fit_structured(replace(self.design, y=y), self.method, start=self.phi)
