"""Membership inference: which examples the model was trained on."""

from reports.data.key import membership
from reports.families import Family

FAMILY = Family(
    probe="membership",
    title="Membership inference",
    order=30,
    question="Does it give away what it was trained on?",
    metrics=("membership_auc", "membership_balanced_accuracy", "membership_tpr"),
    key=membership,
    stake="Where being in the training data is itself private (patients, customers), an attacker who holds a "
    "record learns that it was used. A leak found is a lower bound: a better attacker finds more.",
    remedies=(
        "Answer with labels or rounded probabilities instead of full outputs.",
        "Train with regularisation, earlier stopping, more data or differential privacy, then audit again.",
        "Limit the rate of queries, and who may ask.",
    ),
)
