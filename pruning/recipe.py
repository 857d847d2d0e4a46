"""A recipe: how to prune, as a product of independent choices."""

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pruning import allocation, criteria


def _criterion(name: str) -> str:
    if name not in criteria.names():
        raise ValueError(f"no criterion is named {name!r}; there are: {', '.join(criteria.names())}")
    return name


def _allocation(name: str) -> str:
    if name not in allocation.names():
        raise ValueError(f"no allocation is named {name!r}; there are: {', '.join(allocation.names())}")
    return name


class Recipe(BaseModel):
    """How to prune. Sparsity is not part of it: one recipe is swept over several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: Annotated[str, AfterValidator(_criterion)] = "magnitude"
    """What makes a weight matter: a file in ``pruning/criteria``."""
    granularity: Literal["weight", "unit"] = "weight"
    """Single weights are set to zero; units (filters, channels, neurons) are physically removed."""
    allocation: Annotated[str, AfterValidator(_allocation)] = "global"
    """How the budget is spent over the layers: a file in ``pruning/allocation``."""
    norm: Literal["l1", "l2"] | None = None
    """How the scores of a unit's elements combine: their sum, or the root of their summed squares; the
    criterion's own way by default. None for single weights, and where a criterion judges whole units."""
    threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """α: what scores more is kept, and the sparsity is what follows. None: solved for from the sparsity."""
    like: "Recipe | None" = None
    """Take of each layer as many as this recipe takes (allocation ``matched``)."""
    exclude: tuple[str, ...] = ()
    """Layers that are left alone, by name or pattern (``features.*``): no weight of theirs is set to zero, no
    unit of theirs removed. They still count in the sparsity."""
    round_to: Annotated[int, Field(ge=1)] = 1
    """Units: the widths of layers that lose some stay multiples of this, as fast kernels want."""
    cap: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Units: the share of a layer's filters or neurons that may go at most."""
    target: Literal["weights", "macs"] = "weights"
    """Units: what the wanted sparsity is a share of, prunable weights or multiply-adds. What is achieved is
    told as a share of weights either way."""

    hardness: Literal["hard", "soft", "soft-threshold", "attenuate"] = "hard"
    """What happens to the selected: zero for good; or zero, soft-thresholded, multiplied by ``factor`` at
    every step of the schedule and free to come back between (``pruning/hardness.py``)."""
    factor: Annotated[float, Field(gt=0, lt=1)] | None = None
    """What attenuation multiplies by in the end (default 0.1), falling from 1; None for the other kinds."""
    schedule: Literal["one-shot", "iterative", "polynomial", "asymptotic"] = "one-shot"
    """All at once; in rounds that each take the same share of what is left; or along Zhu & Gupta's polynomial
    or He et al.'s exponential while fine-tuning goes on (``pruning/schedule.py``)."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Rounds of an iterative schedule (default 5), steps of the other two (default 10)."""
    epochs_per_round: Annotated[int, Field(ge=0)] | Literal["all", "shared"] | None = None
    """How long each round of an iterative schedule is fine-tuned: as long as a one-shot method is (``all``,
    the default), so that five rounds train five times as long; ``shared``: all rounds together as long as
    that, an equal budget; or so many epochs."""
    initial: Annotated[float, Field(ge=0, lt=1)] | None = None
    """The sparsity that a polynomial or asymptotic schedule starts with (default 0)."""
    end: Annotated[float, Field(gt=0, le=1)] | None = None
    """At which share of the fine-tuning such a schedule has arrived (default 0.75); the rest recovers."""
    rewind: Literal["weights", "learning-rate"] | None = None
    """After pruning, train again from an early point of the dense training: with the weights it had there (a
    lottery ticket), or only with its learning rates."""
    rewind_to: Annotated[float, Field(ge=0, lt=1)] | None = None
    """That point, as a share of the training's steps; 0 (default): its beginning."""
    recovery: Literal["none", "batch-norm", "fine-tune"] = "fine-tune"
    """What follows: nothing, new running statistics of batch norm from training data, or further epochs."""
    balancing: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """λ of pair-based posterior balancing, a defence against membership inference, in the loss of those
    epochs (``pruning/defence.py``). None: not done."""

    @model_validator(mode="before")
    @classmethod
    def _what_follows(cls, data: Any) -> Any:
        """The choices that others imply."""
        if not isinstance(data, Mapping):
            return data
        filled = dict(data)
        for key, implied in (("threshold", "threshold"), ("like", "matched")):
            if filled.get(key) is not None:
                filled.setdefault("allocation", implied)
        if filled.get("granularity") == "unit" and filled.get("norm") is None:
            name = filled.get("criterion", "magnitude")
            filled["norm"] = criteria.criterion(name).norm if name in criteria.names() else None
        rounds = filled.get("schedule") == "iterative" and filled.get("rewind") is None
        tuned = filled.get("recovery", "fine-tune") == "fine-tune"
        if rounds and tuned and filled.get("epochs_per_round") is None:
            filled["epochs_per_round"] = "all"
        for key, choice, values in _DEPENDENT:
            if filled.get(key) is None and values.get(filled.get(choice)) is not None:
                filled[key] = values[filled[choice]]
        return filled

    @model_validator(mode="after")
    def _what_goes_together(self) -> "Recipe":
        chosen = criteria.criterion(self.criterion)
        if self.granularity == "weight" and self.norm is not None:
            raise ValueError("norm combines the scores within a unit; drop it, or set granularity = 'unit'")
        if self.granularity == "weight" and chosen.units_only:
            raise ValueError(
                f"{self.criterion} judges whole units, there is none of it for a weight: "
                "set granularity = 'unit'"
            )
        if self.norm is not None and chosen.norm is None:
            raise ValueError(f"{self.criterion} judges whole units; drop norm")
        if self.granularity == "unit" and self.allocation == "row":
            raise ValueError("allocation 'row' compares the weights of one row; set granularity = 'weight'")
        for key, implied in (("threshold", "threshold"), ("like", "matched")):
            if (getattr(self, key) is None) == (self.allocation == implied):
                raise ValueError(f"{key} and allocation = '{implied}' go together: give both, or neither")
        if self.like is not None and self.like.granularity != self.granularity:
            raise ValueError(f"like is a recipe for granularity '{self.like.granularity}': set the same here")
        return self

    @model_validator(mode="after")
    def _nothing_idle(self) -> "Recipe":
        for key, choice, values in _DEPENDENT:
            if getattr(self, key) is not None and getattr(self, choice) not in values:
                wanted = " or ".join(f"{choice} = {value!r}" for value in values)
                raise ValueError(f"{key} does nothing here; drop it, or set {wanted}")
        if self.balancing is not None and (self.recovery != "fine-tune" or self.rewind is not None):
            raise ValueError(
                "balancing does nothing here; drop it, or set recovery = 'fine-tune' and no rewind"
            )
        trained = self.schedule == "iterative" and self.rewind is None and self.recovery == "fine-tune"
        if self.epochs_per_round is not None and not trained:
            raise ValueError(
                "epochs_per_round does nothing here; drop it, or set schedule = 'iterative', "
                "recovery = 'fine-tune' and no rewind"
            )
        return self

    @model_validator(mode="after")
    def _possible(self) -> "Recipe":
        for key, usual in (("round_to", 1), ("cap", 1.0), ("target", "weights")):
            if self.granularity == "weight" and getattr(self, key) != usual:
                raise ValueError(f"{key} is about whole units; drop it, or set granularity = 'unit'")
        if self.target == "macs" and self.schedule != "one-shot":
            raise ValueError("target 'macs' counts those of the dense model: set schedule = 'one-shot'")
        if self.hardness == "soft-threshold" and (self.granularity, self.criterion) != (
            "weight",
            "magnitude",
        ):
            raise ValueError(
                "soft-threshold shrinks |w| itself: it goes with granularity 'weight', criterion 'magnitude'"
            )
        if self.rewind is not None and (self.hardness != "hard" or self.gradual):
            raise ValueError(
                "rewind trains what was pruned once more: it goes with hardness 'hard' and with schedule "
                "'one-shot' or 'iterative'"
            )
        if self.schedule != "one-shot" and not self.sweeps:
            raise ValueError("a threshold leaves no sparsity to go to by steps: set schedule = 'one-shot'")
        needy = "rewind" * (self.rewind is not None) or f"schedule {self.schedule!r}" * self.gradual
        if needy and self.recovery != "fine-tune":
            raise ValueError(f"{needy} prunes while it trains: it goes with recovery 'fine-tune'")
        return self

    @property
    def sweeps(self) -> bool:
        """Whether a sparsity can be asked for: with a threshold it follows."""
        return self.threshold is None and (self.like is None or self.like.sweeps)

    @property
    def gradual(self) -> bool:
        """Whether sparsity rises while one training goes on."""
        return self.schedule in ("polynomial", "asymptotic")

    @property
    def basis(self) -> "Recipe":
        """The choices on which scores depend, the others at their defaults: equal basis, equal scores."""
        return _basis(self)

    @property
    def name(self) -> str:
        """A readable name made of the choices, such as ``magnitude-unit-uniform-l2``."""
        parts = [self.criterion, self.granularity, self.allocation, self.norm]
        if self.threshold is not None:
            parts.append(f"{self.threshold:g}")
        if self.like is not None:
            parts[2:3] = ["like", self.like.name]
        excluded = [f"not-{layer}" for layer in self.exclude]
        return "-".join(filter(None, [*parts, *excluded, *self._further]))

    @property
    def _further(self) -> list[str]:
        """Choices other than the usual ones, each recognisable by itself."""
        words: list[str] = [] if self.round_to == 1 else [f"round{self.round_to}"]
        words += [] if self.cap == 1 else [f"cap{self.cap:g}"]
        words += [] if self.target == "weights" else [self.target]
        words += [] if self.hardness == "hard" else [self.hardness]
        words += [] if self.factor is None else [f"{self.factor:g}"]
        words += [] if self.schedule == "one-shot" else [f"{self.schedule}{self.steps}"]
        words += [] if self.epochs_per_round in (None, "all") else [f"epochs-{self.epochs_per_round}"]
        words += [f"from{self.initial:g}"] if self.initial else []
        words += [] if self.end in (None, END) else [f"end{self.end:g}"]
        words += [] if self.rewind is None else [f"rewind-{self.rewind}-{self.rewind_to:g}"]
        return words + ([] if self.recovery == "fine-tune" else [f"recovery-{self.recovery}"])


@functools.cache
def _basis(recipe: Recipe) -> Recipe:
    spread = allocation.allocation(recipe.allocation).needs_sensitivity
    chosen = criteria.criterion(recipe.criterion)
    units = spread or chosen.by_granularity or chosen.units_only
    return Recipe(
        criterion=recipe.criterion,
        granularity=recipe.granularity if units else "weight",
        allocation=recipe.allocation if spread else "global",
        norm=recipe.norm if spread else None,
        exclude=recipe.exclude,
    )


END = 0.75
"""At which share of its fine-tuning a gradual schedule has arrived, unless a recipe says otherwise."""

_DEPENDENT: tuple[tuple[str, str, Mapping[Any, Any]], ...] = (
    ("factor", "hardness", {"attenuate": 0.1}),
    ("steps", "schedule", {"iterative": 5, "polynomial": 10, "asymptotic": 10}),
    ("initial", "schedule", {"polynomial": 0.0, "asymptotic": 0.0}),
    ("end", "schedule", {"polynomial": END, "asymptotic": END}),
    ("rewind_to", "rewind", {"weights": 0.0, "learning-rate": 0.0}),
)
"""Key, the choice that it belongs to, and its default for each value of the choice that has it."""
