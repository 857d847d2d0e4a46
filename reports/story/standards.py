"""What the report is evidence relevant to: identifiers of public catalogues, pinned in ``standards.toml``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from reports.data.results import Results
from reports.families import families

FILE = Path(__file__).parent / "standards.toml"


@dataclass(frozen=True, slots=True)
class Standard:
    """One entry of a catalogue, and the families whose figures are evidence relevant to it."""

    id: str
    catalogue: str
    title: str
    url: str
    families: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Where identifiers come from, when they were looked up and in what."""

    name: str
    checked: str
    checked_against: str


@cache
def _file() -> Mapping[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def standards(probe: str | None = None) -> list[Standard]:
    """Every entry, or those of one family, in the order of the file."""
    found = [Standard(**{**entry, "families": tuple(entry["families"])}) for entry in _file()["standard"]]
    return [entry for entry in found if probe is None or probe in entry.families]


def catalogues() -> list[Catalogue]:
    """Every catalogue, in the order of the file."""
    return [Catalogue(**{**entry, "checked": entry["checked"].isoformat()}) for entry in _file()["catalogue"]]


@dataclass(frozen=True, slots=True)
class Relevance:
    """A standard beside what this run has to say on it: (title, measured) of each family."""

    standard: Standard
    evidence: tuple[tuple[str, bool], ...]


def relevance(results: Results) -> list[Relevance]:
    """Every standard with the families that speak of it, and whether this run measured them."""
    measured = set(results.measurements.loc[results.measurements["status"] == "ok", "probe"])
    known = families()
    found = []
    for standard in standards():
        evidence = [(known[name].title, name in measured) for name in standard.families if name in known]
        if "files" in standard.families:
            evidence.append(("Model files: weights are read from safetensors, pickles are refused", True))
        found.append(Relevance(standard, tuple(evidence)))
    return found
