"""Small designs of every kind, with data simulated from a seed."""

import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

import bayeslmm as bl
from bayeslmm.engine.gaussian.crossproducts import compute_crossproducts
from bayeslmm.engine.gaussian.map_prior import fixed_prior, variance_prior
from bayeslmm.engine.gaussian.objective import Objective
from bayeslmm.engine.gaussian.parameters import Layout


@dataclass(frozen=True)
class Case:
    """A formula and how to make its table."""

    formula: str
    levels: dict = field(default_factory=lambda: {"g": 6})
    rows: int = 36
    weights: str | None = None
    offset: str | None = None
    year: float = 0.0

    def table(self, seed=0):
        """Columns x, z, c, w, o, y and the factors, some levels rarer than others."""
        rng = np.random.default_rng([seed, *map(ord, self.formula)])
        n = self.rows
        columns = {"x": rng.normal(size=n) + self.year, "z": rng.uniform(1, 3, n)}
        columns["c"] = rng.choice(["p", "q", "r"], n)
        columns["w"] = rng.choice([0.0, 0.5, 1.0, 2.0, 7.3], n) if self.weights else np.ones(n)
        columns["o"] = rng.normal(size=n)
        y = (
            2.0
            + 0.7 * (columns["x"] - self.year)
            + rng.normal(size=n) / np.sqrt(np.maximum(columns["w"], 0.5))
        )
        for name, J in self.levels.items():
            code = rng.permutation(np.concatenate([np.arange(J), rng.integers(0, J, n - J)]))
            columns[name] = np.char.add(name, code.astype(str))
            y = (
                y
                + rng.normal(size=J)[code]
                + 0.5 * rng.normal(size=J)[code] * (columns["x"] - self.year)
            )
        return pd.DataFrame({**columns, "y": 10 * y})

    def model(self, seed=0, **options):
        """The model of this case."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bl.Model(
                self.formula,
                self.table(seed),
                weights=self.weights,
                offset=self.offset,
                **options,
            )


TWO = {"g": 7, "h": 4}
CASES = {
    "intercepts": Case("y ~ x + (1 | g)"),
    "no fixed part": Case("y ~ 0 + (1 | g)"),
    "no intercept": Case("y ~ 0 + x + (0 + x | g)"),
    "factor without intercept": Case("y ~ 0 + c + (1 | g)"),
    "slopes": Case("y ~ x + (x | g)"),
    "slopes, uncorrelated": Case("y ~ x + (x || g)"),
    "three columns": Case("y ~ x + z + (x + z | g)", rows=60),
    "categorical slopes": Case("y ~ c + (c | g)", rows=60),
    "categorical slopes, no intercept": Case("y ~ c + (0 + c | g)", rows=60),
    "two terms on a factor": Case("y ~ x + (1 | g) + (0 + x | g)"),
    "terms on a factor, apart": Case("y ~ x + (1 | g) + (1 | h) + (0 + x + z | g)", TWO, 60),
    "crossed": Case("y ~ x + (1 | g) + (1 | h)", TWO),
    "crossed slopes": Case("y ~ x + (x | g) + (x | h)", TWO, 60),
    "crossed, one || the other |": Case("y ~ x + (x || h) + (z | g)", TWO, 60),
    "nested": Case("y ~ x + (1 | g/h)", {"g": 4, "h": 3}, 50),
    "nested slopes": Case("y ~ x + (x | g/h)", {"g": 4, "h": 3}, 60),
    "three crossed": Case("y ~ x + (1 | g) + (1 | h) + (1 | k)", {"g": 6, "h": 5, "k": 4}, 60),
    "interaction only": Case("y ~ x + (1 | g:h)", {"g": 4, "h": 3}, 50),
    "weights": Case("y ~ x + (1 | g)", weights="w"),
    "weights, slopes, crossed": Case("y ~ x + (x | g) + (1 | h)", TWO, 60, weights="w"),
    "weights and offset": Case("y ~ x + (1 | g) + (1 | h)", TWO, weights="w", offset="o"),
    "offset in the formula": Case("y ~ x + offset(o) + (x | g)"),
    "years": Case("y ~ x + (x | g)", year=2010.0),
    "years, uncorrelated": Case("y ~ x + (x || g)", year=2010.0),
    "years, no fixed slope": Case("y ~ 1 + (0 + x | g)", year=2010.0),
    "polynomial": Case("y ~ poly(x, 2) + (poly(x, 2) | g)", rows=60),
    "full couplings": Case("y ~ x + (x | g) + (x | h)", {"g": 30, "h": 25}, 300),
    "sparse couplings": Case("y ~ x + (x | g) + (x + z | h)", {"g": 50, "h": 16}, 150),
    "no random term": Case("y ~ x + c", {}),
}


def random_theta(design, seed=0, size=1.0):
    """A relative covariance factor for each grouping factor, of the design's pattern."""
    rng = np.random.default_rng(seed)
    theta = []
    for f in design.factors:
        T = rng.normal(size=(f.n_columns, f.n_columns)) * f.pattern * size
        T[np.diag_indices(len(T))] = np.abs(np.diag(T)) + 0.1 * size
        theta.append(T / np.maximum(1.0, np.abs(f.columns).max(axis=0))[:, None])
    return theta


def objective(model, method):
    """What the engine minimises for a model."""
    design = model.design
    cp = compute_crossproducts(design)
    layout = Layout.of(design, cp.coordinates)
    if method != "MAP":
        return Objective(cp, layout, reml=method == "REML")
    return Objective(
        cp,
        layout,
        reml=True,
        fixed_prior=fixed_prior(design, model.priors, cp.coordinates),
        variance_prior=variance_prior(design, model.priors, layout, cp.coordinates),
    )
