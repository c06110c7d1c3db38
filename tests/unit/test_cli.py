import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

import bayeslmm as bl
from bayeslmm.cli import app

FORMULA = "Reaction ~ Days + (Days | Subject)"


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_a_fit_prints_the_summary():
    done = run("fit", FORMULA, "sleepstudy")
    assert done.exit_code == 0
    assert done.stdout.strip() == str(bl.fit(FORMULA, bl.load_dataset("sleepstudy")).summary())


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_files_of_every_kind(tmp_path, ending):
    path = tmp_path / f"data.{ending}"
    data = bl.load_dataset("sleepstudy")
    if ending == "parquet":
        data.to_parquet(path)
    else:
        data.to_csv(path, index=False, sep="," if ending == "csv" else "\t")
    done = run("fit", FORMULA, path, "--method", "ml", "--level", "0.9")
    assert done.exit_code == 0
    assert "fit by maximum likelihood" in done.stdout and "90 % intervals" in done.stdout


@pytest.mark.parametrize("df_method", ["satterthwaite", "kenward-roger", "normal"])
def test_the_reference_of_the_tests_is_chosen(tmp_path, df_method):
    done = run("fit", FORMULA, "sleepstudy", "--df-method", df_method.upper(), "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    expected = bl.fit(FORMULA, bl.load_dataset("sleepstudy"), df_method=df_method)
    assert f'(df_method "{df_method}")' in " ".join(done.stdout.split())
    assert done.stdout.strip() == str(expected.summary())
    table = pd.read_csv(tmp_path / "REML_fixed.csv", index_col="parameter")
    assert table["p"].tolist() == pytest.approx(expected.fe_pvalues.tolist(), rel=1e-12)
    assert bl.load(tmp_path / "REML.nc").df_method == df_method


def test_what_has_no_such_tests_says_so():
    mode = run("fit", FORMULA, "sleepstudy", "--method", "MAP", "--df-method", "kenward-roger")
    assert mode.exit_code == 1 and "kenward-roger" in mode.stderr
    counts = ("fit", "incidence ~ 1 + (1 | herd)", "cbpp", "--family", "poisson", "--sample")
    other = run(*counts, "--df-method", "normal")
    assert other.exit_code == 1 and "without --method and --df-method" in other.stderr
    assert run("fit", FORMULA, "sleepstudy", "--df-method", "wald").exit_code == 2


def test_weights_and_offset_reach_the_model(tmp_path):
    data = bl.load_dataset("sleepstudy").assign(w=lambda d: d["Days"] + 1.0, o=10.0)
    data.to_csv(tmp_path / "d.csv", index=False)
    done = run("fit", FORMULA, tmp_path / "d.csv", "--weights", "w", "--offset", "o")
    expected = bl.fit(FORMULA, pd.read_csv(tmp_path / "d.csv"), weights="w", offset="o")
    assert done.stdout.strip() == str(expected.summary())


def test_out_writes_tables_fit_figures_and_report(tmp_path):
    done = run("fit", FORMULA, "sleepstudy", "--out", tmp_path / "new" / "folder")
    assert done.exit_code == 0
    names = {p.name for p in (tmp_path / "new" / "folder").iterdir()}
    assert names == {
        "REML.nc",
        "REML_fixed.csv",
        "REML_variance.csv",
        "REML_random.csv",
        "REML_caterpillar_Subject.png",
        "REML_shrinkage_Subject.png",
        "REML_lines_Subject.png",
        "report.html",
    }
    table = pd.read_csv(tmp_path / "new" / "folder" / "REML_fixed.csv")
    again = bl.load(tmp_path / "new" / "folder" / "REML.nc")
    assert table["estimate"].tolist() == pytest.approx(again.fe_params.tolist())
    assert "Written to" in done.stderr


@pytest.mark.slow
def test_sample_writes_both_and_tells_doubtful_draws(tmp_path):
    done = run(
        *("fit", "Yield ~ 1 + (1 | Batch)", "Dyestuff", "--sample", "--out", tmp_path),
        *("--draws", 20, "--tune", 50, "--chains", 2, "--seed", 1, "--level", 0.8, "--centered"),
    )
    assert done.exit_code == 3, done.stderr
    assert "warning: the draws of the posterior are not to be trusted yet." in done.stderr
    for words in (
        "Linear mixed model fit by REML",
        "Sampler: nutpie, centered; 2 chains x 20 draws",
        "Estimates of Yield ~ 1 + (1 | Batch)",
        "10 % to 90 %: 80 % equal-tailed credible",
    ):
        assert words in done.stdout
    names = {p.name for p in tmp_path.iterdir()}
    assert {"posterior.nc", "posterior_fixed.csv", "side_by_side.csv", "side_by_side.png"} <= names
    table = pd.read_csv(tmp_path / "side_by_side.csv").set_index("parameter")
    posterior = bl.load(tmp_path / "posterior.nc")
    assert table.loc["sigma", "posterior_mean"] == pytest.approx(
        float(posterior.datatree["posterior"]["sigma"].mean())
    )
    assert "80 % equal-tailed" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_other_families_are_sampled_without_point_estimates():
    done = run(
        *("fit", "incidence ~ 1 + (1 | herd)", "cbpp", "--family", "poisson", "--sample"),
        *("--draws", 20, "--tune", 50, "--chains", 2, "--seed", 1),
    )
    assert done.exit_code == 3, done.stderr
    assert "Generalised linear mixed model (poisson, log)" in done.stdout
    assert "REML" not in done.stdout.split("Estimates of")[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Reaction ~ Dayz + (1 | Subject)", "sleepstudy"], "did you mean `Days`?"),
        ([FORMULA, "sleepstud"], "did you mean 'sleepstudy'?"),
        ([FORMULA, "nothing-like-it"], "`bayeslmm datasets` lists those"),
        ([FORMULA, "missing.csv"], "there is no file 'missing.csv'"),
        ([FORMULA, "sleepstudy", "--level", "95"], "fix:   level=0.95"),
        ([FORMULA, "sleepstudy", "--family", "poison"], "did you mean `poisson`?"),
        (["incidence ~ 1 + (1 | herd)", "cbpp", "--family", "poisson"], "--sample"),
        ([FORMULA, "sleepstudy", "--out", "/dev/null/x"], "/dev/null"),
    ],
)
def test_errors_are_words_and_exit_code_1(arguments, words):
    done = run("fit", *arguments)
    assert done.exit_code == 1
    assert words in done.stderr and done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_a_file_that_is_not_a_table(tmp_path):
    (tmp_path / "bad.parquet").write_text("not parquet")
    done = run("fit", FORMULA, tmp_path / "bad.parquet")
    assert done.exit_code == 1 and "bad.parquet" in done.stderr


