"""Masks by parameter name: plain boolean tensors, True where the weight is kept. No hooks on the model."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from pruning.errors import PruningError

Masks = Mapping[str, Tensor]


def apply(model: nn.Module, masks: Masks) -> None:
    """Set what the masks drop to zero, in place. Raises PruningError if a mask does not fit the model."""
    _drop(_dropped(model, masks))


def hold(optimiser: Optimizer, model: nn.Module, masks: Masks) -> RemovableHandle:
    """Keep zeros zero while training: the masks are applied again after every optimiser step.

    So neither momentum nor weight decay nor Adam's moments revive a weight, and the model itself carries no
    hook and no renamed key. ``remove()`` on the handle lets go. Raises PruningError if a mask does not fit.
    """
    dropped = _dropped(model, masks)

    def after_step(_optimiser: Optimizer, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
        _drop(dropped)

    return optimiser.register_step_post_hook(after_step)


def revived(model: nn.Module, masks: Masks) -> int:
    """How many weights that the masks drop are not zero. Raises PruningError if a mask does not fit."""
    return sum(int((weight[dropped] != 0).sum()) for weight, dropped in _dropped(model, masks))


def rescored(scores: Masks, kept: Masks) -> dict[str, Tensor]:
    """Scores in which what earlier masks dropped comes before everything else, so that it goes again.

    Among the kept the order stays; their scores become positive, those of the dropped are zero.
    """
    lowest = min((float(score.min()) for score in scores.values() if score.numel()), default=0.0)
    found = {}
    for name, score in scores.items():
        shifted = score - lowest if lowest < 0 else score
        positive = shifted.clamp(min=torch.finfo(score.dtype).tiny)
        found[name] = positive.masked_fill(~kept[name].to(score.device), 0.0) if name in kept else positive
    return found


def nested(chosen: Masks, kept: Masks, scores: Masks) -> dict[str, Tensor]:
    """Masks that drop as many as ``chosen`` do, and among them all that ``kept`` drop.

    They differ from ``chosen`` only where its allocation, asked again, would give weights back to a layer:
    then as many of those that were newly chosen, the highest scores first, stay.
    """
    before = {name: kept[name].to(mask.device) for name, mask in chosen.items()}
    revived = sum(int((mask & ~before[name]).sum()) for name, mask in chosen.items())
    both = {name: mask & before[name] for name, mask in chosen.items()}
    if not revived:
        return both
    fresh = [
        scores[name].to(mask.device).masked_fill(mask | ~before[name], -torch.inf).flatten()
        for name, mask in chosen.items()
    ]
    stay = torch.zeros(sum(map(len, fresh)), dtype=torch.bool, device=fresh[0].device)
    stay[torch.cat(fresh).topk(revived).indices] = True
    parts = torch.split(stay, [len(part) for part in fresh])
    return {name: both[name] | part.reshape(both[name].shape) for name, part in zip(both, parts, strict=True)}


def _dropped(model: nn.Module, masks: Masks) -> list[tuple[nn.Parameter, Tensor]]:
    parameters = dict(model.named_parameters())
    pairs = []
    for name, mask in masks.items():
        parameter = parameters.get(name)
        if parameter is None:
            raise PruningError(f"a mask is given for {name}, but the model has no such parameter")
        if mask.dtype != torch.bool or mask.shape != parameter.shape:
            raise PruningError(
                f"the mask of {name} is {mask.dtype} {tuple(mask.shape)}, "
                f"the parameter needs torch.bool {tuple(parameter.shape)}"
            )
        pairs.append((parameter, ~mask.to(parameter.device)))
    return pairs


@torch.no_grad()
def _drop(pairs: Iterable[tuple[nn.Parameter, Tensor]]) -> None:
    for parameter, dropped in pairs:
        parameter.masked_fill_(dropped, 0.0)  # not a product with 0: that keeps NaN and makes -0.0
