"""Quantile regression: what an unseen input like it would score, no references (Bertran et al. 2023)."""

import numpy as np
import torch
from numpy.typing import NDArray

from attacks._isolation import draw_seed
from attacks.membership._attack import Evidence, Floats, Judgement, MembershipAttack, UnfitError, thresholded
from attacks.membership._settings import Settings
from attacks.membership._signals import scaled_confidence

COMPONENTS = 16
"""Principal components of the inputs that the regression goes by."""


def quantile(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by how many standard deviations it lies above what a non-member would score.

    The quantiles of a non-member's score, given its input and label, are taken to be those of a normal
    distribution (the paper's Gaussian form): its mean and the logarithm of its spread are regressed on the
    known non-members. In place of the paper's network there is a ridge regression on principal components of
    the inputs and on the label, since an audit has hundreds of known non-members and not tens of thousands.
    """
    del settings
    if evidence.x is None:
        raise UnfitError("the inputs are not at hand")
    score = scaled_confidence(evidence.logits, evidence.y)
    taught = evidence.known & ~evidence.member
    features = _features(evidence.x, evidence.y, evidence.logits.shape[1], taught, draw_seed(generator))
    mean, spread = regressed(features, score, taught)
    return thresholded((score - mean) / spread, evidence, learnt=True)


def regressed(features: Floats, score: Floats, taught: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean and spread of a non-member's score at every example, (N,) each, from the taught ones.

    The spread is exp of a regression of log |residual|, scaled so that the taught residuals over it have a
    mean square of one.
    """
    from sklearn.linear_model import Ridge

    mean: Floats = Ridge(alpha=1.0).fit(features[taught], score[taught]).predict(features)
    residual = abs(score - mean)
    floor = 1e-3 * max(float(residual[taught].mean()), 1e-12)
    logs = np.log(np.maximum(residual, floor))
    spread: Floats = np.exp(Ridge(alpha=10.0).fit(features[taught], logs[taught]).predict(features))
    return mean, spread * np.sqrt(np.mean((residual[taught] / spread[taught]) ** 2)).clip(min=1e-12)


def _features(
    x: NDArray[np.float32], y: NDArray[np.int64], classes: int, taught: NDArray[np.bool_], seed: int
) -> Floats:
    """Principal components of the inputs (fitted on the taught ones), each of spread one, and the label."""
    from sklearn.decomposition import PCA

    count = min(COMPONENTS, int(taught.sum()) - 1, x.shape[1])
    parts = [np.eye(classes)[y]]
    if count > 0 and float(x[taught].std(axis=0).max()) > 0:
        parts.append(PCA(count, whiten=True, random_state=seed).fit(x[taught]).transform(x).clip(-10, 10))
    return np.concatenate(parts, axis=1).astype(np.float64)


ATTACK = MembershipAttack(
    quantile,
    paper="Bertran et al. 2023, Scalable membership inference attacks via quantile regression",
    level="standard",
    needs="inputs",
)
