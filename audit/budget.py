"""A plan cut to the time that there is: what saves most goes first, and every family stays."""

import re
from collections.abc import Iterator
from dataclasses import replace

from pydantic import BaseModel

from audit import estimate
from audit.errors import PlanError
from audit.plan import Plan
from audit.preflight import Subject, preflight
from audit.progress import duration
from audit.units import units

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
SHARE = 0.7
"""Of the budget that the estimate may fill: it is one of the order of magnitude."""
FEWEST = 100
"""Examples that are left, whatever they take."""
ASKED = ("eps", "norms", "adaptive", "queries", "fpr")
"""Settings that say what is asked, not how hard is tried: a lower level keeps them."""


def seconds(text: str) -> float:
    """``90s``, ``30m``, ``2h`` in seconds. Raises PlanError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if found is None or float(found[1]) <= 0:
        raise PlanError(f"--budget {text}: want a number and s, m or h, such as 30m")
    return float(found[1]) * UNITS[found[2]]


def within(subject: Subject, budget: float, pace: float, workers: int) -> tuple[Subject, tuple[str, ...]]:
    """The subject with as much of its plan as fits into so many seconds, and what was left out, in words.

    ``pace``: seconds of a pass (:func:`audit.estimate.pace`). Levels, seeds, sparsities and methods go first:
    the same folder takes them in later. Fewer examples, which make another subject, are the last resort.
    """
    left: list[str] = []
    while _cost(subject, pace, workers) > SHARE * budget:
        tried = [(words, replace(subject, plan=plan)) for words, plan in _steps(subject.plan)]
        if not tried:
            break
        words, best = min(tried, key=lambda step: _cost(step[1], pace, workers))
        if _cost(best, pace, workers) >= _cost(subject, pace, workers):
            break
        subject = best
        left.append(words)
    count, cost = len(subject.data.test), _cost(subject, pace, workers)
    if cost > SHARE * budget and count > FEWEST:
        fewer = max(FEWEST, int(count * SHARE * budget / cost))
        plan = subject.plan.model_copy(
            update={"data": subject.plan.data.model_copy(update={"audit_examples": fewer})}
        )
        subject = preflight(_anew(plan), subject.device)
        left.append(
            f"{count - fewer} of {count} audit examples (a run with them needs a folder of its own: it is "
            "another subject)"
        )
        cost = _cost(subject, pace, workers)
    if cost > budget:
        left.append(f"nothing more, though the rest takes about {duration(cost)}: cut the plan by hand")
    return subject, tuple(left)


def _cost(subject: Subject, pace: float, workers: int) -> float:
    work = units(subject.plan, subject.data, subject.device)
    return sum(estimate.times(work, pace).values()) / workers


def _steps(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Each way to ask for less, in words, and the plan that does."""
    for name, settings in plan.settings.items():
        level = getattr(settings, "level", "quick")
        if level != "quick":
            probes = {**plan.probes, name: _quick(settings)}
            yield f"{name} at level {level} (it has quick)", _anew(plan.model_copy(update={"probes": probes}))
    pruning = plan.pruning
    if pruning is None:
        return
    cuts = {
        "seeds": pruning.seeds[:1],
        "sparsities": tuple(sorted({pruning.sparsities[0], pruning.sparsities[-1]})),
        "methods": pruning.methods[:1],
    }
    if len(pruning.sparsities) == 2:
        cuts["sparsities"] = (max(pruning.sparsities),)
    for key, kept in cuts.items():
        had = getattr(pruning, key)
        if len(kept) < len(had):
            cut = pruning.model_copy(update={key: kept})
            names = [str(one) for one in had if one not in kept and not isinstance(one, dict)]
            which = f" ({', '.join(names)})" if names else ""
            words = f"{len(had) - len(kept)} of {len(had)} {key}{which}"
            yield words, _anew(plan.model_copy(update={"pruning": cut}))


def _quick(settings: BaseModel) -> dict[str, object]:
    """The same probe at its lowest level, asked for the same."""
    kind = type(settings)
    asked = {key: getattr(settings, key) for key in ASKED if key in kind.model_fields}
    return kind.model_validate({"level": "quick", **asked}).model_dump(mode="json")


def _anew(plan: Plan) -> Plan:
    """A copy that reads its settings anew: copies keep what was cached."""
    plan.__dict__.pop("settings", None)
    return plan
