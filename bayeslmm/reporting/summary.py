"""Summaries of fits, laid out like lme4's."""

from bayeslmm.reporting.point import summarise_point
from bayeslmm.reporting.posterior import summarise_posterior
from bayeslmm.reporting.sections import Section, Summary

__all__ = ["Section", "Summary", "summarise_point", "summarise_posterior"]
