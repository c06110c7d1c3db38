"""Input that looks wrong and is right, and odd input that must never end in a foreign error."""

import datetime
import decimal
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from bayeslmm.errors import BayeslmmError
from tests.messages.bad_input import DATA, N, fit, fitted, having, model


def same_estimates(a, b):
    np.testing.assert_array_equal(a.fe_params.to_numpy(), b.fe_params.to_numpy())
    np.testing.assert_array_equal(a.estimate.variance_values, b.estimate.variance_values)
    np.testing.assert_array_equal(a.fittedvalues, b.fittedvalues)


# -- right, though it looks wrong ---------------------------------------------------------


def test_names_with_spaces_in_backticks():
    names = {"rt": "reaction time", "load": "my load", "subj": "subject no."}
    other = fit(
        "`reaction time` ~ `my load` + (`my load` | `subject no.`)", DATA.rename(columns=names)
    )
    same_estimates(other, fitted("rt ~ load + (load | subj)"))
    assert list(other.fe_params.index) == ["Intercept", "my load"]
    assert other.ngroups == {"subject no.": 4}


@pytest.mark.parametrize("name", ["yield", "class", "lambda", "import", "np", "e1", "C"])
def test_columns_named_like_python(name):
    other = fit(f"rt ~ {name} + (1 | subj)", DATA.rename(columns={"load": name}))
    same_estimates(other, fitted())


@pytest.mark.parametrize("name", ["sigma", "beta", "obs"])
def test_predictors_may_have_the_names_of_parameters(name):
    other = fit(f"rt ~ `{name}` + (1 | subj)", DATA.rename(columns={"load": name}))
    same_estimates(other, fitted())


def test_an_unseen_grouping_level_gets_the_population_mean():
    base = fitted("rt ~ load + (load | subj)")
    new = {"load": [2.0, 2.0, 3.0], "subj": ["nobody", "a", "nobody"]}
    predicted = base.predict(new)
    population = base.predict({"load": new["load"]}, include_re=False)
    beta = base.fe_params
    assert predicted[0] == pytest.approx(beta["Intercept"] + 2 * beta["load"], rel=1e-14)
    np.testing.assert_array_equal(predicted[[0, 2]], population[[0, 2]])
    effects = base.random_effects["subj"].loc["a"]
    assert predicted[1] - predicted[0] == pytest.approx(
        effects["Intercept"] + 2 * effects["load"], rel=1e-12
    )


@pytest.mark.parametrize("trained", ["text", "categories"])
def test_a_gap_that_turns_labels_into_floats_keeps_their_effects(trained):
    label = DATA["subj"].map({"a": "308", "b": "309", "c": "310", "d": "311"})
    known = fit(data=DATA.assign(subj=label.astype("category") if trained != "text" else label))
    new = pd.DataFrame({"load": [1.0, 1.0, 1.0], "subj": [308, 309, np.nan]})
    predicted = known.predict(new)
    expected = known.predict({"load": [1.0, 1.0], "subj": ["308", "309"]})
    np.testing.assert_array_equal(predicted[:2], expected)
    assert predicted[0] != known.predict({"load": [1.0]}, include_re=False)[0]


def test_numbers_held_as_objects_are_numbers():
    boxed = DATA.assign(load=DATA["load"].astype(object), rt=DATA["rt"].astype(object))
    same_estimates(fit(data=boxed), fitted())
    new = pd.DataFrame({"load": [1.5], "subj": ["a"]})
    np.testing.assert_array_equal(
        fit(data=boxed).predict(new.astype(object)), fitted().predict(new)
    )


def test_an_infinite_value_in_a_column_not_used():
    same_estimates(fit(data=having(errors=np.inf)), fitted())


# -- odd input: an error of ours, or a fit; nothing else -----------------------------------

