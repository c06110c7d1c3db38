"""Models, fits and hand-made posteriors within reach."""

from tests.unit.comparison.fitted_models import dyestuff2, penicillin, sleep

__all__ = ["dyestuff2", "penicillin", "sleep"]
