"""The marginal model: SDs, correlations and sigma, all effects integrated out exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numba import objmode
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import (
    get_numba_type,
    numba_njit,
    register_funcify_and_cache_key,
)
from pytensor.tensor.shape import specify_shape

from bayeslmm.arrays import FloatArray
from bayeslmm.design.design import Design
from bayeslmm.design.residual import refuse_residual_structure
from bayeslmm.design.rows import Factor
from bayeslmm.engine.gaussian.marginal_likelihood import (
    MarginalLikelihood,
    check_integrable,
    evaluate_small,
)
from bayeslmm.errors import ArgumentError, PriorError, suggest
from bayeslmm.priors import Flat, PriorSet
from bayeslmm.priors.names import (
    corr_name,
    informative_rows,
    observed_name,
    sd_name,
    term_dim,
    term_dim_bis,
)
from bayeslmm.pymc_model.coords import model_coords
from bayeslmm.pymc_model.distributions import free_scalar, free_vector
from bayeslmm.pymc_model.effects import add_correlation_factor, as_matrix

LARGEST_CONSTANT = 10**6
"""Bytes of an array beyond which numba cannot keep code that holds it on disk."""


class MarginalLogLikelihood(Op):
    """Coordinates (k,) to log p(y | SDs, correlations, sigma) and its gradient (k,).

    See `bayeslmm.engine.gaussian.marginal_likelihood` for the coordinates. Value and
    gradient are of one evaluation. A small model is compiled into PyTensor's numba
    functions; a larger one is evaluated from Python.
    """

    __props__ = ("likelihood",)
    gufunc_signature = "(k)->(),(k)"

    def __init__(self, likelihood: MarginalLikelihood) -> None:
        self.likelihood = likelihood

    def __str__(self) -> str:
        return type(self).__name__

    def make_node(self, x: Any) -> Apply[Any]:  # type: ignore[override]
        """Two outputs, a number and a vector."""
        x = pt.cast(pt.as_tensor_variable(x), "float64")
        return Apply(self, [x], [pt.dscalar(), pt.dvector(shape=(self.likelihood.size,))])

    def perform(self, node: Apply[Any], inputs: Any, output_storage: Any) -> None:
        """Evaluate from Python."""
        value, gradient = self.likelihood(inputs[0])
        output_storage[0][0] = np.asarray(value)
        output_storage[1][0] = gradient

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """The second output times the cotangent of the first."""
        if not isinstance(cotangents[1].type, DisconnectedType):
            raise NotImplementedError(
                "the marginal likelihood has first derivatives only: "
                "second ones are differences of its gradient"
            )
        if isinstance(cotangents[0].type, DisconnectedType):
            return [disconnected_type()]
        return [cotangents[0] * outputs[1]]


@register_funcify_and_cache_key(MarginalLogLikelihood)  # type: ignore[no-untyped-call, untyped-decorator]
def _compile(op: MarginalLogLikelihood, node: Apply[Any], **_: Any) -> tuple[Any, str | None]:
    likelihood, arguments = op.likelihood, op.likelihood.compiled
    if arguments is not None:

        @numba_njit
        def marginal_log_likelihood(x: Any) -> Any:
            value, gradient = evaluate_small(np.ascontiguousarray(x), arguments)
            return np.asarray(value), gradient

        largest = max(np.asarray(a).nbytes for a in (*arguments.spec, *arguments.given))
        return marginal_log_likelihood, likelihood.digest() if largest < LARGEST_CONSTANT else None

    number, vector = (get_numba_type(v.type, layout="C") for v in node.outputs)

    def evaluate(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        value, gradient = likelihood(x)
        return np.asarray(value), gradient

    @numba_njit
    def marginal_log_likelihood_from_python(x: Any) -> Any:
        with objmode(value=number, gradient=vector):
            value, gradient = evaluate(x)
        return value, gradient

    return marginal_log_likelihood_from_python, None


def add_marginal_likelihood(
    design: Design,
    priors: PriorSet,
    *,
    sd: Mapping[str, Any] | None = None,
    corr: Mapping[str, Any] | None = None,
    sigma: Any = None,
) -> Any:
    """Add the response with all effects integrated out to the PyMC model at hand.

    What is not given gets the variable and prior of the model built from ``priors``.

    Parameters
    ----------
    design : Design
        Gaussian, identity link.
    priors : PriorSet
        Normal or flat on the fixed effects.
    sd : mapping of str to tensor, optional
        By factor, standard deviations (K,), in units of the response per unit of the
        column; a number will do where K is 1.
    corr : mapping of str to tensor, optional
        By factor with correlations, a lower Cholesky factor (K, K) of the correlation
        matrix, or of the covariance matrix: lengths of rows do not count. Entries
        between terms of a factor are taken as 0.
    sigma : tensor, optional
        Residual standard deviation.

    Returns
    -------
    TensorVariable
        The observed variable, under the name of the response, with dimension ``obs``.
        ``sd_<factor>``, ``corr_<factor>`` and ``sigma`` are recorded as deterministic
        variables where the model has none of the name.

    Raises
    ------
    ArgumentError
        A factor that the model does not have, a tensor of another shape, or a variable
        that has the name of a parameter and is not what was given. The response is not
        Gaussian.
    PriorError
        A prior of a fixed effect is neither Normal nor Flat.
    """
    refuse_residual_structure(
        design, "the integral over the effects", 'to_pymc("noncentered") has all effects in it'
    )
    check_integrable(design, priors)
    names = [f.name for f in design.factors]
    sd = _by_factor("sd", sd, names)
    corr = _by_factor("corr", corr, [f.name for f in design.factors if f.has_correlations])
    pm.modelcontext(None).add_coords(model_coords(design))
    logs: list[Any] = []
    partial: list[Any] = []
    for f in design.factors:
        sds = _own_sd(f, sd[f.name]) if f.name in sd else _prior_sd(f, priors)
        logs += [pt.log(sds[k]) for k in range(f.n_columns)]
        if f.name in corr:
            partial += _own_correlations(f, priors, corr[f.name])
        elif f.has_correlations:
            partial += _prior_correlations(f, priors)
    residual = _own("sigma", sigma) if sigma is not None else _prior_sigma(priors)
    x = pt.stack([*logs, *partial, pt.log(residual)])
    return _add_response(design, priors, x)


def _prior_sd(f: Factor, priors: PriorSet) -> Any:
    return free_vector(
        sd_name(f.name), priors.sd[f.name], f.column_names, term_dim(f.name), positive=True
    )


def _prior_sigma(priors: PriorSet) -> Any:
    assert priors.sigma is not None
    return free_scalar("sigma", priors.sigma, positive=True)


def _prior_correlations(f: Factor, priors: PriorSet) -> list[Any]:
    """Add a factor's partial correlations z with their priors; artanh z, from (z + 1) / 2."""
    add_correlation_factor(f, priors)
    share = pm.modelcontext(None)[f"partial_{f.name}"]
    n = sum((b - a) * (b - a - 1) // 2 for a, b in priors.blocks[f.name])
    return [0.5 * (pt.log(share[k]) - pt.log1p(-share[k])) for k in range(n)]


def _own_sd(f: Factor, given: Any) -> Any:
    tensor = _tensor(f"sd[{f.name!r}]", given, (f.n_columns,))
    return _own(sd_name(f.name), given, tensor, dims=term_dim(f.name))


def _own_correlations(f: Factor, priors: PriorSet, given: Any) -> list[Any]:
    """Record the correlations of a user's Cholesky factor; artanh of its partial ones.

    With r the length of what is left of a row after column c, z = L_rc / sqrt(L_rc^2 + r^2)
    and artanh z = arsinh(L_rc / r), which is exact near -1 and 1 too.
    """
    name = corr_name(f.name)
    if name in pm.modelcontext(None).named_vars:
        raise ArgumentError(
            f"the model has a variable {name!r} already.",
            fix=f"give it another name: {name!r} is recorded from corr[{f.name!r}]",
        )
    K = f.n_columns
    L = _tensor(f"corr[{f.name!r}]", given, (K, K))
    rows: list[list[Any]] = [[float(i == j) for j in range(K)] for i in range(K)]
    partial = []
    for start, stop in priors.blocks[f.name]:
        for i in range(start, stop):
            length = pt.sqrt((L[i, start : i + 1] ** 2).sum())
            for j in range(start, i + 1):
                rows[i][j] = L[i, j] / length
            for j in range(start, i):
                left = pt.sqrt((L[i, j + 1 : i + 1] ** 2).sum())
                partial.append(pt.arcsinh(L[i, j] / left))
    full = as_matrix(rows)
    R = (full[:, None, :] * full[None, :, :]).sum(axis=-1)
    pm.Deterministic(name, R, dims=(term_dim(f.name), term_dim_bis(f.name)))
    return partial


def _own(name: str, given: Any, tensor: Any = None, dims: str | None = None) -> Any:
    """A user's tensor, recorded under the name of the parameter it is."""
    model = pm.modelcontext(None)
    tensor = _tensor(name, given, ()) if tensor is None else tensor
    if name not in model.named_vars:
        return pm.Deterministic(name, tensor, dims=dims)
    if model[name] is not given:
        raise ArgumentError(
            f"the model has a variable {name!r}, and another tensor was given for it.",
            fix=f"give model[{name!r}] itself, or another name to that variable",
        )
    return tensor


def _tensor(what: str, given: Any, shape: tuple[int, ...]) -> Any:
    """A tensor of this shape; a number may stand for a vector of one."""
    tensor = pt.as_tensor_variable(given)
    if shape == (1,) and tensor.ndim == 0:
        tensor = tensor[None]
    static = tensor.type.shape
    fits = len(static) == len(shape)
    if not fits or any(s not in (None, k) for s, k in zip(static, shape, strict=True)):
        raise ArgumentError(
            f"{what} has another shape than the model's.", found=f"{static}", fix=f"shape {shape}"
        )
    return specify_shape(tensor, shape) if shape else tensor


def _by_factor(argument: str, given: Any, names: list[str]) -> dict[str, Any]:
    """What was given by factor, or words that say which factors there are."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ArgumentError(
            f"{argument}= takes a dict by factor.",
            found=type(given).__name__,
            fix=f"{argument}={{{names[0] if names else 'Subject'!r}: tensor}}",
        )
    for name, tensor in given.items():
        if name not in names:
            near = suggest(str(name), names)
            having = "with correlations " if argument == "corr" else ""
            raise ArgumentError(
                f"{argument}= names {name!r}, and no factor {having}of the model is called so.",
                found=", ".join(names) or "none",
                fix=f"did you mean {near!r}?" if near else None,
            )
        if tensor is None:
            raise ArgumentError(
                f"{argument}[{name!r}] is None.",
                fix="leave it out for the prior of the model; || in the formula leaves "
                "correlations out",
            )
    return dict(given)


def _add_response(design: Design, priors: PriorSet, x: Any) -> Any:
    """The observed variable; the offset is its known mean, and gives it its length."""
    used = informative_rows(design)
    likelihood = MarginalLikelihood(design, priors)
    op, y = MarginalLogLikelihood(likelihood), np.array(design.y[used])

    def logp(value: Any, offset: Any, x: Any) -> Any:
        if not (isinstance(value, Constant) and np.array_equal(value.data, y)):
            raise NotImplementedError(
                "the marginal likelihood is that of the observed response: it is computed "
                "from sums over rows, which are made once"
            )
        outputs: Any = op(x)
        return outputs[0]

    def random(offset: Any, x: Any, rng: np.random.Generator, size: Any) -> FloatArray:
        shape = np.broadcast_shapes(offset.shape[:-1], x.shape[:-1]) if size is None else size
        flat = np.broadcast_to(x, (*shape, x.shape[-1])).reshape(-1, x.shape[-1])
        return simulate(design, priors, likelihood.constrained(flat), rng).reshape(*shape, -1)

    return pm.CustomDist(
        observed_name(design),
        np.array(design.offset[used]),
        x,
        logp=logp,
        random=random,
        signature="(n),(k)->(n)",
        class_name="MarginalNormal",
        observed=y,
        dims="obs",
    )


def simulate(
    design: Design,
    priors: PriorSet,
    parameters: Mapping[str, FloatArray],
    rng: np.random.Generator,
) -> FloatArray:
    """Responses with new random effects, and fixed effects drawn from their prior.

    Parameters
    ----------
    design : Design
    priors : PriorSet
    parameters : mapping of str to ndarray
        ``sd_<factor>`` (S, K), ``corr_<factor>`` (S, K, K) and ``sigma`` (S,).
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (S, n)
        Over the rows of positive weight.

    Raises
    ------
    PriorError
        A prior of a fixed effect is flat.
    """
    flat = [n for n, b in zip(priors.fixed_names, priors.beta, strict=True) if isinstance(b, Flat)]
    if flat:
        raise PriorError(
            "the marginal model draws fixed effects from their prior, and a flat one has no draws.",
            found=", ".join(f"beta[{name}]" for name in flat),
            fix="give them Normal priors; for responses given the data: "
            "model.recover(..., posterior_predictive=True)",
        )
    used, sigma = informative_rows(design), parameters["sigma"]
    S = len(sigma)
    eta = np.tile(design.offset[used], (S, 1))
    if priors.beta:
        beta = np.stack([b.sample(rng, S) for b in priors.beta], axis=-1)
        eta += priors.uncentred(beta) @ design.X[used].T
    for f in design.factors:
        z = rng.standard_normal((S, f.n_levels, f.n_columns))
        if f.has_correlations:
            L = np.linalg.cholesky(parameters[corr_name(f.name)])
            z = z @ np.swapaxes(L, -1, -2)
        b = z * parameters[sd_name(f.name)][:, None, :]
        eta += np.einsum("snk,nk->sn", b[:, f.codes[used]], f.columns[used])
    return design.family.simulate(
        rng, eta, aux={"sigma": sigma}, weights=design.weights[used], trials=None
    )
