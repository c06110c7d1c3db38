"""Rows left out, effects integrated out: against conditionals of a dense normal distribution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.design import Design
from bayeslmm.engine.gaussian import MarginalPosterior, folding
from bayeslmm.engine.gaussian.leaving_out import LeavingOut, Sets
from bayeslmm.errors import FitError
from bayeslmm.priors import PriorSet
from tests.oracle.dense import LOG_2PI, Dense, cholesky, forward
from tests.oracle.designs import CASES
from tests.oracle.test_chain import model as chain_model

# A dense conditional of this many sets at most, evenly spread.
MOST = 40
# ``beta`` alone leaves the intercept its default prior
FLAT = {"beta": bl.Flat(), "beta[Intercept]": bl.Flat()}


def sets_of(design: Design, what: str) -> Sets:
    if what == "obs":
        return Sets.each_row(design)
    return Sets.levels(design, [f.name for f in design.factors].index(what))


def halves_of(design: Design, size: float) -> list[np.ndarray]:
    """A square root of the covariance of one level's effects, by factor; one draw."""
    rng = np.random.default_rng(3)
    found = []
    for f in design.factors:
        T = size * rng.normal(size=(f.n_columns, f.n_columns)) * f.pattern
        T[np.diag_indices(len(T))] += size * np.sign(np.diag(T))
        found.append(T[None])
    return found


def normal(design: Design, priors: PriorSet, halves: Any, sigma: float) -> tuple[Any, Any, Any]:
    """Mean and covariance of y, and y; extended precision, rows of positive weight."""
    dense = Dense(design)
    mean, precision = (v.astype(np.longdouble) for v in priors.normal_beta())
    cov = sigma**2 * dense.V([h[0] / sigma for h in halves])
    if dense.p:
        half = forward(cholesky(precision), dense.X.T)
        cov += half.T @ half
    return dense.X @ mean, cov, dense.y


def log_conditional(mean: Any, cov: Any, y: Any, g: np.ndarray) -> float:
    """Log density of y_g given the other rows, of a joint normal."""
    o = ~g
    L = cholesky(cov[np.ix_(o, o)])
    across, rest = forward(L, cov[np.ix_(o, g)]), forward(L, (y - mean)[o])
    own = cholesky(cov[np.ix_(g, g)] - across.T @ across)
    e = forward(own, (y - mean)[g] - across.T @ rest)
    return float(-0.5 * g.sum() * LOG_2PI - np.log(np.diag(own)).sum() - 0.5 * e @ e)


def expected(design: Design, priors: PriorSet, halves: Any, sigma: float, sets: Sets) -> dict:
    """The dense conditional of some sets; with flat priors, of marginal densities."""
    of = sets.of[design.weights > 0]
    some = np.unique(of)
    some = some[:: -(-len(some) // MOST)]
    if all(isinstance(b, bl.Normal) for b in priors.beta):
        joint = normal(design, priors, halves, sigma)
        return {g: log_conditional(*joint, of == g) for g in some}
    T, out = [h[0] / sigma for h in halves], {}
    whole = Dense(design).log_marginal(T, sigma, priors)
    for g in some:
        others = replace(design, weights=np.where(sets.of == g, 0.0, design.weights))
        out[g] = float(whole - Dense(others).log_marginal(T, sigma, priors))
    return out


def check(
    model: bl.Model,
    what: str,
    *,
    size: float = 6.0,
    sigma: float = 9.0,
    rtol: float = 2e-14,
    **options: Any,
) -> None:
    design, sets = model.design, sets_of(model.design, what)
    leaving = LeavingOut(design, model.priors, sets, **options)
    halves = halves_of(design, size)
    found = leaving.log_likelihood(halves, np.array([sigma]))[0]
    want = expected(design, model.priors, halves, sigma, sets)
    assert set(want) <= set(leaving.occurring)
    at = {g: i for i, g in enumerate(leaving.occurring)}
    assert len(at) == len(np.unique(sets.of[design.weights > 0]))
    ours = np.array([found[at[g]] for g in want])
    np.testing.assert_allclose(ours, list(want.values()), rtol=rtol, atol=rtol)


def left_out(name: str) -> list[str]:
    return ["obs", *(f.name for f in CASES[name].model().design.factors)]


EACH = [(name, what) for name in CASES for what in left_out(name)]
# slopes on years: data say 1e7 times what the prior of a level says, and that cancels
YEARS = {k: 1e-9 for k in ("years", "years, uncorrelated", "years, no fixed slope")}


@pytest.mark.parametrize(("name", "what"), EACH)
def test_every_row_and_level(name, what):
    check(CASES[name].model(), what, rtol=YEARS.get(name, 2e-14))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("crossed slopes", "obs"),
        ("crossed slopes", "g"),
        ("nested", "g:h"),
        ("weights and offset", "h"),
        ("no random term", "obs"),
    ],
)
@pytest.mark.parametrize("priors", [FLAT, {"beta": bl.Flat()}])
def test_flat_fixed_effects(name, what, priors):
    check(CASES[name].model(priors=priors), what)


