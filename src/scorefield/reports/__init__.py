"""Reports: figures of samples, and one self-contained page to show to a person.

Importing this is cheap: matplotlib, jinja2 and Pillow are loaded when a report is written.
"""

from scorefield.data.view import View
from scorefield.reports.html import report
from scorefield.trust.residual import ResidualCheck, residual_check

__all__ = ["ResidualCheck", "View", "report", "residual_check"]
