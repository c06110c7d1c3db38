import re
from html.parser import HTMLParser

import pytest

import bayeslmm as bl
from bayeslmm.comparison import compare_estimates
from bayeslmm.errors import ArgumentError
from bayeslmm.reporting import write_report
from tests.unit.comparison.fake_posterior import fake_posterior

VOID = {"meta", "img", "br"}


class Balance(HTMLParser):
    """Fails at a tag that closes another than the one that is open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(sleep, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report({"REML": sleep.reml, "posterior": sleep.posterior}, path) == path
    return path.read_text(encoding="utf-8")


def test_it_is_one_well_formed_file(page):
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert page.count("data:image/png;base64,") == 5


def test_it_has_every_part(page):
    for heading in (
        "Side by side",
        "REML",
        "posterior",
        "Convergence",
        "Data",
        "Priors",
        "Figures (posterior)",
        "Versions",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert "HalfStudentT(nu=3, sigma=56.3)" in page
    assert "Used by posterior." in page
    assert "95 % equal-tailed credible interval" in page
    assert "gradient is zero" in page and "The chains agree" in page
    assert "Python 3" in page and "pymc" in page


def test_a_given_comparison_is_used_and_remarks_are_there(dyestuff2, tmp_path):
    comparison = compare_estimates(dyestuff2.reml, dyestuff2.posterior, level=0.8)
    fits = {"REML": dyestuff2.reml, "posterior": dyestuff2.posterior}
    page = write_report(fits, tmp_path / "r.html", comparison).read_text()
    assert "80 % equal-tailed credible interval" in page
    assert "REML at exactly 0" in page


def test_one_fit_without_random_effects_and_escaping(tmp_path):
    data = bl.load_dataset("sleepstudy").rename(columns={"Days": "<i>"})
    page = write_report({"<ML>": bl.fit("Reaction ~ `<i>`", data)}, tmp_path / "r.html").read_text()
    assert "<i>" not in page and "<ML>" not in page and "&lt;ML&gt;" in page
    assert "Side by side" not in page and "Not used: REML and ML have no priors." in page


@pytest.mark.parametrize("structure", [bl.AR1, bl.CompoundSymmetry, bl.VarianceBy])
def test_a_residual_structure(structure, tmp_path):
    data = bl.load_dataset("sleepstudy").query("Days < 8")
    data["half"] = (data["Days"] > 3).map({True: "late", False: "early"})
    data["crew"] = data["Subject"].astype(str).str[-1]
    by, term = ("half", "Subject") if structure is bl.VarianceBy else ("Subject", "crew")
    fit = bl.fit(f"Reaction ~ Days + (1 | {term})", data, residual=structure(by=by))
    page = write_report({"REML": fit}, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Residual structure" in page
    name, value = next(iter(fit.residual_parameters.items()))
    shown = re.search(rf"{re.escape(name)}</td><td>(-?[0-9.]+)", page)
    assert float(shown[1]) == pytest.approx(value, abs=5e-4)
    assert page.count("<img") == 2  # random effects and fitted lines, no shrinkage


def test_refusals(sleep, penicillin, tmp_path):
    with pytest.raises(ArgumentError, match="no folder"):
        write_report({"REML": sleep.reml}, tmp_path / "missing" / "r.html")
    with pytest.raises(ArgumentError, match="not fits of the same model"):
        write_report({"a": sleep.reml, "b": penicillin.reml}, tmp_path / "r.html")
    with pytest.raises(ArgumentError):
        write_report({}, tmp_path / "r.html")


def test_draws_in_doubt_are_reported(sleep, tmp_path):
    doubted = fake_posterior(sleep.model, ok=False)
    page = write_report({"posterior": doubted}, tmp_path / "r.html").read_text()
    assert "The chains agree" not in page and "Convergence: in doubt" in page
