"""Residual structures met with rows: blocks, their order, what is refused; and every verb."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import bayeslmm as bl
from bayeslmm.design.residual_structures import RowOrder

ORTHODONT = "tests/parity/residual/orthodont.csv"


@pytest.fixture(scope="module")
def orthodont():
    return pd.read_csv(ORTHODONT)


@pytest.fixture(scope="module")
def model(orthodont):
    return bl.Model(
        "distance ~ age + Sex + (1 | Subject)", orthodont, residual=bl.AR1("Subject", "visit")
    )


@pytest.fixture(scope="module")
def fit(model):
    return model.fit()


@pytest.fixture(scope="module")
def ratios(orthodont):
    return bl.fit("distance ~ age * Sex + (1 | Subject)", orthodont, residual=bl.VarianceBy("Sex"))


def order_of(model) -> RowOrder:
    return model.design.residual.order(model.design.used)


def small(**columns):
    frame = pd.DataFrame({"g": list("aaabbb"), "t": [3, 1, 7, 2, 5, 4], "y": [1.0, 2, 4, 3, 5, 8]})
    return frame.assign(**columns)


def test_rows_stand_in_time_within_their_block():
    order = order_of(bl.Model("y ~ 1", small(), residual=bl.AR1("g", "t")))
    assert order.rows.tolist() == [1, 0, 2, 3, 5, 4]
    assert order.step.tolist() == [1, 2, 4, 1, 2, 1]
    assert order.rank.tolist() == [0, 1, 2, 0, 1, 2]
    assert order.previous.tolist() == [0, 0, 1, 3, 3, 4]
    assert order.first.tolist() == [0, 0, 0, 3, 3, 3]


def test_without_time_rows_left_out_leave_a_gap():
    data = small(y=[1.0, np.nan, 4, 3, 5, 8], w=[1.0, 1, 1, 1, 0, 1])
    with pytest.warns(UserWarning, match="missing"):
        model = bl.Model("y ~ 1", data, weights="w", residual=bl.AR1("g"))
    assert order_of(model).step.tolist() == [1, 2, 1, 2]
    assert order_of(model).largest == 2


def test_missing_values_of_its_columns_leave_the_row_out():
    with pytest.warns(UserWarning, match="t: 1"):
        model = bl.Model("y ~ 1", small(t=[3, 1, np.nan, 2, 5, 4]), residual=bl.AR1("g", "t"))
    assert model.design.n == 5


def test_combinations_of_columns_are_blocks():
    data = small(h=["p", "p", "q", "p", "p", "q"], y=[1.0, 3, 2, 5, 4, 9])
    model = bl.Model("y ~ 1", data, residual=bl.CompoundSymmetry("g:h"))
    assert model.design.residual.levels == ("a:p", "a:q", "b:p", "b:q")
    assert model.design.residual.codes.tolist() == [0, 0, 1, 2, 2, 3]
    assert model.design.residual.structure.interval(order_of(model)) == (-1.0, 1.0)


def test_levels_follow_the_categories():
    data = small(s=pd.Categorical(list("zxyzxy"), categories=["z", "y", "x", "unused"]))
    model = bl.Model("y ~ 1", data, residual=bl.VarianceBy("s"))
    assert model.design.residual.names == ("sd_ratio[y]", "sd_ratio[x]")


@pytest.mark.parametrize(
    ("structure", "columns", "kind", "words"),
    [
        (bl.AR1("gg"), {}, KeyError, "did you mean `g`"),
        (bl.AR1("g", "when"), {}, KeyError, "time='when' is not a column"),
        (bl.AR1("g", "t"), {"t": [1, 1, 2, 1, 2, 3]}, ValueError, "have the same `t`"),
        (bl.AR1("g", "t"), {"t": [0.5, 1, 2, 1, 2, 3]}, ValueError, "not whole numbers"),
        (bl.AR1("g", "t"), {"t": list("uvwxyz")}, ValueError, "not whole numbers"),
        (bl.AR1("g"), {"g": list("abcdef")}, ValueError, "no level of `g` has two rows"),
        (bl.VarianceBy("g"), {"g": list("aaaaaa")}, ValueError, "two levels or more"),
        ("AR1", {}, ValueError, "takes a residual structure"),
    ],
)
def test_refused_in_words(structure, columns, kind, words):
    with pytest.raises(kind, match=words):
        bl.Model("y ~ 1", small(**columns), residual=structure)


def test_names_of_columns_are_text():
    with pytest.raises(ValueError, match="name of a column"):
        bl.AR1(by=3)
    with pytest.raises(ValueError, match="name of a column"):
        bl.CompoundSymmetry(by=None)


def test_a_random_intercept_is_compound_symmetry(orthodont):
    with pytest.raises(ValueError, match="same covariance"):
        bl.Model("distance ~ age + (age | Subject)", orthodont,
                 residual=bl.CompoundSymmetry("Subject"))  # fmt: skip


def test_only_gaussian_responses_have_residuals(orthodont):
    data = orthodont.assign(long=(orthodont["distance"] > 24).astype(int))
    with pytest.raises(ValueError, match="belongs to a Gaussian response"):
        bl.Model("long ~ age", data, family="bernoulli", residual=bl.AR1("Subject"))


def test_update_keeps_takes_and_drops_it(model, orthodont):
    assert model.update("~ . - Sex").design.residual.structure == bl.AR1("Subject", "visit")
    assert model.update(residual=None).design.residual is None
    assert model.update(residual=bl.VarianceBy("Sex")).design.residual.names == ("sd_ratio[Male]",)


def test_row_order_and_kind_of_table_do_not_matter(fit, orthodont):
    polars = pytest.importorskip("polars")
    shuffled = orthodont.sample(frac=1.0, random_state=2)
    for table in (shuffled, polars.from_pandas(shuffled)):
        again = bl.fit("distance ~ age + Sex + (1 | Subject)", table,
                       residual=bl.AR1("Subject", "visit"))  # fmt: skip
        assert again.llf == pytest.approx(fit.llf, abs=1e-9)
        np.testing.assert_allclose(again.residual_parameters, fit.residual_parameters, rtol=1e-6)


def test_units_of_the_response_do_not_matter(fit, orthodont):
    data = orthodont.assign(distance=1000.0 * orthodont["distance"] - 7.0)
    again = bl.fit("distance ~ age + Sex + (1 | Subject)", data,
                   residual=bl.AR1("Subject", "visit"))  # fmt: skip
    np.testing.assert_allclose(again.residual_parameters, fit.residual_parameters, rtol=1e-6)
    assert again.sigma == pytest.approx(1000.0 * fit.sigma, rel=1e-6)


def test_weights_times_a_constant(orthodont):
    formula, structure = "distance ~ age + (1 | Subject)", bl.AR1("Subject", "visit")
    w = np.tile([1.0, 2.0, 0.5, 4.0], 27)
    one, four = (bl.fit(formula, orthodont, weights=c * w, residual=structure) for c in (1.0, 4.0))
    assert four.sigma == pytest.approx(2.0 * one.sigma, rel=1e-6)
    np.testing.assert_allclose(four.residual_parameters, one.residual_parameters, rtol=1e-5)
    np.testing.assert_allclose(four.fe_bse, one.fe_bse, rtol=1e-6)


def test_excluded_rows_are_padded(orthodont):
    data = orthodont.copy()
    data.loc[5, "distance"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = bl.fit("distance ~ age + (1 | Subject)", data, na_action="exclude",
                     residual=bl.AR1("Subject", "visit"))  # fmt: skip
    assert np.flatnonzero(np.isnan(fit.fittedvalues)).tolist() == [5]


def test_saved_and_loaded(fit, ratios, tmp_path):
    for n, one in enumerate((fit, ratios)):
        again = bl.load(one.save(tmp_path / f"{n}.nc"))
        pd.testing.assert_series_equal(again.residual_parameters, one.residual_parameters)
        assert again.design.residual.structure == one.design.residual.structure
        assert again.n_params == one.n_params
        np.testing.assert_array_equal(again.predict(), one.predict())
        np.testing.assert_allclose(
            again.random_effects_se["Subject"], one.random_effects_se["Subject"], rtol=1e-12
        )


def test_refit_of_the_own_response_is_the_fit(fit):
    again = fit.refit(fit.design.y)
    assert again.llf == pytest.approx(fit.llf, abs=1e-9)
    np.testing.assert_allclose(again.residual_parameters, fit.residual_parameters, rtol=1e-6)


def test_summary_names_the_structure(fit, ratios):
    assert "Residual structure: AR(1) by Subject\n     Estimate Std. Error\n ar1" in str(fit)
    assert "Residual structure: SD ratios by Sex" in str(ratios)
    assert "sd_ratio[Male]" in str(ratios)


def test_predictions_are_without_residual_correlation(fit, ratios, orthodont):
    b = fit.random_effects["Subject"]
    fixed = fit.design.X @ fit.fe_params.to_numpy()
    np.testing.assert_allclose(fit.predict(), fixed + b[orthodont["Subject"]].to_numpy())
    subset = orthodont.iloc[[70, 3, 55]]
    for one in (fit, ratios):
        for interval in ("confidence", "prediction"):
            own = one.predict(interval=interval).iloc[[70, 3, 55]]
            pd.testing.assert_frame_equal(one.predict(subset, interval=interval), own)
    added = []
    for one in (fit, ratios):
        about, new = (one.predict(interval=k)["se"] for k in ("confidence", "prediction"))
        added.append(new**2 - about**2)
    np.testing.assert_allclose(added[0], fit.sigma**2)
    ratio = np.where(orthodont["Sex"] == "Male", ratios.residual_parameters.iloc[0], 1.0)
    np.testing.assert_allclose(added[1], (ratios.sigma * ratio) ** 2)
    plain = bl.fit("distance ~ age + (1 | Subject)", orthodont, residual=bl.VarianceBy("Sex"))
    assert np.isfinite(plain.predict(subset.assign(Sex="other"))).all()
    with pytest.raises(ValueError, match="SD of `Sex` other is not known"):
        plain.predict(subset.assign(Sex="other"), interval="prediction")


def test_simulated_residuals_have_the_structure(fit, ratios):
    """Lag-one and level-wise moments of 4000 simulated responses, within five standard errors."""
    rows = fit.design.residual
    strong = fit.design.residual.structure
    assert isinstance(strong, bl.AR1)
    e = fit.simulate(4000, random_seed=1, use_re=True) - fit.fittedvalues[:, None]
    order = rows.order(fit.design.used)
    later = np.flatnonzero(order.rank > 0)
    products = (e[order.rows[later]] * e[order.rows[order.previous[later]]]).mean(axis=0)
    expected = fit.sigma**2 * fit.residual_parameters["ar1"]
    assert abs(products.mean() - expected) < 5.0 * products.std() / np.sqrt(4000)
    e = ratios.simulate(4000, random_seed=1, use_re=True) - ratios.fittedvalues[:, None]
    male = ratios.design.residual.codes == 1
    for at, ratio in ((male, ratios.residual_parameters.iloc[0]), (~male, 1.0)):
        squares = (e[at] ** 2).mean(axis=0)
        error = squares.std() / np.sqrt(4000)
        assert abs(squares.mean() - (ratios.sigma * ratio) ** 2) < 5.0 * error


def test_likelihood_ratio_tests_of_a_structure(model, fit):
    plain = model.update(residual=None).fit()
    table = bl.anova(plain, fit).table
    assert table["model"].tolist() == [
        plain.formula,
        f"{fit.formula}, residual {model.design.residual.structure!r}",
    ]
    assert table["df"].iloc[1] == 1
    assert table["lrt"].iloc[1] == pytest.approx(2.0 * (fit.llf - plain.llf), abs=1e-9)
    other = model.update("~ . + age:Sex", residual=None).update("~ . + (0 + age | Subject)").fit()
    with (
        pytest.warns(UserWarning, match="refitted by ML"),
        pytest.raises(ValueError, match="a residual structure that the larger one has not"),
    ):
        bl.anova(fit, other)


def test_dropping_terms_keeps_the_structure(fit, model):
    table = fit.ranova().table
    gls = model.update("distance ~ age + Sex").fit()
    assert table["llf"].iloc[1] == pytest.approx(gls.llf, abs=1e-9)
    assert table["npar"].tolist() == [6, 5]


@pytest.mark.parametrize(
    "verb",
    [
        lambda f: f.with_df("kenward-roger"),
        lambda f: f.anova(df_method="kenward-roger"),
        lambda f: f.design_effect(),
        lambda f: f.conditional_aic(),
        lambda f: f.simulate(newdata=f.definition.data),
    ],
)
def test_verbs_that_are_not_there_say_so(fit, verb):
    with pytest.raises(ValueError, match="with a residual structure"):
        verb(fit)


def test_the_marginal_model_says_so(model):
    for verb in (
        lambda: model.to_pymc("marginal"),
        lambda: model.marginal_likelihood(),
        lambda: model.recover(None),
        lambda: model.sample(parameterization="marginal", progressbar=False),
        lambda: model.sample(sampler="independence", progressbar=False),
    ):
        with pytest.raises(ValueError, match="residual"):
            verb()


def test_fixed_effects_have_degrees_of_freedom(fit, model):
    assert fit.df_method == "satterthwaite"
    assert (fit.fe_df < fit.nobs).all()
    assert fit.anova().table["p"].notna().all()
    assert np.isinf(fit.with_df("normal").fe_df).all()
    assert model.fit("MAP").df_method == "normal"
    gls = model.update("distance ~ age + Sex").fit()
    assert "Satterthwaite" in gls.emmeans("Sex").caption
    assert "Satterthwaite" in gls.anova().caption
    # a new observation has more than the uncertainty of its mean: as for other mixed models
    frame = gls.predict(interval="prediction")
    half = norm.ppf(0.975) * frame["se"]
    np.testing.assert_allclose(frame["upper"] - frame["fit"], half)


def test_rows_of_the_structure_in_tables(fit, orthodont):
    table = fit.to_frame("variance").set_index("parameter")
    assert table.index.tolist() == ["sd_Subject[Intercept]", "sigma", "ar1"]
    row = table.loc["ar1"]
    assert (row["factor"], row["corr"]) == ("Residual", fit.residual_parameters["ar1"])
    assert row["corr_se"] == fit.residual_parameters_se["ar1"]
    assert "ratio" not in table and np.isnan(row["sd"])
    z = np.arctanh(row["corr"]) + np.array([-1, 1]) * norm.ppf(0.975) * row["corr_se"] / (
        1.0 - row["corr"] ** 2
    )
    np.testing.assert_allclose(row[["lower", "upper"]].tolist(), np.tanh(z), rtol=1e-9)
    limits = fit.confint("wald")
    assert limits.shape == (6, 2) and limits.index[-1] == "ar1"
    assert fit.confint(parm="variance").index.tolist() == table.index.tolist()
    ratios = bl.fit("distance ~ age", orthodont, residual=bl.VarianceBy("Sex"))
    row = ratios.to_frame("variance").set_index("parameter").loc["sd_ratio[Male]"]
    assert (row["term"], row["ratio"]) == ("Male", ratios.residual_parameters.iloc[0])
    half = norm.ppf(0.975) * row["ratio_se"] / row["ratio"]
    ends = row["ratio"] * np.exp([-half, half])
    np.testing.assert_allclose(row[["lower", "upper"]].tolist(), ends, rtol=1e-9)


def test_priors_of_the_parameters(orthodont, model):
    table = model.priors.table().set_index("parameter")
    assert table.loc["ar1", "prior"] == "Uniform(lower=-1, upper=1)"
    cs = bl.Model("distance ~ age", orthodont, residual=bl.CompoundSymmetry("Subject"))
    assert cs.priors.residual["rho"].bounds == pytest.approx((-1.0 / 3.0, 1.0))
    own = bl.Model("distance ~ age", orthodont, residual=bl.VarianceBy("Sex"),
                   priors={"sd_ratio": bl.LogNormal(0, 0.3)})  # fmt: skip
    assert own.priors.residual["sd_ratio[Male]"] == bl.LogNormal(0, 0.3)
    with pytest.raises(ValueError, match="lies between -1 and 1"):
        model.update(priors={"ar1": bl.Normal(0, 1)})
    with pytest.raises(ValueError, match="never negative"):
        bl.Model("distance ~ age", orthodont, residual=bl.VarianceBy("Sex"),
                 priors={"sd_ratio[Male]": bl.Normal(1, 1)})  # fmt: skip


def test_map_adds_the_prior_of_the_structure(model):
    """Under a prior on (0.3, 0.4) the mode, 0.06 otherwise, is its end."""
    narrow = model.update(priors={"ar1": bl.Uniform(0.3, 0.4)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = narrow.fit("MAP")
    assert fit.residual_parameters["ar1"] == 0.3
    assert fit.status is bl.FitStatus.AT_END


def test_a_ratio_the_data_do_not_tell_is_flat():
    """The only row of level d, which its own mean reproduces, says nothing by REML."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": [*"a" * 10, *"b" * 10, "d"], "y": rng.normal(size=21)})
    with pytest.warns(UserWarning, match="flat"):
        fit = bl.fit("y ~ g", data, residual=bl.VarianceBy("g"))
    assert fit.status is bl.FitStatus.FLAT
    assert fit.residual_parameters_se.isna().all()
    two = bl.fit("y ~ g", data[:20], residual=bl.VarianceBy("g"))
    assert fit.residual_parameters.iloc[0] == pytest.approx(two.residual_parameters.iloc[0])


