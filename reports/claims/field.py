"""Published findings of the field beside what the same question gives on these runs.

What stands under "printed" is what its source prints or states; a finding that these runs have no figures for
says so. Nothing is decided here: claims have their tests.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from reports.claims.erratum import Experiment, Figure
from reports.claims.figures import DENSE, Reading, against_dense, between, by_seed, conditions
from reports.claims.readings import robust
from reports.claims.study import Cell, Study, pruned, subject
from reports.language.metrics import Unit
from reports.language.words import attack as attack_words
from reports.language.words import change, counted, listing, percent

PRINTED_ATTACKS: Mapping[str, str] = {
    "lira_online_shared": "AUC 0.686, 5.93% found at 0.1% false alarms",
    "lira_online": "AUC 0.668, 1.69% found at 0.1% false alarms",
    "loss": "AUC 0.592, 0.09% found at 0.1% false alarms",
    "lira_offline_shared": "AUC 0.555, 2.99% found at 0.1% false alarms",
}
"""The official demonstration of Carlini et al. 2022, by falling AUC."""
LOSS = Reading("membership_auc", {"attack": "loss"})
NOTHING = "The runs have no figures for it: not tested here."


def field(studies: Sequence[Study]) -> tuple[Experiment, ...]:
    """Three published findings on these studies; the order of studies does not matter."""
    ordered = sorted(studies, key=lambda study: study.name)
    return membership_attacks(ordered), pruning_and_leaks(ordered), sparsity_and_attacks(ordered)


def membership_attacks(studies: Sequence[Study]) -> Experiment:
    """Which membership attack finds more, on dense models without a defence."""
    figures, orders = [], []
    for study in studies:
        ours: dict[str, float] = {}
        for name, printed in PRINTED_ATTACKS.items() if study.defence == "none" else ():
            values = by_seed(study, DENSE, Reading("membership_auc", {"attack": name}))
            if values:
                ours[name] = fmean(values.values())
                span = f"{min(values.values()):.3f}–{max(values.values()):.3f}"
                told = f"AUC {ours[name]:.3f} ({span}){''.join(_found(study, name))}"
                figures.append(Figure(f"{attack_words(name)}: {subject(study)}", printed, told))
        if len(ours) > 1:
            best = sorted(ours, key=lambda name: -ours[name])
            word = (
                "as printed"
                if best == [n for n in PRINTED_ATTACKS if n in ours]
                else "unlike what is printed"
            )
            orders.append(f"{subject(study)}: by AUC, {' > '.join(map(attack_words, best))}, {word}.")
    return _experiment(
        "Which membership attack finds more. Printed: the official demonstration of Carlini et al. 2022 "
        "(arXiv:2112.03570), CIFAR-10, 16 reference models. Here: dense models, means and ranges over seeds.",
        "membership",
        figures,
        [*orders, "Data, networks and numbers of references differ: orders can be compared, figures cannot."],
    )


def _found(study: Study, attack: str) -> Iterator[str]:
    """The share that the attack finds, at each share of false alarms that the data can support."""
    for at in conditions(study, "membership_tpr", {"attack": attack}):
        values = by_seed(study, DENSE, Reading("membership_tpr", at))
        if values and set(at) == {"attack", "fpr"}:
            yield f", {percent(fmean(values.values()))} found at {percent(float(at['fpr']))} false alarms"


def pruning_and_leaks(studies: Sequence[Study]) -> Experiment:
    """Whether a pruned model leaks less or more than dense, and whether pruning in rounds adds to it."""
    figures = []
    for study in studies:
        cells = against_dense(study, LOSS, part="loss")
        printed = "falls (Wang et al. 2020); rises (Yuan & Zhang 2022)"
        figures += list(_by_sparsity(study, cells, "change in AUC", printed, "auc"))
        figures += list(_rounds(study))
    return _experiment(
        "Whether pruning protects members or exposes them: “pruning protects” (Wang et al. 2020, "
        "arXiv:2008.13578), “pruning leaks” (Yuan & Zhang 2022, arXiv:2202.03335), “iterative pruning "
        "memorises more” (WEMEM 2025); none prints intervals over seeds. Here: the loss attack's AUC on "
        "pruned models less that on dense ones of the same seed.",
        "membership",
        figures,
        ["C4 tests it, against dense models trained as long. This table stands beside the printed words."],
    )


def _rounds(study: Study) -> Iterator[Figure]:
    """Pruning in rounds against the same at once."""
    recipes = study.results.about.get("recipes", {})
    by_recipe = {(_at_once(recipes[v.method]), s): v.name for v, _, s in pruned(study)}
    for variant, _, sparsity in pruned(study):
        recipe = recipes[variant.method]
        twin = by_recipe.get((_at_once({**recipe, "schedule": "one-shot", "steps": None}), sparsity))
        if recipe.get("schedule") != "iterative" or recipe.get("rewind") or twin is None:
            continue
        each = between(study, (variant.name, LOSS), (twin, LOSS))
        if each:
            told = _told([d.value for d in each.values()], "auc")
            name = f"change in AUC by {variant.method}, {percent(sparsity)} sparsity: {subject(study)}"
            yield Figure(name, "rises (WEMEM 2025)", told)


def _at_once(recipe: Mapping[str, object]) -> str:
    """What two methods that differ in their rounds only have in common; rounds are part of it."""
    return repr(sorted((k, v) for k, v in recipe.items() if k != "epochs_per_round" and v is not None))


def sparsity_and_attacks(studies: Sequence[Study]) -> Experiment:
    """How accuracy under attack goes with sparsity, on LeNet-5 and MNIST."""
    figures = []
    for study in studies:
        reading = robust(study) if (study.data, study.architecture) == ("mnist", "lenet5") else None
        if reading is None:
            continue
        cells = against_dense(study, reading, control=True)
        name = f"change in accuracy under attack, ε = {reading.at['eps']:g}"
        printed = "rises at an appropriately high sparsity, falls beyond"
        figures += list(_by_sparsity(study, cells, name, printed, "share"))
    return _experiment(
        "How robustness goes with sparsity, LeNet-5 on MNIST. Printed: Guo et al. 2018 (arXiv:1810.09619), "
        "that an appropriately higher sparsity makes nonlinear networks more robust, and too high a one "
        "less. Here: accuracy under the worst of all attacks, pruned less dense of the same seed, trained as "
        "long.",
        "evasion",
        figures,
        ["C1 and C3 test it. Theirs are weaker attacks than today's, and no intervals over seeds."],
    )


def _by_sparsity(
    study: Study, cells: Sequence[Cell], name: str, printed: str, unit: Unit
) -> Iterator[Figure]:
    """One figure a sparsity: over all methods and seeds."""
    for sparsity in sorted({cell.sparsity for cell in cells}):
        some = [cell for cell in cells if cell.sparsity == sparsity and not cell.excluded]
        label = f"{name}, {percent(sparsity)} sparsity: {subject(study)}"
        if some:
            yield Figure(label, printed, _told([d.value for cell in some for d in cell.each.values()], unit))
        else:
            why = listing(sorted({cell.excluded for cell in cells if cell.sparsity == sparsity}))
            yield Figure(label, printed, f"nothing that counts: {why}")


def _told(values: Sequence[float], unit: Unit) -> str:
    """Mean, and how often it rises."""
    rises = sum(value > 0 for value in values)
    return f"{change(fmean(values), unit)}; rises in {rises} of {counted(len(values), 'pair')}"


def _experiment(text: str, probe: str, figures: Sequence[Figure], why: Sequence[str]) -> Experiment:
    return Experiment(text, f"[probes.{probe}]", tuple(figures), tuple(why) if figures else (NOTHING,))
