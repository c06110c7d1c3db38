"""Importing the package: cheap, complete, and no public name hidden by a room."""

import subprocess
import sys


def run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=False
    )


def test_importing_the_package_imports_no_heavy_library():
    done = run("import bayeslmm", "-X", "importtime")
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "bayeslmm" in imported
    assert not imported & {"pymc", "pytensor", "arviz", "matplotlib", "numba"}


FIT = """
import bayeslmm as bl
str(bl.fit("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy")).summary())
"""


def test_a_fit_and_its_summary_import_no_more_than_they_need():
    done = run(FIT, "-X", "importtime")
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    unneeded = {"pymc", "arviz", "xarray", "matplotlib", "nutpie", "scipy.stats", "joblib", "rich"}
    assert not imported & unneeded


IMPORT_EVERYTHING = """
import importlib, pkgutil, types
import bayeslmm

def fail(name):
    raise ImportError(name)

for module in pkgutil.walk_packages(bayeslmm.__path__, "bayeslmm.", onerror=fail):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
rooms = [n for n in bayeslmm.__all__ if isinstance(getattr(bayeslmm, n), types.ModuleType)]
assert not rooms, f"public names hidden by rooms: {rooms}"
"""


def test_every_public_name_resolves_after_every_module_is_imported():
    done = run(IMPORT_EVERYTHING)
    assert done.returncode == 0, done.stderr
