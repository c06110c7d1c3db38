"""A posterior without a sampler: draws around MAP with the variables every posterior has."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

import bayeslmm as bl
from bayeslmm.fits import PosteriorFit
from bayeslmm.sampling import check_convergence

CHAINS, DRAWS = 4, 250


def fake_posterior(
    model: bl.Model, *, spread: float = 0.05, skew: float = 0.0, ok: bool = True, seed: int = 1
) -> PosteriorFit:
    """Draws around the joint mode; SDs are log-normal, wider and larger by ``skew``."""
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit("REML" if model.priors.normal_beta() is None else "MAP")
    design, size = model.design, (CHAINS, DRAWS)
    e = fit.estimate
    variables: dict[str, Any] = {}
    L = np.linalg.cholesky(e.cov_beta) if design.p else np.zeros((0, 0))
    variables["beta"] = (
        ("chain", "draw", "fixed"),
        e.beta + rng.normal(size=(*size, design.p)) @ L.T,
    )
    for f, cov, b, cov_b in zip(
        design.factors, e.covariances, e.b, fit.random_effects_cov.values(), strict=True
    ):
        K, term = f.n_columns, f"{f.name}_term"
        sd = np.maximum(np.sqrt(np.diag(cov)), 0.05 * e.sigma)
        noise = rng.normal(size=(*size, K))
        variables[f"sd_{f.name}"] = (
            ("chain", "draw", term),
            sd * np.exp((spread + skew) * noise + skew),
        )
        if f.has_correlations:
            rho = np.clip(cov / np.outer(sd, sd), -0.9, 0.9)
            np.fill_diagonal(rho, 1.0)
            move = np.tanh(0.3 * rng.normal(size=(*size, 1, 1))) * (1 - np.eye(K)) * 0.1
            variables[f"corr_{f.name}"] = (("chain", "draw", term, f"{term}_bis"), rho + move)
        se = np.sqrt(np.maximum(np.einsum("jkk->jk", cov_b), 1e-12))
        variables[f"b_{f.name}"] = (
            ("chain", "draw", f.name, term),
            b + se * rng.normal(size=(*size, f.n_levels, K)),
        )
    variables["sigma"] = (("chain", "draw"), e.sigma * np.exp(spread * rng.normal(size=size)))
    coords = {k: v for k, v in design.coords.items() if k != "obs"}
    coords |= {f"{f.name}_term_bis": list(f.column_names) for f in design.factors}
    posterior = xr.Dataset(variables, coords={k: np.array(v, object) for k, v in coords.items()})
    mu = rng.normal(size=(*size, design.n), scale=0.1) - 3.0
    groups = {
        "posterior": posterior,
        "sample_stats": xr.Dataset({"diverging": (("chain", "draw"), np.zeros(size, bool))}),
        "log_likelihood": xr.Dataset({"y": (("chain", "draw", "obs"), mu)}),
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {"sampler": "nutpie", "parameterization": "noncentered", "random_seed": seed}
    checked = check_convergence(tree)
    diagnostics = replace(checked, rhat=1.002, divergences=0 if ok else 37)
    return PosteriorFit(design, tree, diagnostics, model._definition(), model.priors)
