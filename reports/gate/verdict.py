"""What the gate says: decisions, and the verdict of all together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

from reports.gate.policy import Policy, Rule, Waiver
from reports.language.words import counted
from reports.stats.compare import Comparison

Status = Literal["pass", "fail", "inconclusive", "not_run", "not_applicable", "waived"]
WORST_FIRST: tuple[Status, ...] = ("fail", "not_run", "inconclusive", "waived", "pass", "not_applicable")
EXIT_CODES: Mapping[Status, int] = {"pass": 0, "waived": 0, "fail": 1, "inconclusive": 3, "not_run": 4}
"""Of the whole verdict. Where several hold, a failure comes first, then what is missing, then doubt."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What one rule says of one variant.

    ``value``, ``low`` and ``high`` are what is held against ``limit``: the figure of the worst seed (and of
    the worst of the conditions that the rule picks) with an interval for it, or for ``max_drop`` and
    ``max_rise`` the worst seed's drop or rise. None where there is no such figure.
    """

    rule: Rule
    variant: str
    status: Status
    reason: str
    """One plain sentence."""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    """Examples behind the figure (the fewest, where rows differ)."""
    seeds: int = 0
    """Replicates that have a figure."""
    at: Mapping[str, Any] | None = None
    """All conditions of the row that decided."""
    seed: int | None = None
    """The training seed of that row."""
    waiver: Waiver | None = None
    """The waiver that applies, where ``status`` is ``waived``."""
    judged: Status | None = None
    """What ``status`` would be without the waiver; None where there is none."""
    asked: bool = True
    """False where a preset's rule is about a probe that the plan leaves out: it is not applicable then."""
    change: Comparison | None = None
    """Of a comparative rule: the pooled change against its reference at ``at``, new minus old."""

    @property
    def limit(self) -> float:
        """The rule's limit."""
        return self.rule.limit


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """Every decision of a policy on a run, in the order of its rules, then of the variants."""

    policy: Policy
    decisions: tuple[Decision, ...]
    judged_on: date
    """The day of judgement: what waivers count follows from it."""
    waiting: int = 0
    """Planned units that have not run: what they would have measured is not known."""
    crashed: tuple[tuple[str, str], ...] = ()
    """Variants with a planned probe that failed and of which no rule judges anything: (variant, probe)."""
    remarks: tuple[str, ...] = ()
    """What the reader must know beside the decisions: expired waivers, waivers that match nothing, …"""

    @property
    def status(self) -> Status:
        """Of all decisions together; nothing judged is not_run. What is waived does not pass."""
        found = {decision.status for decision in self.decisions}
        if "fail" in found:
            return "fail"
        if "not_run" in found or self.waiting or self.crashed or not found - {"not_applicable"}:
            return "not_run"
        return next(status for status in ("inconclusive", "waived", "pass") if status in found)

    @property
    def exit_code(self) -> int:
        """0 pass or waived, 1 fail, 3 inconclusive, 4 incomplete."""
        return EXIT_CODES[self.status]

    def of(self, variant: str) -> "Verdicts":
        """The decisions on one variant, with their own status."""
        return replace(
            self,
            decisions=tuple(d for d in self.decisions if d.variant == variant),
            crashed=tuple(pair for pair in self.crashed if pair[0] == variant),
            remarks=(),
        )

    def on(self, variant: str) -> Status:
        """The verdict on one variant, wherever it is told: not_applicable where no rule is for it."""
        mine = self.of(variant)
        judged = {d.status for d in mine.decisions} - {"not_applicable"}
        return mine.status if judged or mine.unasked else "not_applicable"

    @property
    def applied(self) -> int:
        """How many of the policy's rules judge something here."""
        return len({d.rule.id for d in self.decisions if d.status != "not_applicable"})

    @property
    def unasked(self) -> tuple[str, ...]:
        """Rules that were not asked, by id: a preset's about what the plan leaves out; those against a
        baseline that there is not yet."""
        return tuple(dict.fromkeys(d.rule.id for d in self.decisions if not d.asked))

    @property
    def applied_words(self) -> str:
        """``2 of 6 rules apply``."""
        verb = "applies" if self.applied == 1 else "apply"
        left = f", {len(self.unasked)} not asked" if self.unasked else ""
        return f"{self.applied} of {counted(len(self.policy.rules), 'rule')} {verb}{left}"

    def count(self, status: Status) -> int:
        """How many decisions have this status."""
        return sum(decision.status == status for decision in self.decisions)
