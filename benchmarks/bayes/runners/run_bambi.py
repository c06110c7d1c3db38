"""bambi: `Model(...).fit(inference_method=...)`, a variant for each backend.

bambi has no correlations between effects of one factor: of `(Days | Subject)` it samples
two independent terms, a smaller model than the others'.
"""

from __future__ import annotations

import argparse
from typing import Any

from draws import Clocks, Named, run

CLOCKS = Clocks()

import bambi  # noqa: E402


def sample(args: argparse.Namespace, table: Any) -> Any:
    """The model call."""
    return bambi.Model(args.formula, table).fit(
        inference_method=args.variant,
        draws=args.draws,
        chains=args.chains,
        cores=args.cores,
        random_seed=args.seed,
        progressbar=False,
        **args.tuning,
    )


def summarise(fit: Any) -> Any:
    """ArviZ's table of all but the random effects."""
    import arviz

    posterior = fit["posterior"]
    names = [n for n in posterior.data_vars if "|" not in n or n.endswith("_sigma")]
    return arviz.summary(fit, var_names=names)


def collect(fit: Any) -> tuple[Named, Named, int]:
    """Draws by name; a term is `1|Subject` there, its SD `1|Subject_sigma`."""
    posterior = fit["posterior"]
    main, effects = {}, {}
    for name, variable in posterior.data_vars.items():
        values = variable.values
        term, bar, factor = name.partition("|")
        term = "Intercept" if term == "1" else term
        labels = posterior.coords[variable.dims[2]].values if values.ndim > 2 else [None]
        if bar and name.endswith("_sigma"):
            main[f"sd_{factor.removesuffix('_sigma')}[{term}]"] = values
        elif bar:
            for k, level in enumerate(labels):
                effects[f"b_{factor}[{level}, {term}]"] = values[..., k]
        elif values.ndim > 2:
            for k, label in enumerate(labels):
                main[f"{name}{label}"] = values[..., k]
        else:
            main[name] = values
    return main, effects, int(fit["sample_stats"]["diverging"].sum())


if __name__ == "__main__":
    run(
        sample,
        summarise,
        collect,
        clocks=CLOCKS,
        packages=["bambi", "pymc", "nutpie", "numpyro", "jax", "numba", "arviz"],
    )
