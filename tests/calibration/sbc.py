"""Simulation-based calibration of the default way to sample (Talts et al. 2018).

Parameters are drawn from the priors, data from the parameters, and the posterior of those
data is sampled: the rank of each true value among the draws is uniform if, and only if,
the sampler draws from the posterior. The priors are frozen before anything is simulated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import chi2

import bayeslmm as bl
from bayeslmm.sampling import sample_posterior
from bayeslmm.sampling.linear import predictive
from bayeslmm.sampling.prior_draws import sample_prior

KEPT = 100
"""Draws that a true value is ranked among; there are KEPT + 1 ranks."""


@dataclass(frozen=True)
class Study:
    """A design and its priors."""

    formula: str
    data: pd.DataFrame
    priors: dict[str, bl.Prior]

    def model(self) -> bl.Model:
        """The model of the template data, with frozen priors."""
        return bl.Model(self.formula, self.data, priors=self.priors)


def _table(n: int, **levels: int) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    columns = {"x": rng.normal(size=n), "y": rng.normal(size=n)}
    for name, J in levels.items():
        columns[name] = np.concatenate([np.arange(J), rng.integers(0, J, n - J)])
    return pd.DataFrame(columns)


def _nested() -> pd.DataFrame:
    table = _table(90, pupil=30)
    return table.assign(room=table["pupil"] % 10)


COMMON: dict[str, bl.Prior] = {"beta": bl.Normal(0, 2), "sigma": bl.HalfNormal(1.5)}
STUDIES = {
    "crossed": Study(
        "y ~ x + (1 | g) + (1 | h)",
        _table(90, g=12, h=6),
        COMMON | {"sd_g": bl.HalfNormal(1), "sd_h": bl.HalfStudentT(4, 1)},
    ),
    "nested": Study(
        "y ~ x + (1 | room/pupil)", _nested(),
        COMMON | {"sd_room": bl.Exponential(1), "sd_room:pupil": bl.HalfNormal(1)},
    ),
    "correlated slopes": Study(
        "y ~ x + (x | g)", _table(90, g=15),
        COMMON | {"sd_g": bl.HalfNormal(1), "corr_g": bl.LKJ(2)},
    ),
}  # fmt: skip


def ranks(
    study: Study, replications: int, seed: int, sampler: str = "auto"
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Ranks of the true values, by parameter, two effects a factor among them.

    Also how many replications each sampler took.
    """
    model = study.model()
    design, priors = model.design, model.priors
    rng = np.random.default_rng(seed)
    truth = sample_prior(design, priors, replications, rng)
    y = predictive(design, truth, rng)
    found: dict[str, list[int]] = {}
    took: dict[str, int] = {}
    for s in range(replications):
        tree = sample_posterior(
            replace(design, y=y[s]), priors, draws=250, chains=2, cores=1, sampler=sampler,
            random_seed=seed + s, progressbar=False, log_likelihood=False,
        )  # fmt: skip
        took[tree.attrs["sampler"]] = took.get(tree.attrs["sampler"], 0) + 1
        for name, array in tree["posterior"].data_vars.items():
            values = array.to_numpy().reshape(500, -1)[:: 500 // KEPT]
            true = np.asarray(truth[str(name)][s]).ravel()
            for label, k in _entries(str(name), len(true)):
                found.setdefault(label, []).append(int((values[:, k] < true[k]).sum()))
    return {name: np.array(values) for name, values in found.items()}, took


def _entries(name: str, size: int) -> Iterator[tuple[str, int]]:
    """Labels and positions of what is ranked of a variable."""
    if name.startswith("corr_"):
        yield name, 1
    elif name.startswith("b_"):
        yield from ((f"{name}[{k}]", k) for k in (0, size - 1))
    else:
        yield from ((f"{name}[{k}]" if size > 1 else name, k) for k in range(size))


def p_value(values: np.ndarray, bins: int) -> float:
    """Chi-square test of uniform ranks."""
    counts = np.bincount(values * bins // (KEPT + 1), minlength=bins)
    widths = np.bincount(np.arange(KEPT + 1) * bins // (KEPT + 1), minlength=bins)
    expected = len(values) * widths / (KEPT + 1)
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), bins - 1))
