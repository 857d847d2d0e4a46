"""The few figures that stand for a run, one per attack family; and which models have collapsed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.data.aggregate import figures
from reports.data.results import Results
from reports.language import words

BASELINES = ("untrained", "same_data")
"""Extraction attacks that make no query: what an attacker has for nothing."""


@dataclass(frozen=True, slots=True)
class Key:
    """One figure that stands for an attack family; ``label`` fits in a sentence."""

    family: str
    metric: str
    at: Mapping[str, Any]
    label: str


def clean(results: Results) -> Key | None:
    """Clean accuracy on held-out examples."""
    at = {"split": "test"}
    if results.select("accuracy", at).empty:
        return None
    return Key("accuracy", "accuracy", at, "clean accuracy")


def robust(results: Results) -> Key | None:
    """Worst-case robust accuracy at the ε that leaves dense nearest to half of its clean accuracy.

    There a change in either direction has most room to show.
    """
    rows = results.select("robust_accuracy", {"attack": "worst_case"})
    if rows.empty:
        return None
    norms = sorted({str(c["norm"]) for c in rows["conditions"]}, key=lambda norm: (norm != "linf", norm))
    eps = sorted({c["eps"] for c in rows["conditions"] if c["norm"] == norms[0] and c["eps"] > 0})
    grid = [{"norm": norms[0], "attack": "worst_case", "eps": e} for e in eps]
    at = nearest_half(results, "robust_accuracy", grid)
    return None if at is None else Key("evasion", "robust_accuracy", at, robust_label(at["eps"]))


def robust_label(eps: float) -> str:
    """``robust accuracy at ε = 0.1``."""
    return f"robust accuracy at ε = {eps:.4g}"


def nearest_half(
    results: Results, metric: str, conditions: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """Those conditions under which dense keeps nearest to half of its clean accuracy; the middle ones if
    dense has no figure, None if there are none to choose from."""
    if not conditions:
        return None
    base = figures(results, "accuracy", {"split": "test"}).get("dense")
    dense = [figures(results, metric, at).get("dense") for at in conditions]
    known = [(i, f.value) for i, f in enumerate(dense) if f is not None and f.value is not None]
    if not known or base is None or base.value is None:
        return conditions[(len(conditions) - 1) // 2]
    half = base.value / 2
    return conditions[min(known, key=lambda pair: (abs(pair[1] - half), pair[0]))[0]]


def membership(results: Results) -> Key | None:
    """Membership AUC of the attack that does best against dense."""
    rows = results.select("membership_auc")
    if rows.empty:
        return None
    attacks = sorted({str(c.get("attack", "")) for c in rows["conditions"]})
    dense = {a: figures(results, "membership_auc", {"attack": a}).get("dense") for a in attacks}
    best = max(attacks, key=lambda a: (f.value or 0.0) if (f := dense[a]) is not None else 0.0)
    return Key("membership", "membership_auc", {"attack": best}, "membership AUC")


def extraction(results: Results) -> Key | None:
    """Extraction fidelity at the largest query budget."""
    rows = results.select("extraction_fidelity")
    found = [c for c in rows["conditions"] if c.get("attack") not in BASELINES and c.get("queries", 0) > 0]
    if not found:
        return None
    largest = max(c["queries"] for c in found)
    attacks = sorted({str(c["attack"]) for c in found if c["queries"] == largest})
    at = {"attack": "knockoff" if "knockoff" in attacks else attacks[0], "queries": largest}
    return Key("extraction", "extraction_fidelity", at, f"extraction fidelity at {largest:,} queries")


def chance(results: Results) -> float | None:
    """Accuracy of guessing among the classes; None if the run does not say how many there are."""
    classes = results.about.get("subject", {}).get("classes") or ()
    return 1 / len(classes) if classes else None


@dataclass(frozen=True, slots=True)
class Collapse:
    """A variant near chance: of its ``of`` seeds with a clean accuracy, ``seeds`` have collapsed."""

    variant: str
    accuracy: float
    seeds: int
    of: int

    @property
    def whole(self) -> bool:
        """Whether every seed has collapsed."""
        return self.seeds == self.of


KEPT_MARGIN = 0.2


def collapsed(results: Results) -> dict[str, Collapse]:
    """Variants of which a seed is near chance, by name: robustness and leakage of such a model mean nothing.

    Near chance: its 95% interval reaches down to chance, or less than a fifth of dense's margin over chance
    is left (of a perfect model's margin, for dense itself or where dense has no figure).
    """
    level = chance(results)
    if level is None:
        return {}
    dense = figures(results, "accuracy", {"split": "test"}).get("dense")
    best = dense.value if dense is not None and dense.value is not None else 1.0
    found: dict[str, Collapse] = {}
    seen: dict[str, list[tuple[float, bool]]] = {}
    for row in results.select("accuracy", {"split": "test"}).to_dict("records"):
        top = 1.0 if row["variant"] == "dense" else best
        value = float(row["value"])
        low = value if row["low"] != row["low"] else float(row["low"])
        near = low <= level or value - level < KEPT_MARGIN * (top - level)
        seen.setdefault(str(row["variant"]), []).append((value, near))
    for variant, seeds in seen.items():
        down = [value for value, near in seeds if near]
        if down:
            found[variant] = Collapse(variant, sum(down) / len(down), len(down), len(seeds))
    return found


def method_title(results: Results, variant: str) -> str:
    """``global-magnitude at 90%``, or the variant's own name where it was not pruned here."""
    facts = results.made.get(variant)
    if facts is not None and facts.sparsity and variant == f"{facts.method}@{facts.sparsity:g}":
        return f"{words.shown(facts.method, 60)} at {words.percent(facts.sparsity)}"
    return words.shown(variant, 60)
