"""What a health check finds, and the row that reports it."""

from dataclasses import dataclass

from torch import Tensor

from attacks._rates import rate
from attacks.probe import Measurement, Status

METRIC = "attack_health"
SHARED = 0.01
"""The share of examples up to which a sign of failure is put up with: a point of robust accuracy at most."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One check of the attacks on one model. It is raised where the share of hits is above the limit."""

    name: str
    limit: float
    hits: Tensor | None
    """Which examples show the sign, (n,) bool; None if the check could not be made."""
    note: str
    """What the check found, or why it could not be made, in one plain sentence."""
    status: Status = "not_applicable"
    """Of a check that could not be made: "failed" leaves the figures in doubt, "not_applicable" does not."""

    @property
    def raised(self) -> bool:
        """Whether the figure must not be believed as it stands."""
        return self.hits is not None and len(self.hits) > 0 and float(self.hits.double().mean()) > self.limit

    def row(self, norm: str) -> Measurement:
        """The check as a measurement: the share of examples with its interval."""
        at: dict[str, str | int | float] = {"flag": self.name, "norm": norm, "limit": self.limit}
        if self.hits is None or len(self.hits) == 0:
            return Measurement(METRIC, at=at, status=self.status, note=self.note)
        return rate(METRIC, self.hits, "flagged", at, self.note)


def counted(hits: Tensor, what: str) -> str:
    """``3 of 100 examples: WHAT``."""
    return f"{int(hits.sum())} of {len(hits)} examples: {what}"
