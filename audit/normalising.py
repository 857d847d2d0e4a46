"""Normalisation in two places, seen in the plan, the data and the model, whatever accuracy says of it."""

from contextlib import suppress

import torch
from torch import Tensor, nn

from audit.mistakes import Mistake, inputs_normalised
from audit.plan import Plan
from audit.subject.data import Data


def twice(plan: Plan, data: Data, model: nn.Module) -> Mistake | None:
    """Small nets may bear a second normalisation without losing accuracy: then only this tells it.

    Either the inputs look normalised already; or the model (the bare one) holds the plan's own mean and std.
    """
    said = plan.model.normalise
    if said is None:
        return None
    mean, std = torch.tensor(said.mean), torch.tensor(said.std)
    if inputs_normalised(data.test.x) and min(said.mean) > 0:  # below 0, it takes a normalisation back
        what = "inputs look normalised already, and [model] normalise takes a mean off them again"
    elif held := _holding(model, mean, std):
        what = f"the model itself holds the mean and std of [model] normalise, in {held}"
    else:
        return None
    return Mistake(
        "normalised-twice",
        what,
        "normalisation is in two places: a small net may lose no accuracy by it, and is another model still",
        "normalise once: give pixels in [0, 1], and leave [model] normalise out where the model normalises",
        serious=False,
    )


def _holding(model: nn.Module, mean: Tensor, std: Tensor) -> str:
    """Where a model has values named mean and std that are these; empty if it has none."""
    own: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():  # as torchvision's Normalize keeps them
            with suppress(TypeError, ValueError, RuntimeError):
                if "mean" in name or "std" in name:
                    own[f"{prefix}.{name}".lstrip(".")] = torch.as_tensor(value, dtype=torch.float32)

    def named(word: str, wanted: Tensor) -> str:
        for name, value in own.items():
            flat = value.detach().flatten().float().cpu()
            if word in name.rpartition(".")[2] and len(flat) == len(wanted) and torch.allclose(flat, wanted):
                return name
        return ""

    means, stds = named("mean", mean), named("std", std)
    return f"{means} and {stds}" if means and stds else ""
