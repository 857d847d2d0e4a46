"""Whether an earlier run can stand beside this one: the same examples, the same attacks, the same program."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reports.data.results import Results, read
from reports.language.words import listing, shown

SUBJECT = {
    "data_digest": "other data",
    "classes": "other classes",
    "bounds": "other bounds of the inputs",
    "test_examples": "another number of audit examples",
    "train_examples": "another number of training examples",
}
"""What both runs must share of their subject, and what it means where they do not."""


class NotComparableError(Exception):
    """Two runs whose figures must not be held against each other; the message says why."""


def read_baseline(results: Results, folder: Path) -> Results:
    """The baseline in a folder, if it can be compared with ``results``.

    Raises NotComparableError with every reason, LedgerError where there is no run.
    """
    old = read(folder)
    if reasons := obstacles(results, old):
        raise NotComparableError(
            f"{folder} cannot be the baseline of this run: {'; '.join(reasons)}. "
            "Run the baseline's plan again on the same data, with the same probes and the same prune-audit."
        )
    return old


def obstacles(new: Results, old: Results) -> list[str]:
    """Why two runs cannot be compared, empty if they can. The model and the pruning may differ.

    Attacks that changed, in their settings or in the program, would show as a change of the model.
    """
    return list(_obstacles(new, old))


def _obstacles(new: Results, old: Results) -> Iterator[str]:
    if old.completeness.waiting:
        yield f"it is incomplete ({old.completeness.waiting:,} of {old.completeness.planned:,} units not run)"
    ours, theirs = _table(new.about, "subject"), _table(old.about, "subject")
    for key, meaning in SUBJECT.items():
        if ours.get(key) != theirs.get(key):
            yield f"it has {meaning} ([subject] {key})"
    probes, others = _table(new.about, "plan", "probes"), _table(old.about, "plan", "probes")
    for name in sorted(probes.keys() & others.keys()):
        mine, its = _table(probes, name), _table(others, name)
        keys = [key for key in sorted(mine.keys() | its.keys()) if mine.get(key) != its.get(key)]
        if keys:
            yield f"its probe {shown(name, 60)} has other settings ({listing([shown(k, 40) for k in keys])})"
    if not probes.keys() & others.keys():
        yield "the two have no probe in common"
    codes = [_table(about, "environment").get("code") for about in (new.about, old.about)]
    if codes[0] != codes[1]:
        yield f"it was made by another version of the program (code {shown(codes[1], 20)})"


def _table(about: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """A table inside the run's facts; empty where it is missing or no table."""
    for key in path:
        value = about.get(key)
        about = value if isinstance(value, Mapping) else {}
    return about
