"""Words and pages about fits: summaries and the written report."""

from bayeslmm.reporting.report import write_report
from bayeslmm.reporting.summary import Summary, summarise_point, summarise_posterior

__all__ = ["Summary", "summarise_point", "summarise_posterior", "write_report"]
