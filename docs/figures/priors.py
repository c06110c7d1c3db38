"""Figures and numbers of docs/priors.md: ``python docs/figures/priors.py`` makes them anew.

Writes PNG files and ``priors.json`` into docs/priors. Every draw has a seed.
"""

import json
import math
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

import bayeslmm as bl
from bayeslmm.engine.gaussian import MarginalPosterior
from bayeslmm.plots.style import AMBER, BLUE, GREEN, GREY, INK, ORANGE, PURPLE, panels

FOLDER = Path(__file__).parents[1] / "priors"
SEED = 20260701
SHOWN = 60


def spread(y):
    return float(np.std(y, ddof=1))


def models():
    """Data sets of each kind with the model each is usually given."""
    sleep, penicillin = bl.load_dataset("sleepstudy"), bl.load_dataset("Penicillin")
    cake, cbpp = bl.load_dataset("cake"), bl.load_dataset("cbpp")
    cbpp = cbpp.assign(log_size=np.log(cbpp["size"]))
    return {
        "sleepstudy": bl.Model("Reaction ~ Days + (Days | Subject)", sleep),
        "Penicillin": bl.Model("diameter ~ 1 + (1 | plate) + (1 | sample)", penicillin),
        "cake": bl.Model("angle ~ recipe * temperature + (1 | recipe:replicate)", cake),
        "cbpp, binomial": bl.Model(
            "proportion(incidence, size) ~ period + (1 | herd)", cbpp, family="binomial"
        ),
        "cbpp, Poisson": bl.Model(
            "incidence ~ period + (1 | herd)", cbpp, family="poisson", offset="log_size"
        ),
    }


def ecdf(axes, values, **style):
    values = np.sort(values)
    axes.step(values, np.arange(1, len(values) + 1) / len(values), where="post", **style)


def draw_predictive(all_models):
    """Each data set beside responses simulated from the default priors; a summary of these."""
    figure, grid = panels(len(all_models), 3, (3.2, 2.5))
    found = {}
    for axes, (name, model) in zip(grid, all_models.items(), strict=True):
        drawn = model.prior_predictive(draws=1000, random_seed=SEED)
        (variable,) = drawn["prior_predictive"].data_vars
        simulated = drawn["prior_predictive"][variable].to_numpy()[0]
        observed = drawn["observed_data"][variable].to_numpy()
        if name == "cbpp, binomial":
            trials = model.design.trials
            simulated, observed = simulated / trials, observed / trials
        for values in simulated[:SHOWN]:
            ecdf(axes, values, color=GREY, lw=0.5, alpha=0.6)
        ecdf(axes, observed, color=BLUE, lw=2)
        axes.set_title(name, fontsize=9, color=INK)
        if name == "cbpp, binomial":
            axes.set_xlabel("share of a herd that falls ill", fontsize=8)
            found[name] = {"overall share": quantiles(simulated.mean(axis=1))}
        elif name == "cbpp, Poisson":
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(0, 1e6)
            axes.set_xlabel("new cases in a herd", fontsize=8)
            found[name] = {"mean count": quantiles(simulated.mean(axis=1))}
        else:
            middle, s = observed.mean(), spread(observed)
            axes.set_xlim(middle - 12 * s, middle + 12 * s)
            axes.set_xlabel(variable, fontsize=8)
            ratios = np.std(simulated, axis=1, ddof=1) / s
            found[name] = {
                "SD of a draw over that of the data": quantiles(ratios),
                "mean of a draw, in SDs from that of the data": quantiles(
                    (simulated.mean(axis=1) - middle) / s
                ),
            }
        found[name]["priors"] = dict(
            zip(*(model.priors.table()[k] for k in ("parameter", "prior")), strict=True)
        )
    grid[0].set_ylabel("share of rows at or below", fontsize=8)
    figure.savefig(FOLDER / "prior-predictive.png", dpi=130)
    return found


def quantiles(values):
    return [float(f"{q:.3g}") for q in np.quantile(values, [0.05, 0.5, 0.95])]


def sd_priors(s):
    """Candidates for an SD in units in which the response has SD s."""
    return {
        "HalfStudentT(3, s), default": (bl.HalfStudentT(3, s), BLUE, "-"),
        "HalfNormal(s)": (bl.HalfNormal(s), ORANGE, "-"),
        "Exponential(1/s)": (bl.Exponential(1 / s), GREEN, "-"),
        "HalfCauchy(s)": (bl.HalfCauchy(s), PURPLE, "-"),
        "Flat": (bl.Flat(), AMBER, "--"),
    }


def exact_posterior(model, s):
    """Density of the one SD of a model on a grid of it, sigma integrated by quadrature."""
    posterior = MarginalPosterior(model.design, model.priors)
    log_sd = np.linspace(math.log(1e-4 * s), math.log(1e4 * s), 700)
    log_sigma = np.linspace(math.log(0.1 * s), math.log(6 * s), 120)
    values = np.array([[posterior(np.array([a, b]))[0] for b in log_sigma] for a in log_sd])
    weight = np.exp(values - values.max()).sum(axis=1)
    weight /= np.trapezoid(weight, log_sd)
    share = np.cumsum(weight) * (log_sd[1] - log_sd[0])
    return np.exp(log_sd), weight / np.exp(log_sd), share


