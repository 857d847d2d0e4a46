"""What is done where an attack's health is in doubt: the model is attacked again, seen in a better light.

Gradients come from a cured view of the model; every find is still checked against the model itself.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from attacks._model import checked
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._losses import climb, margin
from attacks.evasion._search import check
from attacks.evasion._settings import Settings
from attacks.evasion._straight_through import StraightThrough
from attacks.evasion.health import Evidence, Flag
from attacks.evasion.square import square
from attacks.evasion.sweep import Sweep, in_norm

NAME = "cured"
ROUNDED = frozenset(
    ("softmax_outputs", "saturated_softmax", "float32_gradients", "zero_gradients", "noisy_loss")
)
"""Flags that float64 may cure."""
DRAWS = 16
"""Passes that a randomised model's outputs are averaged over."""
MARGIN = 10.0
"""The median margin that logits are rescaled to: a healthy network's. Far above, the log-odds turn into the
margin alone; far below, into the mean of all classes; and cross-entropy fades in float32."""
LONGER, STARTS = 2, 2
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
        mean: Tensor = torch.stack([self._once(x) for _ in range(self._draws)]).mean(dim=0)
        return mean / self._scale

    def _once(self, x: Tensor) -> Tensor:
        with StraightThrough() as through:
            outputs: Tensor = self._model(x.to(self._dtype))
        logits: Tensor = through.logits_of(outputs)
        if logits is outputs and _probabilities(outputs):
            logits = outputs.clamp(min=TINY if outputs.dtype == torch.float64 else 1e-38).log()
        return logits


def _seen(part: Batch, view: nn.Module, starts: int) -> Batch:
    """The batch as the cured view shows it."""
    logits, _, gradient = climb(view, part.x, part.y)
    seeds = part.seeds[:, :1] + torch.arange(starts, device=part.x.device).unsqueeze(0)
    return replace(part, model=view, logits=logits, gradient=gradient, seeds=seeds)


def _probabilities(outputs: Tensor) -> bool:
    values = outputs.detach()
    return bool((values >= 0).all()) and bool(((values.sum(dim=1) - 1).abs() < 1e-3).all())


def treated(
    found: Sweep,
    evidence: Evidence,
    flags: Mapping[str, Flag],
    attacks: Mapping[str, EvasionAttack],
    settings: Settings,
    batch_size: int,
) -> Sweep:
    """The sweep with the cure's curve, which the worst case takes in; as it is if no flag is raised."""
    raised = [name for name, flag in flags.items() if flag.raised]
    if not raised:
        return found
    climbers = [
        attack
        for name, attack in attacks.items()
        if name in found.curves and attack.sees == "gradients" and attack.search != "distance"
    ]
    attack, words = cure(evidence, raised, sorted(climbers, key=lambda attack: attack.cost))
    again = in_norm(found.norm, found.batch, found.right, {NAME: attack}, settings, batch_size)
    cured = replace(again.curves[NAME], note=f"against {', '.join(raised)}: {words}")
    return replace(found, curves={**found.curves, NAME: cured}, worst=found.worst | again.worst)


def cure(
    evidence: Evidence, raised: Collection[str], attacks: Sequence[EvasionAttack]
) -> tuple[EvasionAttack, str]:
    """The attack on the cured view of a model with these flags, and in words what the cure is."""
    batch = evidence.batch
    double = evidence.double if ROUNDED & set(raised) else None
    draws = DRAWS if "randomised" in raised else 1
    plain = Cured(
        double or batch.model, scale=1.0, draws=draws, dtype=torch.float64 if double else batch.x.dtype
    )
    with torch.no_grad():
        logits = checked(plain(batch.x))
    typical = float(margin(logits, batch.y).median())
    scale = typical / MARGIN if typical > 0 else 1.0
    view = Cured(double or batch.model, scale=scale, draws=draws, dtype=plain._dtype)
    steps = 1 if draws > 1 else LONGER

    def run(part: Batch, settings: Settings) -> Tensor:
        harder = settings.model_copy(update={"restarts": max(STARTS, settings.restarts)})
        seen = _seen(part, view, harder.restarts)
        found, left = part.x.clone(), torch.arange(len(part), device=part.x.device)
        for attack in attacks:
            rest = seen.at(left, seen.eps[left])
            found[left] = attack.run(rest, attack.longer(harder, steps))
            left = left[~check(part.at(left, part.eps[left]), found[left]).broken]
            if len(left) == 0:
                return found
        blind = left[(seen.gradient[left] == 0).flatten(1).all(dim=1)]
        if len(blind):
            queries = max(QUERIES, settings.queries)
            rest = part.at(blind, part.eps[blind])
            found[blind] = square(rest, settings.model_copy(update={"queries": queries}))
        return found

    words = [
        "gradients pass straight through operations that have none",
        "logits rescaled",
        *(["float64"] if double else []),
        *([f"outputs averaged over {draws} passes"] if draws > 1 else [f"{LONGER} times the steps"]),
        "random starts",
        "Square where no gradient is left",
    ]
    return EvasionAttack(run, search="smallest", paper="Athalye et al. 2018", cost=10_000), "; ".join(words)
