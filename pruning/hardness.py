"""Hardness: what happens to the weights that a recipe selects, where it is not for good.

Each kind changes a model in place at every step of the schedule; between, the selected weights train as all
others do and may come back. At the end ``soft`` and ``soft-threshold`` cut for good and so achieve the
sparsity that was asked; ``attenuate`` makes the selected smaller once more, never zero, and achieves none.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from pruning import masks, prunable, removal
from pruning.masks import Masks
from pruning.removal import History

Soft = Literal["soft", "soft-threshold", "attenuate"]


def soften(model: nn.Module, selected: Masks, kind: Soft, factor: float = 0.1) -> None:
    """Apply one kind in place. ``selected``: parameter name → mask, False where a weight is selected.

    Raises PruningError if a mask does not fit the model.
    """
    actions: Mapping[str, Callable[[], None]] = {
        "soft": lambda: masks.apply(model, selected),
        "soft-threshold": lambda: soft_threshold(model, selected),
        "attenuate": lambda: attenuate(model, selected, factor),
    }
    actions[kind]()


@torch.no_grad()
def soft_threshold(model: nn.Module, selected: Masks) -> None:
    """sign(w)·max(|w| − λ, 0) in each layer, λ its largest selected |w|: the selected become 0.

    Donoho 1995, *De-noising by soft-thresholding*; again and again between steps of training: iterative
    shrinkage, Daubechies et al. 2004, doi:10.1002/cpa.20042. λ follows from the sparsity. (It is not learned:
    that is STR, Kusupati et al. 2020, arXiv:2002.03231.)
    """
    masks.apply(model, {name: torch.ones_like(mask) for name, mask in selected.items()})  # do they fit?
    for name, mask in selected.items():
        weight = model.get_parameter(name)
        kept = mask.to(weight.device)
        if not kept.all():
            threshold = weight[~kept].abs().max()
            shrunk = weight.sign() * (weight.abs() - threshold).clamp_(min=0)
            weight.copy_(shrunk.masked_fill_(~kept | (shrunk == 0), 0.0))  # no -0.0 of a tie


@torch.no_grad()
def attenuate(model: nn.Module, selected: Masks, factor: float) -> None:
    """factor·w where a weight is selected: smaller, not zero. A factor at each step: :func:`factors`."""
    masks.apply(model, {name: torch.ones_like(mask) for name, mask in selected.items()})  # do they fit?
    for name, mask in selected.items():
        weight = model.get_parameter(name)
        weight.copy_(torch.where(mask.to(weight.device), weight, factor * weight))


def factors(last: float, steps: int) -> list[float]:
    """What attenuation multiplies by at each of so many steps: falling evenly from 1 to ``last``.

    Cai et al. 2020, arXiv:2010.09498 (SofteR Filter Pruning), whose factor decreases as training goes on.
    Theirs ends at 0, in a hard cut; one that ends above never makes a zero.
    """
    return [1 - (1 - last) * step / steps for step in range(1, steps)] + [last]


def filters(model: nn.Module, history: History, example_input: Tensor) -> dict[str, Tensor]:
    """The masks of a removal that is only thought of: False on the weights that make the removed units.

    Biases, norms and what reads the units are left alone: with them at zero no gradient would reach the unit,
    and it could not come back (as it cannot where its bias keeps a ReLU shut). ``example_input``: (N, …).
    Raises PruningError if a step is not of this model.
    """
    weights = prunable.weights(model)
    chosen = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    for layer, (rows, _) in removal.resolve(model, history, example_input).items():
        if (name := prunable.weight_name(layer, weights)) in weights:
            chosen[name][rows] = False
    return chosen
