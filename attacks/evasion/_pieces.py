"""Evasion in pieces: what is done to some of the examples, left as arrays, and put together again.

An example's fate depends on its own seed, and in the last bits of a float on the examples that stand in one
batch with it; under foreign attacks, which draw from global generators, on what those are. So examples are
attacked in blocks that are the same wherever they are attacked: pieces are whole blocks, and any cut into
pieces gives the same figures, bit for bit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attacks._isolation import global_seed
from attacks.evasion import _inference, _transfer
from attacks.evasion._attack import Batch, EvasionAttack, reason
from attacks.evasion._attacked import in_order
from attacks.evasion._clean import Start, clean, luck
from attacks.evasion._curves import Curve, Sweep, among_all
from attacks.evasion._examples import Broken
from attacks.evasion._features import InUnits, ball_of, in_units
from attacks.evasion._settings import Settings
from attacks.probe import Part, Target, merged

RIGHT, WORST, DEAD, SOURCES, FROM = "right", "worst", "dead", "sources", "from"
TRIED, REST, PICTURES = "tried", "rest", "pictures"


def key(*parts: str | int) -> str:
    """The name of an array."""
    return "/".join(map(str, parts))


def texts(known: Part, *parts: str | int) -> list[str]:
    """The text of that name; none if there is none."""
    return [str(text) for text in known.get(key(*parts), ())]


@dataclass(frozen=True)
class Ground:
    """What a stage stands on: the target, and what the stages before it left."""

    target: Target
    """In units."""
    settings: Settings
    attacks: Mapping[str, EvasionAttack]
    """From cheap to dear."""
    seeds: Tensor
    """(n, restarts)."""
    known: Part
    start: Start

    @classmethod
    def of(
        cls,
        target: Target,
        settings: Settings,
        attacks: Mapping[str, EvasionAttack],
        generator: torch.Generator,
        known: Part,
    ) -> "Ground":
        """Of a target in any units."""
        target = in_units(target)
        seeds = luck(target, settings, generator)[0]
        start = Start.found_again(target, known)
        return cls(target, settings, in_order(attacks), seeds, known, start)

    @cached_property
    def right(self) -> Tensor:
        """Which examples the model gets right, (n,) bool."""
        return torch.from_numpy(self.known[RIGHT]).to(self.target.device)

    @cached_property
    def sweeps(self) -> dict[str, Sweep]:
        """By norm, what the attacks did as far as is known."""
        return {norm: _sweep(norm, self) for norm in self.settings.norms}

    def ran(self, norm: str) -> dict[str, EvasionAttack]:
        """The attacks that ran."""
        return {name: attack for name, attack in self.attacks.items() if name in self.sweeps[norm].curves}

    def batch(self, norm: str, index: Tensor) -> Batch:
        """Of the examples that the model gets right those, (N,) int64, unattacked; N is at least 1."""
        where = torch.nonzero(self.right).squeeze(1)[index]
        found = clean(self.target, self.settings, self.seeds, where, self.start)
        return replace(found, ball=ball_of(norm, self.target.features))

    def block(self, norm: str, some: range) -> Batch:
        """Of some test examples those that the model gets right, as the first stage had them."""
        found = clean(self.target, self.settings, self.seeds, torch.arange(some.start, some.stop), self.start)
        right = self.right[some.start : some.stop]  # random outputs may be others now
        return replace(found.at(right, found.eps[right]), ball=ball_of(norm, self.target.features))

    def blocks(self, examples: range) -> list[range]:
        """Ranges of test examples that are gone through together."""
        return blocks(examples, self.target.block)

    def places(self, some: range) -> slice:
        """Where those of some test examples that the model gets right stand among all such."""
        before = int(self.right[: some.start].sum())
        return slice(before, before + int(self.right[some.start : some.stop].sum()))

    def each(self, some: Sequence[range], stage: str, work: Callable[[range], Part]) -> Part:
        """What work on each range leaves, merged. Global generators are set for each, for models that draw
        from them."""
        parts = []
        for block in some:
            own = int(self.seeds[block.start, 0]) + sum(stage.encode())
            with global_seed(own % 2**31, self.target.device):
                parts.append(work(block))
        return merged(parts)

    def every_norm(self, work: Callable[[str], Part], stage: str) -> Part:
        """What work in each norm leaves; where it fails, why."""
        arrays: Part = {}
        for norm in self.settings.norms:
            try:
                arrays = {**arrays, **work(norm)}
            except Exception as error:  # whatever a foreign attack raises leaves a doubt; the rest goes on
                arrays = {**arrays, key(norm, stage, "failed"): np.array([reason(error)])}
        return arrays

    @cached_property
    def twin(self) -> nn.Module:
        """The dense model of the same run, taking the same inputs; the target has one."""
        assert self.target.twin is not None
        twin, model = self.target.twin(), self.target.model
        return model.around(twin) if isinstance(model, InUnits) else twin


def blocks(examples: range, size: int) -> list[range]:
    """In so many at a time."""
    size = max(size, 1)
    return [
        range(start, min(start + size, examples.stop)) for start in range(examples.start, examples.stop, size)
    ]


def left(found: Sweep) -> Part:
    """A sweep's own figures as arrays over the examples."""
    norm = found.norm
    arrays: dict[str, NDArray[np.generic]] = {
        key(norm, WORST): found.worst.cpu().numpy(),
        key(norm, DEAD): found.dead.cpu().numpy(),
    }
    for name, curve in found.curves.items():
        arrays[key(norm, name, "broken")] = curve.broken.cpu().numpy()
        if curve.inferred is not None:
            arrays[key(norm, name, "inferred")] = curve.inferred.cpu().numpy()
        if curve.distance is not None:
            arrays[key(norm, name, "distance")] = curve.distance.cpu().numpy()
        if name == _transfer.NAME:
            arrays[key(norm, name, "note")] = np.array([curve.note])
    for name, why in found.failed.items():
        arrays[key(norm, name, "failed")] = np.array([why])
    for place, broken in enumerate(found.replays.values()):
        arrays[key(norm, FROM, place)] = broken.cpu().numpy()
    if found.replays:
        arrays[key(norm, SOURCES)] = np.array(list(found.replays))
    return arrays