def draw_few_levels():
    """The posterior of the SD of 3, 4 and 6 batches of Dyestuff, by its prior."""
    data = bl.load_dataset("Dyestuff")
    figure, grid = panels(3, 3, (3.2, 2.8))
    found = {}
    for axes, levels in zip(grid, (3, 4, 6), strict=True):
        part = data[data["Batch"].isin(sorted(data["Batch"].unique())[-levels:])]
        s = spread(part["Yield"])
        reml = bl.Model("Yield ~ 1 + (1 | Batch)", part).fit().estimate.variance_values[0]
        found[levels] = {"sd(y)": round(s, 1), "REML": round(float(reml), 1)}
        for name, (prior, color, line) in sd_priors(s).items():
            model = bl.Model("Yield ~ 1 + (1 | Batch)", part, priors={"sd_Batch": prior})
            sd, density, share = exact_posterior(model, s)
            axes.plot(sd, density, line, color=color, lw=1.6, label=name)
            if not isinstance(prior, bl.Flat):
                axes.plot(sd, np.exp(prior.logpdf(sd)), ":", color=color, lw=0.9)
            cut = [float(np.interp(q, share, sd)) for q in (0.025, 0.5, 0.975)]
            found[levels][name] = [float(f"{q:.3g}") for q in cut]
        axes.axvline(reml, color=INK, lw=0.8)
        axes.set_xlim(0, 3.5 * s)
        axes.set_ylim(0, None)
        axes.set_yticks([])
        axes.set_title(f"{levels} batches", fontsize=9, color=INK)
        axes.set_xlabel("SD between batches", fontsize=8)
    grid[0].legend(fontsize=6.5, frameon=False, loc="upper right")
    figure.savefig(FOLDER / "few-levels.png", dpi=130)
    return found


def draw_sensitivity():
    """Power scaling of the SD between the first subjects of sleepstudy, by their number."""
    data = bl.load_dataset("sleepstudy")
    subjects = list(dict.fromkeys(data["Subject"]))
    numbers = (3, 4, 6, 9, 12, 18)
    figure, (prior_axes, data_axes) = panels(2, 2, (3.6, 2.8))
    found = {}
    names = ("HalfStudentT(3, s), default", "HalfNormal(s)", "Exponential(1/s)")
    for name in names:
        rows = []
        for levels in numbers:
            part = data[data["Subject"].isin(subjects[:levels])]
            prior, color, _ = sd_priors(spread(part["Reaction"]))[name]
            model = bl.Model("Reaction ~ Days + (1 | Subject)", part, priors={"sd_Subject": prior})
            fit = model.sample(draws=2000, random_seed=SEED, progressbar=False)
            frame = fit.prior_sensitivity().set_index("parameter")
            rows.append(frame.loc["sd_Subject[Intercept]", ["prior", "likelihood"]].astype(float))
        values = np.array(rows)
        found[name] = {
            str(k): [round(float(v), 3) for v in row]
            for k, row in zip(numbers, values, strict=True)
        }
        prior_axes.plot(numbers, values[:, 0], "o-", ms=4, color=color, label=name)
        data_axes.plot(numbers, values[:, 1], "o-", ms=4, color=color)
    for axes, title in ((prior_axes, "of the prior"), (data_axes, "of the likelihood")):
        axes.axhline(0.05, color=INK, lw=0.8, ls=":")
        axes.set_ylim(0, None)
        axes.set_xticks(numbers)
        axes.set_xlabel("subjects", fontsize=8)
        axes.set_title(f"Power {title}", fontsize=9, color=INK)
    prior_axes.set_ylabel("sensitivity of the SD between subjects", fontsize=8)
    prior_axes.legend(fontsize=7, frameon=False)
    figure.savefig(FOLDER / "power-scaling.png", dpi=130)
    return found


def table_of_sensitivities(all_models):
    """Power scaling of every parameter of the models under default priors."""
    found = {}
    for name, model in all_models.items():
        fit = model.sample(draws=2000, random_seed=SEED, progressbar=False)
        frame = fit.prior_sensitivity().round(3)
        found[name] = frame.to_dict("records")
    return found


def main():
    warnings.simplefilter("ignore")
    all_models = models()
    found = {
        "versions": {k: version(k) for k in ("bayeslmm", "numpy", "arviz", "nutpie")},
        "seed": SEED,
        "prior predictive: 5 %, 50 %, 95 %": draw_predictive(all_models),
        "posterior of an SD: 2.5 %, 50 %, 97.5 %": draw_few_levels(),
        "sensitivity by number of levels: prior, likelihood": draw_sensitivity(),
        "sensitivity under default priors": table_of_sensitivities(all_models),
    }
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (FOLDER / "priors.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
