"""The priors of one model: what the sampler, MAP and the printed table read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bayeslmm.arrays import FloatArray
from bayeslmm.errors import PriorError
from bayeslmm.priors.lkj import LKJ
from bayeslmm.priors.names import INTERCEPT, corr_name, of, sd_name
from bayeslmm.priors.prior import Prior
from bayeslmm.priors.real import Flat, Normal, StudentT

if TYPE_CHECKING:
    import pandas as pd

MEANINGS = {
    "sigma": "residual SD",
    "alpha": "overdispersion; Poisson as it grows",
    "ar1": "correlation of residuals one step apart",
    "rho": "correlation of residuals of one level",
    "sd_ratio": "residual SD over that of the first level",
}


@dataclass(frozen=True, eq=False, repr=False)
class PriorSet:
    """The prior of every parameter of a model.

    The prior of the intercept stands where every other fixed column is at its mean:
    with c the means (``centre``), the priors are on beta[Intercept] + c' beta and on the
    other coefficients as they are. The map has determinant one.

    Attributes
    ----------
    fixed_names : tuple of str, length p
    beta : tuple of Prior, length p
    centre : ndarray, shape (p,)
        Means of the fixed columns; 0 for the intercept, zeros if there is none.
    columns : mapping of str to tuple of str
        Names of each factor's columns.
    sd : mapping of str to tuple of Prior
        By factor, one a column.
    corr : mapping of str to LKJ
        By factor, for those with correlations: the prior of each correlated term.
    blocks : mapping of str to tuple of (int, int)
        By factor, the columns of each correlated term.
    auxiliary : mapping of str to Prior
        ``sigma`` or ``alpha``.
    sources : mapping of str to str
        ``"default"`` or ``"user"``, by parameter.
    residual : mapping of str to Prior
        Of the parameters of the residual structure, by name.
    response : str
        Name of the response, for the table.
    link : str
        Name of the link, for the table.
    """

    fixed_names: tuple[str, ...]
    beta: tuple[Prior, ...]
    centre: FloatArray
    columns: Mapping[str, tuple[str, ...]]
    sd: Mapping[str, tuple[Prior, ...]]
    corr: Mapping[str, LKJ]
    blocks: Mapping[str, tuple[tuple[int, int], ...]]
    auxiliary: Mapping[str, Prior]
    sources: Mapping[str, str]
    response: str
    link: str
    residual: Mapping[str, Prior] = field(default_factory=dict)

    @property
    def sigma(self) -> Prior | None:
        """Prior of the residual SD, if the family has one."""
        return self.auxiliary.get("sigma")

    @property
    def alpha(self) -> Prior | None:
        """Prior of the overdispersion, if the family has one."""
        return self.auxiliary.get("alpha")

    @property
    def scalar(self) -> dict[str, Prior]:
        """The prior of every single number, coefficients, SDs and those of the family, by name."""
        named = [
            (of("beta", name), prior)
            for name, prior in zip(self.fixed_names, self.beta, strict=True)
        ]
        for factor, own in self.sd.items():
            columns = self.columns[factor]
            named += [(of(sd_name(factor), c), p) for c, p in zip(columns, own, strict=True)]
        return {**dict(named), **self.auxiliary, **self.residual}

    @property
    def intercept(self) -> int | None:
        """Position of the intercept among the fixed columns."""
        return self.fixed_names.index(INTERCEPT) if INTERCEPT in self.fixed_names else None

    @property
    def beta_mean(self) -> FloatArray:
        """Location of each coefficient's prior, on centred columns; 0 if it has none. (p,)."""
        located = [b.mu if isinstance(b, Normal | StudentT) else 0.0 for b in self.beta]
        return np.array(located, dtype=np.float64)

    def centred(self, beta: ArrayLike) -> FloatArray:
        """Coefficients of the centred columns, those the priors are about.

        Parameters
        ----------
        beta : array_like, shape (..., p)
            Coefficients of the columns as they are.
        """
        out = np.array(beta, dtype=np.float64)
        if self.intercept is not None:
            out[..., self.intercept] += out @ self.centre
        return out

    def uncentred(self, beta: ArrayLike) -> FloatArray:
        """Undo `centred`."""
        out = np.array(beta, dtype=np.float64)
        if self.intercept is not None:
            out[..., self.intercept] -= out @ self.centre
        return out

    def normal_beta(self) -> tuple[FloatArray, FloatArray] | None:
        """Mean and precision of ``beta`` on the columns as they are.

        Returns
        -------
        tuple of ndarray, shapes (p,) and (p, p), or None
            A Flat prior has precision 0. None if a prior is neither Normal nor Flat.
        """
        if not all(isinstance(b, Normal | Flat) for b in self.beta):
            return None
        precision = [b.sigma**-2 if isinstance(b, Normal) else 0.0 for b in self.beta]
        A = self.centred(np.eye(len(self.beta))).T
        return self.uncentred(self.beta_mean), (A.T * precision) @ A

    def integrable_beta(
        self,
        fix: str,
        words: str = "fixed effects integrate out exactly under Normal or Flat priors only.",
    ) -> tuple[FloatArray, FloatArray]:
        """`normal_beta`, and words where there is none.

        Raises
        ------
        PriorError
            A prior of a fixed effect is neither Normal nor Flat.
        """
        if (normal := self.normal_beta()) is not None:
            return normal
        named = zip(self.fixed_names, self.beta, strict=True)
        others = [f"beta[{k}]: {v!r}" for k, v in named if not isinstance(v, Normal | Flat)]
        raise PriorError(words, found="; ".join(others), fix=fix)

    def log_prior(self, draws: Mapping[str, ArrayLike]) -> dict[str, FloatArray]:
        """Log prior density of every top-level parameter, never of the effects b.

        Parameters
        ----------
        draws : mapping of str to array_like
            ``beta`` of shape (..., p); ``sd_<factor>`` (..., K); ``corr_<factor>``
            (..., K, K); ``sigma`` or ``alpha`` (...).

        Returns
        -------
        dict of str to ndarray
            An array a variable: ``beta`` (..., p), ``sd_<factor>`` (..., K),
            ``corr_<factor>`` (...), summed over its terms, ``sigma`` or ``alpha`` (...);
            ``ar1`` or ``rho`` (...), ``sd_ratio`` (..., levels).
            Improper priors count as constants.
        """
        out: dict[str, FloatArray] = {}
        if self.beta:
            beta = self.centred(draws["beta"])
            out["beta"] = _each(self.beta, beta)
        for factor, priors in self.sd.items():
            out[sd_name(factor)] = _each(priors, np.asarray(draws[sd_name(factor)]))
        for factor, lkj in self.corr.items():
            R = np.asarray(draws[corr_name(factor)], dtype=np.float64)
            parts = [lkj.logpdf(R[..., a:b, a:b]) for a, b in self.blocks[factor]]
            out[corr_name(factor)] = np.sum(parts, axis=0)
        for name, prior in self.auxiliary.items():
            out[name] = prior.logpdf(draws[name])
        if self.residual:
            variable, own = self.residual_variable, tuple(self.residual.values())
            values = np.asarray(draws[variable])
            scalar = variable in self.residual
            out[variable] = own[0].logpdf(values) if scalar else _each(own, values)
        return out

    @property
    def residual_variable(self) -> str:
        """The variable that holds the parameters of the residual structure."""
        return next(iter(self.residual)).split("[")[0]

    def table(self) -> pd.DataFrame:
        """A row a parameter: its prior, where that came from, what it is about.

        Returns
        -------
        DataFrame
            Columns ``parameter``, ``prior``, ``source``, ``meaning``.
        """
        import pandas as pd

        return pd.DataFrame(self._rows(), columns=["parameter", "prior", "source", "meaning"])

    def _rows(self) -> list[tuple[str, str, str, str]]:
        scale = self.response if self.link == "identity" else f"{self.link} of {self.response}"
        rows: list[tuple[str, Prior, str]] = []
        for name, prior in zip(self.fixed_names, self.beta, strict=True):
            meaning = f"change of {scale} a unit of {name}"
            if name == INTERCEPT:
                meaning = f"expected {scale}, predictors at their means"
            rows.append((of("beta", name), prior, meaning))
        for factor, priors in self.sd.items():
            for column, prior in zip(self.columns[factor], priors, strict=True):
                rows.append((of(sd_name(factor), column), prior, f"SD of {column} over {factor}"))
            if factor in self.corr:
                meaning = f"correlations between the effects of one {factor}"
                rows.append((corr_name(factor), self.corr[factor], meaning))
        rows += [(name, prior, MEANINGS[name]) for name, prior in self.auxiliary.items()]
        rows += [(k, p, MEANINGS[k.split("[")[0]]) for k, p in self.residual.items()]
        return [(name, repr(prior), self.sources[name], words) for name, prior, words in rows]

    def __repr__(self) -> str:
        head = ("parameter", "prior", "source", "meaning")
        rows = [head, *self._rows()]
        widths = [max(len(r[i]) for r in rows) for i in range(3)]
        lines = [
            "  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[3]]) for r in rows
        ]
        if self.intercept is not None and len(self.fixed_names) > 1:
            lines += ["", "The prior of the intercept stands where every other predictor is at its"]
            lines += ["mean; the posterior reports the intercept at zero, as the formula has it."]
        return "\n".join(lines)


def _each(priors: tuple[Prior, ...], values: FloatArray) -> FloatArray:
    """Log density of each element of the last axis under its own prior."""
    return np.stack([p.logpdf(values[..., k]) for k, p in enumerate(priors)], axis=-1)
