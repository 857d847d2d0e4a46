"""Recovery without training: the running statistics of batch norm, taken anew from training data."""

from collections.abc import Iterable
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pruning.modes import evaluating


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running mean and variance of every batch norm by their averages over the batches, in place.

    Nothing else changes: no weight, no mode, no momentum. All but batch norm runs in eval mode, so that no
    dropout distorts what is measured. ``batches``: inputs (N, …) of training examples and of nothing else
    (any others would leak into the model); those of one example are left out, since their variance is not
    known. A model without batch norm is left as it is, and so is any where all batches are left out.

    Li et al. 2020, arXiv:2007.02491 (EagleEye's adaptive batch norm).
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    usable = (batch for batch in batches if len(batch) > 1)  # one at a time: a device need not hold them all
    first = next(usable, None) if norms else None
    if first is None:
        return
    momenta = [norm.momentum for norm in norms]
    with evaluating(model):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average over batches
            norm.train()
        try:
            for batch in chain([first], usable):
                model(batch)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
