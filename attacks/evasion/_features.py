"""Inputs whose features are not alike: each with its own scale and bounds, some that cannot change.

The attack takes place in units of each feature's scale, x' = (x − middle) / scale, on a view of the model
that takes such inputs. Attacks, searches and checks then need not know: a ball of radius ε around x' is the
set of inputs whose features move by ε scales together. What a feature may be is held by the ball itself.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from attacks.evasion._balls import BALLS, TOLERANCE, Ball, Bounds
from attacks.evasion._examples import Broken
from attacks.probe import Examples, Features, Target


class InUnits(nn.Module):
    """A model that takes x' = (x − middle) / scale, (N, …) float64, in place of x.

    In float64 the way back to x is exact: an unchanged feature reaches the model bit for bit as it was. The
    gradient of a feature that cannot change is zero.
    """

    scale: Tensor
    middle: Tensor
    mutable: Tensor
    kind: Tensor

    def __init__(
        self, inner: nn.Module, scale: Tensor, middle: Tensor, mutable: Tensor, kind: Tensor
    ) -> None:
        super().__init__()
        self.inner = inner
        for name, value in {"scale": scale, "middle": middle, "mutable": mutable, "kind": kind}.items():
            self.register_buffer(name, value, persistent=False)

    def enter(self, x: Tensor) -> Tensor:
        """Inputs in their own units → x', float64."""
        return (x.double() - self.middle) / self.scale

    def leave(self, x: Tensor) -> Tensor:
        """x' → inputs in their own units, of the type that the model takes."""
        return (x.double() * self.scale + self.middle).to(self.kind)

    def around(self, inner: nn.Module) -> "InUnits":
        """Another model, in the same units."""
        return InUnits(inner, self.scale, self.middle, self.mutable, self.kind)

    def forward(self, x: Tensor) -> Tensor:
        """x' (N, …) → logits (N, C)."""
        logits: Tensor = self.inner(self.leave(torch.where(self.mutable, x, x.detach())))
        return logits


def in_units(target: Target) -> Target:
    """The target in units of its features' scales; as it is where it has none, or is so already.

    ``bounds`` are then the widest of any feature, and ``features`` has the bounds of each in the new units.
    Raises ValueError where a test input lies outside its features' bounds.
    """
    if target.features is None or isinstance(target.model, InUnits):
        return target
    shape = target.test.x.shape[1:]
    own = {
        name: getattr(target.features, name).expand(shape).unsqueeze(0).to(target.device)
        for name in ("scale", "low", "high", "mutable")
    }
    x = target.test.x.to(target.device).double()
    if bool(((x < own["low"]) | (x > own["high"])).any()):
        raise ValueError("test inputs lie outside the bounds of their features")
    least, most = x.amin(dim=0, keepdim=True), x.amax(dim=0, keepdim=True)
    scale = torch.where(own["mutable"], own["scale"], (most - least).clamp(min=1))
    kind = torch.zeros((), dtype=target.test.x.dtype, device=target.device)
    model = InUnits(target.model, scale, (least + most) / 2, own["mutable"], kind)
    low, high = model.enter(own["low"]), model.enter(own["high"])
    test = Examples(model.enter(x).to(target.test.x.device), target.test.y)
    return replace(
        target,
        model=model.eval(),
        test=test,
        bounds=(float(low.min()), float(high.max())),
        features=Features(torch.ones_like(scale), low, high, own["mutable"]),
    )


def in_own_units(examples: Broken | None, target: Target) -> Broken | None:
    """Pictures of broken examples as the user knows them."""
    if examples is None or not isinstance(target.model, InUnits):
        return examples
    shown = {
        name: target.model.leave(torch.from_numpy(examples.arrays[name]).to(target.device)).cpu().numpy()
        for name in ("clean", "adversarial")
    }
    return replace(examples, arrays={**examples.arrays, **shown})


def ball_of(norm: str, features: Features | None) -> Ball:
    """The ball of a norm; with ``features`` (tensors (1, …), in the units of the attack) held to what each
    feature may be."""
    ball = BALLS[norm]
    if features is None:
        return ball
    held = _Held(ball, features)
    return replace(ball, project=held.project, sample=held.sample, distance=held.distance, features=features)


@dataclass(frozen=True, slots=True)
class _Held:
    """The functions of a ball within the bounds of each feature."""

    ball: Ball
    features: Features

    def _kept(self, moved: Tensor, centre: Tensor) -> Tensor:
        return torch.where(self.features.mutable, moved, centre)

    @property
    def _bounds(self) -> Bounds:
        return self.features.low, self.features.high

    def project(self, moved: Tensor, centre: Tensor, eps: Tensor, bounds: Bounds) -> Tensor:
        """The closest input. What cannot change is put back first: a ball of the other features is left."""
        del bounds
        return self._kept(self.ball.project(self._kept(moved, centre), centre, eps, self._bounds), centre)

    def sample(self, seeds: Tensor, centre: Tensor, eps: Tensor, bounds: Bounds) -> Tensor:
        """Drawn among all features; what cannot change is put back."""
        del bounds
        return self._kept(self.ball.sample(seeds, centre, eps, self._bounds), centre)

    def distance(self, moved: Tensor, centre: Tensor) -> Tensor:
        """Infinite where a feature that cannot change has changed, or one is outside its bounds."""
        low, high = self._bounds
        allowed = TOLERANCE * (1 + high - low)
        moved, centre = moved.double(), centre.double()
        wrong = (moved != centre) & ~self.features.mutable
        wrong = wrong | ((moved < low - allowed) | (moved > high + allowed)) & self.features.mutable
        return torch.where(wrong.flatten(1).any(dim=1), torch.inf, self.ball.distance(moved, centre))
