"""Whether an earlier run can stand beside this one: equal plan, examples and attacks, whatever program."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reports.data.ledger import LedgerError
from reports.data.results import FILE, Results, read
from reports.language.words import listing, shown

SUBJECT = {
    "data_digest": "other data",
    "classes": "other classes",
    "bounds": "other bounds of the inputs",
    "test_examples": "another number of audit examples",
    "train_examples": "another number of training examples",
}
"""What both runs must share of their subject, and what it means where they do not."""
PLAN: Mapping[str, tuple[str, ...]] = {
    "model": ("weights",),
    "train": (),
    "pruning": ("methods", "sparsities", "seeds"),
}
"""Tables of the plan that both must share, and the keys in them that may differ: the weights are what is
compared, and of methods, sparsities and seeds those that both have."""
MACHINE = ("platform", "processor", "device")
"""Facts of the environment that are about the machine; all others but the code are versions of libraries."""
_ABSENT = object()


class NotComparableError(Exception):
    """Two runs whose figures must not be held against each other; the message says why."""


def read_baseline(results: Results, folder: Path) -> Results:
    """The baseline in a folder, if it can be compared with ``results``; without the figures of probes whose
    settings were others, which nothing can be held against.

    Raises NotComparableError with every reason, LedgerError where there is no run.
    """
    old = read(there(folder))
    if reasons := obstacles(results, old):
        raise NotComparableError(
            f"{folder} cannot be the baseline of this run: {'; '.join(reasons)}. "
            "Run the baseline's model again by this run's plan, on the same data."
        )
    rows = old.measurements[~old.measurements["probe"].isin(_otherwise(results, old).keys())]
    by_metric = {str(metric): part for metric, part in rows.groupby("metric", sort=False)}
    return replace(old, measurements=rows, by_metric=by_metric)


def there(folder: Path) -> Path:
    """The same where it can hold an earlier run; raises LedgerError where there is none."""
    if not folder.is_file() and not (folder / FILE).is_file():
        raise LedgerError(
            f"{folder / FILE} does not exist: --baseline names an earlier run; where there is none yet, say "
            "--first"
        )
    return folder


def obstacles(new: Results, old: Results) -> list[str]:
    """Why two runs cannot be compared, empty if they can.

    Data or recipes that changed would show as a change of the model. Code and libraries are no obstacle, or
    no baseline would outlive an upgrade; nor is a probe whose settings changed, which leaves the others
    comparable: :func:`cautions` tells both.
    """
    return list(_obstacles(new, old))


def cautions(new: Results, old: Results) -> list[str]:
    """What else changed since the baseline and may be part of every difference, a clause each."""
    return list(_cautions(new, old))


def _obstacles(new: Results, old: Results) -> Iterator[str]:
    state = old.completeness
    if not state.done:
        yield f"it has no finished unit (of {state.planned:,} planned)"
    elif state.waiting:
        yield f"it is incomplete ({state.waiting:,} of {state.planned:,} units not run)"
    ours, theirs = _table(new.about, "subject"), _table(old.about, "subject")
    for key, meaning in SUBJECT.items():
        if ours.get(key) != theirs.get(key):
            yield f"it has {meaning} ([subject] {key})"
    trained = [table.get("weights") == "trained" for table in (theirs, ours)]
    if trained[0] != trained[1]:
        words = ["trained by the plan" if one else "brought to it" for one in trained]
        yield f"its model was {words[0]}, this run's {words[1]} ([model] weights)"
    for table, mine, its in _plans(new, old):
        if apart := _apart(new, old, mine, its):
            yield f"its plan has other settings ([{table}] {apart})"
    common, otherwise = _common(new, old), _otherwise(new, old)
    if not common:
        yield "the two have no probe in common"
    elif len(otherwise) == len(common):
        yield f"all of its probes have other settings ({_said(otherwise)})"
    if new.made and old.made and not new.made.keys() & old.made.keys():
        yield "the two have no variant in common"
    elif new.made and old.made and not _seeds(new) & _seeds(old):
        yield f"it has training seeds {_numbers(_seeds(old))}, this run has {_numbers(_seeds(new))}"


def _cautions(new: Results, old: Results) -> Iterator[str]:
    ours, theirs = _environment(new), _environment(old)
    changed = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
    for what, keys in (
        ("by other code", [key for key in changed if key == "code"]),
        ("with other libraries", [key for key in changed if key not in ("code", *MACHINE)]),
        ("on another machine", [key for key in changed if key in MACHINE]),
    ):
        if keys:
            values = [(key, *(shown(one.get(key, "unknown"), 40) for one in (theirs, ours))) for key in keys]
            moves = [f"{shown(key, 30)} {before} → {now}" for key, before, now in values]
            yield f"the baseline was made {what}, which may be part of every difference: {listing(moves)}"
    if otherwise := _otherwise(new, old):
        yield f"not compared, since the baseline's probe has other settings: {_said(otherwise)}"
    lone = [
        f"{lead}{shown(key, 40)}"
        for lead, mine, its in (
            *((f"plan [{name}] ", mine, its) for name, mine, its in _plans(new, old)),
            *((f"probe {shown(name, 60)} ", mine, its) for name, (mine, its) in _common(new, old).items()),
        )
        for key in sorted(mine.keys() ^ its.keys())
    ]
    if lone:
        yield f"only one of this run and its baseline records these settings: {listing(lone)}"
    if apart := _seeds(new) ^ _seeds(old):
        yield f"only one of this run and its baseline has the training seeds {_numbers(apart)}"


_Pair = tuple[Mapping[str, Any], Mapping[str, Any]]


def _plans(new: Results, old: Results) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """The plan's tables that must be equal: name, this run's and the baseline's."""
    for name, free in PLAN.items():
        mine, its = (_table(run.about, "plan", name) for run in (new, old))
        yield name, _without(mine, free), _without(its, free)


def _common(new: Results, old: Results) -> dict[str, _Pair]:
    """Settings of the probes that both plans have, this run's and the baseline's."""
    mine, its = (_table(run.about, "plan", "probes") for run in (new, old))
    return {name: (_table(mine, name), _table(its, name)) for name in sorted(mine.keys() & its.keys())}


def _otherwise(new: Results, old: Results) -> dict[str, str]:
    """Probes of both that have other settings, and which."""
    apart = {name: _apart(new, old, *pair) for name, pair in _common(new, old).items()}
    return {name: keys for name, keys in apart.items() if keys}


def _said(otherwise: Mapping[str, str]) -> str:
    return "; ".join(f"{shown(name, 60)} ({keys})" for name, keys in otherwise.items())


def _apart(new: Results, old: Results, mine: Mapping[str, Any], its: Mapping[str, Any]) -> str:
    """The keys whose values differ, listed."""
    known = _environment(new).get("code") == _environment(old).get("code")
    # A key that only one of two versions of the program has says nothing of what the other did.
    keys = mine.keys() | its.keys() if known or not (mine and its) else mine.keys() & its.keys()
    return listing([shown(k, 40) for k in sorted(keys) if mine.get(k, _ABSENT) != its.get(k, _ABSENT)])


def _without(table: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in keys}


def _seeds(run: Results) -> set[int]:
    return {int(seed) for seed in run.variants["seed"]}


def _numbers(seeds: Iterable[int]) -> str:
    return listing([str(seed) for seed in sorted(seeds)])


def _environment(run: Results) -> Mapping[str, Any]:
    return _table(run.about, "environment")


def _table(about: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """A table inside the run's facts; empty where it is missing or no table."""
    for key in path:
        value = about.get(key)
        about = value if isinstance(value, Mapping) else {}
    return about
