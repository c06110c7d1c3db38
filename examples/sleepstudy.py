"""Reaction times under sleep deprivation: correlated random slopes, REML beside posterior.

Eighteen subjects, ten days. Each subject has an intercept and a slope of their own
(Belenky et al. 2003; the standard example of lme4).

    python examples/sleepstudy.py --out demo_output
"""

import argparse
from pathlib import Path

import bayeslmm as bl
from bayeslmm.plots import plot_caterpillar, plot_group_fits, plot_shrinkage
from bayeslmm.reporting import write_report


def main(out: Path) -> None:
    """Fit, sample, compare; tables on the screen, figures and a report in ``out``."""
    model = bl.Model("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    print(model.describe(), end="\n\n")
    print(model.priors, end="\n\n")

    fit = model.fit()
    print(fit.summary(), end="\n\n")

    posterior = model.sample(random_seed=20, progressbar=False)
    print(posterior.summary(), end="\n\n")

    both = bl.compare_estimates(fit, posterior)
    print(both)

    out.mkdir(parents=True, exist_ok=True)
    both.plot().savefig(out / "sleepstudy_estimates.png", dpi=120)
    both.plot_random_effects().savefig(out / "sleepstudy_random_effects.png", dpi=120)
    plot_caterpillar(posterior).savefig(out / "sleepstudy_caterpillar.png", dpi=120)
    plot_shrinkage(fit).savefig(out / "sleepstudy_shrinkage.png", dpi=120)
    plot_group_fits(fit, "Days").figure.savefig(out / "sleepstudy_lines.png", dpi=120)
    fits = {"REML": fit, "posterior": posterior}
    print("\nWritten:", write_report(fits, out / "sleepstudy.html", both))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo_output"))
    main(parser.parse_args().out)
