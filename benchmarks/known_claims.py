"""Studies whose truth is known, in cells: what a claim's judgement is held against.

A subject's effect lies around the truth (spread between subjects); its dense model's seeds shift all of its
cells alike; each cell has noise of its own, wilder at high sparsity; examples add to all cells and seeds what
they are hard by. Subjects on the same data share the examples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reports.claims.claim import Claim, Facet
from reports.claims.figures import plain
from reports.claims.ledger import Found, weighed
from reports.claims.study import Cell, Method, Study
from reports.claims.verdict import Verdict, decide
from reports.data.results import Completeness, Results

Truth = Literal["holds", "fails", "at the limit", "zero", "mixed"]
TRUTHS: tuple[Truth, ...] = ("holds", "fails", "at the limit", "zero", "mixed")
KINDS = ("weight", "structured", "layer-wise")


@dataclass(frozen=True, slots=True)
class Design:
    """How much is measured, and how noisily. Spreads are in units of the smallest effect that matters."""

    subjects: int = 1
    seeds: int = 3
    sparsities: tuple[float, ...] = (0.5, 0.9, 0.95)
    n: int = 100
    dense: float = 0.5
    """Standard deviation that the dense model's seed adds to all cells of the seed."""
    own: float = 0.5
    """That of a cell's own seed, doubled from 90% sparsity on."""
    example: float = 6.0
    """That of one example's contribution, half of its variance common to all cells and seeds."""
    between: float = 0.0
    """That of subjects around the truth."""


def scale(facet: Facet) -> float:
    """The smallest effect that matters."""
    return min(abs(limit) for limit in facet.region.limits)


def effects(facet: Facet, truth: Truth) -> tuple[float, float]:
    """The true effect in the first and in the other methods."""
    region, size = facet.region, scale(facet)
    finite = region.limits
    out = finite[0] - 3 * size if region.low == finite[0] else finite[0] + 3 * size
    inside = sum(finite) / 2 if len(finite) == 2 else 2 * finite[0] - out
    return {
        "holds": (inside, inside),
        "fails": (out, out),
        "at the limit": (finite[0], finite[0]),
        "zero": (0.0, 0.0),
        "mixed": (inside, out),
    }[truth]


def true(claim: Claim, truth: Truth) -> set[Verdict]:
    """The verdicts that are not false of that truth, beside "inconclusive"."""
    if truth == "mixed":
        # Of the safest setting (C14): the first method is safe everywhere, so there is one.
        return {"supported"} if claim.each_subject else {"mixed"}
    if truth == "at the limit":
        return set()
    inside = [_within(facet, effects(facet, truth)[0]) for facet in claim.facets]
    if all(inside):
        return {"supported"}
    return {"mixed"} if any(inside) else {"contradicted"}


def _within(facet: Facet, effect: float) -> bool:
    return facet.region.low < effect < facet.region.high


def studies(design: Design) -> list[Study]:
    """Empty runs: their cells are made by :func:`draw`."""
    empty = Results({}, *(None,) * 3, Completeness(0, 0, 0, {}), {}, {})  # type: ignore[arg-type]
    architectures = ("paper-net", "lenet5", "small-resnet")
    found = []
    for i in range(design.subjects):
        data = ("digits", "mnist", "cifar10")[i // 6 % 3]
        defence = ("none", "adversarial")[i % 2]
        found.append(Study(f"subject-{i}", data, architectures[i // 2 % 3], defence, empty))
    return found


def draw(claim: Claim, truth: Truth, design: Design, rng: np.random.Generator) -> dict[str, list[Cell]]:
    """The cells of every facet of a claim, as they might be measured."""
    known = studies(design)
    return {facet.name: _cells(facet, truth, design, known, rng) for facet in claim.facets}


def _cells(
    facet: Facet, truth: Truth, design: Design, known: Sequence[Study], rng: np.random.Generator
) -> list[Cell]:
    size, first_and_rest = scale(facet), effects(facet, truth)
    common = {study.data: rng.normal(0, design.example / np.sqrt(2), design.n) for study in known}
    cells = []
    for study in known:
        shift = rng.normal(0, design.between)
        dense = rng.normal(0, design.dense, design.seeds)
        for i, kind in enumerate(KINDS):
            for sparsity in design.sparsities:
                spread = design.own * (2 if sparsity >= 0.9 else 1)
                own = dense + rng.normal(0, spread, design.seeds)
                examples = rng.normal(0, design.example / np.sqrt(2), (design.seeds, design.n))
                effect = first_and_rest[min(i, 1)] + size * shift
                each = {}
                for seed in range(design.seeds):
                    part = effect + size * (own[seed] + common[study.data] + examples[seed])
                    each[seed] = plain(float(part.mean()), (part,))
                method = Method(kind, "hard", "one-shot", kind == "structured", "global", "magnitude", True)
                name = f"{kind}@{sparsity:g}"
                cells.append(Cell(study, name, method, sparsity, "", each, "dense"))
    return cells


def verdict(claim: Claim, found: Found) -> Verdict:
    """The verdict on one claim alone, as the strictest test of its errors: the family makes it harder."""
    _, p, _ = weighed(claim, found)
    return decide([p])[0].verdict


def rates(claim: Claim, truth: Truth, design: Design, draws: int, seed: int = 0) -> Mapping[Verdict, int]:
    """How often each verdict is given."""
    rng = np.random.default_rng([seed, int(claim.id[1:]), TRUTHS.index(truth)])
    counts: dict[Verdict, int] = {}
    for _ in range(draws):
        found = verdict(claim, draw(claim, truth, design, rng))
        counts[found] = counts.get(found, 0) + 1
    return counts