@pytest.mark.parametrize("what", ["obs", "pupil", "cls", "sch", "item"])
def test_up_a_chain(what):
    """Three eliminated factors one in the other, a crossed one, slopes, weights."""
    assert len(LeavingOut(chain_model().design, chain_model().priors,
                          sets_of(chain_model().design, what)).objective.cp.chain) == 3  # fmt: skip
    check(chain_model(), what, size=1.0, sigma=1.3, rtol=2e-13)


@pytest.mark.parametrize(
    ("name", "what"),
    [("crossed slopes", "h"), ("nested slopes", "g"), ("full couplings", "g"),
     ("weights, slopes, crossed", "h"), ("weights and offset", "g")],
)  # fmt: skip
def test_large_sets_are_left_out_of_the_cross_products(name, what):
    check(CASES[name].model(), what, most_rows=1, rtol=2e-12)


def test_couplings_times_the_inverse_need_not_be_kept(monkeypatch):
    for name, what in (("full couplings", "h"), ("three crossed", "k")):
        model = CASES[name].model()
        leaving = LeavingOut(model.design, model.priors, sets_of(model.design, what))
        halves, sigma = halves_of(model.design, 5.0), np.array([8.0])
        kept = leaving.log_likelihood(halves, sigma)
        monkeypatch.setattr(folding, "_KEPT", -1)
        np.testing.assert_allclose(leaving.log_likelihood(halves, sigma), kept, rtol=1e-13)
        monkeypatch.undo()


def test_rows_that_share_their_levels_are_rotated():
    """Twenty rows of a level are three, and a sum of squares."""
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.repeat(np.arange(5), 20), "x": rng.normal(size=100)})
    data["y"] = rng.normal(size=5)[data["g"]] + data["x"] + rng.normal(size=100)
    model = bl.Model("y ~ x + (1 | g)", data, weights=rng.uniform(0.2, 3.0, 100))
    leaving = LeavingOut(model.design, model.priors, sets_of(model.design, "g"))
    assert np.diff(leaving._rows.start).tolist() == [3] * 5
    check(model, "g", size=0.7, sigma=1.1)


@pytest.mark.parametrize("what", ["obs", "g", "h", "g:h"])
@pytest.mark.parametrize("ratio", [10.0, 1e3])
def test_where_a_level_is_all_data(ratio, what):
    """Digits are lost with the square of SD over sigma, as in M itself, and no faster."""
    rtol = 3e-15 * (4.0 * ratio) ** 2
    for name in ("crossed", "nested"):
        if what in left_out(name):
            check(CASES[name].model(), what, size=ratio, sigma=1.0, rtol=rtol)
            check(CASES[name].model(), what, size=ratio, sigma=1.0, rtol=rtol, most_rows=0)


