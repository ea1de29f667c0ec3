"""Results as text: one run, a comparison, what stopped a run. Functions from data to lines; nothing here prints."""

from kactors.report.comparison import comparison
from kactors.report.run_report import report

__all__ = ["comparison", "report"]
