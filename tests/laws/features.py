"""Models with every feature, and each of them in the worlds of four laws."""

import warnings
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd
import polars as pl

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


def no_levels(data):
    """A response in which levels do not differ: their variance is estimated as zero."""
    return data.assign(y=3.0 * np.sin(2.7 * np.arange(48)) + data["x"])


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
    status: bl.FitStatus = bl.FitStatus.CONVERGED

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
    "no intercept": Feature("y ~ 0 + x + c + (1 | g)"),
    "zero variance": Feature(INTERCEPTS, no_levels, status=bl.FitStatus.SINGULAR),
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


def change_all(data):
    return reorder(add_rows_of_weight_zero(shift_response_and_offset(data)))


LAWS = {
    "base": (as_it_is, {}),
    "order": (reorder, {}),
    "zero": (add_rows_of_weight_zero, {"weights": "w"}),
    "shift": (shift_response_and_offset, {"offset": "o"}),
    "double": (double_weights, {"weights": "w"}),
}
# Laws under which a log density stays what it is, all at once; scale(x) counts every row.
TOGETHER = {
    "together": (change_all, {"weights": "w", "offset": "o"}),
    "shift and order": (lambda d: reorder(shift_response_and_offset(d)), {"offset": "o"}),
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
    f, (change, options) = FEATURES[feature], (LAWS | TOGETHER)[law]
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.SingularFitWarning)
        fit = model.fit(FEATURES[feature].method)
    assert fit.status is FEATURES[feature].status
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
