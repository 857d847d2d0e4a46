"""How many examples a policy needs before it can let a good model pass, asked before anything has run.

A planning figure, from what pruned models without a true drop have shown and the tests that the gate uses.
``benchmarks/error_rates.py --sizes`` holds it against the judge itself, on simulated runs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from scipy import special

from reports.gate.policy import Policy, Rule
from reports.language.words import counted
from reports.stats import tango
from reports.stats.difference import TAIL
from reports.stats.power import POWER

DIFFER = {
    "accuracy": 0.05, "robust_accuracy": 0.10, "extraction_fidelity": 0.07, "tampering_accuracy": 0.30,
}  # fmt: skip
"""Share of examples that a pruned model answers otherwise than dense where its rate is the same, as the
demo's models do at 90% sparsity: the variance of a drop, times n."""
OTHERWISE = 0.10
"""That share for other rates."""
LEAKAGE = 0.27
"""Standard error of an AUC's change, times the root of the number of members: of the demo's learned attack at
90% sparsity."""


DEMO: Mapping[str, int] = {"robust_accuracy": 5, "membership_auc": 4, "extraction_fidelity": 3}
"""Readings of the demo's plan."""

PICK = {"robust_accuracy": "eps", "membership_auc": "attack", "extraction_fidelity": "queries"}
"""The condition by which a rule asks for one of a metric's readings."""


@dataclass(frozen=True, slots=True)
class Design:
    """What a run will have: each adds a test that a pass must survive.

    ``readings``: rows of a metric that a rule without conditions would find in one model: ε, attacks, query
    budgets; 0 where the metric is not measured, 1 where nothing is said.
    """

    methods: int = 3
    sparsities: int = 4
    seeds: int = 3
    readings: Mapping[str, int] = field(default_factory=lambda: DEMO)

    def claims(self, rule: Rule) -> float:
        """Figures that must be shown together. A variant passes after all milder ones: half, on average."""
        narrow = PICK.get(rule.metric) in rule.at
        readings = 1 if narrow else self.readings.get(rule.metric, 1)
        return max(1, self.seeds) * max(1, readings) * (max(1, self.sparsities) + 1) / 2


def examples(rule: Rule, design: Design) -> int | None:
    """Examples (members, for an AUC) at which a variant without a true drop passes with 80% probability.

    None where that depends on the model's own figure: an absolute limit on a rate, or on a cost. For an AUC
    the model is one that leaks nothing. (Nam, Establishing equivalence of two treatments and sample size
    requirements in matched-pairs design, Biometrics 53, 1997, for Tango's score.)
    """
    difference = rule.compares and rule.limit > 0
    margin = rule.limit
    if rule.metric == "membership_auc" and rule.kind == "max" and rule.limit > 0.5:
        margin -= 0.5
        null = true = math.sqrt(1 / 6)  # of an AUC of 0.5, with as many non-members
    elif rule.metric == "membership_auc" and difference:
        null = true = LEAKAGE
    elif difference and rule.metric.endswith(("accuracy", "fidelity")):
        apart = DIFFER.get(rule.metric, OTHERWISE)
        # The score's own variance at the margin, which holds at least the margin's difference.
        null, true = margin / tango.score(apart / 2, apart / 2, 1.0, -margin), math.sqrt(apart)
    else:
        return None
    wrong = float(special.ndtri(1 - TAIL / max(1, design.methods)))
    right = float(special.ndtri(POWER ** (1 / design.claims(rule))))
    needs: int = math.ceil(((wrong * null + right * true) / margin) ** 2)
    return needs if rule.min_n is None else max(rule.min_n, needs)


def rounded(n: int) -> int:
    """Up, to two digits: it is no more exact than that."""
    place = int(10 ** max(0, len(str(n)) - 2))
    return math.ceil(n / place) * place


def sentence(policy: Policy, design: Design, audited: int, members: int) -> str:
    """What a policy can decide of a planned run, and what it needs for the rest."""
    can, cannot, open_ = [], [], []
    for rule in policy.rules:
        if design.readings.get(rule.metric) == 0:
            cannot.append(f"{rule.id} needs {rule.metric}, which the plan does not measure")
            continue
        needs = examples(rule, design)
        if needs is None:
            open_.append(rule.id)
            continue
        noun, there = ("members", members) if rule.metric == "membership_auc" else ("n", audited)
        short = [f"{noun} = {rounded(needs):,}"] if there < needs else []
        if design.seeds < (rule.min_seeds or 1):
            short.append(f"{rule.min_seeds} seeds")
        if short:
            cannot.append(f"{rule.id} needs {' and '.join(short)}")
        else:
            can.append(rule.id)
    have = f"{audited:,} examples, {members:,} members and {counted(design.seeds, 'seed')}"
    said = [f"with {have}, {policy.name} can decide {', '.join(can) or 'nothing'}", *cannot]
    if open_:
        said.append(
            f"what {', '.join(open_)} {'needs' if len(open_) == 1 else 'need'} depends on the figures"
        )
    return "; ".join(said)


def table(policies: Mapping[str, Policy]) -> str:
    """The table of ``docs/gate.md``: presets by seeds, for a plan like the demo's."""
    lines = ["| needs, with | " + " | ".join(f"`{name}`" for name in policies) + " |"]
    lines.append("|---" * (len(policies) + 1) + "|")
    rules = list(dict.fromkeys(rule.id for policy in policies.values() for rule in policy.rules))
    for name in rules:
        mine = [rule for policy in policies.values() for rule in policy.rules if rule.id == name]
        if all(examples(rule, Design()) is None for rule in mine):
            continue
        for seeds in (1, 3, 5):
            cells = []
            for policy in policies.values():
                rule = next((rule for rule in policy.rules if rule.id == name), None)
                needs = None if rule is None else examples(rule, Design(seeds=seeds))
                if rule is not None and seeds < (rule.min_seeds or 1):
                    cells.append(f"{rule.min_seeds} seeds")
                else:
                    cells.append("–" if needs is None else f"{rounded(needs):,}")
            lines.append(f"| {name}, {seeds} seed{'s' if seeds > 1 else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)
