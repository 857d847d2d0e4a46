"""C4: a pruned model leaks its training data more easily."""

from reports.claims import readings
from reports.claims.claim import Claim, Facet, rise

SMALLEST = 0.01

CLAIM = Claim(
    id="C4",
    title="A pruned model leaks its training data more easily",
    sections="§2.3",
    says="What pruning leaves is what the model remembers: an attacker tells its training examples more "
    "easily.",
    hypothesis="Membership inference against a retrained pruned model does better than against a dense one "
    "that was trained for as long.",
    test="AUC and true-positive rate at 1% false positives, pruned minus dense, of three attacks fixed "
    "beforehand (loss threshold, RMIA, LiRA), references pruned as the target was.",
    smallest="+0.01 of AUC; +1 point of the true-positive rate",
    facets=(
        Facet(
            "membership AUC",
            rise(SMALLEST),
            "auc",
            readings.membership("membership_auc"),
            "no membership AUC of pruned and dense models: probe membership",
        ),
        Facet(
            "true-positive rate at 1% false positives",
            rise(SMALLEST),
            "share",
            readings.membership("membership_tpr", fpr=0.01),
            "no true-positive rate at 1%: it needs 500 non-members",
            required=False,
        ),
    ),
)
