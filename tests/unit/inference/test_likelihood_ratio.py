"""Likelihood-ratio tests: which models, which distribution, in which words."""

import warnings

import numpy as np
import pytest
from scipy import stats

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, BayeslmmWarning
from bayeslmm.inference.boundary import mixture_pvalue, random_difference
from bayeslmm.inference.likelihood_ratio import same_fixed_part
from bayeslmm.inference.null_distribution import bootstrap_statistics, exact_statistics
from bayeslmm.inference.ranova import reduced_designs

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def model():
    return bl.Model(FORMULA, bl.load_dataset("sleepstudy"))


def quietly(model, method=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(method)


def test_the_mixture():
    for df in (1, 2, 4):
        for x in (0.3, 2.7, 11.0):
            below = stats.chi2.sf(x, df - 1) if df > 1 else 0.0
            expected = (below + stats.chi2.sf(x, df)) / 2
            assert mixture_pvalue(x, df) == pytest.approx(expected, rel=1e-12)
    assert mixture_pvalue(0.0, 1) == mixture_pvalue(0.0, 3) == 1.0


def test_a_variance_and_its_covariance(model):
    plain = model.update("Reaction ~ Days + (1 | Subject)")
    found = bl.anova(model.fit(), plain.fit())
    table = found.table
    assert table["model"].tolist() == [plain.formula.text, FORMULA]
    lrt = 2 * (model.fit().llf - plain.fit().llf)
    last = table.iloc[1]
    assert last["lrt"] == pytest.approx(lrt, rel=1e-12) and last["df"] == 2
    assert last["p_mixture"] == pytest.approx(mixture_pvalue(lrt, 2), rel=1e-12)
    assert last["p_chi2"] == pytest.approx(stats.chi2.sf(lrt, 2), rel=1e-10)
    assert "REML likelihoods; each model" in found.caption and "df - 1" in found.caption
    assert "p_simulated" not in table


def test_a_correlation_is_not_at_the_end_of_its_range(model):
    apart = model.update("Reaction ~ Days + (Days || Subject)")
    last = bl.anova(apart.fit(), model.fit()).table.iloc[1]
    assert last["df"] == 1 and np.isnan(last["p_mixture"])
    # from no slope to an independent one there is one variance and nothing else
    none = model.update("Reaction ~ Days + (1 | Subject)")
    last = bl.anova(none.fit(), apart.fit()).table.iloc[1]
    assert last["p_mixture"] == pytest.approx(last["p_chi2"] / 2, rel=1e-12)


def test_two_variances_have_no_mixture():
    data = bl.load_dataset("Penicillin")
    none = bl.fit("diameter ~ 1", data)
    both = bl.fit("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    assert np.isnan(bl.anova(none, both).table.iloc[1]["p_mixture"])
    one = bl.fit("diameter ~ 1 + (1 | sample)", data)
    assert bl.anova(none, one, both).table["p_mixture"].notna().tolist() == [False, True, True]


def test_refitted_by_ml_where_fixed_parts_differ(model):
    smaller = model.update("Reaction ~ 1 + (Days | Subject)")
    with pytest.warns(BayeslmmWarning, match="their fixed parts differ"):
        found = bl.anova({"without": smaller.fit(), "with": model.fit()})
    direct = bl.anova({"without": smaller.fit("ML"), "with": model.fit("ML")})
    np.testing.assert_allclose(found.table["llf"], direct.table["llf"], rtol=1e-12)
    assert "for which without, with were refitted" in found.caption
    with pytest.warns(BayeslmmWarning, match="others were fitted by ML"):
        mixed = bl.anova(smaller.fit("ML"), model.fit())
    np.testing.assert_allclose(mixed.table["llf"], direct.table["llf"], rtol=1e-12)


def test_the_same_fixed_part_in_other_words(model):
    """Names do not matter; codings do, since they move REML likelihoods by a constant."""
    data = bl.load_dataset("sleepstudy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bl.anova(
            bl.fit("Reaction ~ Days + (1 | Subject)", data),
            bl.fit("Reaction ~ I(Days) + (Days | Subject)", data),
        )
    assert found.table.iloc[1]["lrt"] == pytest.approx(42.8372, abs=1e-3)
    small, large = "angle ~ recipe + (1 | replicate)", "+ (1 | recipe:replicate)"
    cake = bl.load_dataset("cake")
    with pytest.warns(BayeslmmWarning, match="refitted by ML"):
        coded = bl.fit(f"angle ~ C(recipe, Sum) + (1 | replicate) {large}", cake)
        found = bl.anova(bl.fit(small, cake), coded).table
    by_ml = bl.anova(*(bl.fit(f, cake, method="ML") for f in (small, small + large))).table
    np.testing.assert_allclose(found["llf"], by_ml["llf"], rtol=1e-10)


def test_restricted_likelihoods_move_with_the_coding():
    cake = bl.load_dataset("cake")
    plain = bl.fit("angle ~ recipe + (1 | replicate)", cake)
    coded = bl.fit("angle ~ C(recipe, Sum) + (1 | replicate)", cake)
    assert abs(plain.llf - coded.llf) > 0.1
    assert not same_fixed_part(plain.design, coded.design)
    other = bl.fit("angle ~ recipe + (1 | recipe:replicate)", cake)
    assert same_fixed_part(plain.design, other.design)


def test_refusals(model):
    data = bl.load_dataset("sleepstudy")
    fit = model.fit()
    with pytest.raises(ArgumentError, match="two fits or more"):
        bl.anova(fit)
    with pytest.raises(ArgumentError, match="no maximised likelihood"):
        bl.anova(fit, model.fit("MAP"))
    with pytest.raises(ArgumentError, match="180 and 170 rows"):
        bl.anova(fit, bl.fit("Reaction ~ Days + (1 | Subject)", data.iloc[10:]))
    with pytest.raises(ArgumentError, match="weights differ"):
        bl.anova(fit, bl.fit("Reaction ~ Days + (1 | Subject)", data, weights=np.full(180, 2.0)))
    with pytest.raises(ArgumentError, match="as many parameters"):
        bl.anova(fit, fit)
    data["z"] = np.arange(180) % 7
    other = bl.fit("Reaction ~ z + (1 | Subject)", data, method="ML")
    with pytest.raises(ArgumentError, match="fixed effects that the larger one has not"):
        bl.anova(other, model.fit("ML"))
    with pytest.raises(ArgumentError, match="random terms that the larger one has not"):
        bl.anova(quietly(bl.Model("Reaction ~ Days + (1 | z)", data)), fit)
    with pytest.raises(ArgumentError, match="posterior mode"):
        model.fit("MAP").ranova()
    smaller = bl.fit("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    for simulate in (-5, 1.5, True, "5"):
        with pytest.raises(ArgumentError, match="is no number of statistics to draw"):
            fit.ranova(simulate)
        with pytest.raises(ArgumentError, match="is no number of statistics to draw"):
            bl.anova(smaller, fit, simulate=simulate)
    with pytest.raises(ArgumentError, match="no random term"):
        bl.fit("Reaction ~ Days", data).ranova()


def test_terms_that_are_dropped():
    def names(formula, data="sleepstudy"):
        design = bl.Model(formula, bl.load_dataset(data)).design
        return {
            name: [(f.name, f.column_names) for f in d.factors]
            for name, d in reduced_designs(design)
        }

    assert names(FORMULA) == {
        "Days in (1 + Days | Subject)": [("Subject", ("Intercept",))],
    }
    assert names("Reaction ~ Days + (Days || Subject)") == {
        "1 in (1 + Days || Subject)": [("Subject", ("Days",))],
        "Days in (1 + Days || Subject)": [("Subject", ("Intercept",))],
    }
    assert names("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)") == {
        "(1 | Subject)": [("Subject", ("Days",))],
        "(0 + Days | Subject)": [("Subject", ("Intercept",))],
    }
    assert names("strength ~ 1 + (1 | batch/cask)", "Pastes") == {
        "(1 | batch)": [("batch:cask", ("Intercept",))],
        "(1 | batch:cask)": [("batch", ("Intercept",))],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells = names("angle ~ recipe + (0 + recipe | replicate)", "cake")
    ((name, left),) = cells.items()
    assert name.endswith("to (1 | replicate)") and left == [("replicate", ("Intercept",))]
    cells = names("Reaction ~ Days + (Days + I(Days**2) | Subject)")
    assert len(cells) == 2 and all(len(left[0][1]) == 2 for left in cells.values())


def test_a_reduced_design_is_the_model_written_out(model):
    for _, design in reduced_designs(model.design):
        found = random_difference(design, model.design)
        assert found == (1, 1, True)
    table = model.fit().ranova().table
    written = bl.fit("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    assert table["llf"].iloc[1] == pytest.approx(written.llf, rel=1e-12)
    data = bl.load_dataset("cake")
    cells = quietly(bl.Model("angle ~ recipe + (0 + recipe | replicate)", data)).ranova().table
    written = bl.fit("angle ~ recipe + (1 | replicate)", data)
    assert cells["llf"].iloc[1] == pytest.approx(written.llf, rel=1e-10)
    assert cells["df"].iloc[1] == 5 and np.isnan(cells["p_mixture"].iloc[1])


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_the_exact_distribution_is_that_of_refits(method):
    data = bl.load_dataset("sleepstudy").iloc[:70].copy()
    data["w"] = np.where(np.arange(70) % 11 == 0, 0.0, 1.0 + np.arange(70) % 3)
    rng = np.random.default_rng(3)
    data["Reaction"] = rng.normal(size=70)
    small = bl.Model("Reaction ~ Days", data, weights="w").fit(method)
    large = quietly(bl.Model("Reaction ~ Days + (1 | Subject)", data, weights="w"), method)
    exact = exact_statistics(large.design, method, 50_000, rng)
    refits = bootstrap_statistics(
        small.design, small.estimate, large.design, large.estimate, 500, rng
    )
    for at in (1e-6, 0.2, 1.0, 2.5):
        share, expected = (refits > at).mean(), (exact > at).mean()
        assert abs(share - expected) < 4.5 * np.sqrt(expected * (1 - expected) / 500), at


def test_simulated_pvalues_and_their_seed():
    data = bl.load_dataset("Dyestuff")
    fit = bl.fit("Yield ~ 1 + (1 | Batch)", data)
    first, second = (fit.ranova(simulate=20_000, random_seed=5).table for _ in range(2))
    assert first.equals(second)
    # Crainiceanu and Ruppert: fewer than half of the statistics are above zero
    assert first["p_simulated"].iloc[1] < first["p_mixture"].iloc[1]
    assert "exact" in fit.ranova(simulate=10, random_seed=1).caption
    slopes = bl.fit(FORMULA, bl.load_dataset("sleepstudy"))
    found = slopes.ranova(simulate=50, random_seed=1)
    assert "refitting" in found.caption
    assert found.table["p_simulated"].iloc[1] == pytest.approx(1 / 51)
