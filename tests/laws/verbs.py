"""Every verb of a point fit, as numbers that can be compared.

Each takes a `Case` and gives a dict. The words of a key say what its values are: `at` moves
with a constant in the response, `sigma` with sigma, `rows` are in the order of the rows, and
`unordered` come from random numbers that fall to rows in their order.
"""

import warnings

import numpy as np
import pandas as pd

import bayeslmm as bl


def numbers(frame):
    """Numbers of a table; degrees of freedom of the normal distribution, infinity, as 0."""
    df = {k: frame[k].replace(np.inf, 0.0) for k in ("df", "df_den") if k in frame}
    return frame.assign(**df).select_dtypes("number").to_numpy(dtype=float)


def by_parameter(frame):
    """Tables with parameters as index or first column: sigma apart."""
    named = frame.set_index("parameter") if "parameter" in frame else frame
    is_sigma = np.array([str(k) == "sigma" for k in named.index])
    return {"sigma": numbers(named[is_sigma]), "others": numbers(named[~is_sigma])}


def summary(case):
    text, html = str(case.fit.summary()), case.fit.summary()._repr_html_()
    assert all(name in text for name in case.fit.fe_params.index)
    assert case.fit.formula in text and "<" in html
    return {}


def to_frame_fixed(case):
    return {"table": numbers(case.fit.to_frame("fixed"))}


def to_frame_random(case):
    return {"table": numbers(case.fit.to_frame("random"))}


def to_frame_variance(case):
    """SDs with errors and limits, correlations and covariances, and ratios of residual SDs."""
    frame = case.fit.to_frame("variance")
    limits = ["lower", "upper"]
    at_sigma, pairs = frame["parameter"] == "sigma", frame["term2"].notna()
    structure = (frame["factor"] == "Residual") & ~at_sigma
    of = ["ratio", "ratio_se"] if "ratio" in frame else ["corr", "corr_se"]
    others = ~at_sigma & ~pairs & ~structure
    return {
        "sigma": frame.loc[at_sigma, ["sd", "sd_se", *limits]].to_numpy(),
        "others": frame.loc[others, ["sd", "sd_se", *limits]].to_numpy(),
        "pairs": frame.loc[pairs, ["variance", "corr", "corr_se", *limits]].to_numpy(),
        "structure": frame.loc[structure, [*of, *limits]].to_numpy(),
    }


def fitted(case):
    return {"at rows": case.fit.fittedvalues, "rows": case.fit.resid}


def information(case):
    fit = case.fit
    return {"all": np.array([fit.llf, fit.n_params, fit.df_resid]), "theta": len(fit.theta)}


def aic_bic(case):
    return {"all": np.array([case.fit.aic, case.fit.bic])}


def variance_cov(case):
    names = [n for n in case.fit.variance_cov.index if n != "sigma"]
    return {"rest": case.fit.variance_cov.loc[names, names].to_numpy()}


def _predicted(frame, rows=""):
    limits = frame[["fit", "lower", "upper"]].to_numpy()
    return {f"at{rows}": limits, f"{rows.strip() or 'se'}": frame["se"].to_numpy()}


def predict_variant(include_re, interval, new):
    def verb(case):
        table = case.new if new else None
        got = case.fit.predict(table, include_re=include_re, interval=interval)
        if interval == "none":
            return {"at" if new else "at rows": got}
        return _predicted(got, "" if new else " rows")

    return verb


def predict_terms(case):
    terms = [t.text for t in case.fit.design.spec.random][:1]
    return {"at": case.fit.predict(case.new, terms=terms)}


def simulate(case):
    drawn = [case.fit.simulate(3, 1, use_re=use) for use in (True, False)]
    assert drawn[0].shape == drawn[1].shape == (len(case.labels), 3)
    return {"unordered at rows": np.hstack(drawn)}


def simulate_new(case):
    drawn = case.fit.simulate(3, 1, newdata=case.new)
    assert drawn.shape == (4, 3)
    return {"at": drawn}


def _own_response(case):
    """Two responses that go with the rows by their labels."""
    noise = np.random.default_rng(1).normal(size=(48, 2))
    at = [int(k.split()[1]) for k in case.kept]
    return case.model.design.y[:, None] + 0.3 * noise[at]


def refit(case):
    one = case.fit.refit(_own_response(case)[:, 0])
    return {"fixed": numbers(one.to_frame("fixed")), "sigma": one.sigma, "llf": one.llf}


def refit_many(case):
    many = case.fit.refit(_own_response(case))
    assert len(many) == 2
    return {
        "fixed": many.fe_params.to_numpy(),
        "variances": many.variances.drop(columns="sigma").to_numpy(),
        "sigma": many.variances["sigma"].to_numpy(),
        "llf": many.llf.to_numpy(),
    }


def bootstrap_kind(kind):
    def verb(case):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bl.BayeslmmWarning)
            got = case.fit.bootstrap(6, kind, random_seed=1, progressbar=False)
        assert len(got.replicates) == 6 and got.n_failed == 0
        drawn = got.replicates
        return {
            "sigma": got.estimates["sigma"],
            "others": got.estimates.drop("sigma").to_numpy(),
            "unordered sigma": drawn["sigma"].to_numpy(),
            "unordered others": drawn.drop(columns="sigma").to_numpy(),
        }

    return verb


