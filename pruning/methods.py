"""Methods: recipes with a name, a line and a source; and how a plan's entry becomes one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pruning.errors import PruningError
from pruning.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Method:
    """A named recipe."""

    name: str
    recipe: Recipe
    summary: str
    source: str


_METHODS = (
    Method(
        "global-magnitude",
        Recipe(criterion="magnitude", granularity="weight", allocation="global"),
        "zero the smallest |w| of the whole network, one threshold for all layers",
        "Han et al. 2015, arXiv:1506.02626; global threshold as in Blalock et al. 2020, arXiv:2003.03033",
    ),
    Method(
        "layer-magnitude",
        Recipe(criterion="magnitude", granularity="weight", allocation="uniform"),
        "zero the smallest |w| of each layer, the same share everywhere",
        "Han et al. 2015, arXiv:1506.02626; uniform shares as in Blalock et al. 2020, arXiv:2003.03033",
    ),
    Method(
        "random",
        Recipe(criterion="random", granularity="weight", allocation="global"),
        "zero weights by chance: the control for every weight criterion",
        "Blalock et al. 2020, arXiv:2003.03033",
    ),
    Method(
        "filter-l1",
        Recipe(criterion="magnitude", granularity="unit", allocation="uniform", norm="l1"),
        "remove the filters and neurons of smallest L1 norm, the same share of each layer; really smaller",
        "Li et al. 2017, arXiv:1608.08710",
    ),
    Method(
        "filter-l2",
        Recipe(criterion="magnitude", granularity="unit", allocation="uniform", norm="l2"),
        "remove the filters and neurons of smallest L2 norm, the same share of each layer; really smaller",
        "Li et al. 2017, arXiv:1608.08710 (with L1); L2 as in He et al. 2018, arXiv:1808.06866",
    ),
    Method(
        "filter-random",
        Recipe(criterion="random", granularity="unit", allocation="uniform"),
        "remove filters and neurons by chance: the control for every unit criterion",
        "Blalock et al. 2020, arXiv:2003.03033",
    ),
)


def methods() -> dict[str, Method]:
    """All presets by name."""
    return {method.name: method for method in _METHODS}


def resolve(entry: str | Mapping[str, Any]) -> tuple[str, Recipe]:
    """A plan's entry → (name, recipe): a preset's name, or a table of a recipe's choices.

    A table is named by its choices. Raises PruningError, which names the alternatives.
    """
    known = methods()
    if isinstance(entry, str):
        if entry not in known:
            raise PruningError(f"no pruning method is named {entry!r}; there are: {', '.join(known)}")
        return entry, known[entry].recipe
    try:
        recipe = Recipe.model_validate(dict(entry))
    except ValidationError as error:
        raise PruningError(f"{dict(entry)} is no pruning recipe: {_in_words(error)}") from error
    return recipe.name, recipe


def _in_words(error: ValidationError) -> str:
    words = []
    for problem in error.errors():
        key = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            words.append(f"unknown key {key!r}; there are: {', '.join(Recipe.model_fields)}")
        else:
            words.append(f"{key}: {problem['msg']}" if key else problem["msg"])
    return "; ".join(words).replace("Value error, ", "")
