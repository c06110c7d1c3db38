"""The Gaussian mixed model by its definition: n x n matrices, extended precision, no tricks.

y ~ N(X beta + offset, sigma^2 V), V = sum over factors of Z (I (x) T T') Z' + W^-1,
with the rows of positive weight. Everything the engine gives is written out again
here from textbook formulas, sharing nothing with it but the design's columns.
"""

from dataclasses import dataclass

import numpy as np

LOG_2PI = np.log(2 * np.pi)


def cholesky(A):
    """Lower L with A = L L', column by column, in the precision of A."""
    L = np.zeros_like(A)
    for j in range(len(A)):
        column = A[j:, j] - L[j:, :j] @ L[j, :j]
        L[j:, j] = column / np.sqrt(column[0])
    return L


def forward(L, B):
    """Solve L x = B."""
    x = np.array(B)
    for i in range(len(L)):
        x[i] = (x[i] - L[i, :i] @ x[:i]) / L[i, i]
    return x


def inverse(A):
    """Inverse of a positive definite matrix."""
    half = forward(cholesky(A), np.eye(len(A), dtype=A.dtype))
    return half.T @ half


def log_determinant(A):
    return 2 * np.log(np.diag(cholesky(A))).sum() if len(A) else 0.0


@dataclass
class DenseFit:
    """What the definitions give at one theta."""

    loglik: float
    sigma: float
    beta: np.ndarray
    cov_beta: np.ndarray
    b: list
    cov_b: list


class Dense:
    """One design, in numbers of type ``dtype``."""

    def __init__(self, design, dtype=np.longdouble):
        counted = design.weights > 0
        self.design = design
        self.y = (design.y - design.offset)[counted].astype(dtype)
        self.X = design.X[counted].astype(dtype)
        self.w = design.weights[counted].astype(dtype)
        self.n, self.p = self.X.shape
        self.Z = []
        for f in design.factors:
            Z = np.zeros((design.n, f.n_levels, f.n_columns), dtype=dtype)
            for i in range(design.n):
                Z[i, f.codes[i]] = f.columns[i]
            self.Z.append(Z[counted])

    def V(self, theta):
        """Covariance of y over sigma^2."""
        V = np.diag(1 / self.w)
        for Z, T in zip(self.Z, theta, strict=True):
            half = (Z @ T.astype(Z.dtype)).reshape(self.n, -1)
            V += half @ half.T
        return V

    def parts(self, V):
        """log|V|, log|X'V^-1X|, residual quadratic form, beta and (X'V^-1X)^-1."""
        L = cholesky(V)
        Xs, ys = forward(L, self.X), forward(L, self.y)
        C = inverse(Xs.T @ Xs)
        beta = C @ (Xs.T @ ys)
        rest = ys - Xs @ beta
        logdet_x = -log_determinant(C) if self.p else 0.0
        return 2 * np.log(np.diag(L)).sum(), logdet_x, rest @ rest, beta, C

    def loglik(self, theta, sigma, method):
        """Log likelihood at theta and sigma: maximised over beta, or beta integrated out."""
        logdet, logdet_x, r2, _, _ = self.parts(self.V(theta))
        df = self.n - self.p if method == "REML" else self.n
        ll = -0.5 * (df * (LOG_2PI + 2 * np.log(sigma)) + logdet + r2 / sigma**2)
        return ll - 0.5 * logdet_x if method == "REML" else ll

    def deviance(self, theta, method):
        """-2 log likelihood at the best sigma."""
        logdet, logdet_x, r2, _, _ = self.parts(self.V(theta))
        df = self.n - self.p if method == "REML" else self.n
        value = df * (LOG_2PI + np.log(r2 / df) + 1) + logdet
        return value + logdet_x if method == "REML" else value

    def fit(self, theta, method):
        """Everything, at theta, sigma at its best."""
        V = self.V(theta)
        _, _, r2, beta, C = self.parts(V)
        sigma2 = r2 / (self.n - self.p if method == "REML" else self.n)
        Vi = inverse(V)
        b, cov_b = [], []
        for Z, T in zip(self.Z, theta, strict=True):
            G = (T @ T.T).astype(Z.dtype)
            b.append(np.array([G @ Z[:, j].T @ Vi @ (self.y - self.X @ beta) for j in _levels(Z)]))
            cov_b.append(
                np.array([sigma2 * (G - G @ Z[:, j].T @ Vi @ Z[:, j] @ G) for j in _levels(Z)])
            )
        return DenseFit(
            loglik=-0.5 * self.deviance(theta, method),
            sigma=np.sqrt(sigma2),
            beta=beta,
            cov_beta=sigma2 * C,
            b=b,
            cov_b=cov_b,
        )

    def log_marginal(self, theta, sigma, priors):
        """Log p(y | theta, sigma), beta integrated over its normal or flat priors."""
        mean, P = (v.astype(self.X.dtype) for v in priors.normal_beta())
        scales = [b.sigma for b in priors.beta if hasattr(b, "sigma")]
        V = sigma**2 * self.V(theta)
        L = cholesky(V)
        Xs, ys = forward(L, self.X), forward(L, self.y)
        A, b = Xs.T @ Xs + P, Xs.T @ ys + P @ mean
        half = forward(cholesky(A), b) if self.p else b
        quadratic = ys @ ys + mean @ P @ mean - half @ half
        flat = self.p - len(scales)
        return (
            -0.5 * (self.n - flat) * LOG_2PI
            - np.log(np.diag(L)).sum()
            - 0.5 * quadratic
            - 0.5 * log_determinant(A)
            - np.log(scales).sum()
        )

    def conditional(self, theta, sigma, priors):
        """Mean and covariance of (beta, b) given theta and sigma; T invertible."""
        mean, P = (v.astype(self.X.dtype) for v in priors.normal_beta())
        H = np.hstack([self.X, *(Z.reshape(self.n, -1) for Z in self.Z)])
        M = (H * self.w[:, None]).T @ H / sigma**2
        M[: self.p, : self.p] += P
        at = self.p
        for Z, T in zip(self.Z, theta, strict=True):
            K = len(T)
            own = inverse((sigma**2 * T @ T.T).astype(Z.dtype))
            for _ in _levels(Z):
                M[at : at + K, at : at + K] += own
                at += K
        right = (H * self.w[:, None]).T @ self.y / sigma**2
        right[: self.p] += P @ mean
        cov = inverse(M)
        return cov @ right, cov


def _levels(Z):
    return range(Z.shape[1])
