"""The conditional AIC against dense formulas, and its df against perturbed responses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from tests.oracle.designs import Case

CASES = [
    (Case("y ~ x + (1 | g)"), "REML"),
    (Case("y ~ x + (1 | g)"), "ML"),
    (Case("y ~ x + (1 + z | g)", rows=60, weights="w", offset="o"), "REML"),
    (Case("y ~ x + (1 | g) + (1 | h)", {"g": 6, "h": 4}, weights="w"), "REML"),
    (Case("y ~ x + (1 + z || g)", rows=60), "ML"),
    (Case("y ~ x + (1 + x | g)", rows=72), "REML"),
]


class Dense:
    """The profiled criterion of a design with n x n matrices, rows of weight zero left out."""

    def __init__(self, fit: Any) -> None:
        design = fit.design
        used = design.weights > 0
        self.reml = fit.method == "REML"
        self.X, self.Z = design.X[used], design.Z().toarray()[used]
        self.y = (design.y - design.offset)[used]
        self.noise = np.diag(1.0 / design.weights[used])
        self.patterns = [f.pattern for f in design.factors]
        self.levels = [f.n_levels for f in design.factors]
        # pivots of exactly zero are held
        self.free = np.concatenate(
            [
                np.tile(np.diag(T) != 0, (len(T), 1))[p]
                for T, p in zip(fit.estimate.T, self.patterns, strict=True)
            ]
        )
        self.n, self.p = self.X.shape
        self.N = self.n - self.p if self.reml else self.n

    def matrices(self, theta: np.ndarray) -> list[np.ndarray]:
        out, at = [], 0
        for p in self.patterns:
            T = np.zeros(p.shape)
            T[p] = theta[at : at + p.sum()]
            at += p.sum()
            out.append(T)
        return out

    def spread(self, blocks: list[np.ndarray]) -> np.ndarray:
        """Z blockdiag(I x B_f) Z'."""
        total, at = np.zeros((self.n, self.n)), 0
        for B, J in zip(blocks, self.levels, strict=True):
            Zf = self.Z[:, at : at + J * len(B)]
            total += Zf @ np.kron(np.eye(J), B) @ Zf.T
            at += J * len(B)
        return total

    def projections(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """V^-1 and P."""
        inverse = np.linalg.inv(self.spread([T @ T.T for T in self.matrices(theta)]) + self.noise)
        VX = inverse @ self.X
        return inverse, inverse - VX @ np.linalg.solve(self.X.T @ VX, VX.T)

    def changes(self, theta: np.ndarray) -> list[np.ndarray]:
        out = []
        for k in np.flatnonzero(self.free):
            E = self.matrices(np.eye(len(theta))[k])
            out.append(
                self.spread(
                    [e @ T.T + T @ e.T for e, T in zip(E, self.matrices(theta), strict=True)]
                )
            )
        return out

    def gradient(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        inverse, P = self.projections(theta)
        A = P if self.reml else inverse
        Py = P @ y
        return np.array(
            [np.sum(A * V) - self.N * (Py @ V @ Py) / (y @ Py) for V in self.changes(theta)]
        )

    def hessian(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Differences of the exact gradient, extrapolated: error h^4."""
        rows = []
        for k in np.flatnonzero(self.free):
            step = 1e-3 * np.eye(len(theta))[k]
            d1 = self.gradient(theta + step, y) - self.gradient(theta - step, y)
            d2 = self.gradient(theta + 2 * step, y) - self.gradient(theta - 2 * step, y)
            rows.append((8 * d1 - d2) / 12e-3)
        return np.array(rows)

    def optimum(self, theta: np.ndarray, y: np.ndarray, H: np.ndarray) -> np.ndarray:
        """Newton steps to the optimum for another response."""
        theta = theta.copy()
        for _ in range(8):
            theta[self.free] -= np.linalg.solve(H, self.gradient(theta, y))
        return theta

    def fitted(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        return y - self.noise @ self.projections(theta)[1] @ y


@pytest.mark.parametrize(("case", "method"), CASES, ids=[f"{c.formula} {m}" for c, m in CASES])
def test_against_every_response_moved_by_itself(case: Case, method: str) -> None:
    fit = bl.fit(
        case.formula, case.table(), weights=case.weights, offset=case.offset, method=method
    )
    dense = Dense(fit)
    H = dense.hessian(fit.theta, dense.y)
    theta = dense.optimum(fit.theta, dense.y, H)
    trace, h = 0.0, 1e-3 * fit.sigma
    for i in range(dense.n):
        step = h * np.eye(dense.n)[i]
        ends = [
            dense.fitted(dense.optimum(theta, dense.y + s, H), dense.y + s)[i]
            for s in (step, -step)
        ]
        trace += (ends[0] - ends[1]) / (2 * h)
    result = fit.conditional_aic()
    assert result.df == pytest.approx(trace + 1, abs=2e-6)
    hat = dense.n - np.trace(dense.noise @ dense.projections(theta)[1])
    assert result.df_given_variances == pytest.approx(hat + 1, abs=1e-6)
    variance = fit.scale * np.diag(dense.noise)
    e = dense.y - dense.fitted(theta, dense.y)
    loglik = -0.5 * np.sum(np.log(2 * np.pi * variance) + e**2 / variance)
    assert result.loglik == pytest.approx(loglik, abs=1e-6)
    assert result.caic == pytest.approx(-2 * loglik + 2 * (trace + 1), abs=1e-5)


def test_a_variance_of_zero_leaves_the_linear_model() -> None:
    with pytest.warns(UserWarning, match="is 0"):
        mixed = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff2"))
    result = mixed.conditional_aic()
    assert result.df == result.df_given_variances == pytest.approx(2.0, abs=1e-12)
    plain = bl.fit("Yield ~ 1", bl.load_dataset("Dyestuff2")).conditional_aic()
    assert result.caic == pytest.approx(plain.caic, abs=1e-8)


def test_excluded_rows_change_nothing() -> None:
    data = bl.load_dataset("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    whole = bl.fit(formula, data).conditional_aic()
    more = pd.concat([data, data.iloc[3:5].assign(Reaction=np.nan)], ignore_index=True)
    excluded = bl.fit(formula, more, na_action="exclude").conditional_aic()
    assert excluded.df == pytest.approx(whole.df, abs=1e-6)
    assert excluded.caic == pytest.approx(whole.caic, abs=1e-6)
