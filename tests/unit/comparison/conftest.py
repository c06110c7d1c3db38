"""Models, fits and hand-made posteriors within reach."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fitted_models import dyestuff2, penicillin, sleep

__all__ = ["dyestuff2", "penicillin", "sleep"]
