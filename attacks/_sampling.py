"""Which examples an attack uses where it does not use all."""

import torch

from attacks.probe import Examples


def fixed_sample(examples: Examples, count: int) -> Examples:
    """``count`` of the examples, in an order that depends on nothing but how many there are.

    All models that share the data are thus attacked with the same examples and can be compared in pairs;
    a smaller sample is the beginning of a larger one; and data sorted by class do no harm.
    """
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(len(examples)))
    return examples[order[:count].to(examples.y.device)]
