"""Which rows of a run a policy's rule is about, and what is missing among them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

import pandas as pd

from reports.data.results import Results, condition_rank
from reports.gate.policy import SMALLEST, Rule
from reports.language.words import conditions, listing, shown

GapStatus = Literal["not_run", "inconclusive", "not_applicable"]
_GAPS: Mapping[str, tuple[GapStatus, str]] = {
    "failed": ("not_run", "crashed"),
    "refused": ("inconclusive", "was refused for lack of data"),
    "not_applicable": ("not_applicable", "does not apply"),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure that is held against a limit: of one seed, under one full set of conditions."""

    seed: int
    at: Mapping[str, Any]
    value: float
    low: float
    high: float
    """NaN, as ``low``, where the row has no interval."""
    n: int | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Why a figure that the rule asks for is not there."""

    status: GapStatus
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule finds of one variant."""

    readings: tuple[Reading, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def seeds(self) -> int:
        """Replicates that have a figure."""
        return len({reading.seed for reading in self.readings})


@dataclass(slots=True)
class _Pile:
    readings: list[Reading] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    seeds: set[int] = field(default_factory=set)


def variants_of(results: Results, rule: Rule) -> list[str]:
    """Variants that the rule is for, in order. A model that could not be made is still one of them."""
    names = dict.fromkeys([*results.names(), *results.measurements["variant"]])
    controls = {name for name, made in results.made.items() if made.control}
    return [
        name
        for name in names
        if name in rule.variants
        or (name not in controls and any(fnmatchcase(name, pattern) for pattern in rule.variants))
    ]


def agrees(at: Mapping[str, Any], wanted: Mapping[str, Any], *, partly: bool = False) -> bool:
    """Whether conditions include the wanted ones; ``partly``: or are silent on them.

    Numbers agree to nine digits, so that 8/255 is 8/255 however it was computed.
    """
    for key, value in wanted.items():
        if key not in at:
            if not partly:
                return False
        elif isinstance(value, int | float) and isinstance(at[key], int | float):
            if not math.isclose(value, at[key], rel_tol=1e-9):
                return False
        elif at[key] != value:
            return False
    return True


def find(results: Results, rule: Rule, names: Sequence[str]) -> dict[str, Found]:
    """The figures of a rule by variant, and a gap for each seed, row or probe that has none.

    A row without a figure says less of its conditions than one with (a crash knows none): it counts where it
    does not contradict the rule's.
    """
    piles = {name: _Pile() for name in names}
    rows = results.select(rule.metric, measured=False)
    wanted, smallest = dict(rule.at), None
    if wanted.get("eps") == SMALLEST:
        del wanted["eps"]
        smallest = _smallest([at for at in rows["conditions"] if agrees(at, wanted)])
    for row in rows.to_dict("records"):
        pile, at = piles.get(row["variant"]), row["conditions"]
        if rule.seed not in (None, int(row["seed"])):
            continue
        if pile is None or not agrees(at, wanted, partly=row["status"] != "ok"):
            continue
        if smallest is not None and "eps" in at and at["eps"] != smallest.get(at.get("norm")):
            continue
        pile.seeds.add(int(row["seed"]))
        if row["status"] == "ok":
            n = None if pd.isna(row["n"]) else int(row["n"])
            reading = Reading(int(row["seed"]), at, row["value"], row["low"], row["high"], n)
            pile.readings.append(reading)
        else:
            pile.gaps.append(_gap(row))
    expected = _expected(results, rule)
    for name, pile in piles.items():
        if pile.seeds:
            missing = sorted(expected.get(name, set()) - pile.seeds)
            pile.gaps += [Gap("not_run", f"seed {seed} has no row") for seed in missing]
        elif rule.seed is not None and rule.seed not in expected.get(name, set()):
            pile.gaps.append(Gap("not_run", f"there is no seed {rule.seed}, which the policy ships"))
        else:
            pile.gaps.append(Gap("not_run", _absent(results, rule)))
    return {name: Found(tuple(pile.readings), tuple(pile.gaps)) for name, pile in piles.items()}


def _smallest(found: Sequence[Mapping[str, Any]]) -> dict[Any, float]:
    """The smallest ε above 0 in each norm."""
    by: dict[Any, float] = {}
    for at in found:
        if isinstance(eps := at.get("eps"), int | float) and eps > 0:
            by[at.get("norm")] = min(eps, by.get(at.get("norm"), eps))
    return by


def _expected(results: Results, rule: Rule) -> dict[str, set[int]]:
    """Seeds of each variant that must have a figure: all, or the one that ships.

    What was pruned here has every seed that any such variant has: one with fewer was not made as planned, and
    the worst of fewer seeds looks better.
    """
    expected: dict[str, set[int]] = {}
    for frame in (results.variants, results.measurements):
        models = frame[["variant", "seed"]].drop_duplicates()
        for name, seed in zip(models["variant"], models["seed"], strict=True):
            if rule.seed in (None, int(seed)):
                expected.setdefault(name, set()).add(int(seed))
    pruned = [n for n, made in results.made.items() if made.pruned and made.method != "checkpoint"]
    planned = {seed for name in pruned for seed in expected.get(name, ())}
    return expected | dict.fromkeys(pruned, planned)


def _gap(row: Mapping[Any, Any]) -> Gap:
    status, verb = _GAPS.get(row["status"], ("not_run", f"has status {shown(row['status'], 40)}"))
    note = f": {shown(row['note'], 160)}" if row["note"] else ""
    return Gap(status, f"seed {row['seed']} {verb}{note}")


def _absent(results: Results, rule: Rule) -> str:
    """What there is in place of a figure that no row has."""
    rows = results.select(rule.metric, measured=False)
    if rows.empty:
        metrics = sorted(set(results.measurements["metric"]))
        there = listing([shown(name, 60) for name in metrics]) or "nothing"
        return f"{rule.metric} was not measured; this run has {there}"
    offers = []
    for key in rule.at:
        values = {at[key] for at in rows["conditions"] if key in at}
        ordered = sorted(values, key=lambda value: condition_rank({"": value}))
        if rule.at[key] != SMALLEST and not any(
            agrees({key: value}, {key: rule.at[key]}) for value in values
        ):
            offers.append(f"{shown(key, 40)}: {', '.join(shown(v, 40) for v in ordered) or 'never given'}")
    asked = conditions(rule.at) or "no conditions"
    return f"nothing was measured at {asked}" + (f"; there is {'; '.join(offers)}" if offers else "")
