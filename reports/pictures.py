"""Clean, adversarial and difference pictures of a few broken examples, as small PNG files inside the page."""

from dataclasses import dataclass

from reports.gate import Decision
from reports.results import Results


@dataclass(frozen=True, slots=True)
class Picture:
    """One broken example: three data URIs, and in words what it shows."""

    clean: str
    adversarial: str
    difference: str
    width: int
    height: int
    alt: str
    caption: str


def pictures(results: Results, decision: Decision) -> list[Picture]:
    """Of the variant and conditions of a decision, where the run kept any."""
    return []
