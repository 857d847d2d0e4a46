"""Methods: how a plan's entry, a preset's name or a table of choices, becomes a recipe."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pruning.errors import PruningError
from pruning.presets import Method, methods
from pruning.recipe import Recipe

__all__ = ["Method", "methods", "resolve"]


def resolve(entry: str | Mapping[str, Any]) -> tuple[str, Recipe]:
    """A plan's entry → (name, recipe): a preset's name, or a table of a recipe's choices.

    A table is named by its choices; its ``like`` may be a preset's name too. Raises PruningError, which names
    the alternatives.
    """
    known = methods()
    if isinstance(entry, str):
        if entry not in known:
            raise PruningError(f"no pruning method is named {entry!r}; there are: {', '.join(known)}")
        return entry, known[entry].recipe
    table = dict(entry)
    if isinstance(table.get("like"), str):
        table["like"] = resolve(table["like"])[1]
    try:
        recipe = Recipe.model_validate(table)
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
