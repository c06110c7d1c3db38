"""Every feature of a model, through every verb of a point fit.

Each verb gives finite numbers that obey four laws, or refuses in words:

* rows in another order: the same numbers, rows in that order;
* rows of weight zero: as if they were not there;
* a constant added to response and offset: it is added to expected responses, and to nothing else;
* all weights doubled: sigma is sqrt(2) times as large, and nothing else moves.
"""

import numpy as np
import pytest

import bayeslmm as bl
from tests.laws.features import FEATURES, LAWS, SHIFT, case_of, model_of
from tests.laws.verbs import VERBS

# Laws of costly verbs; all of them for the others.
FEWER = {
    "summary": ["base"],
    "bootstrap cluster": ["base", "shift"],
    "save and load": ["base"],
    "all_optimizers": ["base"],
    "confint profile": ["base", "double"],
    "power": ["base", "shift"],
}
# Default priors are on the scale of the data but not of the weights; scale(x) counts every row.
NO_LAW = {("MAP", "double"), ("transformed", "zero")}
RESAMPLING = ["bootstrap parametric", "bootstrap residual", "bootstrap cluster", "power"]
STRUCTURED = [
    "simulate new",
    "with_df kenward-roger",
    "design_effect",
    "conditional_aic",
    "all_optimizers",
]
WITHOUT_LEVELS = ["ranova", "icc", "reliability", "marginal_cov", "bootstrap_se"]
# What a feature cannot have, and says so.
REFUSED = {
    "MAP": [
        *RESAMPLING,
        "aic and bic",
        "refit many",
        "confint profile",
        "ranova",
        "with_df satterthwaite",
        "with_df kenward-roger",
        "conditional_aic",
    ],
    "no random term": [
        *WITHOUT_LEVELS, "design_effect", "bootstrap cluster", "all_optimizers",
    ],
    "no fixed column": ["emmeans", "emtrends", "hypothesis", "power"],
    # levels of h, which cut the series of g, cannot be drawn
    "AR1": [*STRUCTURED, "bootstrap cluster"],
    "compound symmetry": [*STRUCTURED, *WITHOUT_LEVELS, "bootstrap cluster"],
    "variances by a factor": STRUCTURED,
}  # fmt: skip
# Largest difference of two fits of one model, over the larger of the number itself and 1.
TOLERANCE = 3e-6


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("feature", FEATURES)
def test_every_verb(feature, verb, tmp_path):
    laws = FEWER.get(verb, list(LAWS))
    if verb in REFUSED.get(feature, ()):
        with pytest.raises(bl.BayeslmmError) as caught:
            VERBS[verb](case_of(feature, "base", tmp_path))
        assert caught.value.what and caught.value.fix
        return
    base = case_of(feature, "base", tmp_path)
    expected = VERBS[verb](base)
    for key, values in expected.items():
        check_finite(base, key, values)
    for law in laws[1:]:
        if (feature, law) not in NO_LAW:
            case = case_of(feature, law, tmp_path)
            found = VERBS[verb](case)
            assert set(found) == set(expected)
            for key in expected:
                check_law(base, case, key, expected[key], found[key])


def check_finite(case, key, values):
    values = np.asarray(values, dtype=float)
    if "rows" in key.split():
        assert len(values) == len(case.labels)
        used = [label in set(case.kept) for label in case.labels]
        assert np.isnan(values[np.logical_not(used)]).all()
        values = values[used]
    # on the boundary there are no standard errors
    if case.fit.status is bl.FitStatus.CONVERGED:
        assert np.isfinite(values).all(), key


def check_law(base, case, key, expected, found):
    """What a law says of one kind of numbers."""
    words, law = key.split(), case.law
    if "unordered" in words and law in ("order", "zero"):
        return  # random numbers fall to rows in their order
    expected, found = (np.asarray(v, dtype=float) for v in (expected, found))
    if "sigma" in words and law == "double":
        found = found / np.sqrt(2.0)
    if "at" in words and law == "shift":
        found = found - SHIFT
    if "rows" in words:
        place = {label: i for i, label in enumerate(case.labels)}
        found = found[[place[label] for label in base.labels]]
        if law == "double":  # a row of weight zero is predicted as one of weight one
            w = dict(zip(base.kept, base.model.design.weights, strict=True))
            counts = [w.get(label, 1.0) > 0.0 for label in base.labels]
            expected, found = expected[counts], found[counts]
    assert found.shape == expected.shape, (law, key)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    error = np.abs(found - expected) / np.maximum(np.abs(expected), 1.0)
    assert np.nanmax(error, initial=0.0) < TOLERANCE, (law, key)


@pytest.mark.parametrize("kind", ["noncentered", "marginal"])
@pytest.mark.parametrize("feature", FEATURES)
def test_every_log_density(feature, kind):
    """The PyMC model of a feature: its log density obeys the laws."""
    import pytensor

    law = "shift and order" if feature == "transformed" else "together"
    models = [model_of(feature, k)[0] for k in ("base", law)]
    if kind == "marginal" and "residual" in FEATURES[feature].options:
        with pytest.raises(bl.BayeslmmError, match="not there for a model with a residual"):
            models[0].to_pymc(kind)
        return
    values = []
    for model in models:
        made = model.to_pymc(kind)
        with pytensor.config.change_flags(mode="FAST_COMPILE"):
            density = made.compile_logp()
        point = {k: v + 0.1 for k, v in made.initial_point().items()}
        values.append(float(density(point)))
    assert np.isfinite(values).all()
    assert values[1] == pytest.approx(values[0], rel=1e-10)
