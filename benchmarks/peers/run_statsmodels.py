"""statsmodels: `MixedLM.from_formula`; crossed factors as variance components of one group.

The spec of a case: `groups` (a column; absent means one group of all rows), `re_formula`,
`vc` (columns that become variance components). Variants: `default`, the documented
optimisers one after another until one converges; `lbfgs`, that one alone.
"""

from __future__ import annotations

import statsmodels.formula.api as smf
from common import arguments, measure, read_table, split_formula

if __name__ == "__main__":
    args = arguments()
    table = read_table(args.data)
    for name in table.select_dtypes("category"):
        # a level without rows in a group would be a column of zeros
        table[name] = table[name].astype(str).astype(object)
    fixed, _ = split_formula(args.formula)
    groups = args.spec.get("groups", "all_rows")
    table["all_rows"] = 1
    components = {c: f"0 + C({c})" for c in args.spec.get("vc", [])}
    options = {
        key: value
        for key, value in (
            ("re_formula", args.spec.get("re_formula")),
            ("vc_formula", components or None),
        )
        if value is not None
    }
    method = {"method": ["lbfgs"]} if args.variant == "lbfgs" else {}
    measure(
        lambda: smf.mixedlm(fixed, table, groups=groups, **options).fit(reml=True, **method),
        lambda fit: {"criterion": -2.0 * float(fit.llf), "converged": bool(fit.converged)},
        packages=["statsmodels"],
        budget=args.budget,
        most=args.most,
    )
