"""What is done where an attack's health is in doubt: the same model is attacked again, seen in a better light.

Gradients come from a cured view of the model; every find is still checked against the model itself.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from attacks._model import checked
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._losses import climb
from attacks.evasion._settings import Settings
from attacks.evasion._straight_through import StraightThrough
from attacks.evasion.health import Evidence, Flag
from attacks.evasion.pgd import pgd
from attacks.evasion.square import square
from attacks.evasion.sweep import Sweep, in_norm

NAME = "cured"
ROUNDED = frozenset(("softmax_outputs", "saturated_softmax", "float32_gradients", "zero_gradients", "noisy_loss"))
"""Flags that float64 may cure."""
DRAWS = 16
"""Passes that a randomised model's outputs are averaged over."""
LONGER, STARTS = 4, 3
"""Times the steps of the plan, and starts."""
QUERIES = 2000
"""Of Square, where no gradient can be had at all."""
TINY = 1e-300


class Cured(nn.Module):
    """A view of a model whose outputs are logits of moderate size with gradients to climb.

    Operations without a gradient are passed straight through (see :mod:`attacks.evasion._straight_through`);
    a softmax that comes last is taken off, and probabilities become their logarithms; random outputs are
    averaged (expectation over transformation, Athalye et al. 2018); logits are divided by ``scale``. If
    ``model`` is in float64, so are the outputs.
    """

    def __init__(self, model: nn.Module, *, scale: float, draws: int, dtype: torch.dtype) -> None:
        super().__init__()
        self._model, self._scale, self._draws, self._dtype = model, scale, draws, dtype

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, C)."""
        return torch.stack([self._once(x) for _ in range(self._draws)]).mean(dim=0) / self._scale

    def _once(self, x: Tensor) -> Tensor:
        with StraightThrough() as through:
            outputs = self._model(x.to(self._dtype))
        logits = through.logits_of(outputs)
        if logits is outputs and _probabilities(outputs):
            logits = outputs.clamp(min=TINY if outputs.dtype == torch.float64 else 1e-38).log()
        return logits


def _probabilities(outputs: Tensor) -> bool:
    values = outputs.detach()
    return bool((values >= 0).all()) and bool(((values.sum(dim=1) - 1).abs() < 1e-3).all())


def treated(
    found: Sweep, evidence: Evidence, flags: Mapping[str, Flag], settings: Settings, batch_size: int
) -> Sweep:
    """The sweep with the cure's curve, and in the worst case what the cure broke; as it is if no flag is raised."""
    raised = [name for name, flag in flags.items() if flag.raised]
    if not raised:
        return found
    again = in_norm(
        found.norm, found.batch, found.right, {NAME: cure(evidence, raised)[0]}, settings, batch_size
    )
    return replace(
        found, curves={**found.curves, **again.curves}, worst=found.worst | again.worst
    )


def cure(evidence: Evidence, raised: Collection[str]) -> tuple[EvasionAttack, str]:
    """The attack on the cured view of a model with these flags, and in words what the cure is."""
    batch = evidence.batch
    double = evidence.double if ROUNDED & set(raised) else None
    draws = DRAWS if "randomised" in raised else 1
    plain = Cured(
        double or batch.model, scale=1.0, draws=draws, dtype=torch.float64 if double else batch.x.dtype
    )
    with torch.no_grad():
        logits = checked(plain(batch.x))
    spread = float((logits.amax(dim=1) - logits.mean(dim=1)).median())
    view = Cured(double or batch.model, scale=spread or 1.0, draws=draws, dtype=plain._dtype)
    steps = 1 if draws > 1 else LONGER

    def run(part: Batch, settings: Settings) -> Tensor:
        harder = settings.model_copy(
            update={"steps": steps * settings.steps, "restarts": max(STARTS, settings.restarts)}
        )
        logits, _, gradient = climb(view, part.x, part.y)
        starts = torch.arange(harder.restarts, device=part.x.device)
        seen = replace(
            part, model=view, logits=logits, gradient=gradient, seeds=part.seeds[:, :1] + starts.unsqueeze(0)
        )
        found = pgd(seen, harder)
        blind = torch.nonzero((gradient == 0).flatten(1).all(dim=1)).squeeze(1)
        if len(blind):
            rest = part.at(blind, part.eps[blind])
            queries = max(QUERIES, settings.queries)
            found[blind] = square(rest, settings.model_copy(update={"queries": queries}))
        return found

    words = [
        "gradients pass straight through operations that have none",
        "logits divided by their spread",
        *(["float64"] if double else []),
        *([f"outputs averaged over {draws} passes"] if draws > 1 else [f"{LONGER} times the steps"]),
        "random starts",
        "Square where no gradient is left",
    ]
    return EvasionAttack(run, search="smallest", paper="Athalye et al. 2018", cost=10_000), "; ".join(words)
