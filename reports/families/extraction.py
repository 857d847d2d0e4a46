"""Model extraction: a copy trained on the model's answers."""

from reports.data.key import extraction
from reports.families import Family

FAMILY = Family(
    probe="extraction",
    title="Model extraction",
    order=40,
    question="Can it be copied by asking it?",
    metrics=(
        "extraction_fidelity",
        "surrogate_accuracy",
        "extraction_error_fidelity",
        "extraction_gain",
        "extraction_queries",
        "extraction_adversarial_fidelity",
        "surrogate_transfer",
    ),
    key=extraction,
    stake="A faithful copy is the model's worth taken, and a white box on which to prepare other attacks. "
    "What counts is how far the copy goes beyond one made without asking.",
    remedies=(
        "Answer with labels or rounded probabilities instead of full outputs.",
        "Limit the rate of queries, and watch for callers who sweep the input space.",
        "Mark the model (watermark, fingerprint), so that a copy can be told.",
    ),
)