def test_a_ratio_that_runs_to_zero_is_no_estimate():
    """By ML the same row makes the likelihood grow without bound."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": [*"a" * 10, *"b" * 10, "d"], "y": rng.normal(size=21)})
    with pytest.warns(UserWarning, match="not converged"):
        fit = bl.fit("y ~ g", data, method="ML", residual=bl.VarianceBy("g"))
    assert fit.status is bl.FitStatus.FAILED
    assert not fit.converged


def test_a_negative_correlation_up_to_its_end():
    """Rows whose means are nearly equal: rho next to -1/(m - 1), where lme4's intercept is 0."""
    rng = np.random.default_rng(1)
    y = rng.normal(size=(12, 4))
    y -= 0.9 * y.mean(axis=1, keepdims=True)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 4), "y": y.ravel()})
    fit = bl.fit("y ~ 1", data, residual=bl.CompoundSymmetry("g"))
    # one-way analysis of variance: the two mean squares are sigma^2 (1 + 3 rho), sigma^2 (1 - rho)
    between = 4.0 * y.mean(axis=1).var(ddof=1)
    within = (y - y.mean(axis=1, keepdims=True)).var() * 48.0 / 36.0
    rho = (between - within) / (between + 3.0 * within)
    assert -1.0 / 3.0 < rho < -0.3
    assert fit.residual_parameters["rho"] == pytest.approx(rho, rel=1e-6)
    assert fit.sigma**2 == pytest.approx(within / (1.0 - rho), rel=1e-6)


