"""Does a mask tell who was trained on? The attacker holds which weights were kept, and no output at all.

    python benchmarks/mask.py [--members 12 50 200] [--models 32] [--sparsities 0.5 0.9 0.95]

Small nets are trained on the digits, in pairs that share no example, until they know them by heart, and
pruned by global magnitude. Each is the target once; the models of the other pairs are references whose
examples are known. An example's score is how far the target's mask leans from the references' mean mask
towards that of those that trained on it, and away from that of those that did not. Models either start from
the same initial weights, which the attacker knows (a public checkpoint), or each from its own.

The more examples, the less one of them moves a mask: twelve are the positive control, and models that start
apart, whose masks have nothing in common, the null. Exits with 1 if the one is not found or the other found.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from attacks.membership import halves
from attacks.probe import Examples

STEPS, PASSES = 150, 30
"""Of training, at least, in batches of 16 at most: enough to know the examples by heart."""
FEW = 12
"""Members at which a mask must tell, where models start alike."""


def main() -> None:
    """Train, prune, and see what each mask tells."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, nargs="+", default=[FEW, 50, 200])
    parser.add_argument("--models", type=int, default=32, help="an even number (32)")
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.5, 0.9, 0.95])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| members | start | " + " | ".join(f"AUC at {s:.0%}" for s in options.sparsities) + " |")
    print("|---" * (2 + len(options.sparsities)) + "|", flush=True)
    wrong, tests = False, len(options.members) * len(options.sparsities)
    for members in options.members:
        for start in ("the same", "each its own"):
            inside = halves(options.models, 2 * members, 0)
            masks = trained(inside, start == "the same", options.sparsities)
            found = [tells(kept, inside) for kept in masks]
            cells = " | ".join("{:.3f} ({:.3f}–{:.3f})".format(*interval(each, 0.025)) for each in found)
            print(f"| {members} | {start} | {cells} |", flush=True)
            leaks = any(interval(each, 0.025 / tests)[1] > 0.5 for each in found)
            wrong |= leaks if start != "the same" else members == FEW and not leaks
    sys.exit(wrong)


def trained(inside: NDArray[np.bool_], same: bool, sparsities: Sequence[float]) -> list[NDArray[np.float32]]:
    """The masks of models that were trained on those examples (R, N), by sparsity: (R, weights), 0 or 1."""
    from pathlib import Path

    from audit.plan import parse
    from audit.subject import data as subject_data
    from audit.zoo import digits_cnn
    from pruning.methods import resolve
    from pruning.prune import prune

    table = {"model": {"build": "audit.zoo:digits_cnn"}, "data": {"source": "digits"}, "train": {"epochs": 1}}
    data = subject_data.load(parse(table, Path("benchmark.toml"))).train
    assert data is not None
    data, (_, method) = data[: inside.shape[1]], resolve("global-magnitude")
    masks: list[list[NDArray[np.float32]]] = [[] for _ in sparsities]
    for number, own in enumerate(inside):
        torch.manual_seed(0 if same else 1 + number)
        model = digits_cnn()
        fit(model, data[torch.from_numpy(np.flatnonzero(own))], seed=number)
        for kept, sparsity in zip(masks, sparsities, strict=True):
            generator = torch.Generator().manual_seed(0)
            found = prune(model, method, sparsity, example_input=data.x[:1], generator=generator).masks
            kept.append(torch.cat([m.flatten() for m in found.values()]).float().numpy())
    return [np.stack(kept) for kept in masks]


def fit(model: torch.nn.Module, examples: Examples, seed: int) -> None:
    """Train a model in place."""
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3, fused=True)
    size, taken = min(16, max(4, len(examples) // 3)), 0
    while taken < max(STEPS, PASSES * len(examples) // size):
        for batch in torch.split(torch.randperm(len(examples), generator=order), size):
            optimiser.zero_grad()
            loss = F.cross_entropy(model(examples.x[batch]), examples.y[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            taken += 1


def tells(masks: NDArray[np.float32], inside: NDArray[np.bool_]) -> list[float]:
    """The AUC of each pair's masks, the mean of its two: who is inside, by all other pairs as references."""
    found = []
    for pair in range(0, len(masks), 2):
        others = np.delete(np.arange(len(masks)), [pair, pair + 1])
        each = [
            roc_auc_score(inside[target], leaning(masks[target], masks[others], inside[others]))
            for target in (pair, pair + 1)
        ]
        found.append(float(np.mean(each)))
    return found


def leaning(
    mask: NDArray[np.float32], references: NDArray[np.float32], inside: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How far a mask (weights,) leans towards those of references (R, weights) that trained on an example, by
    example, (N,). ``inside``: (R, N)."""
    centre = references.mean(axis=0)
    share = inside / inside.sum(axis=0) - ~inside / (~inside).sum(axis=0)
    direction = share.T @ (references - centre)
    length = np.linalg.norm(direction, axis=1)
    score: NDArray[np.float64] = direction @ (mask - centre) / np.maximum(length, 1e-12)
    return score


def interval(values: Sequence[float], tail: float) -> tuple[float, float, float]:
    """Their mean and its interval, which errs on either side with probability ``tail`` (Student's t)."""
    mean = float(np.mean(values))
    reach = float(stats.t.isf(tail, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - reach, mean + reach


if __name__ == "__main__":
    main()
