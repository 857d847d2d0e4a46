"""Weight tampering: stored weights changed so that the model errs."""

from reports.data.key import Key, nearest_half
from reports.data.results import Results
from reports.families import Family
from reports.language import words

ORDER = ("progressive", "bit_flip")
"""The attacks that can stand for the run, a search before mere faults."""

TRIGGER = {"attack": "trigger", "on": "triggered"}


def key(results: Results) -> Key | None:
    """Accuracy after as many flips as leave dense nearest to half of its clean accuracy; of a run that tried
    nothing but a trigger, its success."""
    rows = results.select("tampering_accuracy")
    found = dict(zip(rows["at"], rows["conditions"], strict=True))
    for attack in ORDER:
        grid = [at for at in found.values() if at.get("attack") == attack and at.get("rate") != 0]
        chosen = nearest_half(results, "tampering_accuracy", grid)
        if chosen is not None:
            flips = chosen.get("flips")
            label = (
                f"accuracy after {words.counted(flips, 'chosen bit flip')}"
                if attack == "progressive" and isinstance(flips, int)
                else f"accuracy after tampering ({words.conditions(chosen)})"
            )
            return Key("tampering", "tampering_accuracy", chosen, label)
    if len(results.select("tampering_success", TRIGGER)):
        return Key("tampering", "tampering_success", TRIGGER, "success of the user’s trigger")
    return None


FAMILY = Family(
    probe="tampering",
    title="Weight tampering",
    order=50,
    question="Do a few changed weights break it?",
    metrics=(
        "tampering_accuracy",
        "tampering_flips",
        "tampering_flips_per_million",
        "tampering_success",
        "tampering_change",
        "tampering_filled",
    ),
    key=key,
    stake="Whoever can write to the stored model, or flip bits in its memory, can make it useless or bend "
    "its answers. Pruning changes how much hangs on each weight that is left.",
    remedies=(
        "Keep the run’s manifest of the model, signed, and hold the file against it whenever it is loaded: "
        "prune-audit verify finds any flipped bit and says in which tensor.",
        "Keep weights in read-only or error-correcting memory.",
        "Prune less: where fewer weights carry the work, each is worth more to an attacker.",
    ),
)