NEW = {"load": [1.0], "subj": ["a"]}
ODD = {
    "extension integers with a gap": lambda: fit(
        data=having(load=pd.array([None, *range(1, N)], dtype="Int64"))
    ),
    "decimals": lambda: fit(data=having(load=[decimal.Decimal(i) for i in range(N)])),
    "decimals of arrow": lambda: fit(
        data=pa.table(
            {
                **{k: DATA[k] for k in ("rt", "subj")},
                "load": pa.array([decimal.Decimal(i) for i in range(N)]),
            }
        )
    ),
    "sparse": lambda: fit(data=having(load=pd.arrays.SparseArray(DATA["load"]))),
    "periods": lambda: fit(data=having(load=pd.period_range("2024", periods=N, freq="D"))),
    "dates of Python": lambda: fit(
        data=having(load=[datetime.date(2024, 1, 1 + i) for i in range(N)])
    ),
    "dates as a factor": lambda: fit(
        data=having(subj=np.repeat(pd.date_range("2024", periods=4), 6))
    ),
    "durations as a response": lambda: fit(data=having(rt=pd.to_timedelta(DATA["load"], "D"))),
    "intervals": lambda: fit(data=having(load=pd.cut(DATA["load"], 3))),
    "intervals as a factor": lambda: fit(data=having(subj=pd.cut(DATA["load"], 3))),
    "lists as levels": lambda: fit(data=having(subj=[[1]] * N)),
    "dicts as a response": lambda: fit(data=having(rt=[{}] * N)),
    "lists in new data": lambda: fitted().predict({"load": [1.0], "subj": [["a"]]}),
    "lists of polars": lambda: fit(data=pl.from_pandas(having(load=[[1.0]] * N))),
    "a struct of polars": lambda: fit(
        data=pl.from_pandas(DATA).with_columns(load=pl.struct("load", "rt"))
    ),
    "two-dimensional columns": lambda: fit(data={"rt": np.ones((3, 2)), "load": [1, 2, 3]}),
    "scalars": lambda: fit(data={"rt": 1.0, "load": 2.0, "subj": "a"}),
    "nothing": lambda: fit(data={}),
    "None as data": lambda: model(data=[None]),
    "a record array": lambda: fit(data=DATA.to_records(index=False)),
    "a series": lambda: fit(data=DATA["rt"]),
    "a generator": lambda: fit(data=(i for i in range(3))),
    "a column without a name": lambda: fit(data=DATA.rename(columns={"errors": None})),
    "names that are numbers": lambda: fit(
        "rt ~ load + (1 | `3`)", DATA.rename(columns={"subj": 3})
    ),
    "truth values as a response": lambda: fit(data=having(rt=[True, False, True] * 8)),
    "enormous predictor": lambda: fit(data=having(load=1e200 * DATA["load"])),
    "enormous response": lambda: fit(data=having(rt=1e200 * DATA["rt"])),
    "tiny predictor": lambda: fit(data=having(load=1e-200 * DATA["load"])),
    "tiny response": lambda: fit(data=having(rt=1e-200 * DATA["rt"])),
    "response that rounding makes constant": lambda: fit(data=having(rt=1e17 + DATA["rt"])),
    "a constant predictor": lambda: fit(data=having(load=1.0)),
    "a slope of zeros": lambda: fit("rt ~ 1 + (0 + load | subj)", having(load=0.0)),
    "a constant slope": lambda: fit("rt ~ 1 + (load | subj)", having(load=1.0)),
    "the same grouping twice": lambda: fit(
        "rt ~ load + (1 | subj) + (1 | pupil)", having(pupil=DATA["subj"].str.upper())
    ),
    "a factor that is its own slope": lambda: fit("rt ~ load + (subj | subj)"),
    "the response as a factor": lambda: fit("rt ~ load + (1 | rt)"),
    "the response as an offset": lambda: fit("rt ~ 1 + offset(rt) + (1 | subj)"),
    "no fixed part": lambda: fit("rt ~ 0 + (1 | subj)"),
    "C() of one value": lambda: fit("rt ~ C(one) + (1 | subj)", having(one=1)),
    "response of two terms": lambda: fit("rt + load ~ errors + (1 | subj)"),
    "response that is a factor": lambda: fit("C(cond) ~ load + (1 | subj)"),
    "function of the wrong length": lambda: fit(
        "rt ~ f(load) + (1 | subj)", extra_namespace={"f": lambda x: np.ones(3)}
    ),
    "function that gives text": lambda: fit(
        "rt ~ f(load) + (1 | subj)", extra_namespace={"f": lambda x: "a"}
    ),
    "function that fails on new data": lambda: fit(
        "rt ~ f(load) + (1 | subj)", extra_namespace={"f": lambda x: x / (len(x) > 1)}
    ).predict(NEW),
    "function that raises on new data": lambda: fit(
        "rt ~ f(load) + (1 | subj)", extra_namespace={"f": lambda x: x + [0, 1, 2][len(x) - N]}
    ).predict({k: v * (N + 9) for k, v in NEW.items()}),
    "log of a negative in new data": lambda: fitted("rt ~ log(load + 1) + (1 | subj)").predict(
        {"load": [-3.0], "subj": ["a"]}
    ),
    "a word as polynomial degree": lambda: fit("rt ~ poly(load, 'two') + (1 | subj)"),
    "weights as a dict": lambda: fit(weights={"a": 1}),
    "weights of None": lambda: fit(weights=[None] * N),
    "weights of one column": lambda: fit(weights=np.ones((N, 1))),
    "missing weights": lambda: fit(weights=[np.nan, *np.ones(N - 1)]),
    "an offset of NaN": lambda: fit(offset=np.full(N, np.nan)),
    "deep parentheses": lambda: fit("rt ~ " + 3000 * "(" + "load" + 3000 * ")"),
    "many interactions": lambda: fit("rt ~ " + "*".join("abcdefghijklmnopqrstuvwxyz")),
    "a null character": lambda: fit("rt ~ load\0 + (1 | subj)"),
    "three rows": lambda: fit(data=DATA.iloc[[0, 7, 13]]),
    "save over a folder": lambda: fitted().save("."),
    "load a folder": lambda: __import__("bayeslmm").load("."),
}


@pytest.mark.parametrize("case", ODD)
def test_no_foreign_error(case):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", category=UserWarning)
        try:
            ODD[case]()
        except BayeslmmError as error:
            assert error.what.endswith((".", ":"))