def test_shares_of_variance(fit, ratios, orthodont):
    sd, sigma = ratios.estimate.variance_values
    male = (orthodont["Sex"] == "Male").mean()
    residual = sigma**2 * (1.0 - male + male * ratios.residual_parameters.iloc[0] ** 2)
    fixed = (ratios.design.X @ ratios.fe_params.to_numpy()).var(ddof=1)
    icc = ratios.icc().table["estimate"].tolist()
    total = sd**2 + residual
    np.testing.assert_allclose(icc, [sd**2 / total, sd**2 / (total + fixed)])
    r2 = ratios.r2().table["estimate"].tolist()
    np.testing.assert_allclose(r2, [fixed / (total + fixed), (sd**2 + fixed) / (total + fixed)])
    sd, sigma = fit.estimate.variance_values
    assert fit.icc().table["estimate"][0] == pytest.approx(sd**2 / (sd**2 + sigma**2))
    assert "Correlated residuals" in str(fit.icc())


def test_implied_covariance_of_a_level(fit, ratios):
    sd, sigma = fit.estimate.variance_values
    at = np.arange(4)
    R = fit.residual_parameters["ar1"] ** np.abs(at[:, None] - at)
    np.testing.assert_allclose(fit.marginal_cov("M01"), sd**2 + sigma**2 * R)
    sd, sigma = ratios.estimate.variance_values
    for subject, ratio in (("M01", ratios.residual_parameters.iloc[0]), ("F01", 1.0)):
        expected = sd**2 + (sigma * ratio) ** 2 * np.eye(4)
        np.testing.assert_allclose(ratios.marginal_cov(subject), expected)


