"""No start of a general optimiser on the dense criterion finds anything better."""

import warnings

import numpy as np
import pytest
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

from tests.oracle.dense import LOG_2PI, Dense
from tests.oracle.designs import Case

FORMS = {
    "intercepts": Case("y ~ x + (1 | g)", {"g": 5}, 20),
    "slopes": Case("y ~ x + (x | g)", {"g": 5}, 24),
    "uncorrelated": Case("y ~ x + (x || g)", {"g": 5}, 24),
    "crossed": Case("y ~ x + (1 | g) + (1 | h)", {"g": 5, "h": 4}, 26),
    "nested": Case("y ~ x + (1 | g/h)", {"g": 3, "h": 3}, 30),
    "crossed slopes": Case("y ~ x + (x | g) + (1 | h)", {"g": 4, "h": 3}, 30, weights="w"),
}
SEEDS = range(10)
STARTS = (0.02, 0.3, 1.0, 3.0, 20.0)


def criterion(design, method):
    """The deviance of free entries of T, as a dense function for scipy."""
    dense = Dense(design, float)
    df = dense.n - dense.p if method == "REML" else dense.n
    data = np.column_stack([dense.X, dense.y])

    def unpack(x):
        theta, at = [], 0
        for f in design.factors:
            T = np.zeros(f.pattern.shape)
            k = int(f.pattern.sum())
            T[f.pattern] = x[at : at + k]
            theta.append(T)
            at += k
        return theta

    def deviance(x):
        if np.abs(x).max() > 1e6:
            return 1e10
        L = cholesky(dense.V(unpack(x)), lower=True)
        half = solve_triangular(L, data, lower=True)
        R = np.linalg.qr(half, mode="r")
        value = df * (LOG_2PI + np.log(R[-1, -1] ** 2 / df) + 1) + 2 * np.log(np.diag(L)).sum()
        if method == "REML":
            value += 2 * np.log(np.abs(np.diag(R)[:-1])).sum()
        return value

    return deviance


def start(design, size):
    return np.concatenate([(size * np.eye(f.n_columns))[f.pattern] for f in design.factors])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("form", FORMS)
def test_no_start_does_better(form, seed):
    method = "REML" if seed % 2 else "ML"
    model = FORMS[form].model(100 + seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit(method)
    assert fit.converged
    deviance = criterion(model.design, method)
    # on a boundary the deviance found is that of the estimates that are reported
    assert -2 * fit.llf == pytest.approx(deviance(fit.theta), abs=1e-9)
    best = min(
        minimize(deviance, start(model.design, s), method="BFGS", options={"gtol": 1e-5}).fun
        for s in STARTS
    )
    assert -2 * fit.llf <= best + 1e-9
