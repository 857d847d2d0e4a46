"""The catalogue of metrics: what each is called, how it is written and which direction is worse."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["share", "auc", "count", "bytes", "milliseconds", "number"]
Worse = Literal["lower", "higher", "neither"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``worse``: the direction in which its owner loses; ``meaning``: one plain sentence.

    ``least``: it is the least effort that does something. A seed on which the effort tried was not enough has
    no figure and needs more, so that a mean over the others would be too small: there is none then.
    """

    name: str
    title: str
    unit: Unit
    worse: Worse
    meaning: str
    least: bool = False


LUCK = (
    "An attacker that learns was trained once for each model: how much better or worse another training of "
    "it would do is not in the intervals."
)
"""What intervals lack of every figure of a trained attacker, beside the figure."""

_KNOWN = (
    Metric(
        "accuracy", "Clean accuracy", "share", "lower",
        "Share of unmodified examples that the model classifies correctly.",
    ),
    Metric(
        "robust_accuracy", "Robust accuracy", "share", "lower",
        "Share of test examples still classified correctly under attack; natural errors count as broken.",
    ),
    Metric(
        "corruption_accuracy", "Accuracy under corruption", "share", "lower",
        "Share of test images still classified correctly after a common corruption such as noise or blur.",
    ),
    Metric(
        "attack_health", "Attack health", "share", "neither",
        "Evidence that the attacks failed rather than the model held: above its limit, a robustness figure "
        "is not to be believed.",
    ),
    Metric(
        "adversarial_distance", "Distance to the closest adversarial example", "number", "lower",
        "How far the closest adversarial example found lies from the input, in the named norm; the median "
        "over the test examples, natural errors counting as 0.",
    ),
    Metric(
        "membership_auc", "Membership AUC", "auc", "higher",
        "How well an attacker ranks training examples above unseen ones: 0.5 is guessing, 1 is certainty.",
    ),
    Metric(
        "membership_balanced_accuracy", "Membership balanced accuracy", "share", "higher",
        "Share of right member-or-not decisions, members and non-members weighing the same: 50% is guessing.",
    ),
    Metric(
        "membership_tpr", "Membership true-positive rate", "share", "higher",
        "Share of training examples recognised while few unseen ones are mistaken for them.",
    ),
    Metric(
        "extraction_fidelity", "Extraction fidelity", "share", "higher",
        "Share of test examples on which the stolen copy gives the victim's answer.",
    ),
    Metric(
        "extraction_error_fidelity", "Extraction fidelity on errors", "share", "higher",
        "Share of the victim's wrong answers that the stolen copy gives too.",
    ),
    Metric(
        "extraction_adversarial_fidelity", "Extraction fidelity under attack", "share", "higher",
        "Share of inputs made to fool one of the two on which the stolen copy gives the victim's answer.",
    ),
    Metric(
        "extraction_gain", "Gained from the victim's answers", "share", "higher",
        "What the victim's answers add to the copy's fidelity over true labels for the same inputs.",
    ),
    Metric(
        "extraction_queries", "Queries to a faithful copy", "count", "lower",
        "Queries after which the stolen copy reaches the named fidelity.",
        least=True,
    ),
    Metric(
        "surrogate_accuracy", "Accuracy of the stolen copy", "share", "higher",
        "Share of test examples that the stolen copy classifies correctly.",
    ),
    Metric(
        "surrogate_transfer", "Transfer from the stolen copy", "share", "higher",
        "Share of adversarial examples made on the stolen copy that also fool the victim.",
    ),
    Metric(
        "tampering_accuracy", "Accuracy after tampering", "share", "lower",
        "Share of test examples classified correctly once the weights were tampered with.",
    ),
    Metric(
        "tampering_flips", "Bit flips needed", "count", "lower",
        "Number of flipped bits that brings the model to the named damage.",
        least=True,
    ),
    Metric(
        "tampering_flips_per_million", "Bit flips needed per million weights", "number", "lower",
        "The same for each million of the weights that are not zero.",
        least=True,
    ),
    Metric(
        "tampering_success", "Success of targeted tampering", "share", "higher",
        "Share of the inputs meant that get the class which whoever tampered wants for them.",
    ),
    Metric(
        "tampering_change", "Change of weights needed", "share", "lower",
        "Least change found of all weights together, relative to their own size, that does the named damage.",
        least=True,
    ),
    Metric(
        "tampering_filled", "Pruned weights filled", "share", "neither",
        "Share of the pruned weights that tampering made non-zero, which a check of the mask shows.",
    ),
    Metric(
        "bytes", "Size on disk", "bytes", "higher",
        "Bytes of the saved weights.",
    ),
    Metric(
        "gzip_bytes", "Size on disk, gzipped", "bytes", "higher",
        "Bytes of the saved weights after gzip.",
    ),
    Metric(
        "compressed_bytes", "Size on disk, compressed", "bytes", "higher",
        "Bytes of the weights saved without their zeros, from which they are read back bit for bit.",
    ),
    Metric(
        "parameters", "Parameters", "count", "higher",
        "Number of parameters, zeros included.",
    ),
    Metric(
        "nonzero_parameters", "Non-zero parameters", "count", "higher",
        "Number of parameters that are not zero.",
    ),
    Metric(
        "macs", "Multiply–accumulates", "count", "higher",
        "Multiply–accumulate operations for one example, zeros not skipped.",
    ),
    Metric(
        "nonzero_macs", "Multiply–accumulates without zeros", "count", "higher",
        "Multiply–accumulate operations for one example, those with a weight of zero left out.",
    ),
    Metric(
        "layer_sparsity", "Sparsity of a layer", "share", "neither",
        "Share of the dense layer's weights that is gone, or zero.",
    ),
    Metric(
        "latency", "Latency", "milliseconds", "higher",
        "Time for one forward pass on the machine of the run.",
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _KNOWN}


def metric(name: str) -> Metric:
    """The metric of that name; one that a plugin brought gets its name as title and no direction."""
    known = METRICS.get(name)
    if known is not None:
        return known
    title = name.replace("_", " ").strip().capitalize() or "(unnamed)"
    return Metric(name, title, "number", "neither", "A figure of a probe from outside this program.")


def rank(name: str) -> int:
    """Position in the catalogue, for sorting; unknown metrics come last."""
    return list(METRICS).index(name) if name in METRICS else len(METRICS)
