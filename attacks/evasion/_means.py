"""What a cure has to see a model by: the view that suits it, and whether its gradient can be believed."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from attacks.evasion._attack import AttackFailedError, Batch, reason
from attacks.evasion._pieces import Ground, key, texts
from attacks.evasion._views import DIRECTIONS, NEAR, Estimated, View, flat, in_double, misleading, view_of
from attacks.evasion.health import flags
from attacks.evasion.health._evidence import sample
from attacks.probe import Part

MEANS = "means"
ROUNDED = frozenset(
    (
        "softmax_outputs",
        "saturated_softmax",
        "float32_gradients",
        "zero_gradients",
        "noisy_loss",
        "wrong_gradients",
    )
)
"""Flags that float64 may cure."""
DRAWS = 16
"""Passes that a randomised model's outputs are averaged over."""
MISLED = 0.1
"""The share of examples up to which a gradient may misjudge the loss: healthy networks have kinks."""


@dataclass(frozen=True, slots=True)
class Means:
    """How the model is seen; all but ``misled`` in words and numbers, so that it can be handed on."""

    scores: bool
    """Whether the outputs say more than the decision."""
    random: bool
    why_not: str = ""
    """Why no view could be had; empty: one could."""
    double: bool = False
    """Whether the view is of the model in float64."""
    place: int | None = None
    scale: float = 1.0
    draws: int = 1
    answers: bool = False
    """Of the view: see :class:`attacks.evasion._views.View`."""
    reach: float | None = None
    """How far the outputs are followed to estimate the gradient; None: autograd has it."""
    sampled: bool = False
    """Whether an estimate is from some directions only, rather than from every value of the input."""
    misled: Tensor | None = None
    """Of the sample, for which examples even the view's gradient misleads, (n,) bool; None: not looked at."""

    @property
    def estimated(self) -> bool:
        """Whether the view's gradient is an estimate."""
        return self.reach is not None

    @property
    def price(self) -> float:
        """Passes that one gradient of the view takes, forward and backward."""
        return self.draws * (1.0 if self.reach is None else (2 * DIRECTIONS + 1) / 3)

    @property
    def words(self) -> str:
        """For the note of the cure."""
        if self.why_not:
            return f"no gradient could be had ({self.why_not})"
        return ", ".join(
            [
                "gradients estimated from differences of the outputs" if self.estimated
                else "gradients passed straight through what has none",
                "logits rescaled",
                *(["in float64"] if self.double else []),
                *([f"outputs averaged over {self.draws} passes"] if self.random else []),
            ]
        )  # fmt: skip

    def view(self, model: nn.Module, like: Batch) -> nn.Module | None:
        """The view itself, of a model whose batches are ``like`` this one; None where none could be had."""
        if self.why_not:
            return None
        seen = in_double(model, like.x) if self.double else model
        assert seen is not None
        view: nn.Module = View(
            seen, like.logits.shape[1], torch.float64 if self.double else like.x.dtype, self.place,
            self.scale, self.draws, model if self.answers else None,
        )  # fmt: skip
        return view if self.reach is None else Estimated(view, self.reach)


def means(batch: Batch, eps: float, raised: Sequence[str]) -> Means:
    """The view that suits the model, and whether its gradient can be believed; else one that estimates it.
    ``batch``: the sample; ``eps``: the smallest; ``raised``: flags."""
    scores, random = not flat(batch, eps), "randomised" in raised
    double = in_double(batch.model, batch.x) if ROUNDED & set(raised) else None
    draws = DRAWS if random else 1
    dtype = torch.float64 if double is not None else batch.x.dtype
    try:
        view = view_of(batch, double or batch.model, dtype, draws)
        found = Means(
            scores, random, double=double is not None, place=view.place, scale=view.scale, draws=draws,
            answers=view.answers is not None, misled=misleading(batch, view, eps),
        )  # fmt: skip
        if random or found.misled is None or float(found.misled.double().mean()) <= MISLED:
            return found
        if batch.x[0].numel() > DIRECTIONS:
            return replace(found, reach=NEAR * eps, sampled=True)
        still = misleading(batch, Estimated(view, NEAR * eps), eps)
        if int(still.sum()) < int(found.misled.sum()):
            return replace(found, reach=NEAR * eps, misled=still)
        return found
    except Exception as error:  # a foreign model, seen otherwise than it was made to be, may raise anything
        return Means(scores, random, reason(error).splitlines()[0])


def looked_for(ground: Ground, some: range) -> Part:
    """The means of each norm in which a flag is raised; ``some`` is not looked at."""
    del some

    def of_norm(norm: str) -> Part:
        raised = raised_in(ground, norm)
        if not raised:
            return {}
        batch = ground.batch(norm, sample(int(ground.right.sum())).to(ground.right.device))
        found = means(batch, float(ground.sweeps[norm].grid[0]), raised)
        misled = {} if found.misled is None else {key(norm, MEANS, "misled"): found.misled.cpu().numpy()}
        return {
            key(norm, MEANS, "found"): np.array([json.dumps(asdict(replace(found, misled=None)))]),
            **misled,
        }

    return ground.each([range(1)], MEANS, lambda block: ground.every_norm(of_norm, MEANS))


def raised_in(ground: Ground, norm: str) -> list[str]:
    """The flags that are raised in a norm, by name."""
    return [name for name, flag in flags(ground, norm).items() if flag.raised]


def found_again(ground: Ground, norm: str) -> Means:
    """What :func:`looked_for` left; raises AttackFailedError if that failed."""
    if why := texts(ground.known, norm, MEANS, "failed"):
        raise AttackFailedError(why[0])
    misled = ground.known.get(key(norm, MEANS, "misled"))
    found = Means(**json.loads(texts(ground.known, norm, MEANS, "found")[0]))
    return found if misled is None else replace(found, misled=torch.from_numpy(misled))
