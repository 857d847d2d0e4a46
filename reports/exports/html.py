"""The report: one page that needs nothing else."""

from reports.page.render import render

__all__ = ["FILE", "render"]

FILE = "report.html"
