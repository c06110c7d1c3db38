"""glmm: `glmm.fit` on a dict of arrays and categoricals, its fastest input.

Variants: `default`; `lean` leaves out Satterthwaite's degrees of freedom and takes
standard errors from the factorisation, which is what the other packages' fits do.
"""

from __future__ import annotations

import glmm
from common import arguments, measure, read_table

OPTIONS = {
    "default": {},
    "lean": {"satterthwaite": False, "wald_se": "rx", "anova_test": "Wald"},
}

if __name__ == "__main__":
    args = arguments()
    table = read_table(args.data)
    columns = {
        name: column.array if column.dtype == "category" else column.to_numpy()
        for name, column in table.items()
    }
    measure(
        lambda: glmm.fit(columns, args.formula, reml=True, **OPTIONS[args.variant]),
        lambda fit: {"criterion": -2.0 * float(fit.loglik), "converged": bool(fit.converged)},
        packages=["glmm"],
        budget=args.budget,
        most=args.most,
    )
