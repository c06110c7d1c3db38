"""The posterior of a model with one random intercept, by quadrature and importance sampling.

Nothing of the package but its priors: the likelihood of a level is summed over a fine grid of
the level's effect, which for smooth functions with Gaussian tails is exact to many digits.
"""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.special import gammaln, logsumexp

NODES = np.linspace(-6.0, 6.0, 121)


def log_density(name, y, eta, trials, alpha):
    """Log probability of a count, up to what no parameter moves."""
    if name == "poisson":
        return y * eta - np.exp(eta)
    if name == "negativebinomial":
        own = gammaln(y + alpha) - gammaln(alpha) + alpha * np.log(alpha)
        return own + y * eta - (y + alpha) * np.log(alpha + np.exp(eta))
    return y * eta - (1.0 if trials is None else trials) * np.logaddexp(0.0, eta)


def log_posterior(design, priors, beta, sd, alpha=None):
    """At S values of the parameters, beta (S, p) and sd, alpha (S,), up to a constant; (S,)."""
    (factor,) = design.factors
    level = np.zeros((len(beta), factor.n_levels, len(NODES)))
    eta = beta @ design.X.T
    for i, j in enumerate(factor.codes):
        at = eta[:, i, None] + sd[:, None] * NODES
        trials = None if design.trials is None else design.trials[i]
        a = None if alpha is None else alpha[:, None]
        level[:, j] += log_density(design.family.name, design.y[i], at, trials, a)
    integrated = logsumexp(level + stats.norm.logpdf(NODES), axis=2).sum(axis=1)
    values = {"beta": beta, f"sd_{factor.name}": sd[:, None]}
    if alpha is not None:
        values["alpha"] = alpha
    prior = [v.reshape(len(beta), -1).sum(axis=1) for v in priors.log_prior(values).values()]
    return integrated + sum(prior)


def importance_statistics(design, priors, near, n=4000, seed=1):
    """Mean and SD of each parameter with their standard errors, by self-normalised weights.

    Parameters
    ----------
    near : ndarray, shape (S, k)
        Draws of beta, log sd_g (and log alpha), which place the proposals and no more.
    """
    rng, p = np.random.default_rng(seed), design.p
    proposal = stats.multivariate_t(near.mean(axis=0), 1.2 * np.cov(near.T), df=5)
    x = proposal.rvs(n, random_state=rng)
    positive = np.exp(x[:, p:])
    alpha = positive[:, 1] if positive.shape[1] > 1 else None
    target = log_posterior(design, priors, x[:, :p], positive[:, 0], alpha) + x[:, p:].sum(axis=1)
    w = np.exp(target - proposal.logpdf(x) - np.max(target - proposal.logpdf(x)))
    w /= w.sum()
    assert 1.0 / np.sum(w**2) > 0.3 * n  # the effective size, or the errors are no errors
    out = {}
    for k, values in enumerate(np.column_stack([x[:, :p], positive]).T):
        mean = w @ values
        apart = values - mean
        variance = w @ apart**2
        errors = [np.sqrt(np.sum((w * e) ** 2)) for e in (apart, apart**2 - variance)]
        sd = np.sqrt(variance)
        out[k] = {"mean": (mean, errors[0]), "sd": (sd, errors[1] / (2.0 * sd))}
    return out
