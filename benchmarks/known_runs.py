"""Made-up runs whose truth is known, and what the gate says of them: what ``error_rates.py`` counts.

A run has a dense model, three methods at four sparsities, and one to five training seeds. Examples differ in
difficulty, which all models share in part, so that outcomes are correlated as those of real models are.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from attacks import intervals
from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow, pack
from reports.data.results import Results, read
from reports.gate.judge import judge
from reports.gate.policy import Policy, Rule, preset, presets
from reports.stats.compare import compare_all

METHODS = ("a", "b", "c")
SPARSITIES = (0.5, 0.75, 0.9, 0.95)
PRUNED = [f"{method}@{sparsity:g}" for method in METHODS for sparsity in SPARSITIES]
LAST = [name for name in PRUNED if name.endswith(f"@{SPARSITIES[-1]:g}")]
SPREAD = 0.02
"""Standard deviation of the seeds' true rates at a spread of 1 (of their AUCs: the same)."""
LEARNED = {"example": 0.74, "seed": 0.08, "variant": 0.10}
"""The same of an attacker's scores: those of a learned one, as noisy as the demo's at 90% sparsity."""
SHARES = {"example": 0.87, "seed": 0.06, "variant": 0.03}
"""What an outcome's latent variable shares with all models, with those of its seed, those of its variant.

One answer in eight differs from dense's then, at a figure of 60% without a drop: about what the
demo's are at 90% sparsity, and three times what they are at 50%.
"""

Truth = Literal["inside", "limit", "last", "beyond", "retraining"]
TRUTHS: tuple[Truth, ...] = get_args(Truth)
FARTHER: Mapping[Truth, int] = {"inside": 0, "limit": 1, "last": 1, "beyond": 2, "retraining": 0}
"""How many margins a variant's worst seed lies from dense (or, for absolute rules, from dense's figure)."""


@dataclass(frozen=True)
class Kind:
    """A kind of rule: what it asks, the conditions of its rows, and the true figure of dense."""

    metric: str
    rule: Mapping[str, Any]
    at: tuple[Mapping[str, Any], ...]
    dense: float

    @property
    def limit(self) -> float:
        """The rule's limit."""
        return float(next(v for k, v in self.rule.items() if k in ("min", "max", "max_drop", "max_rise")))

    @property
    def worse(self) -> int:
        """The sign of what is worse."""
        return 1 if {"max", "max_rise"} & self.rule.keys() else -1

    @property
    def evidence(self) -> str:
        """What the rows' evidence is called."""
        return "agree" if self.metric == "extraction_fidelity" else "correct"

    @property
    def compares(self) -> bool:
        """Whether a change is judged."""
        return bool({"max_drop", "max_rise"} & self.rule.keys())

    def figure(self, truth: Truth) -> float:
        """The true figure of a variant's worst seed."""
        margin = self.limit if self.compares else abs(self.limit - self.dense)
        return self.dense + self.worse * margin * FARTHER[truth]


def _robust(*eps: float) -> tuple[Mapping[str, Any], ...]:
    return tuple({"attack": "worst_case", "norm": "linf", "eps": e} for e in eps)


def _attacks(*names: str) -> tuple[Mapping[str, Any], ...]:
    return tuple({"attack": name} for name in names)


KINDS = {
    "min": Kind("robust_accuracy", {"min": 0.55}, _robust(0.05, 0.1), 0.6),
    "max": Kind("extraction_fidelity", {"max": 0.75}, _attacks("knockoff"), 0.7),
    "drop": Kind("robust_accuracy", {"max_drop": 0.05}, _robust(0.1), 0.6),
    "rise": Kind("extraction_fidelity", {"max_rise": 0.05}, _attacks("knockoff"), 0.7),
    "auc": Kind("membership_auc", {"max": 0.65}, _attacks("loss", "lira"), 0.58),
    "auc-rise": Kind("membership_auc", {"max_rise": 0.05}, _attacks("loss"), 0.58),
}
BASIC = tuple(KINDS)
"""The kinds whose error rates are simulated. The others are rules of the presets, for ``--sizes``."""
DENSE = {"accuracy": 0.9, "robust_accuracy": 0.7, "extraction_fidelity": 0.87, "membership_auc": 0.5}
"""Figures of dense at which models without a drop differ as much as :mod:`reports.gate.sizes` supposes."""
ROWS = {
    "accuracy": ({"split": "test"},),
    "robust_accuracy": _robust(0.025, 0.05, 0.1, 0.15, 0.2),
    "extraction_fidelity": tuple({"attack": "knockoff", "queries": q} for q in (100, 300, 900)),
    "membership_auc": _attacks("loss", "lira"),
}
"""What a plan like the demo's measures."""
for _preset in presets():
    for _rule in preset(_preset).rules:
        if _rule.metric not in DENSE:  # no rate of examples that one could draw
            continue
        KINDS[f"{_preset}/{_rule.id}"] = Kind(
            _rule.metric, {_rule.kind: _rule.limit}, ROWS[_rule.metric], DENSE[_rule.metric]
        )
