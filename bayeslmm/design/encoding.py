"""How the columns of a table became numbers, so that new tables become them likewise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayeslmm.arrays import FloatArray, IntArray
from bayeslmm.data.table import to_frame
from bayeslmm.design.basis import Basis
from bayeslmm.design.columns import ColumnKind, apply_kinds, coded_labels, level_codes
from bayeslmm.design.rows import Factor, NewRows, TermColumns
from bayeslmm.errors import ArgumentError, DataError, UnknownColumnError, suggest
from bayeslmm.formula.spec import Name, RandomTerm

ARRAY_OFFSET = "offset="
"""The column that numbers given as ``offset=`` are kept in, in saved fits too."""


@dataclass(frozen=True, eq=False)
class LevelCoding:
    """Levels of a grouping factor: only the combinations of its columns that occur."""

    columns: tuple[str, ...]
    parts: tuple[pd.Index[Any], ...]
    occurring: IntArray
    levels: pd.Index[Any]

    @classmethod
    def learn(cls, term: RandomTerm, frame: pd.DataFrame) -> tuple[LevelCoding, IntArray]:
        """Find the levels in complete rows; return them with the code of each row."""
        names = tuple(c.name for c in term.columns)
        read = [coded_labels(frame[c.name], c.place) for c in term.columns]
        parts = tuple(labels for labels, _ in read)
        key = cls._combine(parts, [codes for _, codes in read])
        if len(names) == 1:
            return cls(names, parts, np.arange(len(parts[0])), parts[0]), key
        codes, occurring = pd.factorize(key, sort=True)
        digits = np.unravel_index(occurring, [len(p) for p in parts])
        texts = [np.array([str(v) for v in part], dtype=object) for part in parts]
        columns = [text[d] for text, d in zip(texts, digits, strict=True)]
        levels = pd.Index([":".join(row) for row in zip(*columns, strict=True)])
        if levels.has_duplicates:
            raise DataError(
                f"different combinations in `{term.factor}` get the same label.",
                place=term.place,
                found=str(levels[levels.duplicated()][0]),
                fix="take the colons out of the labels of its columns",
            )
        return cls(names, parts, occurring, levels), codes.astype(np.int64)

    def codes(self, frame: pd.DataFrame) -> IntArray:
        """Level of each row of a new table, -1 for a level that is not known."""
        columns = zip(self.parts, self.columns, strict=True)
        key = self._combine(self.parts, [level_codes(part, frame[name]) for part, name in columns])
        at = np.minimum(np.searchsorted(self.occurring, key), len(self.occurring) - 1)
        return np.where(self.occurring[at] == key, at, -1).astype(np.int64)

    @staticmethod
    def _combine(parts: Sequence[pd.Index[Any]], codes: Sequence[IntArray]) -> IntArray:
        """One number for each combination of codes, -1 where one of them is."""
        key = codes[0]
        for part, code in zip(parts[1:], codes[1:], strict=True):
            key = np.where((key < 0) | (code < 0), -1, key * len(part) + code)
        return key


@dataclass(frozen=True, eq=False)
class Encoding:
    """Everything learnt from the training table that new tables must reuse.

    ``factor_terms`` lists, for each factor, the positions of its terms in
    ``bases``; ``offset_argument`` is the column given as ``offset=``, or
    `ARRAY_OFFSET` if numbers were given, which new rows cannot have.
    """

    kinds: Mapping[str, ColumnKind]
    fixed: Basis
    kept_columns: IntArray
    bases: tuple[Basis, ...]
    random: tuple[RandomTerm, ...]
    coding: Mapping[str, LevelCoding]
    offsets: tuple[Basis, ...]
    offset_argument: str | None

    def factors(
        self, codes: Mapping[str, IntArray], columns: Sequence[FloatArray]
    ) -> tuple[Factor, ...]:
        """Stack the terms of each factor, in the order in which factors first appear."""
        built = []
        for name, coding in self.coding.items():
            at = [i for i, t in enumerate(self.random) if t.factor == name]
            widths = [columns[i].shape[1] for i in at]
            starts = np.concatenate([[0], np.cumsum(widths)])
            built.append(
                Factor(
                    name=name,
                    levels=coding.levels,
                    codes=codes[name],
                    columns=columns[at[0]] if len(at) == 1 else np.hstack([columns[i] for i in at]),
                    column_names=tuple(c for i in at for c in self.bases[i].names),
                    terms=tuple(
                        TermColumns(
                            self.random[i].text, int(s), int(s) + w, self.random[i].correlated
                        )
                        for i, s, w in zip(at, starts, widths, strict=False)
                    ),
                    source=coding.columns,
                )
            )
        return tuple(built)

    def encode(self, data: Any, *, factors: bool = True) -> NewRows:
        """Encode a new table; rows with missing values are marked, not dropped.

        Parameters
        ----------
        data : table
        factors : bool
            False leaves the grouping columns out, for population predictions.
        """
        frame = to_frame(data)
        random = self.random if factors else ()
        grouping: list[Name] = [column for t in random for column in t.columns]
        needed = dict.fromkeys([*self.kinds, *(c.name for c in grouping)])
        if not factors:
            slopes = {n.name for t in self.random for n in t.basis.names}
            others = {n.name for b in (self.fixed, *self.offsets) for n in b.expression.names}
            needed = {k: None for k in needed if k in others or k not in slopes}
        if self.offset_argument == ARRAY_OFFSET:
            raise ArgumentError(
                "the offset of this model is an array, which new data cannot have.",
                fix='put it into the data and pass its name: offset="column", or write '
                "offset(column) in the formula",
            )
        if self.offset_argument is not None:
            needed[self.offset_argument] = None
        self._check_present(frame, needed, grouping)
        complete = frame[list(needed)].notna().all(axis=1).to_numpy()
        rows = frame.loc[complete] if not complete.all() else frame
        read = apply_kinds(rows, {k: v for k, v in self.kinds.items() if k in needed})
        offset = sum((b.at(read)[:, 0] for b in self.offsets), np.zeros(len(rows)))
        if self.offset_argument is not None:
            offset = offset + rows[self.offset_argument].to_numpy(dtype=float)
        return NewRows(
            X=self.fixed.at(read)[:, self.kept_columns],
            factors=self.factors(
                {k: c.codes(rows) for k, c in self.coding.items()},
                [b.at(read) for b in self.bases],
            )
            if factors
            else (),
            offset=offset,
            complete=complete,
            index=frame.index,
        )

    def _check_present(
        self, frame: pd.DataFrame, needed: Mapping[str, None], grouping: Sequence[Name]
    ) -> None:
        places = {n.name: n.place for n in grouping}
        bases = (t.basis for t in self.random)
        for expression in (self.fixed.expression, *bases, *(o.expression for o in self.offsets)):
            places |= {n.name: n.place for n in expression.names}
        for name in needed:
            if name not in frame.columns:
                close = suggest(name, frame.columns)
                raise UnknownColumnError(
                    f"new data have no column `{name}`.",
                    place=places.get(name),
                    found=", ".join(frame.columns),
                    fix=f"did you mean `{close}`?" if close else "add it to the new data",
                )
