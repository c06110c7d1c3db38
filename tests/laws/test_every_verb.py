"""Every feature of a model, through every verb of a point fit.

Each verb gives finite numbers that obey four laws, or refuses in words:

* rows in another order: the same numbers, rows in that order;
* rows of weight zero: as if they were not there;
* a constant added to response and offset: it is added to expected responses, and to nothing else;
* all weights doubled: sigma is sqrt(2) times as large, and nothing else moves.
"""

import warnings
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest

import bayeslmm as bl

SHIFT = 7.0


# -- features -----------------------------------------------------------------------------------


def table():
    """48 rows: 6 levels of g, 4 of h crossed with it, 3 of c; no variance is near zero."""
    rng = np.random.default_rng(11)
    g, t = np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)
    h, c = (t + g) % 4, rng.permutation(48) % 3
    x = rng.normal(size=48)
    y = 3.0 + x + 0.8 * c + (2.0 + x) * 0.8 * rng.normal(size=6)[g] + 1.5 * rng.normal(size=6)[g]
    y += 1.2 * rng.normal(size=4)[h] + rng.normal(size=24)[4 * g + h] + 0.7 * rng.normal(size=48)
    y += x * rng.normal(size=6)[g]
    return pd.DataFrame(
        {
            "y": y,
            "x": x,
            "c": np.array(["lo", "mid", "top"])[c],
            "g": np.array(list("ABCDEF"))[g],
            "h": np.array(list("pqrs"))[h],
            "t": t,
            "w": 1.0,
            "o": 0.0,
        },
        index=[f"row {i}" for i in range(48)],
    )


def some_weights(data):
    return data.assign(w=np.tile([0.5, 1.0, 2.0, 4.0], 12))


def zero_weights(data):
    return data.assign(w=np.tile([0.5, 0.0, 2.0, 1.0, 4.0, 1.0], 8))


def some_offset(data):
    return data.assign(o=np.sin(np.arange(48.0)))


def some_missing(data):
    out = data.copy()
    out.loc[["row 3", "row 40"], "y"] = np.nan
    out.loc[["row 11"], "x"] = np.nan
    return out


@dataclass(frozen=True)
class Feature:
    formula: str
    change: object = None
    options: dict = field(default_factory=dict)
    method: str = "REML"
    wrap: object = None

    def data(self):
        return table() if self.change is None else self.change(table())


INTERCEPTS = "y ~ x + c + (1 | g)"
FEATURES = {
    "correlated slopes": Feature("y ~ x + c + (x | g)"),
    "ML": Feature(INTERCEPTS, method="ML"),
    "MAP": Feature(INTERCEPTS, method="MAP"),
    "weights": Feature(INTERCEPTS, some_weights, {"weights": "w"}),
    "weights of zero": Feature("y ~ x + c + (x | g)", zero_weights, {"weights": "w"}),
    "offset": Feature(INTERCEPTS, some_offset, {"offset": "o"}),
    "two terms on a factor": Feature("y ~ x + c + (1 | g) + (0 + x | g)"),
    "double bar": Feature("y ~ x + c + (x || g)"),
    "nested": Feature("y ~ x + c + (1 | g/h)"),
    "crossed": Feature("y ~ x + c + (1 | g) + (1 | h)"),
    "excluded rows": Feature(INTERCEPTS, some_missing, {"na_action": "exclude"}),
    "dropped rows": Feature("y ~ x + c + (1 | g) + (1 | h)", some_missing),
    "no random term": Feature("y ~ x + c"),
    "no fixed column": Feature("y ~ 0 + (1 | g) + (1 | h)"),
    "transformed": Feature("y ~ scale(x) + C(c, Sum) + (scale(x) || g)"),
    "everything": Feature(
        "y ~ x * c + (1 | g) + (1 | h)",
        lambda d: some_missing(some_offset(zero_weights(d))),
        {"weights": "w", "offset": "o", "na_action": "exclude"},
    ),
    "polars": Feature(INTERCEPTS, wrap=pl.from_pandas),
    "AR1": Feature("y ~ x + c + (1 | h)", options={"residual": bl.AR1(by="g", time="t")}),
    "compound symmetry": Feature(
        "y ~ x + c", some_weights, {"residual": bl.CompoundSymmetry(by="g"), "weights": "w"}
    ),
    "variances by a factor": Feature(
        "y ~ x + c + (1 | g)", some_offset, {"residual": bl.VarianceBy(by="c"), "offset": "o"}
    ),
}


