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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Reaction ~ Dayz + (1 | Subject)", "sleepstudy"], "did you mean `Days`?"),
        ([FORMULA, "sleepstud"], "did you mean 'sleepstudy'?"),
        ([FORMULA, "nothing-like-it"], "`bayeslmm datasets` lists those"),
        ([FORMULA, "missing.csv"], "there is no file 'missing.csv'"),
        ([FORMULA, "sleepstudy", "--method", "best"], "method='best' is not known"),
        ([FORMULA, "sleepstudy", "--level", "95"], "fix:   level=0.95"),
        ([FORMULA, "sleepstudy", "--family", "poison"], "did you mean `poisson`?"),
        ([FORMULA, "sleepstudy", "--family", "poisson"], "--sample"),
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
