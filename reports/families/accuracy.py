"""Clean accuracy: what every other figure is read against."""

from reports.data.key import clean
from reports.families import Family

FAMILY = Family(
    probe="accuracy",
    title="Clean accuracy",
    order=10,
    question="Does it still do its work when nobody attacks it?",
    metrics=("accuracy",),
    key=clean,
    tile=False,
    stake="A model that has lost its accuracy fails its users before anyone attacks it, and near chance its "
    "robustness and leakage mean nothing.",
    remedies=(
        "Prune less, or by a method that holds accuracy longer (see the trade-offs).",
        "Fine-tune longer after pruning, or prune in several steps with fine-tuning between them.",
    ),
)
