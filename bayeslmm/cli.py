"""The `bayeslmm` command."""

from __future__ import annotations

import contextlib
import sys
import traceback
import warnings
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console

import bayeslmm
from bayeslmm.errors import ArgumentError, BayeslmmError, BayeslmmWarning, suggest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from bayeslmm.comparison import EstimateComparison
    from bayeslmm.fits import PointFit, PosteriorFit
    from bayeslmm.model import Model

FAILED = 1
NOT_CONVERGED = 3
_CODES = (
    "Exit codes: 0 done; 1 an error, said on standard error; 2 wrong usage; "
    "3 results were written, but the optimiser or the sampler has not converged."
)

app = typer.Typer(
    name="bayeslmm",
    help="Mixed models from one formula: REML estimates and a posterior of the same model.",
    epilog=_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # brackets in help texts are words, not markup
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; `bayeslmm --help` says what there is."""
    app()


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"bayeslmm {bayeslmm.__version__}")
        raise typer.Exit


@app.callback()
def _everywhere(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command()
def datasets() -> None:
    """List the bundled data sets."""
    from bayeslmm.data.datasets import DESCRIPTIONS, dataset_names

    width = max(map(len, DESCRIPTIONS))
    for name in dataset_names():
        typer.echo(f"{name.ljust(width)}  {DESCRIPTIONS[name]}")


class Method(StrEnum):
    """Ways to a point estimate."""

    REML = "REML"
    ML = "ML"
    MAP = "MAP"


class DfMethod(StrEnum):
    """Reference distributions of the tests of fixed effects."""

    SATTERTHWAITE = "satterthwaite"
    KENWARD_ROGER = "kenward-roger"
    NORMAL = "normal"


Formula = Annotated[str, typer.Argument(help="As in lme4: 'y ~ x + (x | group)'.")]
Data = Annotated[str, typer.Argument(help="A .csv, .tsv or .parquet file, or a data set.")]
Sample = Annotated[bool, typer.Option("--sample", help="Draw from the posterior too.")]
Out = Annotated[Path | None, typer.Option(help="Folder for tables, fits, plots and report.html.")]
ChosenMethod = Annotated[
    Method | None, typer.Option("--method", help="REML by default.", case_sensitive=False)
]
ChosenDfMethod = Annotated[
    DfMethod | None,
    typer.Option(
        "--df-method",
        help="Tests of fixed effects: satterthwaite by default, normal for MAP.",
        case_sensitive=False,
    ),
]
Family = Annotated[
    str, typer.Option(help="gaussian, bernoulli, binomial, poisson or negativebinomial.")
]
Draws = Annotated[int, typer.Option(min=1, help="Kept draws of each chain.")]
Tune = Annotated[int | None, typer.Option(min=0, help="Warm-up of each chain.")]
Chains = Annotated[int, typer.Option(min=1, help="Number of chains.")]
TargetAccept = Annotated[
    float | None, typer.Option(help="Between 0 and 1; nearer to 1 takes smaller steps.")
]
Centered = Annotated[
    bool, typer.Option("--centered", help="Sample in the centred parameterization.")
]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same draws.")]
Store = Annotated[
    Path | None, typer.Option(help="Folder the draws are written to as they are made.")
]
VarNames = Annotated[
    list[str] | None,
    typer.Option(help="Effects whose draws are kept, or left out: '~b_item'. Repeatable."),
]
Level = Annotated[float, typer.Option(help="Level of the intervals.")]
Weights = Annotated[str | None, typer.Option(help="Column of precision weights.")]
Offset = Annotated[str | None, typer.Option(help="Column added to the linear predictor.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command(epilog=_CODES)
def fit(
    formula: Formula,
    data: Data,
    sample: Sample = False,
    out: Out = None,
    method: ChosenMethod = None,
    df_method: ChosenDfMethod = None,
    family: Family = "gaussian",
    draws: Draws = 1000,
    tune: Tune = None,
    chains: Chains = 4,
    target_accept: TargetAccept = None,
    centered: Centered = False,
    seed: Seed = None,
    store: Store = None,
    var_names: VarNames = None,
    level: Level = 0.95,
    weights: Weights = None,
    offset: Offset = None,
    debug: Debug = False,
) -> None:
    """Fit FORMULA to DATA and print the summary.

    With --sample, also the posterior and both side by side; with --out, everything is
    written to a folder as well.
    """
    console = Console(stderr=True)
    with _spoken(debug):
        from bayeslmm.errors import check_level
        from bayeslmm.model import Model

        check_level(level)
        folder = _folder(out)
        with console.status("reading the data"):
            model = Model(formula, _read(data), family=family, weights=weights, offset=offset)
        _check_kept(model, sample, store, var_names, out)
        fits: dict[str, Any] = {}
        if _has_point_fit(model, sample, method or df_method):
            point = _fit_point(model, method or Method.REML, df_method, console)
            fits[point.method] = point
            _print_point(point, level)
        if sample:
            options: dict[str, Any] = {"target_accept": target_accept, "random_seed": seed}
            options["parameterization"] = "centered" if centered else "auto"
            options |= {"store": store, "var_names": var_names}
            fits["posterior"] = _sample(model, draws, tune, chains, **options)
            _print_posterior(fits["posterior"], level)
        _finish(fits, folder, level, console)
    if not all(f.converged for f in fits.values()):
        raise typer.Exit(NOT_CONVERGED)


@contextlib.contextmanager
def _spoken(debug: bool) -> Iterator[None]:
    """Turn errors into messages and exit codes, warnings into lines on standard error."""

    def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        typer.echo(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", BayeslmmWarning)
            warnings.showwarning = show
        try:
            yield
        except typer.Exit:
            raise
        except Exception as error:
            if debug:
                traceback.print_exc()
            elif isinstance(error, BayeslmmError):
                typer.echo(f"error: {error}", err=True)
            elif isinstance(error, OSError):
                typer.echo(f"error: {error.strerror or error}: {error.filename}", err=True)
            else:
                words = f"error: {type(error).__name__}: {error}"
                typer.echo(f"{words}\n  fix:   --debug shows where it happened", err=True)
            raise typer.Exit(FAILED) from None


def _read(data: str) -> pd.DataFrame:
    """A file, or a bundled data set where no file has that name."""
    from bayeslmm.data.datasets import DESCRIPTIONS, load_dataset
    from bayeslmm.data.table import read_table

    path = Path(data)
    known = {name.casefold() for name in DESCRIPTIONS}
    if not path.exists() and data.casefold() in known:
        return load_dataset(data)
    if not path.exists() and not path.suffix:
        close = suggest(data, DESCRIPTIONS)
        raise ArgumentError(
            f"{data!r} is neither a file nor a bundled data set.",
            fix=f"did you mean {close!r}?" if close else "`bayeslmm datasets` lists those",
        )
    return read_table(path)


def _folder(out: Path | None) -> Path | None:
    """The folder to write to, made before any work is done."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    return out


def _has_point_fit(model: Model, sample: bool, asked: Method | DfMethod | None) -> bool:
    """Whether point estimates exist; without them a posterior must be asked for."""
    family = model.family
    if family.name == "gaussian" and family.link.name == "identity":
        return True
    if not sample or asked is not None:
        raise ArgumentError(
            f"point estimates exist for the Gaussian family only, and this model is {family.name}.",
            fix="use --sample, without --method and --df-method",
        )
    return False


def _check_kept(
    model: Model, sample: bool, store: Path | None, var_names: list[str] | None, out: Path | None
) -> None:
    """Refuse, before any work is done, to leave out draws that tables or figures need."""
    from bayeslmm.priors.names import effects_name
    from bayeslmm.sampling.settings import kept_variables

    if not sample:
        if store is not None or var_names is not None:
            raise ArgumentError("--store and --var-names are about draws.", fix="add --sample")
        return
    design = model.design
    needed = {"beta"} if design.p else set()
    if out is not None:
        needed |= {effects_name(f.name) for f in design.factors}
    if missing := sorted(needed - kept_variables(design, var_names)):
        raise ArgumentError(
            f"the tables{' and figures' if out else ''} need draws of {', '.join(missing)}.",
            fix="--var-names '~b_item' leaves out b_item alone, and only without --out",
        )


def _fit_point(
    model: Model, method: Method, df_method: DfMethod | None, console: Console
) -> PointFit:
    with console.status(f"fitting by {method.value}"):
        chosen: Any = None if df_method is None else df_method.value
        return model.fit(cast(Any, method.value), df_method=chosen)


def _sample(
    model: Model, draws: int, tune: int | None, chains: int, **options: Any
) -> PosteriorFit:
    # tables go to standard output; a sampler's progress must not
    with contextlib.redirect_stdout(sys.stderr):
        return model.sample(draws, tune, chains, progressbar=sys.stderr.isatty(), **options)


def _print_point(fit: PointFit, level: float) -> None:
    from bayeslmm.reporting.point import summarise_point

    typer.echo(str(summarise_point(fit, level)))


def _print_posterior(fit: PosteriorFit, level: float) -> None:
    from bayeslmm.reporting.posterior import summarise_posterior

    typer.echo(f"\n{summarise_posterior(fit, level)}")


def _finish(fits: dict[str, Any], folder: Path | None, level: float, console: Console) -> None:
    """Print fits side by side where a posterior is among them, and write everything."""
    comparison = None
    if "posterior" in fits:
        from bayeslmm.comparison import compare_estimates

        comparison = compare_estimates(*fits.values(), names=list(fits), level=level)
        typer.echo(f"\n{comparison}")
    if folder is not None:
        with console.status(f"writing {folder}"):
            _write(folder, fits, comparison, level)
        console.print(f"Written to {folder}", markup=False, highlight=False)


def _write(
    folder: Path, fits: dict[str, Any], comparison: EstimateComparison | None, level: float
) -> None:
    """Tables, fits, figures and the report."""
    from bayeslmm.plots import gallery
    from bayeslmm.reporting.report import write_report

    figures: dict[str, Figure] = {}
    effects: tuple[Any, ...] = ("fixed", "variance", "random")
    for name, one in fits.items():
        for kind in effects:
            one.to_frame(kind, level).to_csv(folder / f"{name}_{kind}.csv", index=False)
        one.save(folder / f"{name}.nc")
        figures |= {f"{name}_{k}": figure for k, figure in gallery(one).items()}
    if comparison is not None:
        comparison.table.to_csv(folder / "side_by_side.csv", index=False)
        comparison.remarks.to_csv(folder / "remarks.csv", index=False)
        figures["side_by_side"] = comparison.plot()
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=120)
    write_report(fits, folder / "report.html", comparison)
