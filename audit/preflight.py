"""Checks model, data and plan before any attack runs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from attacks.settings import ProbeSettings
from audit import epsilon, evidence, means, mistakes, normalising
from audit.errors import PlanError, RefusedError
from audit.mistakes import Mistake
from audit.plan import Plan
from audit.subject import black_box, fitting, models, training, vision
from audit.subject import data as subject_data
from audit.subject.code import adaptive
from audit.subject.data import Data
from audit.subject.features import features
from audit.subject.trigger import trigger
from pruning import coupling, measure, prunable, scoring, units
from pruning.errors import PruningError, at_most


@dataclass(frozen=True, slots=True)
class Subject:
    """A plan whose model and data have been loaded and found fit."""

    plan: Plan
    data: Data
    device: str
    parameters: int
    prunable: int
    macs: int
    weights: Mapping[str, str] = field(default_factory=dict)
    """Of each model that came with its weights: what was done to its file, and how sparse it is."""
    left: tuple[str, ...] = ()
    """What pruning leaves whole, and why."""


def device_of(name: str) -> str:
    """ "auto" is cuda where there is one. Raises PlanError for cuda where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise PlanError("--device cuda: torch sees no CUDA device here; use --device cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def preflight(plan: Plan, device: str = "cpu") -> Subject:
    """Load everything that the plan names. Raises PlanError or RefusedError at the first mistake."""
    data = subject_data.load(plan)
    plan = black_box.limited(epsilon.filled(plan, data))
    build = models.builder(plan, data)
    read: dict[str, models.Restored] = {}
    if plan.model.weights is not None:
        read["dense"] = models.restore(plan.model.weights, plan, build, data)
        inner = read["dense"].model
    elif plan.model.black_box:
        inner = build()
    elif data.train is None:
        raise PlanError(
            f"[data] source {plan.data.source!r} has no training examples: the model cannot be trained; "
            "give [model] weights, or data with a train split"
        )
    else:
        inner = models.fresh(build, 0)
    models.check(models.wrap(inner, plan, data), data)
    if plan.train is not None and (why := training.problem(plan.train, plan.data)):
        raise PlanError(f"[train] adversarial: {why}")
    fitting.fit_of(plan)
    if plan.control_epochs and data.train is None:
        raise PlanError(
            "[pruning] finetune_epochs: the data has no training examples to fine-tune on; set it to 0"
        )
    left = _check_recipes(plan, inner, data)
    if wrong := means.problems(plan, data):
        raise PlanError("\n".join(f"[pruning] methods: {problem}" for problem in wrong))
    for variant in plan.variant:
        own, key = models.builder(plan, data, variant.build), f"[[variant]] {variant.name!r} weights"
        read[variant.name] = models.restore(variant.weights, plan, own, data, key)
        models.check(models.wrap(read[variant.name].model, plan, data), data)
    adaptive(plan)
    if (suspected := trigger(plan, data)) is not None:
        suspected()
    each = features(plan, data)
    for name, settings in plan.settings.items():
        span = (0.0, each.reach) if each is not None and name == "evasion" else data.bounds
        problems = settings.problems(span) if isinstance(settings, ProbeSettings) else []
        if problems:
            raise PlanError("\n".join(f"[probes.{name}] {problem}" for problem in problems))
    size = measure.size(inner, data.test.x[:1])
    dense = models.fresh(build, 0)
    original = inner if "dense" in read else None
    weights = {name: models.described(found, dense, original) for name, found in read.items()}
    return Subject(plan, data, device, size.parameters, size.prunable, size.macs, weights, left)


def _check_recipes(plan: Plan, inner: nn.Module, data: Data) -> tuple[str, ...]:
    """What methods leave whole of this model. Raises PlanError for one that it, or this data, cannot have."""
    left = prunable.told(inner) if plan.pruning else []
    tried = False
    for name, recipe in (plan.pruning.recipes if plan.pruning else {}).items():
        needy = scoring.needs_data(recipe)
        if needy and data.train is None:
            raise PlanError(
                f"[pruning] methods: {name}: {needy} looks at the model at work on training data, and the "
                "data has no train split; choose another method"
            )
        try:
            prunable.excluded(inner, recipe.exclude)
            if recipe.granularity == "unit" and not tried:
                example, tried = data.test.x[:1], True
                groups, note = units.sound(inner, coupling.find(inner, example), example)
                most = (
                    f"removing units, at most {at_most(units.reach(inner, groups))} of the prunable weights"
                )
                left += [words for words in (most, note) if words]
        except PruningError as error:
            raise PlanError(f"[pruning] methods: {name}: {error}") from None
    return tuple(left)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one model's figures look like."""

    model: str
    """"dense", or the name of the user's own checkpoint."""
    mistake: Mistake

    def __str__(self) -> str:
        return f"{self.mistake}" if self.model == "dense" else f"{self.model}: {self.mistake}"


@dataclass(frozen=True, slots=True)
class Examination:
    """What the models of a plan answer on examples that are known, before any attack."""

    figures: tuple[tuple[str, str], ...]
    """Name and value, for people."""
    findings: tuple[Finding, ...]
    accepted: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """What of the plan a budget left out, in words."""

    @property
    def refused(self) -> tuple[Finding, ...]:
        """What keeps an audit from being run."""
        return tuple(f for f in self.findings if f.mistake.serious and f.mistake.name not in self.accepted)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The rest."""
        return tuple(f for f in self.findings if f not in self.refused)

    @property
    def facts(self) -> dict[str, Any]:
        """The same as plain values, for the results file: the page tells what was found and what was
        accepted."""
        return {
            "left_out": list(self.left_out),
            "figures": [list(pair) for pair in self.figures],
            "findings": [
                {
                    "model": f.model,
                    "accepted": f.mistake.serious and f not in self.refused,
                    **asdict(f.mistake),
                }
                for f in self.findings
            ],
        }

    def refuse(self) -> None:
        """Raises RefusedError that says what is wrong, why and what to do, if anything is."""
        if not self.refused:
            return
        names = sorted({f.mistake.name for f in self.refused})
        raise RefusedError(
            "\n".join(
                [
                    *map(str, self.refused),
                    f"if that is meant, say so in the plan, on top: accept = {json.dumps(names)}",
                ]
            )
        )


def examine(subject: Subject) -> Examination:
    """Run the plan's models on their data, and say which mistakes that looks like; some seconds."""
    plan, data = subject.plan, subject.data
    build = models.builder(plan, data)
    figures: list[tuple[str, str]] = []
    findings: list[Finding] = []
    if not plan.model.given:
        seen = evidence.gather(models.fresh(build, 0), plan, data, subject.device)
        findings += [Finding("dense", mistake) for mistake in mistakes.of(seen, trained=False)]
        figures.append(("accuracy", "known when the run has trained the model"))
    else:
        weights = plan.model.weights
        inner = build() if weights is None else models.restore(weights, plan, build, data).model
        seen = evidence.gather(inner, plan, data, subject.device)
        findings += [Finding("dense", mistake) for mistake in mistakes.of(seen)]
        if off := mistakes.unexpected(seen, plan.model.expected_accuracy):
            findings.append(Finding("dense", off))
        figures.append(("accuracy", mistakes.accuracy(seen)))
    for variant in plan.variant:
        own = models.builder(plan, data, variant.build)
        key = f"[[variant]] {variant.name!r}"
        pruned = models.restore(variant.weights, plan, own, data, key).model
        seen = evidence.gather(pruned, plan, data, subject.device)
        findings += [Finding(variant.name, mistake) for mistake in mistakes.of(seen)]
        figures.append((f"accuracy, {variant.name}", mistakes.accuracy(seen)))
    figures += [("data", note) for note in data.notes]
    if remedy := vision.mismatch():
        figures.append(("torchvision", remedy))
    if radii := epsilon.sentence(plan, data):
        figures.append(("ε", radii))
    if scaled := mistakes.inputs_normalised(data.test.x):
        findings.append(Finding("dense", scaled))
    doubled = normalising.twice(plan, data, models.fresh(build, 0))
    if doubled and doubled.name not in {finding.mistake.name for finding in findings}:
        findings.append(Finding("dense", doubled))
    if twins := mistakes.shared(*evidence.overlap(data)):
        findings.append(Finding("dense", twins))
    return Examination(tuple(figures), tuple(findings), plan.accept)
