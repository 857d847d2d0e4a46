"""Whom the strongest membership attack exposes, and whether they stay the same ones as sparsity grows."""

import numpy as np

from reports.data.exposure import Evidence, by_class, evidence, order, precision, stability
from reports.data.key import membership
from reports.data.results import Results
from reports.draw.chart import Cell, Chart, Table, name_cell
from reports.draw.plots import means
from reports.language import words
from reports.language.words import DASH, number, percent, shown

TITLE = "Who is exposed"
SECTION = "membership"
ORDER = 30

NAMED = 5
"""Examples that are named."""
PRIORS = (0.01, 0.1, 0.5)


def draw(results: Results) -> Chart | None:
    """A table, one row a variant; its caption says what to see."""
    key = membership(results)
    seen = evidence(results, key.at) if key is not None else {}
    if key is None or "dense" not in seen or not any(results.made[name].pruned for name in seen):
        return None
    attack = words.attack(key.at["attack"])
    classes = [shown(name, 20) for name in results.about.get("subject", {}).get("classes") or ()]
    caption = (
        f"By the {attack}. Most exposed: the members with the highest scores, as their places among the "
        "training examples. Rank correlation (Spearman’s) and overlap of the most exposed 1% compare a "
        "variant’s scores with those of dense, member by member: near 1, pruning exposes the same ones. "
        "Precision: how "
        "many of the accused are members, where 1, 10 or 50% of all candidates are, at the lowest "
        "false-positive rate that the data support. Class most exposed: the highest AUC among examples of "
        f"one class, the largest of several and therefore a little too high. {means(results)}"
    )
    rate = min((c["fpr"] for c in results.select("membership_tpr", key.at)["conditions"]), default=None)
    first = ("Variant", f"Most exposed {NAMED}", "Rank correlation with dense", "Overlap of the top 1%")
    precise = tuple(
        f"Precision at prior {percent(prior)}" + (f", FPR {percent(rate)}" if rate else "")
        for prior in PRIORS
    )
    rows = tuple(
        (
            name_cell(name),
            Cell(_named(seen[name])),
            *_stability(seen["dense"], seen[name]),
            *_precision(results, name, {**key.at, "fpr": rate}, rate),
            _worst_class(seen[name], classes),
        )
        for name in results.names()
        if name in seen
    )
    return Chart(caption, (), Table(f"{TITLE}, {attack}", (*first, *precise, "Class most exposed"), rows))


def _named(seeds: dict[int, Evidence]) -> str:
    """The most exposed of the first seed, where they have indices."""
    first = seeds[min(seeds)]
    return ", ".join(str(i) for i in order(first)[:NAMED]) if "index" in first else DASH


def _stability(dense: dict[int, Evidence], own: dict[int, Evidence]) -> tuple[Cell, Cell]:
    found = [stability(dense[seed], own[seed]) for seed in sorted(dense.keys() & own.keys())]
    known = [one for one in found if one is not None]
    if not known:
        return Cell(DASH), Cell(DASH)
    rank, overlap = (float(np.mean([one[i] for one in known])) for i in (0, 1))
    return (
        Cell(f"{rank:.2f}", rank),
        Cell(f"{number(overlap, 'share')} of {known[0][2]}", overlap),
    )


def _precision(results: Results, name: str, at: dict[str, object], rate: float | None) -> tuple[Cell, ...]:
    rows = results.select("membership_tpr", at, variant=name) if rate else None
    if rows is None or rows.empty or rate is None:
        return tuple(Cell(DASH) for _ in PRIORS)
    value, low, high = (float(rows[column].mean()) for column in ("value", "low", "high"))
    cells = []
    for prior in PRIORS:
        mean, *ends = (precision(tpr, rate, prior) for tpr in (value, low, high))
        span = "–".join(number(end, "share") for end in ends)
        cells.append(Cell(f"{number(mean, 'share')} ({span})", mean))
    return tuple(cells)


def _worst_class(seeds: dict[int, Evidence], classes: list[str]) -> Cell:
    with np.errstate(invalid="ignore"):
        found = np.mean([by_class(seen, len(classes)) for seen in seeds.values()], axis=0)
    if not len(classes) or np.isnan(found).all():
        return Cell(DASH)
    worst = int(np.nanargmax(found))
    return Cell(f"{classes[worst]} ({found[worst]:.2f})", float(found[worst]))
