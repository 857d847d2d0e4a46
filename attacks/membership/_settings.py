"""What a plan may say about membership inference."""

from typing import Literal

from pydantic import Field, field_validator

from attacks._techniques import chosen, techniques
from attacks.membership._attack import MembershipAttack
from attacks.settings import ProbeSettings

PACKAGE = "attacks.membership"


class Settings(ProbeSettings):
    """Which membership attacks run, and on how many examples."""

    attacks: tuple[str, ...] = Field(default_factory=lambda: tuple(techniques(PACKAGE, MembershipAttack)))
    """Attacks to run, by name; all of them by default."""

    examples: int = Field(default=5000, ge=4)
    """At most so many members, and as many non-members."""

    fpr: float = Field(default=0.01, gt=0, lt=1)
    """False-positive rate at which the true-positive rate is taken."""

    attack_model: Literal["gb", "rf"] = "gb"
    """What ``art_black_box`` learns: "gb" gradient boosting, "rf" a random forest (mostly weaker)."""

    @field_validator("attacks")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return chosen(names, PACKAGE, MembershipAttack)
