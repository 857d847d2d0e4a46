"""The likelihood-ratio attack: each example's score among those of models that did, and did not, train on it
(Carlini et al. 2022)."""

import numpy as np
from numpy.typing import NDArray

from attacks.membership._attack import Evidence, Floats, UnfitError
from attacks.membership._signals import scaled_confidence
from attacks.probe import References

LEAST = 1e-3
"""Smallest standard deviation of φ, so that references that agree do not decide by rounding."""


def phi(evidence: Evidence, references: References) -> tuple[Floats, Floats]:
    """φ of the target, (N, queries), and of the references, (R, N, queries)."""
    queries = references.logits.shape[2]
    asked = evidence.logits[:, None] if queries == 1 else evidence.augmented
    if asked is None or asked.shape[1] != queries:
        raise UnfitError(f"the references were asked {queries} queries of each example, the target was not")
    theirs = np.stack([scaled_confidence(logits, evidence.y) for logits in references.logits])
    return scaled_confidence(asked, evidence.y), theirs


def moments(values: Floats, chosen: NDArray[np.bool_], shared: bool) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each example's chosen values, (N, queries) each.

    ``values``: (R, N, queries); ``chosen``: (R, N). ``shared``: one standard deviation a query, of all chosen
    values around the means of their own examples, with n − 1 for each example.
    """
    weight = chosen[:, :, None]
    count = weight.sum(axis=0)
    mean = np.where(weight, values, 0).sum(axis=0) / count
    squares = np.where(weight, (values - mean) ** 2, 0).sum(axis=0)
    if shared:
        freedom = max(1, int((count - 1).sum()))
        variance = np.broadcast_to(squares.sum(axis=0) / freedom, mean.shape)
    else:
        variance = squares / np.maximum(count - 1, 1)
    return mean, np.maximum(np.sqrt(variance), LEAST)


def log_likelihood(values: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Of a normal distribution, without its constant."""
    found: Floats = -np.log(deviation) - 0.5 * ((values - mean) / deviation) ** 2
    return found


def lira(evidence: Evidence, *, online: bool, shared: bool) -> Floats:
    """Λ, averaged over the queries, (N,).

    Online: log N(φ; μ_in, σ_in) − log N(φ; μ_out, σ_out). Offline: (φ − μ_out) / σ_out, of which the paper's
    P(N(μ_out, σ_out) < φ) is a rising function that would round to 1 for many.
    """
    references = usable(evidence, least=1 if shared else 2, sides=2 if online else 1)
    ours, theirs = phi(evidence, references)
    outside, wide = moments(theirs, ~references.inside, shared)
    if not online:
        above: Floats = ((ours - outside) / wide).mean(axis=1)
        return above
    inside, narrow = moments(theirs, references.inside, shared)
    ratio = log_likelihood(ours, inside, narrow) - log_likelihood(ours, outside, wide)
    found: Floats = ratio.mean(axis=1)
    return found


def usable(evidence: Evidence, *, least: int, sides: int) -> References:
    """The references, if each example has at least ``least`` models outside (and inside, for two sides)."""
    references = evidence.references
    if references is None or len(references) == 0:
        raise UnfitError("there are no reference models")
    for side, name in ((~references.inside, "did not train"), (references.inside, "trained"))[:sides]:
        fewest = int(side.sum(axis=0).min())
        if fewest < least:
            raise UnfitError(
                f"each example needs at least {least} reference models that {name} on it; "
                f"one has {fewest} of {len(references)}"
            )
    return references
