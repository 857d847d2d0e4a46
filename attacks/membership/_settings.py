"""What a plan may say about membership inference."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from attacks._techniques import chosen, techniques
from attacks.membership._attack import MembershipAttack
from attacks.settings import ProbeSettings

PACKAGE = "attacks.membership"

Level = Literal["quick", "standard", "thorough"]

Attacker = Literal["recipe_unknown", "pair", "versions"]

LEVELS: dict[str, dict[str, Any]] = {
    "quick": {"references": 4},
    "standard": {"references": 16, "attackers": ("recipe_unknown", "pair")},
    "thorough": {
        "references": 64, "attackers": ("recipe_unknown", "pair", "versions"), "augmented_references": True,
    },
}  # fmt: skip
"""By level, from low to high, what a plan that does not say otherwise gets beside the level's attacks."""


def attacks_of(level: str) -> tuple[str, ...]:
    """The attacks of that level and of those below it, by name."""
    reach = list(LEVELS)[: list(LEVELS).index(level) + 1]
    return tuple(name for name, a in techniques(PACKAGE, MembershipAttack).items() if a.level in reach)


def _several(value: object) -> object:
    return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value


Rate = Annotated[float, Field(gt=0, lt=1)]


class Settings(ProbeSettings):
    """Which membership attacks run, on how many examples, and what the attacker holds."""

    level: Level = "standard"
    """How hard the attacker tries, where the other keys do not say: "quick" is a loss threshold, a learned
    black box and two attacks with 4 reference models; "standard" has 16 of them and every attack per example;
    "thorough" 64, all signals, augmented queries and an attacker who holds several pruned versions."""

    attacks: tuple[str, ...] = ()
    """Attacks to run, by name; by default those of the level."""

    references: int = Field(default=16, ge=0, le=1024)
    """Reference models, trained as the audited model was, each on a random half of members and non-members;
    pairs of them share no example. 0: none, and no attack that needs them."""

    attackers: tuple[Attacker, ...] = ()
    """Attackers beside the usual one, who holds the audited model alone and prunes its references as that one
    was: "recipe_unknown" leaves its references dense; "pair" holds the dense model too; "versions" the dense
    model and every other pruned version of the same seed."""

    augmented_references: bool = False
    """Whether the reference attacks ask of each image its shifts and its flip, too."""

    examples: int = Field(default=5000, ge=4)
    """At most so many members, and as many non-members."""

    fpr: Annotated[tuple[Rate, ...], BeforeValidator(_several), Field(min_length=1)] = (0.1, 0.01, 0.001)
    """False-positive rates at which the true-positive rate is taken: one, or a list."""

    noise: float = Field(default=0.02, gt=0)
    """Standard deviation of the noise of ``noise`` and ``samia``, as a share of the width of the bounds."""

    noise_draws: int = Field(default=10, ge=1)
    """Noisy copies of each input."""

    boundary_examples: int = Field(default=500, ge=4)
    """At most so many members, and as many non-members, are judged by ``label_only``, which asks much."""

    boundary_queries: int = Field(default=300, ge=1, le=1_000_000)
    """Queries of ``label_only`` for each example."""

    rmia_gamma: float = Field(default=2.0, ge=1)
    """γ of RMIA: by what factor an example must beat one of the population."""

    rmia_a: float = Field(default=0.3, ge=0, le=1)
    """a of offline RMIA: how P(x) follows from models that never saw x."""

    rmia_temperature: float = Field(default=2.0, gt=0)
    """Temperature of RMIA's softmax."""

    attack_model: Literal["gb", "rf"] = "gb"
    """What ``art_black_box`` learns: "gb" gradient boosting, "rf" a random forest (mostly weaker)."""

    @model_validator(mode="before")
    @classmethod
    def _levelled(cls, given: Any) -> Any:
        """What the plan does not say, its level says."""
        if not isinstance(given, dict) or (level := given.get("level", "standard")) not in list(LEVELS):
            return given
        return {"attacks": attacks_of(level), **LEVELS[level], **given}

    @field_validator("attacks")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return chosen(names, PACKAGE, MembershipAttack)

    @field_validator("references")
    @classmethod
    def _even(cls, count: int) -> int:
        if count % 2:
            raise ValueError("reference models come in pairs that share no example: name an even number")
        return count

    @field_validator("fpr", "attackers")
    @classmethod
    def _once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"a value is given twice: {', '.join(map(str, values))}")
        return values

    @property
    def wants_references(self) -> bool:
        """Whether any attack of these settings uses reference models."""
        known = techniques(PACKAGE, MembershipAttack)
        return self.references > 0 and any(known[name].needs == "references" for name in self.attacks)
