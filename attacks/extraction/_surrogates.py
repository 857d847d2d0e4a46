"""What the attacker trains."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from attacks._isolation import global_seed
from attacks.extraction._settings import Surrogate
from attacks.probe import Target


def maker(target: Target, kind: Surrogate, seed: int) -> Callable[[], nn.Module]:
    """A function that makes the same fresh surrogate each time, on the target's device, ready to be trained.

    Raises ValueError where the target cannot have one of that kind.
    """
    make = {"same": _same, "pruned": _pruned, "smaller": _smaller}[kind]

    def fresh() -> nn.Module:
        with global_seed(seed, target.device):
            return make(target, seed).to(target.device).requires_grad_(True)

    return fresh


def _same(target: Target, seed: int) -> nn.Module:
    assert target.surrogate is not None
    return target.surrogate(seed)


def _pruned(target: Target, seed: int) -> nn.Module:
    """The victim's own shapes and zeros with fresh weights: what an attacker has who knows the mask.

    Zeros of weights with two dimensions or more are held at zero. Raises ValueError where a layer cannot be
    initialised anew, since a copy that starts from the victim's weights is no theft.
    """
    twin = copy.deepcopy(target.model).cpu()
    torch.manual_seed(seed)
    for name, module in twin.named_modules():
        own = list(module.parameters(recurse=False))
        if own and not hasattr(module, "reset_parameters"):
            raise ValueError(
                f"layer {name or 'of the model'} ({type(module).__name__}) has no reset_parameters"
            )
        if own:
            module.reset_parameters()
    kept = {name: value.cpu() != 0 for name, value in target.model.named_parameters() if value.ndim > 1}
    for name, _ in list(twin.named_parameters()):
        if name in kept and not bool(kept[name].all()):
            owner = twin.get_submodule(name.rpartition(".")[0])
            nn.utils.parametrize.register_parametrization(owner, name.rpartition(".")[2], _Masked(kept[name]))
    return twin


class _Masked(nn.Module):
    """Zeros that stay zero."""

    kept: Tensor

    def __init__(self, kept: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", kept)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight where it is kept, else zero."""
        return weight * self.kept


def _smaller(target: Target, seed: int) -> nn.Module:
    """Two convolutions of 8 and 16 filters for images, a hidden layer of 32 for anything else."""
    torch.manual_seed(seed)
    shape, classes = target.test.x.shape[1:], target.num_classes
    if len(shape) != 3:
        return nn.Sequential(nn.Flatten(), nn.Linear(shape.numel(), 32), nn.ReLU(), nn.Linear(32, classes))
    side = [math.ceil(math.ceil(size / 2) / 2) for size in shape[1:]]
    return nn.Sequential(
        nn.Conv2d(shape[0], 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * side[0] * side[1], classes),
    )