def test_a_set_that_rounding_loses_goes_the_other_way(monkeypatch):
    densities = folding.Folding.densities

    def lose(self: Any, *arguments: Any) -> None:
        densities(self, *arguments)
        arguments[-1][2] = arguments[-2][2] = np.nan

    monkeypatch.setattr(folding.Folding, "densities", lose)
    check(CASES["crossed"].model(), "g", rtol=2e-13)


def test_several_draws_and_singular_covariances():
    model = CASES["slopes"].model()
    design = model.design
    one, zero = halves_of(design, 4.0)[0][0], np.zeros((2, 2))
    line = np.array([[3.0, 0.0], [1.0, 0.0]])
    draws = [np.stack([one, zero, line])]
    sigmas = np.array([7.0, 11.0, 9.0])
    leaving = LeavingOut(design, model.priors, sets_of(design, "g"))
    found = leaving.log_likelihood(draws, sigmas)
    for s in range(3):
        want = expected(
            design, model.priors, [draws[0][s : s + 1]], sigmas[s], sets_of(design, "g")
        )
        np.testing.assert_allclose(found[s], list(want.values()), rtol=2e-14)


def test_the_density_ratio_is_that_of_the_posteriors_without_the_set():
    """log p(theta | y) - log p(y_g | y_-g, theta) is log p(theta | y_-g) but for a constant."""
    model = CASES["weights, slopes, crossed"].model()
    design = model.design
    whole = MarginalPosterior(design, model.priors)
    rng = np.random.default_rng(9)
    x = whole.start() + 0.3 * rng.normal(size=(6, whole.size))
    given = whole.constrained(x)
    halves = []
    for f in design.factors:
        R = given.get(
            f"corr_{f.name}", np.broadcast_to(np.eye(f.n_columns), (6,) + (f.n_columns,) * 2)
        )
        halves.append(given[f"sd_{f.name}"][:, :, None] * np.linalg.cholesky(R))
    sets = sets_of(design, "g")
    ratio = LeavingOut(design, model.priors, sets).log_likelihood(halves, given["sigma"])
    for g in range(sets.count):
        others = replace(design, weights=np.where(sets.of == g, 0.0, design.weights))
        without = MarginalPosterior(others, model.priors)
        gap = [whole(v)[0] - r - without(v)[0] for v, r in zip(x, ratio[:, g], strict=True)]
        assert np.ptp(gap) < 1e-11


def test_sets_without_which_flat_fixed_effects_are_not_determined():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"g": np.repeat(list("abcd"), 5), "y": rng.normal(size=20)})
    data["c"] = np.where(data["g"] == "b", "new", "old")
    flat = bl.Model("y ~ c + (1 | g)", data, priors=FLAT)
    sets = sets_of(flat.design, "g")
    assert LeavingOut(flat.design, flat.priors, sets).undetermined().tolist() == [1]
    rows = sets_of(flat.design, "obs")
    assert LeavingOut(flat.design, flat.priors, rows).undetermined().tolist() == []
    data["c"] = np.where(np.arange(20) == 7, "new", "old")
    one = bl.Model("y ~ c + (1 | g)", data, priors=FLAT)
    assert LeavingOut(one.design, one.priors, rows).undetermined().tolist() == [7]
    proper = bl.Model("y ~ c + (1 | g)", data)
    assert LeavingOut(proper.design, proper.priors, rows).undetermined().tolist() == []
    check(proper, "obs", size=0.8, sigma=1.0)


def test_draws_at_which_nothing_can_be_computed() -> None:
    model = CASES["intercepts"].model()
    leaving = LeavingOut(model.design, model.priors, sets_of(model.design, "g"))
    with pytest.raises(FitError, match="nothing can be computed at these variance parameters"):
        leaving.log_likelihood(halves_of(model.design, np.nan), np.array([9.0]))
