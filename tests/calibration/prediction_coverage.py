"""How often intervals of predictions hold what they are for, over simulated data sets.

Effects, residuals and the new observations are drawn anew in each data set, at the same
parameters. Coverage is averaged over the rows of a data set first: its Monte Carlo error comes
from the spread between data sets, whose rows share their estimates.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

import bayeslmm as bl

TARGETS = (
    "population, expected response",
    "known level, expected response",
    "known level, observation",
    "new level, expected response",
    "new level, observation",
)


@dataclass(frozen=True)
class Study:
    """Levels, rows a level, SDs of intercepts and slopes with their correlation, residual SD."""

    formula: str
    levels: int
    rows: int
    sd: tuple[float, ...]
    corr: float = 0.0
    sigma: float = 1.0

    @property
    def covariance(self) -> np.ndarray:
        sd = np.array(self.sd)
        return np.outer(sd, sd) * np.where(np.eye(len(sd)) > 0, 1.0, self.corr)

    def table(self) -> pd.DataFrame:
        rng = np.random.default_rng(self.levels)
        g = np.arange(self.levels).repeat(self.rows)
        return pd.DataFrame({"g": g, "x": rng.normal(size=len(g)), "y": rng.normal(size=len(g))})

    def new_rows(self) -> pd.DataFrame:
        """A row in each known level, and one in each of as many new ones."""
        x = np.linspace(-1.5, 1.5, self.levels)
        return pd.DataFrame({"g": np.arange(2 * self.levels), "x": np.tile(x, 2)})


STUDIES = {
    "six groups": Study("y ~ x + (1 | g)", levels=6, rows=5, sd=(1.0,)),
    "twenty groups with slopes": Study(
        "y ~ x + (x | g)", levels=20, rows=6, sd=(1.0, 0.5), corr=0.3
    ),
}


def data_sets(
    study: Study, replications: int, seed: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Responses, and the truth the intervals of the new rows are for."""
    rng = np.random.default_rng(seed)
    table, new = study.table(), study.new_rows()
    root = np.linalg.cholesky(study.covariance)
    K = len(root)

    def mean(rows: pd.DataFrame, b: np.ndarray) -> np.ndarray:
        columns = np.column_stack([np.ones(len(rows)), rows["x"]])
        fixed = columns @ [2.0, 0.5]
        return fixed + (columns[:, :K] * b[rows["g"]]).sum(axis=1), fixed

    known = np.arange(study.levels)
    for _ in range(replications):
        b = rng.normal(size=(2 * study.levels, K)) @ root.T
        y = mean(table, b)[0] + study.sigma * rng.normal(size=len(table))
        expected, population = mean(new, b)
        observed = expected + study.sigma * rng.normal(size=len(new))
        truth = dict(
            zip(
                TARGETS,
                (
                    population[known],
                    expected[known],
                    observed[known],
                    expected[study.levels :],
                    observed[study.levels :],
                ),
                strict=True,
            )
        )
        yield y, truth


def intervals(fit: bl.PointFit | bl.PosteriorFit, new: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The interval of each target."""
    half = len(new) // 2
    arguments = {} if isinstance(fit, bl.PointFit) else {"random_seed": 1}
    population = fit.predict(new[:half], include_re=False, interval="confidence", **arguments)
    expected = fit.predict(new, interval="confidence", **arguments)
    observed = fit.predict(new, interval="prediction", **arguments)
    found = (population, expected[:half], observed[:half], expected[half:], observed[half:])
    return dict(zip(TARGETS, found, strict=True))


def coverage(study: Study, replications: int, seed: int, *, posterior: bool) -> pd.DataFrame:
    """Coverage and mean width by target, with the Monte Carlo error of the coverage."""
    table, new = study.table(), study.new_rows()
    hits: dict[str, list[float]] = {t: [] for t in TARGETS}
    widths: dict[str, list[float]] = {t: [] for t in TARGETS}
    for s, (y, truth) in enumerate(data_sets(study, replications, seed)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = bl.Model(study.formula, table.assign(y=y))
            fit: bl.PointFit | bl.PosteriorFit = model.fit()
            if posterior:
                fit = model.sample(
                    draws=500, tune=300, chains=2, cores=1, random_seed=seed + s,
                    progressbar=False, log_likelihood=False,
                )  # fmt: skip
        for target, frame in intervals(fit, new).items():
            lower, upper = frame["lower"].to_numpy(), frame["upper"].to_numpy()
            inside = (lower <= truth[target]) & (truth[target] <= upper)
            hits[target].append(float(inside.mean()))
            widths[target].append(float((upper - lower).mean()))
    error = {t: np.std(h, ddof=1) / np.sqrt(len(h)) for t, h in hits.items()}
    return pd.DataFrame(
        {
            "coverage": {t: np.mean(h) for t, h in hits.items()},
            "mc_error": error,
            "mean_width": {t: np.mean(w) for t, w in widths.items()},
        }
    )