# -- laws ---------------------------------------------------------------------------------------


def as_it_is(data):
    return data


def reorder(data):
    return data.iloc[np.random.default_rng(5).permutation(len(data))]


def add_rows_of_weight_zero(data):
    extra = data.iloc[[1, 20, 46]].assign(w=0.0, y=1e3, x=-50.0, t=[101, 102, 103])
    return pd.concat([data, extra.set_axis(["extra 1", "extra 2", "extra 3"])])


def shift_response_and_offset(data):
    return data.assign(y=data["y"] + SHIFT if "y" in data else None, o=data["o"] + SHIFT)


def double_weights(data):
    return data.assign(w=2.0 * data["w"])


LAWS = {
    "base": (as_it_is, {}),
    "order": (reorder, {}),
    "zero": (add_rows_of_weight_zero, {"weights": "w"}),
    "shift": (shift_response_and_offset, {"offset": "o"}),
    "double": (double_weights, {"weights": "w"}),
}


def new_table():
    """Known levels, levels never seen, and both."""
    return pd.DataFrame(
        {
            "x": [0.3, -1.0, 2.0, 0.0],
            "c": ["top", "lo", "mid", "lo"],
            "g": ["B", "new", "A", "other"],
            "h": ["p", "p", "unseen", "unseen"],
            "t": [3, 4, 5, 6],
            "w": [1.0, 2.0, 0.5, 1.0],
            "o": [0.0, 1.0, -1.0, 0.5],
        }
    )


@cache
def model_of(feature, law):
    """The model of a feature in the world of a law, and new rows of that world."""
    f, (change, options) = FEATURES[feature], LAWS[law]
    data, new = change(f.data()), new_table()
    unused = {k: v for k, v in {"w": 1.0, "o": 0.0}.items() if k not in f.options.values()}
    new = new.assign(**unused)
    if law in ("shift", "double"):
        new = change(new)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.BayeslmmWarning)
        model = bl.Model(f.formula, f.wrap(data) if f.wrap else data, **(f.options | options))
    return model, (f.wrap(new) if f.wrap else new), data.index


@cache
def fit_of(feature, law):
    model, _, _ = model_of(feature, law)
    fit = model.fit(FEATURES[feature].method)
    assert fit.status is bl.FitStatus.CONVERGED, "a feature's own fit is an ordinary one"
    return fit


@dataclass
class Case:
    """A fit, new rows, and labels of the rows its results are for."""

    fit: object
    model: object
    new: object
    index: pd.Index
    law: str
    folder: object = None

    @property
    def kept(self):
        """Labels of the rows that are used."""
        return list(self.index[self.model.design.rows.kept])

    @property
    def labels(self):
        """Labels of the rows that results are for."""
        excluded = self.model.design.rows.na_action == "exclude"
        return list(self.index) if excluded else self.kept


def case_of(feature, law, folder=None):
    model, new, index = model_of(feature, law)
    return Case(fit_of(feature, law), model, new, index, law, folder)


# -- verbs --------------------------------------------------------------------------------------
# Each gives a dict. A key is a word for what moves with the constant (at), for sigma, or neither
# (the rest), and whether its values are rows: "at rows", "at", "sigma", "rows" or anything else.


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
    frame = case.fit.to_frame("variance")
    at_sigma = (frame["factor"] == "Residual").to_numpy()
    # the variance goes with the square of sigma
    frame["variance"] = np.where(at_sigma, np.sqrt(frame["variance"]), frame["variance"])
    return {
        "sigma": frame[at_sigma].select_dtypes("number").to_numpy(dtype=float),
        "others": frame[~at_sigma].select_dtypes("number").to_numpy(dtype=float),
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


def hypothesis(case):
    last = [*case.fit.fe_params.index, "x"][-1]
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
    got = case.fit.marginal_cov("C", factor="g")
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
    effect = [*case.fit.fe_params.index, "x"][-1]
    got = bl.power(case.fit, effect, [0.5], 5, random_seed=1, progressbar=False).table
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
