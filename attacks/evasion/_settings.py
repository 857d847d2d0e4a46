"""What a plan may say about evasion."""

from fractions import Fraction
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Field, field_validator, model_validator

from attacks._techniques import chosen, techniques
from attacks.evasion._attack import EvasionAttack
from attacks.evasion._effort import Effort

PACKAGE = "attacks.evasion"


def _number(value: object) -> object:
    """A number, or a fraction written as text such as "8/255"; raises ValueError."""
    if isinstance(value, bool):
        raise ValueError("write a number such as 0.1, or a fraction as text such as '8/255'")
    if isinstance(value, str):
        try:
            return float(Fraction(value.strip().replace(" ", "")))
        except (ValueError, ZeroDivisionError):
            raise ValueError(
                f"{value!r} is neither a number such as 0.1 nor a fraction as text such as '8/255'"
            ) from None
    return value


Norm = Literal["linf", "l2"]

Epsilon = Annotated[float, BeforeValidator(_number), Field(gt=0)]
"""A radius in input units, above zero; text such as "8/255" is read as a fraction."""


Radii = Annotated[tuple[Epsilon, ...], Field(min_length=1)]


Level = Literal["quick", "standard", "thorough"]

ART = "art:"
"""What the names of attacks of the Adversarial Robustness Toolbox begin with."""

LEVELS: dict[str, dict[str, Any]] = {
    "quick": {},
    "standard": {},
    "thorough": {
        "restarts": 5,
        "apgd_steps": 100,
        "queries": 5000,
        "alone": True,
        "every_eps": True,
        "transfer": True,
        "corruptions": True,
    },
}
"""By level, from low to high, what a plan that does not say otherwise gets beside the level's attacks."""


def attacks_of(level: str) -> tuple[str, ...]:
    """The attacks of that level and of those below it, from cheap to dear."""
    reach = list(LEVELS)[: list(LEVELS).index(level) + 1]
    known = techniques(PACKAGE, EvasionAttack)
    return tuple(sorted((n for n, a in known.items() if a.level in reach), key=lambda n: (known[n].cost, n)))


class Settings(Effort):
    """Which perturbations are allowed, and how hard the attacker tries."""

    eps: Radii | dict[Norm, Radii] = (0.05, 0.1, 0.15, 0.2)
    """Radii of the perturbation, in input units: numbers, or fractions as text such as "8/255". Either one
    list for all norms, or a table with one list a norm, such as {linf = [0.1], l2 = [1.5]}."""

    norms: tuple[Norm, ...] = Field(default=("linf",), min_length=1)
    """How a perturbation is measured: "linf" is the largest change of any input value, "l2" the Euclidean
    length of all changes together."""

    level: Level = "standard"
    """How hard the attacker tries, where the other keys do not say: "quick" is FGSM and PGD; "standard" is of
    AutoAttack's grade; "thorough" adds restarts, queries, attacks without gradients that stand for
    themselves, transfer and corruptions."""

    attacks: tuple[str, ...] = ()
    """Attacks to run, by name (by default those of the level); they run from cheap to dear, whatever their
    order here. "art:NAME" is an attack of the Adversarial Robustness Toolbox."""

    art: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of ART's attacks, by class name, passed through: {DeepFool = {max_iter = 50}}."""

    adaptive: str | None = None
    """Your own attack on your model, "FILE.py:FUNCTION": of a model it makes a twin with gradients to climb;
    or, of inputs and ε, candidates."""

    alone: bool = False
    """Whether attacks without gradients attack every example, so that their rows stand for themselves; else
    only what the attacks before them left standing."""

    every_eps: bool = False
    """Whether every ε is attacked. Else an example that an attack leaves standing at one ε is taken to stand
    at every smaller one, which the rows say, and which a sample is tried on."""

    transfer: bool = False
    """Whether adversarial examples of every other variant are tried on this one."""

    corruptions: bool = False
    """Whether accuracy is measured under common corruptions of images: noise, blur, contrast, brightness,
    JPEG."""

    cure_passes: int = Field(default=300_000, ge=1)
    """Passes through the model, forward and backward, that an example may take in the cure: where attacks are
    in doubt, what stands is attacked again. What they do not reach stays in doubt."""

    @field_validator("eps", "norms")
    @classmethod
    def _no_repeats(cls, values: Any) -> Any:
        for some in values.values() if isinstance(values, dict) else (values,):
            if len(set(some)) < len(some):
                raise ValueError(f"a value is given twice: {', '.join(map(str, some))}")
        return values

    @model_validator(mode="before")
    @classmethod
    def _levelled(cls, given: Any) -> Any:
        """What the plan does not say, its level says."""
        if not isinstance(given, dict) or (level := given.get("level", "standard")) not in list(LEVELS):
            return given
        named = {} if "attacks" in given else {"attacks": attacks_of(level)}
        return {**named, **LEVELS[level], **given}

    @field_validator("attacks")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        foreign = tuple(name for name in names if name.startswith(ART))
        own = tuple(name for name in names if name not in foreign)
        if own or not foreign:
            chosen(own, PACKAGE, EvasionAttack)
        if len(set(foreign)) < len(foreign):
            raise ValueError("an attack is named twice")
        return names

    @field_validator("adaptive")
    @classmethod
    def _names_a_function(cls, spec: str | None) -> str | None:
        if spec is not None and not all(spec.partition(":")):
            raise ValueError("name your function as FILE.py:FUNCTION or package.module:FUNCTION")
        return spec

    @model_validator(mode="after")
    def _art_knows_them(self) -> Self:
        named = [name.removeprefix(ART) for name in self.attacks if name.startswith(ART)]
        if unused := [name for name in self.art if name not in named]:
            raise ValueError(
                f'art.{unused[0]}: there are settings, but attacks does not name "{ART}{unused[0]}"'
            )
        if named:
            from attacks.evasion import _art  # it takes seconds, which only a plan that names ART should pay

            for name in named:
                if why := _art.problem(name, self.art.get(name, {})):
                    raise ValueError(why)
        return self

    @model_validator(mode="after")
    def _every_norm_has_radii(self) -> Self:
        if isinstance(self.eps, dict) and set(self.eps) != set(self.norms):
            raise ValueError(
                f"eps is given for {', '.join(self.eps)}, norms are {', '.join(self.norms)}: name the same"
            )
        return self

    def radii(self, norm: str) -> list[float]:
        """The ε of a norm, rising."""
        return sorted(self.eps if isinstance(self.eps, tuple) else self.eps[cast(Norm, norm)])

    def problems(self, bounds: tuple[float, float]) -> list[str]:
        """An L∞ radius beyond the width of the bounds allows any input at all: a slip of units, as a rule."""
        width = bounds[1] - bounds[0]
        return [
            f"eps: {eps:g} is larger than the width of the bounds [{bounds[0]:g}, {bounds[1]:g}]; "
            "ε is in the units of the inputs"
            for eps in (self.radii("linf") if "linf" in self.norms else ())
            if eps > width
        ]
