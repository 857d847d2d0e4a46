"""The paper's claims, judged: :func:`judge` makes a :class:`Ledger`, a pure function of results files."""

from reports.claims.erratum import Erratum, Experiment, Figure
from reports.claims.ledger import Finding, Ledger, claims, judge
from reports.claims.markdown import markdown, markdown_table
from reports.claims.page import as_json, ledger_page
from reports.claims.study import Absent, Study
from reports.claims.words import headline, resolution

__all__ = [
    "Absent",
    "Erratum",
    "Experiment",
    "Figure",
    "Finding",
    "Ledger",
    "Study",
    "as_json",
    "claims",
    "headline",
    "judge",
    "ledger_page",
    "markdown",
    "markdown_table",
    "resolution",
]
