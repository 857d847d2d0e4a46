"""A recipe: how to prune, as a product of independent choices."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

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

    @property
    def name(self) -> str:
        """A readable name made of the choices, such as ``magnitude-unit-uniform-l2``."""
        return "-".join(filter(None, (self.criterion, self.granularity, self.allocation, self.norm)))
