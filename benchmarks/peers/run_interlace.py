"""interlace: `interlace.fit` with its default optimiser, L-BFGS-B.

Random terms are given apart from the fixed part; an interaction `a:b` behind a bar
becomes a column before the clock starts.
"""

from __future__ import annotations

import re
from importlib.util import find_spec

import interlace
from common import arguments, measure, read_table, split_formula

if __name__ == "__main__":
    args = arguments()
    table = read_table(args.data)
    fixed, bars = split_formula(args.formula)
    random = list(args.spec.get("random", bars))
    for k, bar in enumerate(random):
        if found := re.search(r"\|\s*(\w+):(\w+)\s*\)$", bar):
            name = f"{found[1]}_{found[2]}"
            table[name] = (table[found[1]].astype(str) + ":" + table[found[2]].astype(str)).astype(
                "category"
            )
            random[k] = bar.replace(f"{found[1]}:{found[2]}", name)
    measure(
        lambda: interlace.fit(fixed, table, random=random, method="REML"),
        lambda fit: {"criterion": -2.0 * float(fit.llf), "converged": bool(fit.converged)},
        packages=["interlace-lme", "scikit-sparse"],
        budget=args.budget,
        most=args.most,
        remark="with CHOLMOD" if find_spec("sksparse") else "without CHOLMOD (SuperLU)",
    )
