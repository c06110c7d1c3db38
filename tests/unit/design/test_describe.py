"""`model.describe()`: sizes, relations, connectedness, labels used again."""

import itertools

import numpy as np
import pandas as pd

import bayeslmm as bl


def describe(formula, **columns):
    n = len(next(iter(columns.values())))
    y = np.sin(np.arange(n) ** 2.0)
    return bl.Model(formula, pd.DataFrame({"y": y, **columns})).describe()


def test_sizes():
    d = describe("y ~ 1 + (1 | g)", g=list("aaabbccccccd"))
    row = d.factors.iloc[0]
    assert (row["levels"], row["rows_min"], row["rows_mean"], row["rows_max"]) == (4, 1, 3.0, 6)
    assert "1 of 4 levels of `g` have one row only" in d.notes
    assert any("`g` has 4 levels" in n for n in d.notes)
    assert "12 rows" in str(d)


def test_nested_and_crossed():
    a = np.repeat(list("pqrstu"), 4)
    nested = describe("y ~ 1 + (1 | a/b)", a=a, b=np.tile([1, 1, 2, 2], 6))
    assert nested.pairs["relation"].tolist() == ["a:b nested in a"]
    crossed = describe("y ~ 1 + (1 | a) + (1 | b)", a=a, b=np.tile([1, 1, 2, 2], 6))
    assert crossed.pairs["relation"].tolist() == ["a crossed with b"]
    assert crossed.pairs["connected_pieces"].tolist() == [1]
    assert crossed.pairs["pairs_seen"].tolist() == [1.0]
    same = describe("y ~ 1 + (1 | a) + (1 | b)", a=a, b=np.char.add("x", a))
    assert same.pairs["relation"].tolist() == ["a and b are the same grouping"]


def test_pieces_that_share_no_level():
    a = np.repeat([0, 1, 2, 3], 6)
    b = np.where(a < 2, np.arange(24) % 3, 3 + np.arange(24) % 3)
    d = describe("y ~ 1 + (1 | a) + (1 | b)", a=a, b=b)
    assert d.pairs["connected_pieces"].tolist() == [2]
    assert any("2 pieces that share no level" in n for n in d.notes)


def test_labels_used_again():
    """Pastes with casks called a, b, c in every batch: crossed as written, nested in truth."""
    rows = list(itertools.product(range(10), "abc"))
    batch, cask = zip(*rows, strict=True)
    d = describe("y ~ 1 + (1 | batch) + (1 | cask)", batch=list(batch), cask=list(cask))
    assert any("write (1 | batch/cask)" in n for n in d.notes)
