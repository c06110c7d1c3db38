"""Standard errors of SDs, correlations and sigma against the dense log likelihood's Hessian."""

import numpy as np
import pytest

from bayeslmm.errors import SingularFitWarning
from tests.oracle.dense import Dense, cholesky
from tests.oracle.designs import CASES

# Seeds whose data put nothing on the boundary.
SEEDS = {
    "intercepts": 1,
    "slopes": 2,
    "two terms on a factor": 0,
    "crossed": 1,
    "nested": 2,
    "three columns": 36,
    "weights, slopes, crossed": 1,
    "years, no fixed slope": 1,
    "crossed slopes": 1,
}


def covariances(design, values):
    """Covariance matrix of each factor from SDs and correlations in the order of the report."""
    made, at = [], 0
    for f in design.factors:
        K = f.n_columns
        sd = values[at : at + K]
        at += K
        R = np.eye(K, dtype=values.dtype)
        for j in range(K):
            for i in range(j + 1, K):
                if f.pattern[i, j]:
                    R[i, j] = R[j, i] = values[at]
                    at += 1
        made.append(np.outer(sd, sd) * R)
    return made


def hessian(function, x, steps):
    """Second differences, two steps extrapolated."""

    def at(h):
        k = len(x)
        E = np.diag(steps * h)
        H = np.empty((k, k), dtype=x.dtype)
        for i in range(k):
            for j in range(k):
                H[i, j] = (
                    function(x + E[i] + E[j])
                    - function(x + E[i] - E[j])
                    - function(x - E[i] + E[j])
                    + function(x - E[i] - E[j])
                ) / (4 * steps[i] * steps[j] * h**2)
        return H

    return (4 * at(0.5) - at(1.0)) / 3


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("name", SEEDS)
def test_against_the_observed_information(name, method):
    fit = CASES[name].model(SEEDS[name]).fit(method)
    assert fit.converged and not fit.singular
    dense = Dense(fit.design)

    def loglik(values):
        sigma = values[-1]
        theta = [cholesky(c) / sigma for c in covariances(fit.design, values[:-1])]
        return dense.loglik(theta, sigma, method)

    values = fit.estimate.variance_values.astype(np.longdouble)
    assert float(loglik(values)) == pytest.approx(fit.llf, rel=1e-12)
    is_corr = np.array([n.startswith("corr") for n in fit.estimate.variance_names])
    room = np.where(is_corr, 1 - np.abs(values), np.abs(values))
    H = hessian(loglik, values, 1e-3 * room)
    expected = np.sqrt(np.diag(np.linalg.inv(-H.astype(float))))
    table = fit.varcorr.set_index("parameter")
    found = table["sd_se"].fillna(table["corr_se"]).loc[list(fit.estimate.variance_names)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    sds = table["sd_se"].dropna()
    np.testing.assert_allclose(
        table.loc[sds.index, "variance_se"], 2 * table.loc[sds.index, "sd"] * sds, rtol=1e-14
    )


def test_none_on_the_boundary():
    with pytest.warns(SingularFitWarning):
        fit = CASES["crossed"].model(17).fit()
    assert fit.singular
    table = fit.varcorr.set_index("parameter")
    zero = table["sd"] == 0
    assert zero.sum() == 1
    assert table.loc[zero, "sd_se"].isna().all()
    assert table.loc[~zero, "sd_se"].notna().all()
