"""A recipe: how to prune, as a product of independent choices."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pruning import criteria


def _known(name: str) -> str:
    if name not in criteria.names():
        raise ValueError(f"no criterion is named {name!r}; there are: {', '.join(criteria.names())}")
    return name


class Recipe(BaseModel):
    """How to prune. Sparsity is not part of it: one recipe is swept over several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: Annotated[str, AfterValidator(_known)] = "magnitude"
    """What makes a weight matter: a file in ``pruning/criteria``."""
    granularity: Literal["weight", "unit"] = "weight"
    """Single weights are set to zero; units (filters, channels, neurons) are physically removed."""
    allocation: Literal["global", "uniform"] = "global"
    """One ranking over all layers, or the same share of every layer."""
    norm: Literal["l1", "l2"] | None = None
    """How the scores of a unit's elements combine: their sum, or the root of their summed squares (default).
    None for single weights."""
    hardness: Literal["hard", "soft", "soft-threshold", "attenuate"] = "hard"
    """What happens to the selected: zero for good; or zero, soft-thresholded, multiplied by ``factor`` at
    every step of the schedule and free to come back between (``pruning/hardness.py``)."""
    factor: Annotated[float, Field(gt=0, lt=1)] | None = None
    """What attenuation multiplies by (default 0.1); None for the other kinds."""
    schedule: Literal["one-shot", "iterative", "polynomial"] = "one-shot"
    """All at once; in rounds that each take the same share of what is left; or along Zhu & Gupta's polynomial
    while fine-tuning goes on (``pruning/schedule.py``)."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Rounds of an iterative schedule (default 5), steps of a polynomial one (default 10)."""
    initial: Annotated[float, Field(ge=0, lt=1)] | None = None
    """The sparsity a polynomial schedule starts with (default 0)."""
    rewind: Literal["weights", "learning-rate"] | None = None
    """After pruning, train again from an early point of the dense training: with the weights it had there (a
    lottery ticket), or only with its learning rates."""
    rewind_to: Annotated[float, Field(ge=0, lt=1)] | None = None
    """That point, as a share of the training's steps; 0 (default): its beginning."""
    recovery: Literal["none", "batch-norm", "fine-tune"] = "fine-tune"
    """What follows: nothing, new running statistics of batch norm from training data, or further epochs."""

    @model_validator(mode="before")
    @classmethod
    def _unit_norm(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("granularity") == "unit" and data.get("norm") is None:
            return {**data, "norm": "l2"}
        return data

    @model_validator(mode="after")
    def _no_norm_of_one_weight(self) -> "Recipe":
        if self.granularity == "weight" and self.norm is not None:
            raise ValueError("norm combines the scores within a unit; drop it, or set granularity = 'unit'")
        return self

    @model_validator(mode="before")
    @classmethod
    def _fitting_defaults(cls, data: Any) -> Any:
        """What only some choices have is filled in where they are made, and None elsewhere."""
        if not isinstance(data, Mapping):
            return data
        filled = dict(data)
        for key, choice, values in _DEPENDENT:
            default = values.get(filled.get(choice))
            if filled.get(key) is None and default is not None:
                filled[key] = default
        return filled

    @model_validator(mode="after")
    def _nothing_idle(self) -> "Recipe":
        for key, choice, values in _DEPENDENT:
            if getattr(self, key) is not None and getattr(self, choice) not in values:
                wanted = " or ".join(f"{choice} = {value!r}" for value in values)
                raise ValueError(f"{key} does nothing here; drop it, or set {wanted}")
        return self

    @model_validator(mode="after")
    def _possible(self) -> "Recipe":
        if self.hardness == "soft-threshold" and (self.granularity, self.criterion) != (
            "weight",
            "magnitude",
        ):
            raise ValueError(
                "soft-threshold shrinks |w| itself: it goes with granularity 'weight', criterion 'magnitude'"
            )
        if self.rewind is not None and (self.hardness != "hard" or self.schedule == "polynomial"):
            raise ValueError(
                "rewind trains what was pruned once more: it goes with hardness 'hard' and with schedule "
                "'one-shot' or 'iterative'"
            )
        needy = "rewind" * (self.rewind is not None) or "schedule 'polynomial'" * (
            self.schedule == "polynomial"
        )
        if needy and self.recovery != "fine-tune":
            raise ValueError(f"{needy} prunes while it trains: it goes with recovery 'fine-tune'")
        return self

    @property
    def name(self) -> str:
        """A readable name made of the choices, such as ``magnitude-unit-uniform-l2``."""
        first = (self.criterion, self.granularity, self.allocation, self.norm)
        return "-".join([*filter(None, first), *self._further])

    @property
    def _further(self) -> list[str]:
        """Choices other than the usual ones, each recognisable by itself."""
        words: list[str] = [] if self.hardness == "hard" else [self.hardness]
        words += [] if self.factor is None else [f"{self.factor:g}"]
        words += [] if self.schedule == "one-shot" else [f"{self.schedule}{self.steps}"]
        words += [f"from{self.initial:g}"] if self.initial else []
        words += [] if self.rewind is None else [f"rewind-{self.rewind}-{self.rewind_to:g}"]
        return words + ([] if self.recovery == "fine-tune" else [f"recovery-{self.recovery}"])


_DEPENDENT: tuple[tuple[str, str, Mapping[Any, Any]], ...] = (
    ("factor", "hardness", {"attenuate": 0.1}),
    ("steps", "schedule", {"iterative": 5, "polynomial": 10}),
    ("initial", "schedule", {"polynomial": 0.0}),
    ("rewind_to", "rewind", {"weights": 0.0, "learning-rate": 0.0}),
)
"""Key, the choice that it belongs to, and its default for each value of the choice that has it."""
