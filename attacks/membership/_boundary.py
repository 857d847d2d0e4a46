"""How far inputs lie from the decision boundary, found by an attacker who sees labels only."""

import numpy as np
import torch

from attacks._model import checked
from attacks.evasion import Settings as EvasionSettings
from attacks.evasion._attack import Batch
from attacks.evasion._balls import BALLS
from attacks.evasion.rays import rays
from attacks.membership._attack import Floats
from attacks.probe import Examples, Target


@torch.no_grad()
def distances(target: Target, examples: Examples, queries: int) -> Floats:
    """L∞ distance of each input to the closest one of another label that RayS finds, (N,).

    0 where the model errs on the input itself, the width of the bounds where none was found.
    """
    width = target.bounds[1] - target.bounds[0]
    settings = EvasionSettings(queries=queries)
    found = []
    for x, y in zip(
        torch.split(examples.x, target.batch_size), torch.split(examples.y, target.batch_size), strict=True
    ):
        x, y = x.to(target.device), y.to(target.device)
        logits = checked(target.model(x))
        batch = Batch(
            model=target.model, ball=BALLS["linf"], bounds=target.bounds, x=x, y=y, logits=logits,
            gradient=torch.zeros_like(x), seeds=torch.zeros(len(y), 1, dtype=torch.int64),
            eps=torch.full((len(y),), width).to(x),
        )  # fmt: skip
        moved = rays(batch, settings)
        fooled = checked(target.model(moved)).argmax(dim=1) != y
        reach = torch.where(fooled, BALLS["linf"].distance(moved, x), width)
        found.append(torch.where(logits.argmax(dim=1) == y, reach, 0.0).double().cpu())
    return torch.cat(found).numpy().astype(np.float64)
