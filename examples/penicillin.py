"""Potency of penicillin: two crossed factors, REML beside posterior, with your own priors.

Each of six samples was tested on each of 24 plates (Davies and Goldsmith 1972). Plates
and samples are crossed; how much of the variance is due to each is the question.

    python examples/penicillin.py --out demo_output
"""

import argparse
from pathlib import Path

import bayeslmm as bl
from bayeslmm.plots import plot_caterpillar
from bayeslmm.reporting import write_report


def main(out: Path) -> None:
    """Fit, sample, compare; tables on the screen, figures and a report in ``out``."""
    model = bl.Model(
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        bl.load_dataset("Penicillin"),
        # six samples say little about their SD, so its prior is stated
        priors={"sd_sample": bl.HalfNormal(3)},
    )
    print(model.describe(), end="\n\n")
    print(model.priors, end="\n\n")

    fit = model.fit()
    print(fit.summary(), end="\n\n")

    # 24 rows a sample determine its effect well, so the sampler moves the effects themselves
    posterior = model.sample(random_seed=20, progressbar=False)
    print(posterior.summary(), end="\n\n")

    both = bl.compare_estimates(fit, posterior)
    print(both, end="\n\n")

    # Do the plates matter?
    simpler = model.update("~ . - (1 | plate)", priors={})
    print(bl.compare_models({"both": model.fit("ML"), "samples only": simpler.fit("ML")}))

    out.mkdir(parents=True, exist_ok=True)
    both.plot().savefig(out / "penicillin_estimates.png", dpi=120)
    for factor in ("plate", "sample"):
        plot_caterpillar(posterior, factor).savefig(out / f"penicillin_{factor}.png", dpi=120)
    fits = {"REML": fit, "posterior": posterior}
    print("\nWritten:", write_report(fits, out / "penicillin.html", both))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo_output"))
    main(parser.parse_args().out)
