"""Runs the attacks of a plan, from cheap to dear, on one batch of examples in one norm."""

from collections.abc import Mapping

import torch
from torch import Tensor

from attacks._model import NotFiniteError
from attacks.evasion import _search
from attacks.evasion._attack import Batch, EvasionAttack, reason
from attacks.evasion._curves import Curve, Sweep, among_all
from attacks.evasion._settings import Settings


def in_order(attacks: Mapping[str, EvasionAttack]) -> dict[str, EvasionAttack]:
    """From cheap to dear, ties by name."""
    return dict(sorted(attacks.items(), key=lambda item: (item[1].cost, item[0])))


def attacked(
    norm: str,
    batch: Batch,
    right: Tensor,
    attacks: Mapping[str, EvasionAttack],
    settings: Settings,
    batch_size: int,
) -> Sweep:
    """Run the attacks in their order, on whatever examples. Inside, tensors are over those in ``batch``."""
    grid = torch.tensor(settings.radii(norm), dtype=torch.float64, device=right.device)
    worst = torch.zeros(len(grid), len(batch), dtype=torch.bool, device=right.device)
    nothing = torch.zeros_like(worst)
    inferred = torch.zeros_like(worst)
    curves: dict[str, Curve] = {}
    failed: dict[str, str] = {}
    for name, attack in attacks.items():
        if norm not in attack.norms:
            continue
        alone = attack.on == "all"
        known = nothing if alone else worst
        size = max(len(batch), 1) if attack.together else batch_size
        try:
            broken, guessed, distance = _curves(attack, batch, grid, known, settings, size)
        except NotFiniteError:
            raise  # the model's own failure: no figure can be taken from it
        except Exception as error:  # whatever an attack raises is its own rows, and the others go on
            failed[name] = reason(error)
            continue
        distance = among_all(distance, right, 0.0) if alone and distance is not None else None
        curves[name] = Curve(
            among_all(broken, right, True),
            () if alone else tuple(curves),
            distance,
            inferred=None if guessed is None else among_all(guessed, right, False),
        )
        inferred |= guessed if guessed is not None else False
        worst = worst | (broken.cumsum(dim=0) > 0)
    measuring = frozenset(name for name, a in attacks.items() if norm in a.norms and a.search == "distance")
    dead = (batch.gradient == 0).flatten(1).all(dim=1)
    return Sweep(
        norm, grid, right, among_all(dead, right, False), batch.draws, float(_search.widest(batch)), curves,
        among_all(worst, right, True), failed, measuring,
    )  # fmt: skip


def _curves(
    attack: EvasionAttack, batch: Batch, grid: Tensor, known: Tensor, settings: Settings, batch_size: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """What is broken, (len(grid), N) bool; what stands by inference, the same, where the attack infers; and
    the distances, (N,), where it measures them."""
    if attack.search == "distance":
        found = _search.distances(attack, batch, ~known.all(dim=0), settings, batch_size)
        return known | (found <= grid.unsqueeze(1)), None, found
    if attack.search == "each":
        return _search.each(attack, batch, grid, known, settings, batch_size), None, None
    return *_search.bracketed(attack, batch, grid, known, settings, batch_size), None
