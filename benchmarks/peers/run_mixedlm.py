"""mixedlm: `mixedlm.lmer` on a pandas table.

Variants: `default` (L-BFGS-B with native gradients, COBYQA where it fails); `lean` is
L-BFGS-B with analytic gradients alone, and no derivatives at the optimum.
"""

from __future__ import annotations

import mixedlm
from common import arguments, measure, read_table

OPTIONS = {
    "default": {},
    "lean": {"calc_derivs": False, "optimizer": "L-BFGS-B", "use_analytic_gradient": True},
}

if __name__ == "__main__":
    args = arguments()
    table = read_table(args.data)
    control = mixedlm.lmerControl(**OPTIONS[args.variant])
    measure(
        lambda: mixedlm.lmer(args.formula, table, REML=True, control=control),
        lambda fit: {"criterion": -2.0 * float(fit.logLik()), "converged": bool(fit.converged)},
        packages=["mixedlm"],
        budget=args.budget,
        most=args.most,
    )