def test_implied_covariance_is_that_of_the_fit(orthodont):
    """Compound symmetry beside slopes, with weights, against simulated responses' definition."""
    w = np.tile([1.0, 2.0, 0.5, 4.0], 27)
    fit = bl.fit("distance ~ age + (0 + age | Subject)", orthodont.assign(w=w), weights="w",
                 residual=bl.CompoundSymmetry("Subject"))  # fmt: skip
    sd, sigma = fit.estimate.variance_values
    age, rho = np.array([8.0, 10, 12, 14]), fit.residual_parameters["rho"]
    R = rho + (1.0 - rho) * np.eye(4)
    expected = sd**2 * np.outer(age, age) + sigma**2 * R / np.sqrt(np.outer(w[:4], w[:4]))
    np.testing.assert_allclose(fit.marginal_cov("M01"), expected)


def test_reliability_is_that_of_the_blups(fit):
    """1 - Var(b^ - b) / Var(b), the prediction error variance by the joint normal."""
    sd, sigma = fit.estimate.variance_values
    design, n = fit.design, fit.nobs
    at = design.residual.position
    same = design.residual.codes[:, None] == design.residual.codes
    R = np.where(same, fit.residual_parameters["ar1"] ** np.abs(at[:, None] - at), 0.0)
    Z = (design.factors[0].codes[:, None] == np.arange(27)).astype(float)
    V = np.linalg.inv(sd**2 * Z @ Z.T + sigma**2 * R)
    P = V - V @ design.X @ np.linalg.solve(design.X.T @ V @ design.X, design.X.T @ V)
    assert P.shape == (n, n)
    expected = sd**2 * np.einsum("ij,ik,kj->j", Z, P, Z)
    np.testing.assert_allclose(fit.reliability()["reliability"], expected, rtol=1e-7)


def test_a_factor_may_not_be_called_as_the_parameter():
    data = small(ar1=list("aabbcc"), ratio=list("aabbcc"))
    for name, structure in (("ar1", bl.AR1("g")), ("ratio", bl.VarianceBy("g"))):
        with pytest.raises(ValueError, match="rename the column"):
            bl.Model(f"y ~ 1 + (1 | {name})", data, residual=structure)


def test_rows_of_weight_zero_are_simulated_where_they_can_be():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(12, 4))
    y[:, :3] -= 0.9 * y[:, :3].mean(axis=1, keepdims=True)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 4), "y": y.ravel()})
    data["w"] = np.tile([1.0, 1.0, 1.0, 0.0], 12)
    fit = bl.fit("y ~ 1", data, weights="w", residual=bl.CompoundSymmetry("g"))
    assert -0.5 < fit.residual_parameters["rho"] < -1.0 / 3.0
    with pytest.raises(ValueError, match="rows of weight zero"):
        fit.simulate()
    ar1 = bl.fit("y ~ 1", data, weights="w", residual=bl.AR1("g"))
    assert np.isfinite(ar1.simulate(2, random_seed=1)).all()