def test_debug_shows_the_traceback():
    done = run("fit", "Reaction ~ Dayz", "sleepstudy", "--debug")
    assert done.exit_code == 1 and "Traceback" in done.stderr


def test_wrong_usage_is_exit_code_2():
    assert run("fit", FORMULA).exit_code == 2
    assert run("fit", FORMULA, "sleepstudy", "--chains", "0").exit_code == 2


def test_a_singular_fit_warns_once_and_succeeds():
    done = run("fit", "Yield ~ 1 + (1 | Batch)", "Dyestuff2")
    assert done.exit_code == 0
    assert done.stderr.count("warning: the SD of `Intercept` for `Batch` is 0.") == 1


def test_datasets_version_and_help():
    listed = run("datasets").stdout
    assert all(name in listed for name in bl.dataset_names())
    assert run("--version").stdout.strip() == f"bayeslmm {bl.__version__}"
    assert "has not converged" in " ".join(run("fit", "--help").stdout.split())


def test_a_reml_fit_imports_no_heavy_library():
    code = (
        "import sys\n"
        "from bayeslmm.cli import main\n"
        f"sys.argv = ['bayeslmm', 'fit', {FORMULA!r}, 'sleepstudy']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "heavy = {'pymc', 'pytensor', 'arviz', 'arviz_stats', 'arviz_base', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fit by REML" in done.stdout


def test_an_unknown_method_is_a_usage_error():
    done = run("fit", FORMULA, "sleepstudy", "--method", "best")
    assert done.exit_code == 2
    assert "map" in done.stderr.lower()


def test_methods_are_read_in_any_case():
    done = run("fit", FORMULA, "sleepstudy", "--method", "ml")
    assert done.exit_code == 0
    assert "fit by maximum likelihood" in done.stdout or "fit by ML" in done.stdout
