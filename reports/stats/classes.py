"""Whether a change falls on some classes more than on the others.

Pruning hits classes unevenly (Hooker, Courville, Clark, Dauphin and Frome, "What do compressed deep neural
networks forget?", arXiv:1911.05248). The question is asked of all classes of all models of a picture at once,
by the permutations of single-step maxT (Westfall and Young, "Resampling-based multiple testing", 1993): under
the null hypothesis labels have nothing to do with which examples a model loses.
"""

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 1999
WORK = 2_000_000_000
"""Multiplications that are spent on it at most; more data gets fewer permutations, 199 at least."""


def uneven(changes: NDArray[np.floating], labels: NDArray[np.integer], classes: int) -> NDArray[np.float64]:
    """Adjusted p-values, (models, classes): that a class changed no otherwise than its model's other classes.

    ``changes``: (models, examples), what each example's outcome changed by; ``labels``: (examples,). The
    chance that any p-value of the array is below 0.05 without any true difference is at most 5%.
    """
    models, n = changes.shape
    member = np.eye(classes, dtype=np.float32)[labels]  # (examples, classes)
    sizes = member.sum(axis=0)
    centred = (changes - changes.mean(axis=1, keepdims=True)).astype(np.float32)
    # The permutation variance of a class's sum: sampling without replacement.
    spread = np.sqrt(np.outer(centred.var(axis=1), sizes * (n - sizes) / max(n - 1, 1)))
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-6)
    observed = np.abs(centred @ member) * scale
    count = int(np.clip(WORK / max(1, models * n * classes), 199, PERMUTATIONS))
    generator, beyond = np.random.default_rng(0), np.ones(observed.shape)
    for _ in range(count):
        largest = (np.abs(centred @ member[generator.permutation(n)]) * scale).max()
        beyond += largest >= observed - 1e-5
    return np.asarray(beyond / (count + 1))
