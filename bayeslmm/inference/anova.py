"""The table of tests of the terms of the fixed part."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayeslmm.errors import ArgumentError
from bayeslmm.inference.contrasts import EstimatedFit, joint_test
from bayeslmm.inference.degrees_of_freedom import reference_words
from bayeslmm.inference.printed import PrintedTable
from bayeslmm.inference.term_hypotheses import TYPES, term_contrasts


def anova_table(fit: EstimatedFit, kind: str = "III") -> PrintedTable:
    """Test every term of the fixed part.

    Parameters
    ----------
    fit : PointFit
        Its ``df_method`` chooses the denominator degrees of freedom.
    kind : {"III", "II", "I"}

    Returns
    -------
    PrintedTable
        ``table`` with the columns ``term``, ``sumsq``, ``meansq``, ``df_num``, ``df_den``,
        ``F`` and ``p``, a row a term; NaN for a term whose columns others determine. The
        mean square is F sigma^2, before the scale of Kenward and Roger, as in lmerTest.

    Raises
    ------
    ArgumentError
        Another type; or type III of a fixed part that leaves out what it builds on.
    """
    known = {**{t: t for t in TYPES}, "3": "III", "2": "II", "1": "I"}
    if str(kind).upper() not in known:
        raise ArgumentError(f"type={kind!r} is not known.", fix='one of "III", "II", "I"')
    kind = known[str(kind).upper()]
    rows = []
    for term, L in term_contrasts(fit.design, kind).items():
        test = joint_test(fit, L)
        meansq = test.F / test.scale * fit.estimate.sigma**2
        rows.append((term, meansq * test.df_num, meansq, test.df_num, test.df_den, test.F, test.p))
    columns = ["term", "sumsq", "meansq", "df_num", "df_den", "F", "p"]
    table = pd.DataFrame(rows, columns=columns)
    table = table.astype(dict.fromkeys(columns[1:3] + columns[4:], np.float64))
    words = {
        "III": "each term after all others, rows of a cell counting alike",
        "II": "each term after all that do not contain it",
        "I": "each term after those before it",
    }
    if table.empty:
        return PrintedTable(table, "The fixed part has no term to test.")
    caption = f"Type {kind} tests: {words[kind]}. {reference_words(fit.design, fit.df_method)}."
    return PrintedTable(table, caption)
