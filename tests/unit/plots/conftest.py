"""The models and posteriors of the tests of comparisons."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "comparison"))

from fitted_models import dyestuff2, penicillin, sleep

__all__ = ["dyestuff2", "penicillin", "sleep"]
