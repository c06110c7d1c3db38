"""Bad inputs by name: each is a call that must end in one error, or in warnings only.

``bad_input.txt`` beside this file holds what the user then reads. After a deliberate
change of words, ``python tests/messages/bad_input.py`` writes it again; read the diff.
"""

import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

import bayeslmm as bl
from bayeslmm.data import read_table
from bayeslmm.errors import BayeslmmError

N = 24
_LOAD = np.tile(np.arange(6.0), 4)
_SUBJ = np.repeat([0.3, -0.8, 1.1, -0.4], 6)
DATA = pd.DataFrame(
    {
        "rt": np.round(3 + _SUBJ + _LOAD * np.roll(_SUBJ, 6) + np.sin(np.arange(N) ** 2), 3),
        "load": _LOAD,
        "subj": np.repeat(list("abcd"), 6),
        "item": np.tile(list("uvw"), 8),
        "cond": np.tile(["hi", "lo", "mid", "mid"], 6),
        "errors": np.arange(N) % 5,
    }
)


def model(formula="rt ~ load + (1 | subj)", data=None, **options):
    return bl.Model(formula, DATA if data is None else data, **options)


def fit(formula="rt ~ load + (1 | subj)", data=None, **options):
    return model(formula, data, **options).fit()


@cache
def fitted(formula="rt ~ load + (1 | subj)"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(formula)


def having(**columns):
    return DATA.assign(**columns)


def changed(column, value):
    data = having(**{column: DATA[column].astype(float)})
    data.loc[3, column] = value
    return data


def file(name, content):
    """A file that is not a saved fit; its folder is gone after the call."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        bl.load(path) if name.endswith(".nc") else read_table(path)


def foreign_netcdf():
    import xarray as xr

    with TemporaryDirectory() as folder:
        path = Path(folder) / "other.nc"
        xr.Dataset({"x": ("row", [1.0])}).to_netcdf(path, engine="h5netcdf")
        bl.load(path)


ONES = np.ones(N)
LOAD_2 = DATA["load"] * 2
TEXT_NUMBERS = [f"{i / 7:.3f}" for i in range(N)]
DATES = pd.date_range("2024-01-01", periods=N)

CASES = {
    # -- columns that are not there ---------------------------------------------------
    "unknown response": lambda: model("RT ~ load + (1 | subj)"),
    "unknown fixed column": lambda: model("rt ~ laod + (1 | subj)"),
    "unknown slope": lambda: model("rt ~ load + (lod | subj)"),
    "unknown grouping factor": lambda: model("rt ~ load + (1 | subject)"),
    "unknown grouping factor in a nesting": lambda: model("rt ~ load + (1 | subj/itm)"),
    "unknown column, nothing close": lambda: model("rt ~ pupil + (1 | subj)"),
    "unknown column in groups=": lambda: model("rt ~ load", groups="participant"),
    "unknown column of weights": lambda: model(weights="lod"),
    "unknown column of offset": lambda: model(offset="exposure"),
    "new data without a column": lambda: fitted().predict({"subj": ["a"], "Load": [1.0]}),
    "new data without the factor": lambda: fitted().predict({"load": [1.0]}),
    # -- the table --------------------------------------------------------------------
    "not a table": lambda: model(data=[[1, 2], [3, 4]]),
    "a path as data": lambda: model(data="trials.csv"),
    "no rows": lambda: model(data=DATA.iloc[:0]),
    "one row": lambda: model(data=DATA.iloc[:1]),
    "duplicate column names": lambda: model(data=pd.concat([DATA, DATA[["load"]]], axis=1)),
    "two rows of column names": lambda: model(data=pd.concat({"trial": DATA}, axis=1)),
    "columns of different lengths": lambda: model(data={"rt": [1.0, 2.0], "load": [1.0]}),
    "name with spaces, no backticks": lambda: model(
        "reaction time ~ load + (1 | subj)", DATA.rename(columns={"rt": "reaction time"})
    ),
    # -- the response -----------------------------------------------------------------
    "constant response": lambda: model(data=having(rt=3.0)),
    "missing response": lambda: model(data=having(rt=np.nan)),
    "infinite response": lambda: model(data=changed("rt", np.inf)),
    "text response": lambda: model("subj ~ load + (1 | item)"),
    "numbers as text in the response": lambda: model(data=having(rt=TEXT_NUMBERS)),
    "response of two categories": lambda: model(data=having(rt=["no", "yes"] * 12)),
    "complex response": lambda: model(data=having(rt=1j * DATA["rt"])),
    "log of a response of zero": lambda: model("log(errors) ~ load + (1 | subj)"),
    "negative counts": lambda: model(
        "load ~ 1 + (1 | subj)", changed("load", -1), family="poisson"
    ),
    "counts for a bernoulli": lambda: model("errors ~ load + (1 | subj)", family="bernoulli"),
    "more successes than trials": lambda: model(
        "proportion(errors, 2) ~ load + (1 | subj)", family="binomial"
    ),
    "proportion of a gaussian": lambda: model("proportion(errors, 9) ~ load + (1 | subj)"),
    "response as a predictor": lambda: fit("rt ~ rt + (1 | subj)"),
    "response is a predictor, rescaled": lambda: fit(data=having(load=3 * DATA["rt"] - 1)),
    "response constant within a factor": lambda: fit(
        "rt ~ 1 + (1 | subj)", having(rt=np.repeat([1.0, 2.0, 5.0, 3.0], 6))
    ),
    # -- predictors -------------------------------------------------------------------
    "infinite predictor": lambda: model(data=changed("load", -np.inf)),
    "text where a slope needs numbers": lambda: model(
        "rt ~ 1 + (load | subj)", having(load=TEXT_NUMBERS)
    ),
    "categories in a function": lambda: model("rt ~ load + log(cond) + (1 | subj)"),
    "categories in scale()": lambda: model("rt ~ scale(cond) + (1 | subj)"),
    "categories in a slope's function": lambda: model("rt ~ 1 + (exp(cond) | subj)"),
    "categories as an offset": lambda: model("rt ~ load + offset(cond) + (1 | subj)"),
    "dates as a predictor": lambda: model(data=having(load=DATES)),
    "complex predictor": lambda: model(data=having(load=1j * DATA["load"])),
    "log of a predictor of zero": lambda: model("rt ~ log(load) + (1 | subj)"),
    "fixed factor with one level": lambda: model("rt ~ cond + (1 | subj)", having(cond="hi")),
    "lists in a cell": lambda: model(data=having(load=[[1.0]] * N)),
    "reference level that is not there": lambda: model(
        "rt ~ C(cond, Treatment('low')) + (1 | subj)"
    ),
    "polynomial of too high a degree": lambda: model("rt ~ poly(load, 6) + (1 | subj)"),
    "rank deficient, error": lambda: model(
        "rt ~ load + twice + (1 | subj)", having(twice=LOAD_2), rank_deficient="error"
    ),
    "rank deficient, drop": lambda: model("rt ~ load + twice + (1 | subj)", having(twice=LOAD_2)),
    "more fixed columns than rows": lambda: fit("rt ~ C(load) + (1 | item)", DATA.iloc[:6]),
    "as many fixed columns as rows, no factor": lambda: fit("rt ~ C(load)", DATA.iloc[:6]),
    # -- grouping factors -------------------------------------------------------------
    "one level": lambda: model(data=having(subj="a")),
    "as many levels as rows": lambda: model(data=having(subj=np.arange(N))),
    "as many effects as rows": lambda: model(
        "rt ~ load + (load | pair)", having(pair=np.repeat(np.arange(12), 2))
    ),
    "factor with NaN only": lambda: model(data=having(subj=np.nan)),
    "factor of mixed types": lambda: model(data=having(subj=[1, "a"] * 12)),
    "factor called sigma": lambda: model("rt ~ load + (1 | sigma)", having(sigma=DATA["subj"])),
    "factor called beta": lambda: model("rt ~ load + (1 | beta)", having(beta=DATA["subj"])),
    "factor called obs": lambda: model("rt ~ load + (1 | obs)", having(obs=DATA["subj"])),
    "labels with colons": lambda: model(
        "rt ~ load + (1 | a:b)", having(a=["p", "p:q"] * 12, b=["q:r", "r"] * 12)
    ),
    "constant slope": lambda: model("rt ~ load + (1 + k | subj)", having(k=3.0)),
    "constant slope, uncorrelated": lambda: model("rt ~ load + (1 + k || subj)", having(k=3.0)),
    "slope twice in other units": lambda: model(
        "rt ~ load + (load + twice | subj)", having(twice=LOAD_2)
    ),
    "slope of another term in other units": lambda: model(
        "rt ~ load + (1 | subj) + (0 + load | subj) + (0 + twice | subj)", having(twice=LOAD_2)
    ),
    "slope of zeros": lambda: model("rt ~ load + (0 + k | subj)", having(k=0.0)),
    "factors within a term that determine each other": lambda: model(
        "rt ~ load + (cond + code | item)",
        having(code=DATA["cond"].map({"hi": "x", "lo": "y", "mid": "z"})),
    ),
    # -- formulas ---------------------------------------------------------------------
    "formula not a string": lambda: model(["rt ~ load"]),
    "formula and data swapped": lambda: bl.Model(DATA, "rt ~ load"),
    "empty formula": lambda: model(""),
    "bar without parentheses": lambda: model("rt ~ load + 1 | subj"),
    "bar without a factor": lambda: model("rt ~ load + (1 | )"),
    "bar with nothing before it": lambda: model("rt ~ load + ( | subj)"),
    "parenthesis left open": lambda: model("rt ~ load + (1 | subj"),
    "brms identifier": lambda: model("rt ~ load + (load | ID | subj)"),
    "multiple membership": lambda: model("rt ~ load + (1 | mm(subj, item))"),
    "two factors added": lambda: model("rt ~ load + (1 | subj + item)"),
    "function of a factor": lambda: model("rt ~ load + (1 | factor(subj))"),
    "intercept twice": lambda: model("rt ~ load + (1 | subj) + (1 + load | subj)"),
    "formula for sigma": lambda: model("sigma ~ load"),
    "smooth": lambda: model("rt ~ s(load) + (1 | subj)"),
    "function of our own misspelt": lambda: model("rt ~ scael(load) + (1 | subj)"),
    "update removes what is not there": lambda: model().update("~ . - cond"),
    # -- weights and offset -----------------------------------------------------------
    "negative weights": lambda: model(weights=-ONES),
    "one negative weight": lambda: model(weights=[-1.0, *ONES[1:]]),
    "weights of the wrong length": lambda: model(weights=ONES[:5]),
    "weights all zero": lambda: model(weights=0 * ONES),
    "infinite weights": lambda: model(weights=[np.inf, *ONES[1:]]),
    "text weights": lambda: model(weights="cond"),
    "weights with poisson": lambda: model(
        "errors ~ load + (1 | subj)", family="poisson", weights=2 * ONES
    ),
    "offset of the wrong length": lambda: model(offset=[0.5]),
    "offset array and new data": lambda: fit(offset=0.1 * ONES).predict(DATA),
    # -- missing values ---------------------------------------------------------------
    "missing values, drop": lambda: model(data=changed("load", np.nan)),
    "missing values, error": lambda: model(data=changed("load", np.nan), na_action="error"),
    "no complete row": lambda: model(
        data=having(
            load=np.where(np.arange(N) < 12, np.nan, 1.0), rt=np.where(np.arange(N) < 12, 1, np.nan)
        )
    ),
    # -- new data ---------------------------------------------------------------------
    "unseen level of a fixed factor": lambda: fitted("rt ~ cond + (1 | subj)").predict(
        {"cond": ["hi", "top"], "subj": ["a", "a"]}
    ),
    "unseen level inside C()": lambda: fitted("rt ~ C(errors) + (1 | subj)").predict(
        {"errors": [1, 7], "subj": ["a", "a"]}
    ),
    "text in a numeric column of new data": lambda: fitted().predict(
        {"load": ["one"], "subj": ["a"]}
    ),
    "infinite new data": lambda: fitted().predict({"load": [np.inf], "subj": ["a"]}),
    # -- arguments --------------------------------------------------------------------
    "unknown method": lambda: model().fit("reml2"),
    "draws for fit": lambda: model().fit(draws=100),
    "unknown argument of fit": lambda: model().fit(optimizer="bobyqa"),
    "fit of a poisson": lambda: fit("errors ~ load + (1 | subj)", family="poisson"),
    "residual structure": lambda: model(residual="ar1"),
    "unknown na_action": lambda: model(na_action="omit"),
    "unknown rank_deficient": lambda: model(rank_deficient="ignore"),
    "unknown family": lambda: model(family="gausian"),
    "link of another family": lambda: model(family=bl.Gaussian(link="log")),
    "groups= not names": lambda: model("rt ~ load", groups=3),
    "update of no argument": lambda: model().update(weigths="load"),
    "unknown effects": lambda: fitted().to_frame("beta"),
    "level in per cent": lambda: fitted().to_frame(level=95),
    "extra_namespace not a dict": lambda: model(extra_namespace=[np.log]),
    "function of the user's that fails": lambda: model(
        "rt ~ f(load) + (1 | subj)", extra_namespace={"f": lambda x: 1 / 0}
    ),
    # -- priors -----------------------------------------------------------------------
    "priors not a dict": lambda: model(priors=bl.Normal(0, 1)),
    "prior of no parameter": lambda: model(priors={"sd_item": bl.HalfNormal(1)}),
    "prior that is a number": lambda: model(priors={"sd_subj": 3}),
    "prior on the wrong support": lambda: model(priors={"sd_subj": bl.Normal(0, 1)}),
    "prior with a negative scale": lambda: bl.HalfNormal(-1),
    "prior MAP cannot integrate": lambda: model(priors={"beta[load]": bl.StudentT(3, 0, 1)}).fit(
        "MAP"
    ),
    "mode at the end of a Uniform prior": lambda: model(
        priors={"sd_subj": bl.Uniform(0, 0.3), "sigma": bl.Uniform(0.5, 4)}
    ).fit("MAP"),
    "prior predictive draws of flat priors": lambda: model(
        priors={"beta": bl.Flat(), "sigma": bl.Flat()}
    ).prior_predictive(),
    # -- files and data sets ----------------------------------------------------------
    "no such file": lambda: bl.load("fits/none.nc"),
    "a file that is no fit": lambda: file("notes.nc", b"dear diary"),
    "a netCDF file of something else": foreign_netcdf,
    "save into no folder": lambda: fitted().save("no/such/folder/fit.nc"),
    "an empty CSV": lambda: file("empty.csv", b""),
    "a spreadsheet": lambda: file("trials.xlsx", b"PK"),
    "unknown data set": lambda: bl.load_dataset("sleepstud"),
}


def outcome(case):
    """What the user reads: the error, or else every warning; with their classes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            CASES[case]()
        except BayeslmmError as error:
            return f"{type(error).__name__}: {error}"
    return "\n".join(f"{w.category.__name__}: {w.message}" for w in caught) or "nothing was said"


SNAPSHOT = Path(__file__).with_suffix(".txt")


def stored():
    """The snapshot, a text a case."""
    pieces = SNAPSHOT.read_text(encoding="utf-8").split("=== ")[1:]
    return {p.partition("\n")[0]: p.partition("\n")[2].strip("\n") for p in pieces}


if __name__ == "__main__":
    text = "\n\n".join(f"=== {case}\n{outcome(case)}" for case in CASES)
    SNAPSHOT.write_text(text + "\n", encoding="utf-8")