def _sweep(norm: str, ground: Ground) -> Sweep:
    """The inverse of :func:`left`, with what later stages left. An attack that failed on any block has
    failed."""
    known, right, target, attacks = ground.known, ground.right, ground.target, ground.attacks

    def tensor(*parts: str | int) -> Tensor | None:
        values = known.get(key(norm, *parts))
        return None if values is None else torch.from_numpy(values).to(right.device)

    def needed(*parts: str | int) -> Tensor:
        values = tensor(*parts)
        assert values is not None
        return values

    names = [*attacks, _transfer.NAME]
    failed = {name: why[0] for name in names if (why := texts(known, norm, name, "failed"))}
    curves: dict[str, Curve] = {}
    for name in names:
        if name in failed or key(norm, name, "broken") not in known:
            continue
        alone = name not in attacks or attacks[name].on == "all"
        note = "".join(texts(known, norm, name, "note"))
        after = () if alone else tuple(curves)
        curves[name] = Curve(
            needed(name, "broken"), after, tensor(name, "distance"), note, tensor(name, "inferred")
        )
    replays = {
        source: broken
        for place, source in enumerate(texts(known, norm, SOURCES))
        if (broken := tensor(FROM, place)) is not None and _transfer.NAME in curves
    }
    grid = torch.tensor(ground.settings.radii(norm), dtype=torch.float64, device=right.device)
    measuring = frozenset(name for name, a in attacks.items() if norm in a.norms and a.search == "distance")
    like = target.test.x[:1].to(target.device)
    widest = float(ball_of(norm, target.features).widest(like, target.bounds))
    found = Sweep(
        norm, grid, right, needed(DEAD), ground.start.draws, widest, curves, needed(WORST), failed, measuring,
        replays=replays,
    )  # fmt: skip
    return _shown(_settled(found, known), known)


def _settled(found: Sweep, known: Part) -> Sweep:
    """With what became of what stood by inference."""
    norm, right = found.norm, found.right
    hits = torch.from_numpy(known.get(key(norm, TRIED, "hits"), np.zeros(0, bool))).to(right.device)
    if why := texts(known, norm, TRIED, "failed") or texts(known, norm, REST, "failed"):
        return replace(found, untried=why[0])
    if len(hits) == 0:
        return found
    ours = _inference.taken_in(found.worst[:, right], *_inference.sample(found.inferred[:, right]), hits)
    worst = among_all(ours, right, True)
    if key(norm, REST, "worst") in known:
        worst = torch.from_numpy(known[key(norm, REST, "worst")]).to(right.device)
    return replace(found, worst=worst, trial=_inference.Trial(hits))


def _shown(found: Sweep, known: Part) -> Sweep:
    """With the pictures."""
    kept, begin = {}, key(found.norm, PICTURES, "")
    for name, values in known.items():
        if name.startswith(begin):
            kept[name.removeprefix(begin)] = values
    if "failed" in kept:
        return replace(found, unshown=str(kept["failed"][0]))
    if not kept:
        return found
    rung = int(kept.pop("rung")[0])
    return replace(found, examples=Broken(rung, kept))
