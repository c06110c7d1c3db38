"""Priors and families are light: no sampler, no plots."""

import subprocess
import sys


def test_neither_pymc_nor_arviz_nor_matplotlib():
    code = (
        "import sys, bayeslmm.priors, bayeslmm.families, bayeslmm.sampling;"
        "print([m for m in ('pymc', 'pytensor', 'arviz', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
