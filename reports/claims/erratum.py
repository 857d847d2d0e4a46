"""What is told besides the claims: the paper's mistakes, shown by running, and its experiment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Erratum:
    """One mistake of the paper: what it prints, what that gives when run, and what is right."""

    number: int
    where: str
    title: str
    printed: str
    """The formula, matrix or program as printed."""
    gives: str
    """What it gives when it is run."""
    paper_says: str
    """What the paper prints as its result; empty where it prints none."""
    corrected: str
    """What the corrected one gives."""
    remark: str
    """One sentence: what is wrong, and what holds."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the paper's experiment: as printed, and as ours."""

    name: str
    printed: str
    ours: str


@dataclass(frozen=True, slots=True)
class Experiment:
    """The paper's experiment (§5), run again."""

    text: str
    command: str
    figures: tuple[Figure, ...]
    why: tuple[str, ...]
    """Why ours differ, a sentence each."""
