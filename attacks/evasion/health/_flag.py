"""What a health check finds, and the row that reports it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks._rates import rate
from attacks.evasion._pieces import key, texts
from attacks.probe import Measurement, Part, Status

METRIC = "attack_health"
SHARED = 0.01
"""The share of examples up to which a sign of failure is put up with: a point of robust accuracy at most."""
HEALTH = "health"


@dataclass(frozen=True, slots=True)
class Flag:
    """One check of the attacks on one model. It is raised where the share of hits is above the limit."""

    name: str
    limit: float
    hits: Tensor | None
    """Which examples show the sign, (n,) bool; (B, n) where B balls are looked at, of which that with most
    hits counts; None if the check could not be made."""
    what: str
    """What the check found, or why it could not be made, in one plain sentence. ``{eps}`` stands for the ball
    that counts, ``{by}`` for what found it."""
    status: Status = "not_applicable"
    """Of a check that could not be made: "failed" leaves the figures in doubt, "not_applicable" does not."""
    balls: tuple[float, ...] = ()
    """Radii of the B balls."""
    by: tuple[str, ...] = ()
    few: str = ""
    """Why the check is not made where it is about fewer than :data:`FEWEST` examples; empty: it is."""

    @property
    def raised(self) -> bool:
        """Whether the figure must not be believed as it stands."""
        hits = self.settled.hits
        return hits is not None and len(hits) > 0 and float(hits.double().mean()) > self.limit

    @property
    def note(self) -> str:
        """For a reader of the row."""
        found = self.settled
        return found.what if found.hits is None else counted(found.hits, found.what)

    @property
    def settled(self) -> "Flag":
        """With one row of hits, and nothing left open in its words."""
        hits, eps = self.hits, 0.0
        if hits is None:
            return self
        if self.few and len(hits) < FEWEST:
            return Flag(self.name, self.limit, None, self.few)
        if hits.ndim > 1:
            commonest = int(hits.sum(dim=1).argmax())
            hits, eps = hits[commonest], self.balls[commonest]
        by = f" by {' or '.join(self.by)}" if self.by else ""
        return Flag(self.name, self.limit, hits, self.what.format(eps=f"{eps:g}", by=by))

    def row(self, norm: str) -> Measurement:
        """The check as a measurement: the share of examples with its interval."""
        at: dict[str, str | int | float] = {"flag": self.name, "norm": norm, "limit": self.limit}
        hits = self.settled.hits
        if hits is None or len(hits) == 0:
            return Measurement(METRIC, at=at, status=self.status, note=self.note)
        return rate(METRIC, hits, "flagged", at, self.note)


FEWEST = 10
"""Examples that some checks want at least."""


def counted(hits: Tensor, what: str) -> str:
    """``3 of 100 examples: WHAT``."""
    return f"{int(hits.sum())} of {len(hits)} examples: {what}"


def left(flag: Flag, norm: str) -> Part:
    """A check of some examples as arrays."""
    name = (norm, HEALTH, flag.name)
    words: dict[str, NDArray[np.generic]] = {
        key(*name, "limit"): np.array([str(flag.limit)]),
        key(*name, "balls"): np.array([str(radius) for radius in flag.balls], dtype=str),
        **{key(*name, "by", one): np.array([one]) for one in flag.by},
    }
    if flag.hits is None:
        return {**words, key(*name, flag.status): np.array([flag.what])}
    return {
        **words,
        key(*name, "hits"): flag.hits.cpu().numpy(),
        key(*name, "what"): np.array([flag.what]),
        key(*name, "few"): np.array([flag.few]),
    }


def found_again(known: Part, norm: str, flag: str, attackers: list[str]) -> Flag:
    """The check of all examples. Where it could not be made on some, it could not be made; where it failed on
    some, it failed. ``attackers``: in the order in which they are named."""
    name = (norm, HEALTH, flag)
    limit = float(texts(known, *name, "limit")[0])
    statuses: tuple[Status, ...] = ("failed", "not_applicable")
    for status in statuses:
        if why := texts(known, *name, status):
            return Flag(flag, limit, None, why[0], status)
    return Flag(
        flag, limit, torch.from_numpy(known[key(*name, "hits")]), texts(known, *name, "what")[0],
        balls=tuple(map(float, texts(known, *name, "balls"))),
        by=tuple(one for one in attackers if key(*name, "by", one) in known),
        few=texts(known, *name, "few")[0],
    )  # fmt: skip
