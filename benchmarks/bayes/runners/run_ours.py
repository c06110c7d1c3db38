"""bayeslmm: `Model(...).sample()` with its default arguments, and noncentered."""

from __future__ import annotations

import argparse
from typing import Any

from draws import Clocks, Named, run

CLOCKS = Clocks()

import bayeslmm as bl  # noqa: E402

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "noncentered": {"parameterization": "noncentered"},
}


def sample(args: argparse.Namespace, table: Any) -> Any:
    """The model call."""
    return bl.Model(args.formula, table).sample(
        draws=args.draws,
        chains=args.chains,
        cores=args.cores,
        random_seed=args.seed,
        progressbar=False,
        log_likelihood=False,
        **args.tuning,
        **OPTIONS[args.variant],
    )


def collect(fit: Any) -> tuple[Named, Named, int]:
    """Draws by name."""
    posterior = fit.datatree["posterior"]
    main, effects = {}, {}
    for name, variable in posterior.data_vars.items():
        labels = [posterior.coords[d].values for d in variable.dims[2:]]
        values = variable.values
        if name == "beta":
            for k, label in enumerate(labels[0]):
                main[str(label).replace("[", "").replace("]", "")] = values[..., k]
        elif name == "sigma":
            main[name] = values
        elif name.startswith("sd_"):
            for k, label in enumerate(labels[0]):
                main[f"{name}[{label}]"] = values[..., k]
        elif name.startswith("corr_"):
            for j, first in enumerate(labels[0]):
                for k, second in enumerate(labels[0][j + 1 :], start=j + 1):
                    main[f"{name}[{first}, {second}]"] = values[..., j, k]
        elif name.startswith("b_"):
            for j, level in enumerate(labels[0]):
                for k, term in enumerate(labels[1]):
                    effects[f"{name}[{level}, {term}]"] = values[..., j, k]
    return main, effects, int(fit.datatree["sample_stats"]["diverging"].sum())


def remark(fit: Any) -> str:
    """What the default chose."""
    chosen = fit.datatree["posterior"].attrs.get("parameterization")
    return f"parameterization {chosen}" if chosen else ""


if __name__ == "__main__":
    run(
        sample,
        lambda fit: str(fit.summary()),
        collect,
        clocks=CLOCKS,
        packages=["bayeslmm", "pymc", "nutpie", "numba", "arviz"],
        remark=remark,
    )
