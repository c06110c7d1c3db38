"""Tests of terms: what the hypotheses are, whatever the coding."""

import itertools

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError
from bayeslmm.inference.contrasts import joint_test
from bayeslmm.inference.term_hypotheses import term_contrasts


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    n = 150
    a = rng.choice(["a1", "a2", "a3"], n, p=[0.5, 0.3, 0.2])
    b = rng.choice(["b1", "b2"], n, p=[0.7, 0.3])
    s = rng.integers(0, 20, n)
    x = rng.normal(5.0, 2.0, n)
    y = 2.0 * (a == "a2") + (b == "b2") + 0.3 * x + rng.normal(size=20)[s] + rng.normal(size=n)
    return pd.DataFrame({"a": a, "b": b, "x": x, "s": s, "y": y})


def contrasts(formula, data, kind):
    design = bl.Model(formula, data).design
    return design, term_contrasts(design, kind)


def same_rows(A, B):
    """Whether two matrices have the same row space."""
    rank = np.linalg.matrix_rank
    return rank(A) == rank(B) == rank(np.vstack([A, B]))


def test_type_three_compares_means_of_cells_alike(data):
    design, L = contrasts("y ~ a * b + (1 | s)", data, "III")
    cells = design.for_new(
        pd.DataFrame(
            itertools.product(["a1", "a2", "a3"], ["b1", "b2"]), columns=["a", "b"]
        ).assign(s=0)
    ).X.reshape(3, 2, -1)
    over_b, over_a = cells.mean(axis=1), cells.mean(axis=0)
    assert same_rows(L["a"], over_b[1:] - over_b[0])
    assert same_rows(L["b"], over_a[1:] - over_a[0])
    both = cells - over_b[:, None] - over_a[None] + cells.mean(axis=(0, 1))
    assert same_rows(L["a:b"], both.reshape(6, -1))


@pytest.mark.parametrize(
    "coded",
    [
        "y ~ C(a, Sum) * C(b, Sum) + x + (1 | s)",
        "y ~ C(a, Treatment('a3')) * b + x + (1 | s)",
        "y ~ x + C(a, Sum) * b + (1 | s)",
    ],
)
@pytest.mark.parametrize("kind", ["III", "II"])
def test_coding_and_order_do_not_matter(data, coded, kind):
    plain = bl.fit("y ~ a * b + x + (1 | s)", data).anova(kind).table.set_index("term")
    other = bl.fit(coded, data).anova(kind).table.set_index("term")
    for there in other.index:
        here = next(
            t
            for t in plain.index
            if set(t.split(":")) == {p.removeprefix("C(").split(",")[0] for p in there.split(":")}
        )
        np.testing.assert_allclose(
            other.loc[there, ["df_num", "F"]].astype(float),
            plain.loc[here, ["df_num", "F"]].astype(float),
            rtol=1e-6,
        )
    assert len(other) == len(plain) == 4


def test_kenward_roger_does_not_depend_on_coding_either(data):
    plain = bl.fit("y ~ a * b + x + (1 | s)", data).anova(df_method="kenward-roger").table
    other = bl.fit("y ~ C(a, Sum) * C(b, Sum) + x + (1 | s)", data)
    table = other.anova(df_method="kenward-roger").table
    np.testing.assert_allclose(
        table.iloc[:, 1:].astype(float), plain.iloc[:, 1:].astype(float), rtol=1e-6
    )


def test_a_covariate_keeps_its_factors_apart(data):
    """With a:x in the model, `a` is tested where x is zero: `a:x` does not contain it."""
    _, L = contrasts("y ~ a * x + (1 | s)", data, "III")
    np.testing.assert_allclose(L["a"], np.eye(6)[1:3], atol=1e-8)
    design, L = contrasts("y ~ a * x + (1 | s)", data, "III")
    slopes = np.zeros((1, design.p))
    names = list(design.fixed_names)
    slopes[0, names.index("x")] = 1.0
    for name in names:
        if name.startswith("a[") and name.endswith(":x"):
            slopes[0, names.index(name)] = 1 / 3
    assert same_rows(L["x"], slopes)


