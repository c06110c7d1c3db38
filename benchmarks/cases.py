"""The suite: named models with their data, and what each peer needs to be told.

A peer takes the formula as it stands unless `specs` says otherwise: a mapping is handed
to its runner (`formula` in it replaces the formula), a string is the reason why the peer
does not take part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import pandas as pd
import simulate

type Spec = Mapping[str, object] | str

EVERYBODY = ("lme4", "glmm", "mixedlm", "interlace", "statsmodels")


@dataclass(frozen=True)
class Case:
    """A model and its data.

    `make(quick)` gives the data, small ones when quick; factors are categoricals.
    `peers` are asked to take part; `limits` are seconds a fit that replace the default.
    """

    name: str
    formula: str
    make: Callable[[bool], pd.DataFrame]
    peers: tuple[str, ...] = EVERYBODY
    specs: Mapping[str, Spec] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)


def bundled(name: str, quick: bool) -> pd.DataFrame:
    """A bundled data set; InstEval is cut down when quick."""
    from bayeslmm import load_dataset

    data = load_dataset(name)
    if name == "VerbAgg":
        data["r2"] = (data["r2"] == "Y").astype(float)
    if name == "InstEval":
        data["y"] = data["y"].astype(float)
        if quick:
            # codes of students as they stand in the file: every tenth of them
            data = data[data["s"].cat.codes % 10 == 0].reset_index(drop=True)
            for factor in data.select_dtypes("category"):
                data[factor] = data[factor].cat.remove_unused_categories()
    return data


def dense_vc(n: int, q: int) -> str:
    """Why statsmodels is not asked to fit a big crossed design."""
    return (
        "crossed factors make one group with a dense "
        f"{n:,} x {q:,} matrix ({n * q * 8 / 1e9:.1f} GB), processed at every evaluation"
    )


def _maximal_terms(by: str) -> str:
    return f"(1 + a + b + c + ab + ac + bc + abc | {by})"


def _maximal_columns() -> str:
    return (
        f"y ~ a + b + c + ab + ac + bc + abc + {_maximal_terms('subj')} + {_maximal_terms('item')}"
    )


CROSSED_FIVE = (500, 300, 200, 100, 50)

MAIN = (
    Case(
        "sleepstudy",
        "Reaction ~ Days + (Days | Subject)",
        partial(bundled, "sleepstudy"),
        specs={
            "interlace": {"random": ["(1 + Days | Subject)"]},
            "statsmodels": {"groups": "Subject", "re_formula": "~Days"},
        },
    ),
    Case(
        "Penicillin",
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        partial(bundled, "Penicillin"),
        specs={"statsmodels": {"vc": ["plate", "sample"]}},
    ),
    Case(
        "Pastes",
        "strength ~ 1 + (1 | batch/cask)",
        partial(bundled, "Pastes"),
        specs={"statsmodels": {"groups": "batch", "re_formula": "1", "vc": ["cask"]}},
    ),
    Case(
        "VerbAgg",
        "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)",
        partial(bundled, "VerbAgg"),
        specs={"statsmodels": {"vc": ["id", "item"]}},
    ),
    Case(
        "InstEval",
        "y ~ 1 + service + (1 | s) + (1 | d) + (1 | dept)",
        partial(bundled, "InstEval"),
        specs={"statsmodels": dense_vc(73_421, 4_114)},
    ),
    Case(
        "InstEval-interaction",
        "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)",
        partial(bundled, "InstEval"),
        specs={"statsmodels": dense_vc(73_421, 4_128)},
    ),
    Case(
        "one-factor",
        "y ~ x + (1 | g)",
        lambda quick: simulate.one_factor(2_000 if quick else 125_066, 4),
        specs={"statsmodels": "a Python loop over 125,066 groups at every evaluation"},
    ),
    Case(
        "nested",
        # Labels are unique, so this is (1 | school/room/pupil), which glmm cannot read;
        # it is ten times faster with the finest factor first.
        "y ~ x + (1 | pupil) + (1 | room) + (1 | school)",
        lambda quick: simulate.nested(20 if quick else 200, 10, 10, 2 if quick else 10),
        specs={
            "statsmodels": {"groups": "school", "re_formula": "1", "vc": ["room", "pupil"]},
        },
    ),
    Case(
        "crossed-5",
        "y ~ x + (1 | f1) + (1 | f2) + (1 | f3) + (1 | f4) + (1 | f5)",
        lambda quick: simulate.crossed(
            2_000 if quick else 50_000, [J // (10 if quick else 1) for J in CROSSED_FIVE]
        ),
        specs={"statsmodels": dense_vc(50_000, 1_150)},
    ),
    Case(
        "maximal",
        "y ~ a*b*c + (a*b*c | subj) + (a*b*c | item)",
        # 2,000 rows still have more than one row an effect
        lambda quick: simulate.maximal(2_000 if quick else 20_000),
        specs={
            "glmm": {"formula": _maximal_columns()},
            "interlace": {"random": [_maximal_terms("subj"), _maximal_terms("item")]},
            "statsmodels": "crossed factors with correlated slopes cannot be written",
        },
        limits={"lme4": 3_600.0},
    ),
    Case(
        "ratings",
        "y ~ 1 + (1 | user) + (1 | film)",
        lambda quick: (
            simulate.ratings(5_000, 200, 120)
            if quick
            else simulate.ratings(1_000_000, 6_040, 3_706)
        ),
        specs={"statsmodels": dense_vc(1_000_000, 9_746)},
        limits={"lme4": 1_800.0},
    ),
)

# Sizes of the growth curves; lme4 takes part at those of LME4_AT.
ROWS = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000)
EFFECTS = (200, 600, 2_000, 6_000)
LME4_AT = {("n", 10_000), ("n", 100_000), ("n", 1_000_000), ("q", 200), ("q", 600), ("q", 2_000)}
FIXED_ROWS, FIXED_LEVELS = 200_000, (1_000, 100)


def _growth(axis: str, size: int) -> Case:
    def make(quick: bool) -> pd.DataFrame:
        if axis == "n":
            levels = (50, 20) if quick else FIXED_LEVELS
            return simulate.crossed(size // 20 if quick else size, levels, seed=6)
        n, half = (5_000, size // 20) if quick else (FIXED_ROWS, size // 2)
        return simulate.crossed(n, (half, half), seed=7)

    return Case(
        f"growth-{axis}-{size}",
        "y ~ x + (1 | f1) + (1 | f2)",
        make,
        peers=("lme4",) if (axis, size) in LME4_AT else (),
    )


GROWTH = tuple(_growth("n", n) for n in ROWS) + tuple(_growth("q", q) for q in EFFECTS)
CASES = {case.name: case for case in (*MAIN, *GROWTH)}