def confint_method(method):
    def verb(case):
        return by_parameter(case.fit.confint(method))

    return verb


def anova_type(kind):
    def verb(case):
        return {"table": numbers(case.fit.anova(kind).table.drop(columns=["sumsq", "meansq"]))}

    return verb


def ranova(case):
    return {"table": numbers(case.fit.ranova().table.iloc[1:])}


def with_df(method):
    def verb(case):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bl.BayeslmmWarning)  # ML is refitted by REML
            return {"table": numbers(case.fit.with_df(method).to_frame("fixed"))}

    return verb


def emmeans(case):
    means = case.fit.emmeans("c")
    pairs = means.contrast("pairwise", adjust="none").table
    return {
        "at": means.table[["emmean", "lower", "upper"]].to_numpy(),
        "errors": numbers(means.table[["se", "df"]]),
        "pairs": numbers(pairs),
    }


def emtrends(case):
    return {"table": numbers(case.fit.emtrends("c", var="x").table)}


def _last_effect(case):
    return case.fit.fe_params.index[-1] if len(case.fit.fe_params) else "x"


def hypothesis(case):
    last = _last_effect(case)
    return {"table": numbers(case.fit.hypothesis(f"{last} = 0.5").table)}


def icc(case):
    return {"table": numbers(case.fit.icc().table)}


def r2(case):
    return {"table": numbers(case.fit.r2().table)}


def design_effect(case):
    return {"table": numbers(case.fit.design_effect().table)}


def reliability(case):
    return {"table": numbers(case.fit.reliability())}


def marginal_cov(case):
    factors = case.fit.design.factors
    factor = factors[0].name if factors else "g"
    got = case.fit.marginal_cov(factors[0].levels[0] if factors else "A", factor=factor)
    labels = [case.index[k] if isinstance(k, int) else k for k in got.index]
    order = np.argsort(labels)
    return {"rest": got.to_numpy()[np.ix_(order, order)]}


def conditional_aic(case):
    got = case.fit.conditional_aic()
    return {"all": np.array([got.caic, got.loglik, got.df])}


def bootstrap_se(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayeslmmWarning)
        return {"unordered": case.fit.bootstrap_se("mean", 20, seed=1)}


def power(case):
    got = bl.power(case.fit, _last_effect(case), [0.5], 5, random_seed=1, progressbar=False).table
    assert got["failed"].item() == 0
    return {"unordered": numbers(got)}


def all_optimizers(case):
    got = case.fit.all_optimizers()
    newton = got.table[got.table["optimizer"].str.startswith("Newton")]
    assert len(got.table) == 8 and (got.table["above_fit"] > -1e-7).all()
    assert (newton["above_fit"] < 1e-7).all() and (newton["fixed_difference"] < 1e-5).all()
    return {"criterion": newton["criterion"].to_numpy()}


def save_and_load(case):
    path = case.folder / "fit.nc"
    case.fit.save(path)
    loaded = bl.load(path)
    for effects in ("fixed", "random", "variance"):
        if effects != "random" or case.fit.design.factors:
            pd.testing.assert_frame_equal(
                loaded.to_frame(effects), case.fit.to_frame(effects), check_exact=True
            )
    np.testing.assert_array_equal(loaded.fittedvalues, case.fit.fittedvalues)
    np.testing.assert_array_equal(loaded.predict(case.new), case.fit.predict(case.new))
    assert loaded.df_method == case.fit.df_method
    return {"at rows": loaded.fittedvalues}


VERBS = {
    "summary": summary,
    "to_frame fixed": to_frame_fixed,
    "to_frame random": to_frame_random,
    "to_frame variance": to_frame_variance,
    "fitted": fitted,
    "information": information,
    "aic and bic": aic_bic,
    "variance_cov": variance_cov,
    **{
        f"predict {re} {interval} {'new' if new else 'old'}": predict_variant(re, interval, new)
        for re in (True, False, "average")
        for interval in ("none", "confidence", "prediction")
        for new in (False, True)
    },
    "predict terms": predict_terms,
    "simulate": simulate,
    "simulate new": simulate_new,
    "refit": refit,
    "refit many": refit_many,
    **{f"bootstrap {k}": bootstrap_kind(k) for k in ("parametric", "residual", "cluster")},
    **{f"confint {m}": confint_method(m) for m in ("wald", "profile")},
    **{f"anova {k}": anova_type(k) for k in ("I", "II", "III")},
    "ranova": ranova,
    **{f"with_df {m}": with_df(m) for m in ("satterthwaite", "kenward-roger", "normal")},
    "emmeans": emmeans,
    "emtrends": emtrends,
    "hypothesis": hypothesis,
    "icc": icc,
    "r2": r2,
    "design_effect": design_effect,
    "reliability": reliability,
    "marginal_cov": marginal_cov,
    "conditional_aic": conditional_aic,
    "bootstrap_se": bootstrap_se,
    "power": power,
    "all_optimizers": all_optimizers,
    "save and load": save_and_load,
}
