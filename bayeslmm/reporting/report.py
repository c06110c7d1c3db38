"""One HTML file that says what was fitted, what came out, and whether to believe it."""

from __future__ import annotations

import base64
import datetime
import html
import io
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.comparison.estimates import EstimateComparison, compare_estimates
from bayeslmm.comparison.kinds import Fit, check_fits, is_posterior
from bayeslmm.comparison.same import difference
from bayeslmm.comparison.tables import STYLE, Table
from bayeslmm.design.describe import describe
from bayeslmm.errors import ArgumentError
from bayeslmm.plots import gallery
from bayeslmm.reporting.point import summarise_point
from bayeslmm.reporting.posterior import doubts, sampling_words, summarise_posterior

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em;"
    "color:#222}h1{font-size:1.5em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #ccc}"
    "img{max-width:100%;height:auto}table.bayeslmm{font-size:13px}.wide{overflow-x:auto}"
    "code{background:#f4f4f4;padding:.1em .3em}"
)
_PACKAGES = ("bayeslmm", "numpy", "scipy", "pandas", "formulae")
_SAMPLING_PACKAGES = ("pymc", "pytensor", "nutpie", "arviz")
_MOST_ROWS = 400


def write_report(
    fits: Mapping[str, Fit], path: str | Path, comparison: EstimateComparison | None = None
) -> Path:
    """Write fits of one model as a single HTML file, figures inside.

    Parameters
    ----------
    fits : mapping of str to fit
        Figures are drawn from the last one.
    path : str or Path
        The file to write; its folder must exist.
    comparison : EstimateComparison, optional
        Made here if there are several fits of the same model.

    Returns
    -------
    Path

    Raises
    ------
    ArgumentError
        No fits, fits of different models, or no such folder.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit("Yield ~ 1 + (1 | Batch)", bl.load_dataset("Dyestuff"))
    >>> write_report({"REML": fit}, "report.html").name  # doctest: +SKIP
    'report.html'
    """
    check_fits(fits)
    path = Path(path)
    if not path.parent.exists():
        raise ArgumentError(f"there is no folder {str(path.parent)!r}.", fix="make it first")
    if comparison is None and len(fits) > 1:
        comparison = compare_estimates(*fits.values(), names=list(fits))
    first, *others = fits.values()
    if any(difference(first.design, f.design) for f in others):
        raise ArgumentError("a report is about one model.", fix="write a report for each model")
    parts = [f"<h1>{html.escape(first.formula)}</h1>", _head(first)]
    if comparison is not None:
        parts += [
            "<h2>Side by side</h2>",
            _wide(comparison._repr_html_()),
            _image(comparison.plot()),
        ]
        if first.design.factors:
            parts.append(_image(comparison.plot_random_effects()))
    for name, fit in fits.items():
        summary = summarise_posterior(fit) if is_posterior(fit) else summarise_point(fit)
        parts += [f"<h2>{html.escape(name)}</h2>", _wide(summary.html())]
    parts += ["<h2>Convergence</h2>", _convergence(fits), "<h2>Data</h2>", _data(first)]
    parts += ["<h2>Priors</h2>", _priors(fits)]
    last_name, last = list(fits.items())[-1]
    if last.design.factors:
        parts.append(f"<h2>Figures ({html.escape(last_name)})</h2>")
        parts += [_image(figure) for figure in gallery(last).values()]
    parts += ["<h2>Versions</h2>", _versions(any(is_posterior(f) for f in fits.values()))]
    path.write_text(_page(first.formula, "\n".join(parts)), encoding="utf-8")
    return path


def _page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_PAGE}{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _wide(fragment: str) -> str:
    return f'<div class="wide">{fragment}</div>'


def _head(fit: Fit) -> str:
    d = fit.design
    sizes = ", ".join(f"{f.n_levels} levels of {f.name}" for f in d.factors)
    words = (
        f"{d.family.name} family, {d.family.link.name} link; {d.n} rows; {d.p} fixed effects"
        + (f"; {d.q} random effects ({sizes})" if sizes else "")
    )
    return f"<p>{html.escape(words)}</p>"


def _frame(frame: pd.DataFrame, text_columns: int = 1) -> str:
    """A frame as a table, numbers with four significant digits."""
    shown = frame.head(_MOST_ROWS)
    rows = tuple(
        tuple(f"{v:.4g}" if isinstance(v, float | np.floating) else str(v) for v in row)
        for row in shown.itertuples(index=False)
    )
    table = Table(tuple(map(str, frame.columns)), rows, text_columns).html()
    more = len(frame) - len(shown)
    return _wide(table) + (f"<p>and {more} more rows</p>" if more else "")


def _data(fit: Fit) -> str:
    about = describe(fit.design)
    left = f", {about.rows_left_out} left out for missing values" if about.rows_left_out else ""
    parts = [f"<p>{about.rows} rows{left}</p>"]
    if len(about.factors):
        parts.append(_frame(about.factors))
    if len(about.pairs):
        parts.append(_frame(about.pairs, 2))
    parts += [f"<p>{html.escape(note)}</p>" for note in about.notes]
    return "".join(parts)


def _priors(fits: Mapping[str, Fit]) -> str:
    used = [k for k, f in fits.items() if is_posterior(f) or f.estimate.method == "MAP"]
    source = next((f for k, f in fits.items() if k in used), next(iter(fits.values())))
    words = f"Used by {', '.join(used)}." if used else "Not used: REML and ML have no priors."
    table = _frame(source.priors.table(), 4)
    centred = source.priors.intercept is not None and len(source.priors.fixed_names) > 1
    if centred:
        words += " The prior of the intercept stands where every other predictor is at its mean."
    return f"<p>{html.escape(words)}</p>{table}"


def _convergence(fits: Mapping[str, Fit]) -> str:
    items = []
    for name, fit in fits.items():
        if is_posterior(fit):
            words = f"{sampling_words(fit)}. {' '.join(doubts(fit))}"
        else:
            e = fit.estimate
            words = f"{e.status.label} after {e.evaluations} evaluations: {e.status.words}"
            words += f". {e.status.advice}" if e.status.advice else ""
        items.append(f"<li><b>{html.escape(name)}</b>: {html.escape(words)}</li>")
    return f"<ul>{''.join(items)}</ul>"


def _image(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    label = html.escape(figure.get_suptitle() or "estimates and intervals", quote=True)
    return f'<p><img alt="{label}" src="data:image/png;base64,{data}"></p>'


def _versions(sampled: bool) -> str:
    found = [f"Python {platform.python_version()}"]
    for package in (*_PACKAGES, *(_SAMPLING_PACKAGES if sampled else ())):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # run from a source tree
            continue
    today = datetime.date.today().isoformat()
    return f"<p>{html.escape(', '.join(found))}. Written {today}.</p>"
