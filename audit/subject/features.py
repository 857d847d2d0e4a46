"""What the plan says of each feature: [data.features]."""

import torch
from torch import Tensor

from attacks.probe import Features
from audit.errors import PlanError
from audit.plan import FeaturesPlan, Plan
from audit.subject.data import Data

KEY = "[data.features]"


def features(plan: Plan, data: Data) -> Features | None:
    """The features of one input; for images, their channels. None where the plan says nothing of them.

    Raises PlanError for what does not fit the data.
    """
    said = plan.data.features
    if said is None:
        return None
    count = data.input_shape[0]
    mutable = torch.ones(count, dtype=torch.bool)
    for index in said.immutable:
        if index >= count:
            raise PlanError(f"{KEY} immutable: {index}: there are only {count} features; they count from 0")
        mutable[index] = False
    if not bool(mutable.any()):
        raise PlanError(f"{KEY} immutable: names every feature: nothing is left to attack")
    pairs = _each(said.bounds or [plan.data.bounds], count, "bounds", len(said.bounds) or 1)
    found = Features(_scale(said, data, mutable), pairs[:, 0], pairs[:, 1], mutable)
    _within(found, data)
    wide = (count, *[1] * (len(data.input_shape) - 1))
    return Features(*(value.view(wide) for value in (found.scale, found.low, found.high, found.mutable)))


def _each(values: object, count: int, key: str, given: int) -> Tensor:
    """One value, or pair, for each feature, float64; one alone is everyone's."""
    if given not in (1, count):
        raise PlanError(f"{KEY} {key}: {given} values for {count} features: give one for each")
    tensor = torch.tensor(values, dtype=torch.float64)
    return tensor.expand(count, *tensor.shape[1:]).clone()


def _scale(said: FeaturesPlan, data: Data, mutable: Tensor) -> Tensor:
    """(features,) float64; those that cannot change have 1."""
    if said.scale != "std":
        return torch.where(mutable, _each(list(said.scale), len(mutable), "scale", len(said.scale)), 1.0)
    x = (data.train or data.test).x.double()
    spread = x.transpose(0, 1).flatten(1).std(dim=1)
    if constant := torch.nonzero(mutable & ~(spread > 0)).flatten().tolist():
        raise PlanError(
            f'{KEY} scale = "std": feature {constant[0]} is the same in all examples and has no scale: '
            "name it in immutable, or give numbers"
        )
    return torch.where(mutable, spread, 1.0)


def _within(found: Features, data: Data) -> None:
    for examples in (data.test, data.train):
        if examples is None:
            continue
        values = examples.x.double().transpose(0, 1).flatten(1)
        least, most = values.amin(dim=1), values.amax(dim=1)
        if beyond := torch.nonzero((least < found.low) | (most > found.high)).flatten().tolist():
            at = beyond[0]
            raise PlanError(
                f"{KEY} bounds: feature {at} spans [{float(least[at]):g}, {float(most[at]):g}], outside "
                f"[{float(found.low[at]):g}, {float(found.high[at]):g}]"
            )
