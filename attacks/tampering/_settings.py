"""What a plan may say about weight tampering."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from attacks._techniques import chosen, techniques
from attacks.settings import ProbeSettings
from attacks.tampering._attack import TamperingAttack
from attacks.tampering._storage import Storage

PACKAGE = "attacks.tampering"

Level = Literal["quick", "standard", "thorough"]
Where = Literal["mask", "anywhere"]
Rate = Annotated[float, Field(gt=0, lt=1)]

LEVELS: dict[str, dict[str, Any]] = {
    "quick": {"storage": ("int8",), "rates": (1e-2,), "counts": (), "draws": 3, "flips": 10, "tries": 3},
    "standard": {},
    "thorough": {
        "draws": 30, "flips": 100, "tries": 20, "replicates": 3, "steps": 4, "examples": 2000,
    },
}  # fmt: skip
"""By level, from low to high, what a plan that does not say otherwise gets beside the level's attacks."""


def attacks_of(level: str) -> tuple[str, ...]:
    """The attacks of that level and of those below it, from cheap to dear."""
    reach = list(LEVELS)[: list(LEVELS).index(level) + 1]
    known = techniques(PACKAGE, TamperingAttack)
    return tuple(sorted((n for n, a in known.items() if a.level in reach), key=lambda n: (known[n].cost, n)))


class Settings(ProbeSettings):
    """Who tampers with the weights, in which storage, and how far."""

    level: Level = "standard"
    """How hard the attacker tries, where the other keys do not say: "quick" is random faults and progressive
    bit search in int8; "standard" adds float storage, the compressed format's indices, targeted attacks and
    small changes of many weights; "thorough" has more draws, more flips and more attackers."""

    attacks: tuple[str, ...] = ()
    """Attacks to run, by name (by default those of the level)."""

    storage: tuple[Storage, ...] = Field(default=("int8", "bfloat16", "float32"), min_length=1)
    """How weights are stored when ``bit_flip`` strikes: "int8", "bfloat16", "float32". The searches for bits
    are for int8."""

    rates: tuple[Rate, ...] = Field(default=(1e-4, 1e-3, 1e-2), min_length=1)
    """Shares of all stored bits that are flipped at random."""

    counts: tuple[Annotated[int, Field(ge=1)], ...] = (10, 100)
    """Numbers of random flips in the whole model; () for none."""

    draws: int = Field(default=10, ge=1, le=1000)
    """Times that random faults are drawn; their luck is in the interval."""

    flips: int = Field(default=30, ge=1, le=10_000)
    """Bits that a search may flip, at most."""

    tries: int = Field(default=5, ge=1)
    """Candidates whose loss a search finds out in each step: those that the gradient ranks highest in each
    layer, then in all."""

    search_examples: int = Field(default=64, ge=1)
    """Examples of its own that an attacker searches by."""

    replicates: int = Field(default=1, ge=1, le=100)
    """Attackers of each kind that search, each with examples of its own. With two or more, intervals hold the
    attacker's luck; with one they do not, and say so."""

    examples: int = Field(default=1000, ge=1)
    """Audit examples that changed models are judged on, at most."""

    source: int = Field(default=0, ge=0)
    """The class that targeted attacks have mistaken, by number."""

    target: int = Field(default=1, ge=0)
    """The class that they have it taken for."""

    where: tuple[Where, ...] = Field(default=("mask", "anywhere"), min_length=1)
    """Which weights a change of many weights may touch: "mask": those that are not zero; "anywhere": pruned
    ones too."""

    steps: int = Field(default=2, ge=1)
    """Gradient steps at each size of a change of many weights."""

    trigger: str | None = None
    """The trigger of a suspected backdoor: FILE.py:FUNCTION that puts it on inputs (N, …), or FILE.npz with
    ``x`` (triggered inputs), ``y`` (the class that the attacker wants for each), and ``clean``, if at hand
    (the same inputs without it)."""

    trigger_class: int = Field(default=0, ge=0)
    """The class that a trigger function's attacker wants."""

    @model_validator(mode="before")
    @classmethod
    def _levelled(cls, given: Any) -> Any:
        """What the plan does not say, its level says."""
        if not isinstance(given, dict) or (level := given.get("level", "standard")) not in list(LEVELS):
            return given
        return {"attacks": attacks_of(level), **LEVELS[level], **given}

    @model_validator(mode="after")
    def _differ(self) -> "Settings":
        if self.source == self.target:
            raise ValueError("source and target are the same class: name two")
        return self

    @field_validator("storage", "rates", "counts", "where")
    @classmethod
    def _once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"a value is given twice: {', '.join(map(str, values))}")
        return values

    @field_validator("attacks")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return chosen(names, PACKAGE, TamperingAttack)

    @property
    def grid(self) -> tuple[int, ...]:
        """Numbers of flips at which a search is judged: 1, 2, 3, 5, 7, 10, 15, 20, 30, … and the last."""
        found = [m * 10**e // 10 for e in range(5) for m in (10, 15, 20, 30, 50, 70)]
        return (*sorted({k for k in found if k < self.flips}), self.flips)
