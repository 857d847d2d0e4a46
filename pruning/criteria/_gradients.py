"""Gradients of the loss on the training sample, in eval mode, summed in double precision."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from pruning.criteria import Context


def mean(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """The gradient of the sample's mean loss, float64, by weight name."""
    assert context.sample is not None
    return _average(weights, context, context.sample.batch_size, lambda gradient: gradient)


def mean_over_examples(
    weights: Mapping[str, Tensor], context: Context, of: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """The mean over examples of a function of each example's own gradient, float64, by weight name."""
    return _average(weights, context, 1, of)


def of_each(weights: Mapping[str, Tensor], context: Context) -> Iterator[tuple[Tensor, ...]]:
    """Each example's own gradient, in the order of the weights."""
    return _gradients(weights, context, 1)


def _average(
    weights: Mapping[str, Tensor], context: Context, size: int, of: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    assert context.sample is not None
    totals = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for gradients in _gradients(weights, context, size):
        for total, gradient in zip(totals.values(), gradients, strict=True):
            total += of(gradient)
    return {name: total / len(context.sample.x) for name, total in totals.items()}


def _gradients(weights: Mapping[str, Tensor], context: Context, size: int) -> Iterator[tuple[Tensor, ...]]:
    """Per batch the gradient of its summed loss; zero for a weight that the output does not depend on."""
    assert context.sample is not None
    for x, y in context.sample.batches(size):
        with torch.enable_grad():
            loss = context.sample.loss(context.model(x), y).sum()
            yield torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
