"""Bundled data sets; their origins and licences are in files/LICENSES.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bayeslmm.errors import ArgumentError, suggest

FILES = Path(__file__).parent / "files"

DESCRIPTIONS = {
    "Dyestuff": "yield of dyestuff, 6 batches x 5 samples",
    "Dyestuff2": "simulated like Dyestuff, with no variance between batches",
    "InstEval": "lecture ratings by students at ETH Zurich, 73,421 rows",
    "Pastes": "strength of a chemical paste, 3 casks in each of 10 batches",
    "Penicillin": "diameter of growth inhibition, 24 plates x 6 samples, crossed",
    "VerbAgg": "verbal aggression, 316 subjects x 24 items, yes or no",
    "cake": "breakage angle of chocolate cakes, 3 recipes x 6 temperatures",
    "cbpp": "contagious bovine pleuropneumonia, counts in 15 herds over 4 periods",
    "score_parentedu_byclass": "scores of 60 pupils in 3 classrooms by parents' education",
    "sleepstudy": "reaction times over ten days of sleep deprivation, 18 subjects",
}


def dataset_names() -> list[str]:
    """Names of the data sets in this installation."""
    return [name for name in DESCRIPTIONS if _file(name) is not None]


def load_dataset(name: str) -> pd.DataFrame:
    """Load a bundled data set.

    Parameters
    ----------
    name : str
        One of `dataset_names`, upper or lower case.

    Returns
    -------
    pandas.DataFrame
        Factors are categoricals in the order of their levels.

    Raises
    ------
    ArgumentError
        No data set of this name, or one whose licence keeps it out of the
        installed package.

    Examples
    --------
    >>> load_dataset("sleepstudy").head(2)
       Reaction  Days Subject
    0  249.5600     0     308
    1  258.7047     1     308
    """
    exact = {k.casefold(): k for k in DESCRIPTIONS}.get(str(name).casefold())
    if exact is None:
        close = suggest(str(name), DESCRIPTIONS)
        raise ArgumentError(
            f"there is no data set {name!r}.",
            found=", ".join(dataset_names()),
            fix=f"did you mean {close!r}?" if close else None,
        )
    path = _file(exact)
    if path is not None:
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    raise ArgumentError(
        f"{exact} is not part of the installed package: its authors gave no licence to pass it on.",
        fix="take it from the public repository of the book Statistics and Machine Learning in "
        "Python (pystatsml) and read it with pandas.read_csv",
    )


def _file(name: str) -> Path | None:
    paths = (FILES / f"{name}.{ending}" for ending in ("parquet", "csv"))
    return next((path for path in paths if path.exists()), None)
