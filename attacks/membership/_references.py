"""Reference models: which examples they are trained on, what they are asked, and which of them are of use."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from attacks._model import logits_of
from attacks._sampling import fixed_sample
from attacks.intervals import proportion
from attacks.membership._queries import images, shifts_and_flip
from attacks.membership._settings import Settings
from attacks.probe import Examples, References, Target


def population(members: Examples, nonmembers: Examples) -> tuple[Examples, Examples]:
    """What reference models are trained on a random half of: all members, and at most as many non-members.

    So a reference has as many training examples as the target, where there are as many non-members. Both are
    in the order of :func:`attacks._sampling.fixed_sample`, whose beginning is judged.
    """
    return (
        fixed_sample(members, len(members)),
        fixed_sample(nonmembers, min(len(members), len(nonmembers))),
    )


def halves(references: int, examples: int, seed: int) -> NDArray[np.bool_]:
    """Which examples each reference is trained on, (R, N): every two share none and leave none out.

    So each example is inside exactly half of the references, whether it was a member of the target or not.
    """
    inside = np.zeros((references, examples), dtype=np.bool_)
    for pair in range(0, references, 2):  # each pair by itself, so that more of them leave these as they are
        order = np.random.default_rng((seed, pair)).permutation(examples)
        inside[pair, order[: examples // 2]] = True
        inside[pair + 1 : pair + 2] = ~inside[pair]
    return inside


def judged_of(members: int, nonmembers: int, settings: Settings) -> tuple[int, int]:
    """How many of the population's members and non-members are judged."""
    return min(members, settings.examples), min(nonmembers, settings.examples)


def answers(
    model: torch.nn.Module, sides: tuple[Examples, Examples], settings: Settings, batch_size: int
) -> NDArray[np.float32]:
    """What one reference says of the judged examples: logits (N, queries, classes)."""
    count = judged_of(len(sides[0]), len(sides[1]), settings)
    x = torch.cat([side.x[:n] for side, n in zip(sides, count, strict=True)])
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    queries = shifts_and_flip(x) if settings.augmented_references and images(x) else iter((x,))
    logits = [logits_of(model, query, batch_size=batch_size, device=device) for query in queries]
    return torch.stack(logits, dim=1).numpy().astype(np.float32)


def sound(references: References, y: NDArray[np.int64]) -> References:
    """Without the references near chance, whose note then says how many those were.

    Near chance: the interval of the accuracy on examples outside of its training set reaches down to chance.
    Raises ValueError if logits are not finite or do not fit.
    """
    logits, inside = references.logits, references.inside
    if logits.shape[:2] != inside.shape or inside.shape[1] != len(y):
        raise ValueError(
            f"references: logits {logits.shape} and training sets {inside.shape} do not fit {len(y)} examples"
        )
    good = []
    for model in range(len(references)):
        outside = ~inside[model]
        right = logits[model, outside, 0].argmax(axis=1) == y[outside]
        finite = bool(np.isfinite(logits[model]).all())
        chance = 1 / logits.shape[3]
        good.append(finite and len(right) > 0 and proportion(int(right.sum()), len(right)).low > chance)
    if all(good):
        return references
    keep = np.flatnonzero(good)
    note = f"{len(good) - len(keep)} of {len(good)} reference models are near chance and left out"
    return replace(
        references,
        logits=logits[keep],
        inside=inside[keep],
        note="; ".join(part for part in (references.note, note) if part),
    )


def read(target: Target, settings: Settings, *, dense: bool = False) -> References | None:
    """The target's references, if the settings want some and there are any."""
    source = target.dense_references if dense else target.references
    return source() if source is not None and settings.wants_references else None