PROBES = {
    "accuracy": "accuracy",
    "robust_accuracy": "evasion",
    "extraction_fidelity": "extraction",
    "membership_auc": "membership",
}


@dataclass(frozen=True)
class Setting:
    """One cell of the simulation. ``n``: examples, half of them members for an AUC."""

    kind: str
    truth: Truth
    spread: float
    n: int
    seeds: int

    @property
    def what(self) -> Kind:
        """The kind of rule."""
        return KINDS[self.kind]

    @property
    def rule(self) -> Rule:
        """The rule itself, for every variant."""
        return Rule.model_validate({"id": self.kind, "metric": self.what.metric, **self.what.rule})


class Counts(NamedTuple):
    """What one run gave: shares of decisions, or whether the run as a whole went wrong."""

    passed: float
    """Of the pruned variants (of the strongest, where only they lie at the limit)."""
    failed: float
    false_pass: float
    false_fail: float
    family: bool
    """A false FAIL somewhere."""
    worse: bool
    """A figure somewhere that is falsely called worse than dense (of a retraining: worse or better)."""
    high: float
    """Of changes: means of these models whose 95% interval lies wholly above the truth."""
    low: float
    """The same, wholly below it."""
    retrained: float
    """Of retrainings: 95% intervals without the truth."""


class Laboratory:
    """Runs of one setting: everything but the figures and their evidence is written and read once."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.setting, self.policy = setting, Policy((setting.rule,))
        self.drawn: dict[str, list[float]] = {}
        """The true figures of the last run."""
        self._blank = _write(setting, folder)
        rows = self._blank.by_metric[setting.what.metric]
        self._keys = list(zip(rows["variant"], rows["seed"], rows["at"], strict=True))

    def truths(self, rng: np.random.Generator) -> dict[str, list[float]]:
        """The true figure of every model, by variant and seed."""
        one = self.setting
        spread = SPREAD * one.spread
        base = one.what.dense + (rng.normal(0, spread, one.seeds) if one.what.compares else 0.0)
        truths = {"dense": base * np.ones(one.seeds)}
        for name in PRUNED:
            truth: Truth = "inside" if one.truth == "last" and name not in LAST else one.truth
            better = rng.normal(0, spread, one.seeds)
            if truth != "retraining":
                better = np.abs(better)
                better[rng.integers(one.seeds)] = 0.0
            truths[name] = (
                truths["dense"] + (one.what.figure(truth) - one.what.dense) - one.what.worse * better
            )
        return {name: np.clip(found, 0.02, 0.98).tolist() for name, found in truths.items()}

    def draw(self, rng: np.random.Generator) -> Results:
        """A run of new examples, and of new models where seeds are spread."""
        what, n = self.setting.what, self.setting.n
        truths = self.drawn = self.truths(rng)
        latents = {at: _latents(rng, self.setting) for at in dict.fromkeys(at for _, _, at in self._keys)}
        places = {name: i for i, name in enumerate(("dense", *PRUNED))}
        found: list[intervals.Estimate] = []
        outcomes: list[Any] = []
        for variant, seed, at in self._keys:
            latent, figure = latents[at][places[variant], seed], truths[variant][seed]
            if what.metric == "membership_auc":
                member = np.arange(n) < n // 2
                score = latent + member * math.sqrt(2) * special.ndtri(figure)
                found.append(intervals.auc(score, member))
                outcomes.append(pack({"score": score.astype(np.float32), "member": member}))
            else:
                hit = latent < special.ndtri(figure)
                found.append(_proportion(int(hit.sum()), n))
                outcomes.append(pack({what.evidence: hit}))
        rows = self._blank.by_metric[what.metric].assign(
            value=[one.value for one in found],
            low=[one.low for one in found],
            high=[one.high for one in found],
            outcomes=outcomes,
        )
        return dataclasses.replace(self._blank, by_metric={**self._blank.by_metric, what.metric: rows})

    def judged(self, results: Results) -> Counts:
        """What the gate says of a run, and the comparisons that page and headline are written from."""
        one = self.setting
        status = {d.variant: d.status for d in judge(results, self.policy).decisions}
        said = [status[name] for name in (LAST if one.truth == "last" else PRUNED)]
        passed, failed = (said.count(word) / len(said) for word in ("pass", "fail"))
        fails = [s == "fail" for s in status.values()] if one.truth in ("inside", "limit", "last") else []
        return Counts(
            passed,
            failed,
            passed if one.truth in ("limit", "last", "beyond") else 0.0,
            sum(fails) / max(1, len(fails)),
            any(fails),
            *(self._compared(results) if one.what.compares else (False, 0.0, 0.0, 0.0)),
        )

    def _compared(self, results: Results) -> tuple[bool, float, float, float]:
        """What page and headline say falsely of changes: ``worse``, ``high``, ``low`` and ``retrained``."""
        one = self.setting
        compared = compare_all(results, PRUNED, one.what.metric, one.what.at[0]).values()
        if one.truth == "retraining":
            missed = [not again.low <= 0 <= again.high for c in compared if (again := c.retraining)]
            return any(c.of_retraining != "same" for c in compared), 0.0, 0.0, sum(missed) / len(missed)
        dense = np.array(self.drawn["dense"])
        gaps = [(c.pooled, float((self.drawn[c.variant] - dense).mean())) for c in compared]
        return (
            one.truth == "inside" and any(c.direction == "worse" for c in compared),
            sum(pooled.low > true for pooled, true in gaps) / len(gaps),
            sum(pooled.high < true for pooled, true in gaps) / len(gaps),
            0.0,
        )


@functools.cache
def _proportion(hits: int, n: int) -> intervals.Estimate:
    return intervals.proportion(hits, n)


def _latents(rng: np.random.Generator, one: Setting) -> NDArray[np.float64]:
    """Standard normal, (variants, seeds, examples), sharing what :data:`SHARES` or :data:`LEARNED` says."""
    shares = LEARNED if one.what.metric == "membership_auc" else SHARES
    shape = (len(PRUNED) + 1, one.seeds, one.n)
    parts = {
        "example": rng.normal(size=(1, 1, one.n)),
        "seed": rng.normal(size=(1, *shape[1:])),
        "variant": rng.normal(size=(shape[0], 1, one.n)),
    }
    own = math.sqrt(1 - sum(shares.values())) * rng.normal(size=shape)
    found: NDArray[np.float64] = own + sum(math.sqrt(shares[key]) * part for key, part in parts.items())
    return found


def _write(one: Setting, folder: Path) -> Results:
    """A run with every row that the rule asks for, whose figures are yet to be drawn."""
    about = {"plan_digest": "d", "subject": {"classes": list("0123456789")}}
    models = [(name, seed) for name in ("dense", *PRUNED) for seed in range(one.seeds)]
    with Ledger.open(
        folder / "run.sqlite", about, [UnitRow(f"{v} {s}", "pruned", v) for v, s in models]
    ) as ledger:
        for name, seed in models:
            method, _, sparsity = name.partition("@")
            share = float(sparsity or 0)
            rows = [] if one.what.metric == "accuracy" else [_clean(name, seed, one.n)]
            health: dict[str, str | float] = {"flag": "zero_gradients", "limit": 0.01, "norm": "linf"}
            rows.append(MeasurementRow(name, seed, "evasion", "attack_health", health, 0.0, 0.0, 0.01, one.n))
            probe = PROBES[one.what.metric]
            rows += [
                MeasurementRow(name, seed, probe, one.what.metric, at, 0.5, 0.4, 0.6, one.n)
                for at in one.what.at
            ]
            made = VariantRow(name, seed, method, share, share)
            ledger.append(f"{name} {seed}", seconds=1, finished="", variant=made, measurements=rows)
    return read(folder)


def _clean(name: str, seed: int, n: int) -> MeasurementRow:
    """Clean accuracy that shows the model not to have collapsed."""
    return MeasurementRow(name, seed, "accuracy", "accuracy", {"split": "test"}, 0.95, 0.93, 0.97, n)
