"""The attacker who chooses the norm: an example is broken if it is in the ball of any norm of the plan."""

from collections.abc import Sequence

import torch

from attacks._rates import rate
from attacks.evasion._curves import Sweep
from attacks.evasion._rows import METRIC
from attacks.probe import Measurement

NAME = "union"


def rows(sweeps: Sequence[Sweep]) -> list[Measurement]:
    """One row per rung: the k-th radius of every norm together. ``eps`` is that of the first norm.

    The "max" over perturbation types of Tramèr & Boneh 2019. None for a single norm, or where the norms have
    different numbers of radii.
    """
    if len(sweeps) < 2 or len({len(found.grid) for found in sweeps}) > 1:
        return []
    together = torch.stack([found.worst for found in sweeps]).any(dim=0)
    found = []
    for rung, broken in enumerate(together):
        radii = {swept.norm: float(swept.grid[rung]) for swept in sweeps}
        at: dict[str, str | int | float] = {
            "norm": NAME, "eps": float(sweeps[0].grid[rung]), "attack": "worst_case", **radii
        }  # fmt: skip
        said = " or ".join(f"{norm} at most {eps:g}" for norm, eps in radii.items())
        found.append(rate(METRIC, ~broken, "correct", at, f"the attacker chooses: {said}"))
    return found
