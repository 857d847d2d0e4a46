"""What the written exports say first: the answer, and what else a reader must know of the verdict."""

from reports.analysis import analyse
from reports.gate import Verdicts
from reports.results import Results
from reports.status import MARKS
from reports.summary import summarise
from reports.words import counted, listing


def headline(results: Results, verdicts: Verdicts) -> list[str]:
    """The page's first sentences."""
    return list(summarise(analyse(results), verdicts).headline)


def tally(verdicts: Verdicts) -> str:
    """``2 fail, 5 pass and 1 inconclusive``, worst first; ``nothing was judged``."""
    parts = [
        f"{verdicts.count(status)} {mark.word.lower()}"
        for status, mark in sorted(MARKS.items(), key=lambda pair: pair[0] == "pass")
        if verdicts.count(status)
    ]
    text = listing(parts) or "nothing was judged"
    return f"{text}; {counted(verdicts.waiting, 'planned unit')} not run" if verdicts.waiting else text
