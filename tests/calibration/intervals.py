"""Coverage of confidence intervals: how often the limits hold the true value."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

import bayeslmm as bl

METHODS = ("wald", "profile", "percentile", "basic")


@dataclass(frozen=True)
class Truth:
    """A design and the parameters its data are simulated from."""

    formula: str
    dataset: str
    beta: tuple[float, ...]
    covariances: tuple[np.ndarray, ...]
    sigma: float

    def template(self) -> bl.PointFit:
        """A fit of the data set, whose design is that of every simulated one."""
        return bl.fit(self.formula, bl.load_dataset(self.dataset))

    def values(self, fit: bl.PointFit) -> pd.Series:
        """The true parameters by name."""
        out = dict(zip(fit.design.fixed_names, self.beta, strict=True))
        for f, cov in zip(fit.design.factors, self.covariances, strict=True):
            sd = np.sqrt(np.diag(cov))
            c = f.column_names
            out |= {f"sd_{f.name}[{c[k]}]": sd[k] for k in range(len(c))}
            out |= {
                f"corr_{f.name}[{c[j]}, {c[i]}]": cov[i, j] / (sd[i] * sd[j])
                for j in range(len(c))
                for i in range(j + 1, len(c))
            }
        return pd.Series(out | {"sigma": self.sigma})

    def response(self, fit: bl.PointFit, rng: np.random.Generator) -> np.ndarray:
        """One response of the design."""
        d = fit.design
        y = d.X @ np.array(self.beta) + self.sigma * rng.standard_normal(d.n)
        for f, cov in zip(d.factors, self.covariances, strict=True):
            b = rng.multivariate_normal(np.zeros(f.n_columns), cov, f.n_levels)
            y += (f.columns * b[f.codes]).sum(axis=1)
        return y


STUDIES = {
    "correlated slopes": Truth(
        "Reaction ~ Days + (Days | Subject)", "sleepstudy", (250.0, 10.0),
        (np.array([[625.0, 45.0], [45.0, 36.0]]),), 25.0,
    ),
    "crossed": Truth(
        "diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", (23.0,),
        (np.array([[0.72]]), np.array([[3.2]])), 0.55,
    ),
    "small variance": Truth(
        "Yield ~ 1 + (1 | Batch)", "Dyestuff", (1500.0,), (np.array([[400.0]]),), 50.0
    ),
}  # fmt: skip


def covered(truth: Truth, replications: int, n_bootstrap: int, seed: int) -> pd.DataFrame:
    """Whether each interval holds the true value: replication, parameter, method, below, above.

    ``below`` and ``above``: the true value is below the lower, above the upper limit. An
    interval without a limit (Wald's on the boundary) holds nothing and says so by NaN.
    """
    fit = truth.template()
    rng = np.random.default_rng(seed)
    values = truth.values(fit)
    rows = []
    for r in range(replications):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bl.BayeslmmWarning)
            one = fit.refit(truth.response(fit, rng))
            boot = one.bootstrap(n_bootstrap, random_seed=seed + r, progressbar=False)
            found = {
                "wald": one.confint(),
                "profile": one.confint("profile"),
                "percentile": boot.confint(),
                "basic": boot.confint(type="basic"),
            }
        for method, table in found.items():
            for name, true in values.items():
                low, high = table.loc[name]
                # a limit at the end of the range excludes nothing
                missing = float(np.isnan(low) or np.isnan(high))
                rows.append((r, name, method, float(true < low), float(true > high), missing))
    columns = ["replication", "parameter", "method", "below", "above", "missing"]
    return pd.DataFrame(rows, columns=columns)


def coverage(found: pd.DataFrame) -> pd.DataFrame:
    """Share of intervals that hold the true value, a row a parameter, a column a method."""
    held = 1.0 - found["below"] - found["above"] - found["missing"]
    return (
        found.assign(held=held)
        .pivot_table("held", "parameter", "method", sort=False)
        .reindex(columns=list(METHODS))
    )
