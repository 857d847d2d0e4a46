"""Which ε a plan that names none gets: by the kind of its data; and which a policy asks for beside it."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from audit.plan import FeaturesPlan, Plan
from audit.subject.data import Data

SMALL = 16
"""Images with no side above this are like scikit-learn's digits."""
GREY = 32
"""Grey images with no side above this are like MNIST."""

KINDS: Mapping[str, tuple[float, ...]] = {
    "small grey images": (0.05, 0.1, 0.15, 0.2),
    "grey images": (0.1, 0.2, 0.3),
    "images": (2 / 255, 4 / 255, 8 / 255),
    "signals": (0.02, 0.05, 0.1),
    "tables": (0.1, 0.25, 0.5),
}
"""L∞ radii by kind of data: of images in shares of the width of [data] bounds, of the others in standard
deviations of each feature. Those of images are the field's (0.3 for MNIST in Madry et al. 2018, 8/255 for
CIFAR-10 in RobustBench, Croce et al. 2021)."""

L2 = 0.25
"""L2 radius over ε·√d, the length of an L∞ step: near the field's 0.5 beside 8/255 of 3×32×32."""


def kind(data: Data) -> str:
    """Which of ``KINDS`` the data is, by the shape of an input."""
    shape = data.input_shape
    if len(shape) == 1:
        return "tables"
    if len(shape) == 3:
        if shape[0] == 1 and max(shape[1:]) <= SMALL:
            return "small grey images"
        return "grey images" if shape[0] == 1 and max(shape[1:]) <= GREY else "images"
    return "signals"


def filled(plan: Plan, data: Data) -> Plan:
    """The plan with radii for its kind of data, where it names none; of what is no image also with
    ``[data.features] scale = "std"``, where it says nothing of features (constant ones are left alone)."""
    if not plan.default_eps or "evasion" not in plan.probes:
        return plan
    found = kind(data)
    radii, features = KINDS[found], plan.data.features
    if found.endswith("images"):
        radii = tuple(radius * (data.bounds[1] - data.bounds[0]) for radius in radii)
    elif features is None:
        features = FeaturesPlan(scale="std", immutable=_constant(data))
    evasion = dict(plan.probes["evasion"])
    balls = {norm: [_radius(radius, norm, data) for radius in radii] for norm in evasion["norms"]}
    evasion["eps"] = balls if len(balls) > 1 else next(iter(balls.values()))
    return plan.model_copy(
        update={
            "probes": {**plan.probes, "evasion": evasion},
            "data": plan.data.model_copy(update={"features": features}),
        }
    )


def sentence(plan: Plan, data: Data) -> str:
    """The radii of a plan for people, with their unit and where they come from; empty without evasion."""
    if "evasion" not in plan.probes:
        return ""
    features = plan.data.features
    unit = "input units"
    if features is not None and features.scale != (1.0,):
        unit = "standard deviations of each feature" if features.scale == "std" else "scales of each feature"
    said = [
        f"{norm} {', '.join(f'{radius:.3g}' for radius in radii)}" for norm, radii in _radii(plan).items()
    ]
    origin = f"the default for {kind(data)}" if plan.default_eps else "of the plan"
    return f"{'; '.join(said)}, in {unit} ({origin})"


def missing(plan: Plan, rules: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """What a policy asks for that the plan has not: a sentence for each of its rules (id, conditions) that
    names an ε or a norm."""
    radii = _radii(plan) if "evasion" in plan.probes else {}
    said = []
    for name, at in rules:
        norm, eps = at.get("norm"), at.get("eps")
        if norm not in (None, "any") and norm not in radii and "evasion" in plan.probes:
            said.append(f"rule {name} is about norm {norm}, and [probes.evasion] norms lacks it")
        elif isinstance(eps, int | float):
            ours = [e for each, es in radii.items() if norm in (None, "any", each) for e in es]
            if not any(math.isclose(eps, e, rel_tol=1e-6) for e in ours):
                said.append(f"rule {name} is about ε = {eps:g}, and [probes.evasion] eps lacks it")
    return said


def _radii(plan: Plan) -> dict[str, list[float]]:
    evasion = plan.probes["evasion"]
    eps = evasion["eps"]
    return dict(eps) if isinstance(eps, Mapping) else {norm: list(eps) for norm in evasion["norms"]}


def _radius(radius: float, norm: str, data: Data) -> float:
    if norm == "linf":
        return radius
    return float(f"{L2 * radius * math.sqrt(math.prod(data.input_shape)):.2g}")


def _constant(data: Data) -> tuple[int, ...]:
    x = (data.train or data.test).x
    spread = x.transpose(0, 1).flatten(1).double().std(dim=1)
    return tuple(torch.nonzero(~(spread > 0)).flatten().tolist())
