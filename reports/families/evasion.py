"""Evasion: inputs changed a little so that the model errs."""

from reports.data.key import robust
from reports.families import Family

FAMILY = Family(
    probe="evasion",
    title="Evasion",
    order=20,
    question="Can small changes of an input fool it?",
    metrics=("robust_accuracy", "attack_health"),
    key=robust,
    stake="Whoever holds the model, or a good copy of it, can make it err at will on inputs that look "
    "unchanged. An attack found stays found: the figure is an upper bound on robustness.",
    remedies=(
        "Fine-tune the pruned model on adversarial examples (adversarial training), then audit it again.",
        "Prune less, or by a method whose robustness falls later (see the trade-offs).",
        "Check inputs, or ask a second model, where a wrong answer is costly.",
    ),
)
