"""Fits beside each other: estimates of one model, and different models of the same data."""

from bayeslmm.comparison.estimates import EstimateComparison, compare_estimates
from bayeslmm.comparison.likelihood_ratios import anova
from bayeslmm.comparison.models import ModelComparison, compare_models

__all__ = ["EstimateComparison", "ModelComparison", "anova", "compare_estimates", "compare_models"]
