"""The nouns that claims are judged on: a subject's run, its methods in the paper's words, a cell."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.data.results import Results, Variant
from reports.stats.difference import Difference


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """One subject's run: an architecture trained on a data set with or without a defence."""

    name: str
    data: str
    architecture: str
    defence: str
    """``none``, or what the dense model was trained with (``adversarial``)."""
    results: Results


@dataclass(frozen=True, slots=True)
class Absent:
    """A subject that was planned and has no run, and why: its claims are not tested there."""

    name: str
    data: str
    architecture: str
    defence: str
    why: str


@dataclass(frozen=True, slots=True)
class Method:
    """A method as the paper names it: what goes (§2.1), how (§3.2.2) and when (§5.2)."""

    kind: str
    """``weight``, ``structured`` or ``layer-wise``."""
    hardness: str
    """``hard``, or ``soft``: what is selected may come back."""
    schedule: str
    """``one-shot``, or ``gradual``: over several steps of training."""
    units: bool
    """Whether whole units go, layer-wise or not."""
    allocation: str
    criterion: str
    tuned: bool
    """Whether fine-tuning follows."""

    @property
    def words(self) -> str:
        """``structured, hard, gradual``."""
        units = " (structured)" if self.units and self.kind == "layer-wise" else ""
        return f"{self.kind}{units}, {self.hardness}, {self.schedule}"

    @property
    def twin(self) -> tuple[str, str, bool]:
        """What two methods must share for their kinds to be compared."""
        return self.hardness, self.schedule, self.tuned


def method(recipe: Mapping[str, Any]) -> Method:
    """A recipe in the paper's words. Layer-wise: the budget is spent layer by layer, by sensitivity."""
    units = recipe.get("granularity") == "unit"
    allocation = str(recipe.get("allocation", "global"))
    kind = "layer-wise" if allocation == "layerwise" else "structured" if units else "weight"
    return Method(
        kind,
        "hard" if recipe.get("hardness", "hard") == "hard" else "soft",
        "one-shot" if recipe.get("schedule", "one-shot") == "one-shot" else "gradual",
        units,
        allocation,
        str(recipe.get("criterion", "magnitude")),
        recipe.get("recovery", "fine-tune") == "fine-tune",
    )


def pruned(study: Study) -> list[tuple[Variant, Method, float]]:
    """Every pruned variant with its method and sparsity; without those whose recipe the run does not say, and
    those that prune by chance, which are controls."""
    recipes = study.results.about.get("recipes", {})
    found = []
    for variant in study.results.made.values():
        recipe = recipes.get(variant.method)
        if not variant.pruned or recipe is None or variant.strength is None:
            continue
        if recipe.get("criterion") != "random":
            found.append((variant, method(recipe), variant.strength))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One variant of one study in one figure: its differences from its reference by seed.

    ``part``: which of a claim's figures of one kind (an attack, an attacker). ``excluded``: why it supports
    nothing; empty where it counts.
    """

    study: Study
    variant: str
    method: Method
    sparsity: float
    part: str
    each: Mapping[int, Difference]
    reference: str
    excluded: str = ""

    @property
    def factors(self) -> dict[str, str]:
        """Where this cell stands, by factor."""
        return {
            "subject": subject(self.study),
            "data": self.study.data,
            "architecture": self.study.architecture,
            "defence": defended(self.study.defence),
            "kind": self.method.kind,
            "hardness": self.method.hardness,
            "schedule": self.method.schedule,
            "sparsity": f"{100 * self.sparsity:.4g}%",
            "part": self.part,
        }


def subject(study: Study | Absent) -> str:
    """``digits, paper-net, undefended``."""
    return f"{study.data}, {study.architecture}, {defended(study.defence)}"


def defended(defence: str) -> str:
    """A defence in words."""
    known = {"none": "undefended", "adversarial": "adversarially trained"}
    return known.get(defence, defence)