def test_types_one_and_two_are_those_of_least_squares(data):
    """Numerators for ordinary models: differences of residual sums of squares."""

    def rss(formula):
        fit = bl.fit(f"y ~ {formula}", data)
        return fit.scale * (fit.nobs - fit.design.p)

    fit = bl.fit("y ~ a * b + x", data)
    one = fit.anova("I").table.set_index("term")["sumsq"]
    steps = ["1", "a", "a + b", "a + b + x", "a * b + x"]
    expected = [rss(p) - rss(q) for p, q in itertools.pairwise(steps)]
    np.testing.assert_allclose(one, expected, rtol=1e-8)
    two = fit.anova("II").table.set_index("term")["sumsq"]
    expected = [
        rss("b + x") - rss("a + b + x"),
        rss("a + x") - rss("a + b + x"),
        rss("a * b") - rss("a * b + x"),
        rss("a + b + x") - rss("a * b + x"),
    ]
    np.testing.assert_allclose(two, expected, rtol=1e-8)


def test_nested_terms_and_models_without_intercept(data):
    nested = bl.fit("y ~ a / b + (1 | s)", data)
    design, L = contrasts("y ~ a / b + (1 | s)", data, "III")
    cells = design.for_new(
        pd.DataFrame(
            itertools.product(["a1", "a2", "a3"], ["b1", "b2"]), columns=["a", "b"]
        ).assign(s=0)
    ).X.reshape(3, 2, -1)
    means = cells.mean(axis=1)
    assert same_rows(L["a"], means[1:] - means[0])
    assert nested.anova().table["df_num"].tolist() == [2, 3]
    cell_means = bl.fit("y ~ 0 + a + (1 | s)", data).anova().table
    assert cell_means["df_num"].tolist() == [3]


def test_a_missing_cell_leaves_what_can_be_estimated(data):
    with pytest.warns(UserWarning, match="rank deficient"):
        fit = bl.fit("y ~ a * b + (1 | s)", data[~((data["a"] == "a3") & (data["b"] == "b2"))])
    assert fit.anova().table["df_num"].tolist() == [2, 1, 1]


def test_a_term_others_determine_has_an_empty_row(data):
    with pytest.warns(UserWarning, match="rank deficient"):
        fit = bl.fit("y ~ a + x + I(2 * x) + (1 | s)", data)
    for kind in ("I", "II", "III"):
        table = fit.anova(kind).table.set_index("term")
        assert table.loc["I(2 * x)", "df_num"] == 0 and np.isnan(table.loc["I(2 * x)", "p"])
        assert table.loc["x", "df_num"] == 1 and table.loc["x", "p"] < 1


def test_tables_say_what_they_are(data):
    fit = bl.fit("y ~ a * b + (1 | s)", data)
    assert "Type III tests" in repr(fit.anova()) and '(df_method "satterthwaite")' in repr(
        fit.anova()
    ).replace("\n", " ")
    normal = fit.anova(2, df_method="normal")
    assert normal.caption.startswith("Type II tests") and "chi-square" in normal.caption
    assert (normal.table["df_den"] == np.inf).all()
    L = term_contrasts(fit.design, "II")["a"]
    e = L @ fit.estimate.beta
    wald = e @ np.linalg.solve(L @ fit.fe_cov @ L.T, e)
    assert pytest.approx(wald / 2, rel=1e-10) == joint_test(fit.with_df("normal"), L).F
    for kind in ("III", "II", "I"):
        mean = bl.fit("y ~ 1 + (1 | s)", data).anova(kind)
        assert repr(mean) == "The fixed part has no term to test." and mean.table.empty
    with pytest.raises(ArgumentError, match="type='IV' is not known"):
        fit.anova("IV")
