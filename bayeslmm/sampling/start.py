"""Where chains begin that sample everything: near the fast fit, each somewhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.engine.gaussian import MarginalPosterior
from bayeslmm.errors import BayeslmmError
from bayeslmm.priors import Prior, PriorSet
from bayeslmm.priors.names import corr_name, effects_name, of, sd_name
from bayeslmm.sampling.approximation import Approximation
from bayeslmm.sampling.reliability import level_reliabilities

# SDs start where they share this much of a row's variance, at least.
_LEAST = 0.1
# Correlations of the mode are drawn in by this much, away from plus and minus one.
_DRAWN_IN = 0.95
# The largest SD of a jitter, on the scales of `MarginalPosterior`.
_MOST = 0.5
# Other parameters move by this share of their size.
_SHARE = 0.1


class Start:
    """Points near the mode of a Gaussian approximation, for the variables of the model.

    SDs, correlations and sigma are at the joint mode, jittered by their approximate
    posterior SDs on their logs; fixed and random effects are then one exact draw of the
    approximation given them. So a point has about the log density of a posterior draw.

    Parameters
    ----------
    design : Design
    priors : PriorSet
    approximation : Approximation
    ways : mapping of str to str
        ``"centered"`` or ``"noncentered"``, by factor.

    Raises
    ------
    FitError, LinAlgError
        The approximation cannot be evaluated at its mode.
    """

    def __init__(
        self,
        design: Design,
        priors: PriorSet,
        approximation: Approximation,
        ways: Mapping[str, str],
    ) -> None:
        self.design, self.priors, self.ways = design, priors, ways
        self.approximation = approximation
        self.posterior = MarginalPosterior(approximation.design, approximation.priors)
        self.middle, self.spread = self._variances()

    def __call__(self, rng: np.random.Generator) -> dict[str, FloatArray]:
        """One point: values of the free variables of `build_pymc_model`, by name."""
        x = self.middle + self.spread * rng.standard_normal(self.posterior.size)
        drawn = {**self.posterior.constrained(x[None]), **self.posterior.draw(x[None], rng)}
        out = self._fixed(drawn)
        at = sum(f.n_columns for f in self.design.factors)
        for f in self.design.factors:
            name, sd = f.name, drawn[sd_name(f.name)][0]
            out |= split(sd_name(name), sd, self.priors.sd[name], f.column_names)
            L = np.eye(f.n_columns)
            if f.has_correlations:
                many = sum((b - a) * (b - a - 1) // 2 for a, b in self.priors.blocks[name])
                out[f"partial_{name}"] = 1.0 / (1.0 + np.exp(-2.0 * x[at : at + many]))
                at += many
                L = np.linalg.cholesky(drawn[corr_name(name)][0])
            b = drawn[effects_name(name)][0]
            if self.ways[name] == "centered":
                out[effects_name(name)] = b
            else:
                out[f"z_{name}"] = np.linalg.solve(sd[:, None] * L, b.T).T
        return out | self._others(drawn, rng)

    def _variances(self) -> tuple[FloatArray, FloatArray]:
        """Coordinates of the mode, and approximate posterior SDs of them."""
        fit, posterior = self.approximation.estimate, self.posterior
        information = self.approximation.information
        known = level_reliabilities(self.approximation)
        sds, Rs, spread, partial = [], [], [], []
        for f, cov in zip(self.design.factors, fit.covariances, strict=True):
            rows = np.mean(information[:, None] * f.columns**2, axis=0)
            floor = _LEAST / np.sqrt(np.where(rows > 0, rows, 1.0))
            sd = np.sqrt(np.diag(cov))
            R = np.eye(len(sd))
            if (sd > 0).all():
                R = _DRAWN_IN * cov / np.outer(sd, sd) + (1.0 - _DRAWN_IN) * R
            own = zip(np.maximum(sd, floor), self.priors.sd[f.name], strict=True)
            sds.append(np.array([inside(v, prior) for v, prior in own]))
            Rs.append(R)
            # the expected information about log sd of J effects known with reliability r
            levels = max(float((known[f.name] ** 2).sum()), 1e-12)
            spread += [min(_MOST, (2.0 * levels) ** -0.5)] * len(sd)
            if f.has_correlations:
                many = sum((b - a) * (b - a - 1) // 2 for a, b in self.priors.blocks[f.name])
                partial += [min(_MOST, levels**-0.5)] * many
        sigma, residual = fit.sigma, 0.0
        if self.priors.sigma is not None:
            sigma = inside(sigma, self.priors.sigma)
            residual = min(_MOST, (2.0 * self.design.n_effective) ** -0.5)
        return posterior.coordinates(sds, Rs, sigma), np.array([*spread, *partial, residual])

    def _fixed(self, drawn: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        if not self.design.p:
            return {}
        priors = self.priors
        centred = priors.intercept is not None and self.design.p > 1
        beta = priors.centred(drawn["beta"][0])
        inner = [inside(v, prior) for v, prior in zip(beta, priors.beta, strict=True)]
        name = "beta_centered" if centred else "beta"
        return split(name, np.array(inner), priors.beta, self.design.fixed_names)

    def _others(
        self, drawn: Mapping[str, FloatArray], rng: np.random.Generator
    ) -> dict[str, FloatArray]:
        """Sigma, alpha and the parameter of a residual structure."""
        out = {}
        for name, prior in self.priors.auxiliary.items():
            if name == "sigma":
                out[name] = drawn["sigma"][0]
            else:
                jitter = np.exp(_SHARE * rng.standard_normal())
                out[name] = inside(self.approximation.others[name] * jitter, prior)
        rows = self.design.residual
        if rows is not None:
            own = list(self.priors.residual.values())
            values = np.atleast_1d(self.approximation.others[rows.variable])
            values = values * (1.0 + _SHARE * rng.uniform(-1.0, 1.0, len(values)))
            values = np.array([inside(v, prior) for v, prior in zip(values, own, strict=True)])
            if rows.structure.correlated:
                out[rows.variable] = values[0]
            else:
                out |= split(rows.variable, values, own, rows.levels[1:])
        return {k: np.asarray(v) for k, v in out.items()}


def find_start(
    design: Design,
    priors: PriorSet,
    approximation: Approximation | None,
    ways: Mapping[str, str],
) -> Start | None:
    """Where chains begin; None, for the sampler's own place, where there is no fit."""
    if approximation is None:
        return None
    try:
        start = Start(design, priors, approximation, ways)
        point = start(np.random.default_rng(0))
    except (BayeslmmError, np.linalg.LinAlgError):
        return None
    return start if all(np.isfinite(v).all() for v in point.values()) else None


def inside(value: float, prior: Prior) -> float:
    """The value, or the nearest that is clearly inside the prior's support."""
    low, high = prior.bounds
    if np.isfinite(high):
        return float(np.clip(value, low + 0.05 * (high - low), high - 0.05 * (high - low)))
    return float(max(value, 1.05 * low))


def split(
    name: str, values: FloatArray, priors: Sequence[Prior], labels: Sequence[str]
) -> dict[str, FloatArray]:
    """A vector as the free variables that hold it: one, or where priors differ in class many."""
    if len({type(p) for p in priors}) == 1:
        return {name: values}
    return {of(name, label): np.asarray(v) for label, v in zip(labels, values, strict=True)}
