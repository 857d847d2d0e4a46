"""Scores in a run's folder: found once for a dense model, for every method and sparsity that wants them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from audit.plan import Plan
from audit.subject import models
from audit.subject.data import Data
from pruning import scoring
from pruning.recipe import Recipe
from pruning.sample import Sample

EXAMPLES = 512
"""So many training examples, a fixed random choice, are shown to a model whose weights are scored."""


def sample(plan: Plan, data: Data, device: str) -> Sample | None:
    """Training examples for criteria that look at a model at work, as the bare model takes them."""
    if data.train is None:
        return None
    chosen = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[:EXAMPLES]
    normalise = models.wrap(nn.Identity(), plan, data)
    return Sample(normalise(data.train.x[chosen]).to(device), data.train.y[chosen].to(device))


def file(out: Path, unit_id: str) -> Path:
    """Where the scores that a unit found are kept."""
    return out / "scores" / f"{unit_id[:16]}.safetensors"


def known(recipe: Recipe, units: Sequence[str], out: Path) -> scoring.Known:
    """What the recipe's score units, in the order of its bases, found. Raises ValueError if one failed."""
    found = {}
    for basis, unit_id in zip(scoring.bases(recipe), units, strict=True):
        path = file(out, unit_id)
        if not path.is_file():
            raise ValueError(f"{path.name}: the scores {basis.name} could not be found, see their own error")
        found[basis] = scoring.load(path)
    return found
