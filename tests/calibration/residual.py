"""Size of t tests in models with a residual structure and few levels, by simulation.

Shares of p-values at most 0.05 and 0.01 of effects that are zero, between subjects (arm) and
within them (arm:t), by Satterthwaite's t and by the standard normal.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

import bayeslmm as bl

SIZES = (0.05, 0.01)
TERMS = ("arm", "arm:t")


@dataclass(frozen=True)
class Case:
    """Series of ``times`` rows of each subject; half of the subjects in each arm."""

    formula: str
    residual: object
    subjects: int
    times: int = 8
    ar1: float = 0.6
    sd_subject: float = 0.0
    ratio: float = 1.0


AR1 = bl.AR1(by="subject", time="t")
CASES = {
    "AR1, 10 subjects": Case("y ~ arm * t", AR1, 10),
    "AR1, 30 subjects": Case("y ~ arm * t", AR1, 30),
    "AR1 and intercepts, 10 subjects": Case(
        "y ~ arm * t + (1 | subject)", AR1, 10, sd_subject=1.0
    ),
    "ratio and intercepts, 10 subjects": Case(
        "y ~ arm * t + (1 | subject)", bl.VarianceBy(by="group"), 10, ar1=0.0, sd_subject=1.0,
        ratio=2.0,
    ),
}  # fmt: skip


def table(case):
    subject = np.repeat(np.arange(case.subjects), case.times)
    t = np.tile(np.arange(case.times), case.subjects)
    arm = subject % 2
    return pd.DataFrame(
        {"y": 0.0, "subject": subject, "t": t, "arm": arm, "group": np.array(["a", "b"])[arm]}
    )


def responses(case, data, rng):
    """One data set in which no effect is there."""
    e = rng.normal(size=(case.subjects, case.times))
    for k in range(1, case.times):
        e[:, k] = case.ar1 * e[:, k - 1] + np.sqrt(1.0 - case.ar1**2) * e[:, k]
    e *= np.where(np.arange(case.subjects) % 2, case.ratio, 1.0)[:, None]
    return (e + case.sd_subject * rng.normal(size=(case.subjects, 1))).ravel()


def size_of(name, draws, seed):
    """Shares of p-values at most each of `SIZES`, by term and by reference distribution."""
    case, rng = CASES[name], np.random.default_rng(seed)
    data = table(case)
    p, failed = {"satterthwaite": [], "normal": []}, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayeslmmWarning)
        first = bl.fit(case.formula, data.assign(y=responses(case, data, rng)),
                       residual=case.residual)  # fmt: skip
        for _ in range(draws):
            fit = first.refit(responses(case, data, rng))
            if not fit.converged:
                failed += 1
                continue
            for method, values in p.items():
                table_ = fit.with_df(method).to_frame("fixed").set_index("parameter")
                values.append([float(table_.loc[k, "p"]) for k in TERMS])
    out = {"draws": draws, "failed": failed, "seed": seed}
    for method, values in p.items():
        shares = [(np.array(values) <= size).mean(axis=0) for size in SIZES]
        out[method] = {k: [float(s[i]) for s in shares] for i, k in enumerate(TERMS)}
    return out
