"""Data-free: queries are made by a generator that looks for what copy and victim disagree on (DFME/MAZE)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attacks._isolation import global_seed
from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._copy import Copy
from attacks.extraction._settings import Settings

NOISE = 32
"""Numbers that the generator makes an input from."""
BATCH = 32
"""Inputs made at a time."""
LESSONS = 4
"""Batches that the copy learns from for each one that teaches the generator."""
SPREAD = 1.5
"""Of what is made before it is squeezed into the bounds, in standard deviations of a batch: as in the papers'
generators, whose last layer is normalised. Without it all queries lie near the middle, and look alike."""
PROBE = 0.01
"""Length of the step by which the victim's gradient is estimated, as a share of the bounds' width."""


def data_free(theft: Theft, settings: Settings) -> Iterator[nn.Module]:
    """No data at all. The generator climbs the L1 distance of log-probabilities, whose gradient through the
    victim is estimated from one further query an input in a random direction (Truong et al. 2021, sections
    3.2 and 3.3). The copy learns from every answer so far (the replay of Kariyappa et al. 2021)."""
    made, device = _Generator(theft), theft.pool.device
    copy = Copy(theft.fresh(), settings, theft.seed)
    x, answers = theft.pool[:0], torch.zeros(0, theft.num_classes, device=device)
    own = torch.Generator().manual_seed(theft.seed)
    for budget in theft.budgets:
        turns = -(-(budget - len(x)) // BATCH)
        steps = settings.steps(budget, copy.taken)
        for turn in range(turns):
            size = min(BATCH, budget - len(x))
            teaches = turn % (LESSONS + 1) == LESSONS and size >= 2
            new = made(torch.randn(size // 2 if teaches else size, NOISE, generator=own).to(device))
            sent = new.detach()
            if teaches:
                way = F.normalize(torch.randn(sent.shape, generator=own).flatten(1), dim=1).to(device)
                step = PROBE * (theft.bounds[1] - theft.bounds[0]) * way.view_as(sent)
                sent = torch.cat([sent, (sent + step).clamp(*theft.bounds)])
            got = theft.ask(sent)
            x, answers = torch.cat([x, sent]), torch.cat([answers, got])
            share = max(1, steps * (turn + 1) // turns - steps * turn // turns)
            copy.learn(x, answers, share)
            if teaches:
                made.climb(new, _estimate(copy.model(x[-STATE:]), sent, got, step))
        yield copy.model(x)


STATE = 512
"""Of the latest inputs, so many are shown to the copy for batch norm's statistics."""


@torch.no_grad()
def _estimate(model: nn.Module, sent: Tensor, got: Tensor, step: Tensor) -> Tensor:
    """The gradient, by inputs, of how far copy and victim are apart, by forward differences; (N, …)."""
    apart = (model(sent).log_softmax(dim=1) - got.clamp(min=1e-6).log()).abs().sum(dim=1)
    here, there = apart.chunk(2)
    slope = (there - here) / step.flatten(1).norm(dim=1)
    along = F.normalize(step.flatten(1), dim=1) * slope.unsqueeze(1)
    gradient: Tensor = along.view_as(step) * step[0].numel()
    return gradient


class _Generator:
    """Noise → inputs within the bounds: a perceptron, since inputs may be of any shape."""

    def __init__(self, theft: Theft) -> None:
        shape, device = theft.pool.shape[1:], theft.pool.device
        self._shape, (self._low, high) = shape, theft.bounds
        self._width = high - self._low
        with global_seed(theft.seed, device):
            self._net = nn.Sequential(
                nn.Linear(NOISE, 128),
                nn.ReLU(),
                nn.Linear(128, 256),
                nn.ReLU(),
                nn.Linear(256, shape.numel()),
            ).to(device)
        self._optimiser = torch.optim.Adam(self._net.parameters(), 1e-3)

    def __call__(self, noise: Tensor) -> Tensor:
        """Inputs (N, …) for noise (N, NOISE), with gradients to the generator."""
        with torch.enable_grad():
            values = self._net(noise)
            if len(values) > 1:
                values = F.batch_norm(values, None, None, training=True)
            flat = self._low + self._width * (SPREAD * values).sigmoid()
            made: Tensor = flat.view(-1, *self._shape)
            return made

    def climb(self, made: Tensor, gradient: Tensor) -> None:
        """One step that moves what was made along the gradient (N, …)."""
        self._optimiser.zero_grad()
        made.backward(-gradient / len(made))  # type: ignore[no-untyped-call]
        self._optimiser.step()


ATTACK = ExtractionAttack(
    data_free,
    level="thorough",
    cost=8,
    sends="made",
    paper="Truong et al. 2021, Data-free model extraction; Kariyappa et al. 2021, MAZE: data-free model "
    "stealing attack using zeroth-order gradient estimation",
)
