"""Attacks of the Adversarial Robustness Toolbox, by name; their finds are judged like those of our own.

Handled here: ART walks the children of an ``nn.Sequential`` itself, changes the model's mode, draws from
global generators, passes float64 to float32 models, counts a changed prediction as success, and sees a
loss of the logits. So it is given a plain module with a plain cross-entropy, seeded generators of its own,
and no say in what is a success.
"""

import inspect
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attacks._isolation import global_seed
from attacks.evasion._attack import AttackFailedError, Batch, EvasionAttack
from attacks.evasion._effort import Effort

OURS = ("estimator", "classifier", "eps", "norm", "batch_size", "targeted", "verbose", "summary_writer")
"""Parameters that the audit sets: from the plan's norms and radii, or to what it needs."""
CHUNK = 128
"""Examples that ART handles at a time, whatever the audit's batch size: its results depend on it."""


@cache
def available() -> dict[str, type[Any]]:
    """ART's evasion attacks on a PyTorch classifier, by class name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import art.attacks.evasion as module
        from art.attacks import EvasionAttack as Base
        from art.estimators.classification import PyTorchClassifier

    def usable(kind: type[Any]) -> bool:
        needs = getattr(kind, "_estimator_requirements", ())
        return all(
            any(issubclass(PyTorchClassifier, one) for one in (need if isinstance(need, tuple) else (need,)))
            for need in needs
        )

    found = inspect.getmembers(module, inspect.isclass)
    return {
        name: kind for name, kind in found if issubclass(kind, Base) and kind is not Base and usable(kind)
    }


def problem(name: str, given: Mapping[str, Any]) -> str | None:
    """What is wrong with an ART attack of that class name and these settings; None if nothing is."""
    known = available()
    if name not in known:
        return f"ART has no attack {name!r} for a PyTorch classifier; it has: {', '.join(known)}"
    allowed = [key for key in _parameters(known[name]) if key not in OURS]
    for key in given:
        if key in OURS:
            return f"art.{name}.{key}: the audit sets it; remove it"
        if key not in allowed:
            return f"art.{name}.{key}: no such setting; there are: {', '.join(allowed)}"
    return None


def _parameters(kind: type[Any]) -> list[str]:
    return [key for key in inspect.signature(kind).parameters if key not in ("self", "args", "kwargs")]


def adapted(name: str, given: Mapping[str, Any]) -> EvasionAttack:
    """ART's attack as one of ours.

    An attack with a radius is run at every ε of the plan. One without, which looks for the closest
    adversarial example, is run once, and judged by the distances of what it finds.
    """
    from art.estimators import LossGradientsMixin

    kind = available()[name]
    has_radius = "eps" in _parameters(kind)
    needs = getattr(kind, "_estimator_requirements", ())
    gradients = any(
        need is LossGradientsMixin or "Gradient" in getattr(need, "__name__", "") for need in needs
    )

    def run(batch: Batch, effort: Effort) -> Tensor:
        del effort
        if len(batch) == 0:
            return batch.x.clone()
        if batch.ball.features is not None:
            raise AttackFailedError(
                f"ART's {name} is refused: it cannot be held to the scales, bounds and immutable features of "
                "[data.features]"
            )
        try:
            return _generate(kind, given, batch, has_radius)
        except Exception as error:  # whatever a foreign attack raises becomes a visible row
            raise AttackFailedError(f"ART's {name}: {type(error).__name__}: {error}") from error

    return EvasionAttack(
        run,
        search="each" if has_radius else "distance",
        paper=f"{name} of the Adversarial Robustness Toolbox (Nicolae et al. 2018)",
        cost=20_000,
        sees="gradients" if gradients else "scores",
        together=True,
    )


def _generate(kind: type[Any], given: Mapping[str, Any], batch: Batch, has_radius: bool) -> Tensor:
    """What ART's attack returns, projected into the ball if it has a radius, else into the bounds. ART knows
    one radius for all examples, so that each radius of the batch is a call of its own."""
    if has_radius and len(radii := sorted(set(batch.eps.tolist()))) > 1:
        found = batch.x.clone()
        for eps in radii:
            index = torch.nonzero(batch.eps == eps).squeeze(1)
            found[index] = _generate(kind, given, batch.at(index, batch.eps[index]), has_radius)
        return found
    with warnings.catch_warnings(), global_seed(int(batch.seeds[0, 0]) % 2**31, batch.x.device):
        warnings.simplefilter("ignore")
        attack = kind(_estimator(batch), **_settings(kind, given, batch))
        made = attack.generate(x=batch.x.cpu().numpy(), y=batch.y.cpu().numpy())
    moved = torch.from_numpy(np.asarray(made, dtype=np.float32)).to(batch.x).view_as(batch.x)
    moved = torch.where(moved.isfinite(), moved, batch.x)
    if has_radius:
        return batch.ball.project(moved, batch.x, batch.eps, batch.bounds)
    return moved.clamp(*batch.bounds)


def _settings(kind: type[Any], given: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
    known = _parameters(kind)
    eps = float(batch.eps[0])
    ours = {
        "eps": eps,
        "eps_step": eps / 10,  # ART's own default does not know the size of the ball
        "norm": 2 if batch.ball.name == "l2" else np.inf,
        "batch_size": CHUNK,
        "targeted": False,
        "verbose": False,
    }
    return {key: value for key, value in ours.items() if key in known} | dict(given)


class _Plain(nn.Module):
    """Hides the model's class from ART, holds it in its mode, and takes any floating type."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self._model, self._dtype = model, dtype

    def train(self, mode: bool = True) -> "_Plain":
        """ART asks for this or that mode; the model stays as it is."""
        del mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        out: Tensor = self._model(x.to(self._dtype))
        return out


def _estimator(batch: Batch) -> Any:
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model=_Plain(batch.model, batch.x.dtype),
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(batch.x.shape[1:]),
        nb_classes=batch.logits.shape[1],
        clip_values=batch.bounds,
        device_type="gpu" if batch.x.device.type == "cuda" else "cpu",
    )
