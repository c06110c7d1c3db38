"""Mixed models from a formula: REML estimates and posteriors of the same model.

>>> import bayeslmm as bl
>>> data = bl.load_dataset("sleepstudy")
>>> fit = bl.fit("Reaction ~ Days + (Days | Subject)", data)
>>> round(fit.sigma, 3)
25.592
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Each public name and the module it lives in; imported when first asked for, so
# that `import bayeslmm` loads neither PyMC nor ArviZ nor matplotlib.
_PUBLIC = {
    "Model": "model",
    "fit": "calls",
    "load": "calls",
    "sample": "calls",
    "PointFit": "fits",
    "PosteriorFit": "fits",
    "anova": "comparison",
    "compare_estimates": "comparison",
    "compare_models": "comparison",
    "plot_power": "plots",
    "plot_profile": "plots",
    "power": "inference.power",
    "AR1": "design",
    "CompoundSymmetry": "design",
    "VarianceBy": "design",
    "load_dataset": "data",
    "dataset_names": "data",
    "Bernoulli": "families",
    "Binomial": "families",
    "Gaussian": "families",
    "NegativeBinomial": "families",
    "Poisson": "families",
    "Exponential": "priors",
    "Flat": "priors",
    "Gamma": "priors",
    "HalfCauchy": "priors",
    "HalfNormal": "priors",
    "HalfStudentT": "priors",
    "InverseGamma": "priors",
    "LKJ": "priors",
    "LogNormal": "priors",
    "Normal": "priors",
    "StudentT": "priors",
    "Uniform": "priors",
    "FitStatus": "outcomes",
    "BayeslmmError": "errors",
    "BayeslmmWarning": "errors",
    "ConvergenceWarning": "errors",
    "DataWarning": "errors",
    "SingularFitWarning": "errors",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'bayeslmm' has no attribute {name!r}")
    value = getattr(import_module(f"bayeslmm.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
