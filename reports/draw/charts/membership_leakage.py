"""Membership leakage against sparsity: the AUC of the strongest attacks, and what they find with few false
alarms; the table has every attack."""

from typing import Any

from reports.data.aggregate import figures
from reports.data.key import membership
from reports.data.ledger import unpack
from reports.data.results import Results
from reports.draw.chart import Chart, Panel, subject
from reports.draw.plots import against_sparsity, band, legend, sparsity_table
from reports.language import words
from reports.language.metrics import LUCK

TITLE = "Membership leakage against sparsity"
SECTION = "membership"
ORDER = 10

MOST = 3
"""Attacks that are drawn: those that find most, and the one that stands for the run."""

LOW = (0.01, 0.001)
"""The false-positive rates of an attacker who must be nearly sure: drawn where they were measured, else it is
said what they need (Carlini et al., Membership inference attacks from first principles, 2022)."""
FEWEST = 5
"""False positives that a rate must rest on: those of ``attacks.intervals``, to which a test holds it."""

Subject = tuple[str, dict[str, Any]]


def draw(results: Results) -> Chart | None:
    """One panel per attack and figure, with a line where the attacker guesses; the same axes for a figure."""
    attacks = _values(results, "membership_auc", "attack")
    rates = _values(results, "membership_tpr", "fpr")
    strongest = _strongest(results, attacks)
    chosen: list[Subject] = [("membership_auc", {"attack": attack}) for attack in strongest]
    low = [rate for rate in rates if rate <= max(LOW)] or rates[-1:]
    chosen += [("membership_tpr", {"attack": a, "fpr": fpr}) for fpr in low for a in strongest]
    drawn = [(of, panel) for of in chosen if (panel := _panel(results, *of)) is not None]
    if not drawn:
        return None
    caption = (
        "An AUC of 0.5 is guessing; above it, an attacker can tell examples the model was trained on from "
        "others. A line under dense: pruning made the model forget; above: it gives away more. "
    )
    if len(attacks) > len(strongest):
        caption += f"Drawn are the {len(strongest)} attacks that find most; the table has all. "
    if any(metric == "membership_tpr" for (metric, _), _ in drawn):
        caption += (
            "The true-positive rate says what share of the members an attacker names who may be wrong about "
            "few others; guessing finds as many as it wrongs. "
        )
    caption += "".join(_missing(results, rate) for rate in LOW if rate not in rates)
    columns: list[tuple[str, str, dict[str, Any]]] = [
        (f"AUC, {words.attack(attack)}", "membership_auc", {"attack": attack}) for attack in attacks
    ]
    every = [{"attack": a, "fpr": fpr} for fpr in rates for a in _values(results, "membership_tpr", "attack")]
    columns += [(f"True positives, {words.conditions(at)}", "membership_tpr", at) for at in every]
    return Chart(
        f"{caption}{band(results)} {LUCK}",
        tuple(panel for _, panel in drawn),
        sparsity_table(results, TITLE, columns),
        legend(results),
        named=True,
        shows=tuple(subject(*of) for of, _ in drawn),
    )


def _missing(results: Results, rate: float) -> str:
    """Why there is no true-positive rate at that false-positive rate, and how many examples it needs."""
    needed, there = round(FEWEST / rate), _nonmembers(results)
    lead = f"At {words.percent(rate)} false positives nothing is known: "
    if there < needed:
        return f"{lead}that needs {needed:,} non-members, and no attack here met more than {there:,}. "
    return f"{lead}the plan does not ask for it (fpr), though {there:,} non-members would do. "


def _nonmembers(results: Results) -> int:
    """The most non-members that an attack was judged on."""
    first = results.select("membership_auc").drop_duplicates("at")["outcomes"]
    kept = [unpack(one) or {} for one in first if isinstance(one, bytes)]
    return max((int((~one["member"].astype(bool)).sum()) for one in kept if "member" in one), default=0)


def _strongest(results: Results, attacks: list[str]) -> list[str]:
    """The attacks with the highest mean AUC over all variants, and the one that stands for the run."""

    def mean(attack: str) -> float:
        found = figures(results, "membership_auc", {"attack": attack}).values()
        values = [figure.value for figure in found if figure.value is not None]
        return sum(values) / len(values) if values else 0.0

    key = membership(results)
    first = [key.at["attack"]] if key is not None else []
    ranked = sorted(attacks, key=lambda attack: (attack not in first, -mean(attack), attack))
    return sorted(ranked[:MOST])


def _panel(results: Results, metric: str, at: dict[str, Any]) -> Panel | None:
    rows = results.select(metric, {"fpr": at["fpr"]} if "fpr" in at else {})
    ends = [float(v) for column in ("value", "low", "high") for v in rows[column].dropna()]
    if metric == "membership_auc":
        title, chance = f"AUC of the {words.attack(at['attack'])}", 0.5
        span = (max(0.0, min([0.45, *ends]) - 0.01), min(1.0, max([0.6, *ends]) + 0.01))
    else:
        chance = float(at["fpr"])
        title = f"True positives {words.conditions({'fpr': chance})}, {words.attack(at['attack'])}"
        span = (0.0, min(1.0, max([2 * chance, *ends]) * 1.05))
    return against_sparsity(results, metric, at, title=title, y_range=span, level=(chance, "guessing"))


def _values(results: Results, metric: str, key: str) -> list[Any]:
    """Every value of a condition of the metric, the largest false-positive rate first."""
    found = {c[key] for c in results.select(metric)["conditions"] if key in c}
    return sorted(found, reverse=key == "fpr")
