"""Weight tampering: stored weights changed so that the model errs."""

from reports.data.key import Key, nearest_half
from reports.data.results import Results
from reports.families import Family
from reports.language import words


def key(results: Results) -> Key | None:
    """Accuracy after the tampering that leaves dense nearest to half of its clean accuracy."""
    rows = results.select("tampering_accuracy")
    found = dict(zip(rows["at"], rows["conditions"], strict=True))
    chosen = nearest_half(results, "tampering_accuracy", list(found.values()))
    if chosen is None:
        return None
    label = f"accuracy after tampering ({words.conditions(chosen)})"
    return Key("tampering", "tampering_accuracy", chosen, label)


FAMILY = Family(
    probe="tampering",
    title="Weight tampering",
    order=50,
    question="Do a few changed weights break it?",
    metrics=("tampering_accuracy", "tampering_flips"),
    key=key,
    stake="Whoever can write to the stored model, or flip bits in its memory, can make it useless or bend "
    "its answers. Pruning changes how much hangs on each weight that is left.",
    remedies=(
        "Sign the model file and check its hash whenever it is loaded.",
        "Keep weights in read-only or error-correcting memory.",
        "Prune less: where fewer weights carry the work, each is worth more to an attacker.",
    ),
)
