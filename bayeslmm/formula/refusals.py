"""Syntax of other packages: what it is called there, and what to write here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Refusal(NamedTuple):
    """Words for something that is not read here."""

    what: str
    fix: str


_SPLINES = "bs(x, df=4) is a spline with fixed knots; poly(x, 3) a polynomial"
_NO_STRUCTURE = "`(x | g)` has a full covariance, `(x || g)` a diagonal one"
_ROWS = "give it as a column of the data, or leave those rows out"


def _smooth(name: str) -> Refusal:
    return Refusal(f"smooths such as `{name}()` are not available.", _SPLINES)


def _structure(name: str, meaning: str) -> Refusal:
    return Refusal(f"the {meaning} covariance `{name}()` is not available.", _NO_STRUCTURE)


def _response(name: str, meaning: str) -> Refusal:
    return Refusal(f"{meaning}, `{name}()`, are not available.", _ROWS)


FUNCTIONS: Mapping[str, Refusal] = {
    "mm": Refusal(
        "multiple membership, `mm()`, is not available.",
        "use one column for each row's group: (1 | g)",
    ),
    "gr": Refusal(
        "`gr()` is not available: groups are named without it.",
        "(1 | g); a covariance for each group of `by` needs a model for each part of the data",
    ),
    **{name: _smooth(name) for name in ("s", "t2", "te", "ti", "gp", "hsgp", "cr", "cc", "tp")},
    "mo": Refusal("monotonic effects, `mo()`, are not available.", "C(x), or x as a number"),
    "me": Refusal("measurement error, `me()`, is not available.", "use the measured column"),
    "mi": Refusal(
        "imputation in the model, `mi()`, is not available.", "impute the column before the fit"
    ),
    **{
        name: Refusal(
            f"residual autocorrelation, `{name}()`, is not available.",
            "a random term of the time or of the subject takes up part of it",
        )
        for name in ("ar", "ma", "arma", "cosy", "unstr", "sar", "car", "fcor")
    },
    "us": Refusal("`us()` is not needed here.", "write the bar plainly: (x | g)"),
    "diag": Refusal("`diag()` is written with two bars here.", "(x || g)"),
    "homdiag": _structure("homdiag", "equal-variance diagonal"),
    "cs": _structure("cs", "compound-symmetry"),
    "homcs": _structure("homcs", "compound-symmetry"),
    "ar1": _structure("ar1", "autoregressive"),
    "hetar1": _structure("hetar1", "autoregressive"),
    "ou": _structure("ou", "Ornstein-Uhlenbeck"),
    "toep": _structure("toep", "Toeplitz"),
    "mat": _structure("mat", "Matern"),
    "gau": _structure("gau", "Gaussian"),
    "rr": _structure("rr", "reduced-rank"),
    "propto": _structure("propto", "proportional"),
    "equalto": _structure("equalto", "known"),
    "mvbind": Refusal(
        "`mvbind()`: a model has one response here.", "fit a model for each response"
    ),
    "bf": Refusal("`bf()` is not needed here.", "write its first formula, y ~ x + (1 | g)"),
    "nl": Refusal("nonlinear formulas, `nl()`, are not available.", "transform the columns"),
    "monotonic": Refusal("monotonic effects are not available.", "C(x), or x as a number"),
    "trunc": _response("trunc", "truncated responses"),
    "cens": _response("cens", "censored responses"),
}

# y | addition(...) on the left-hand side, as in brms.
ADDITIONS: Mapping[str, Refusal] = {
    "weights": Refusal(
        "weights are not part of the formula.", 'pass the column as an argument: weights="w"'
    ),
    "trials": Refusal(
        "trials are written on the left with the successes.", "proportion(y, n) ~ ..."
    ),
    "se": Refusal(
        "known standard errors are not part of the formula.",
        "precision weights, 1 / se**2, as an argument: weights=",
    ),
}

# A distributional left-hand side; a column of that name is read in backticks.
PARAMETERS = frozenset({"sigma", "phi", "nu", "shape", "zi", "hu", "zoi", "coi"})
