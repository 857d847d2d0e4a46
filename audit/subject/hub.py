"""Architectures of other libraries, built untrained: ``timm:NAME`` and ``hf:DIR``. Nothing is fetched."""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from audit.errors import PlanError, RefusedError
from audit.subject import vision

Build = Callable[[], nn.Module]


def timm(name: str, num_classes: int, input_shape: tuple[int, ...]) -> Build:
    """A builder of timm's model ``name`` for inputs of this shape. Raises PlanError without timm, or for a
    name that it does not have."""
    package = _timm()
    if not package.is_model(name):
        near = difflib.get_close_matches(name, package.list_models(), 3)
        raise PlanError(f"[model] build: timm has no model {name!r}; near: {', '.join(near) or 'none'}")
    given: dict[str, Any] = {"num_classes": num_classes, "in_chans": input_shape[0]}
    config = package.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size and config.input_size[1:] != input_shape[1:]:
        given["img_size"] = input_shape[1:]  # transformers are made for one size

    def build() -> nn.Module:
        made: nn.Module = package.create_model(name, pretrained=False, **given)
        return made

    return build


def timm_statistics(name: str) -> tuple[list[float], list[float]] | None:
    """Mean and std that timm's own weights of a model want; None where it names none."""
    package = _timm()
    config = package.get_pretrained_cfg(name) if package.is_model(name) else None
    return None if config is None else (list(config.mean), list(config.std))


def _timm() -> Any:
    vision.torchvision()  # which timm imports, and may need mending
    try:
        import timm as package
    except ImportError:
        raise PlanError("[model] build: timm is not here: pip install 'prune-audit[timm]'") from None
    return package


def hugging_face(home: Path) -> Build:
    """A builder of the classifier that the ``save_pretrained`` folder ``home`` describes; none of the
    folder's own code is run. Raises PlanError without transformers, RefusedError for what it cannot build."""
    known, config = _classifier(home)

    def build() -> nn.Module:
        made: nn.Module = known(config)
        return made

    return build


def saved(home: Path) -> dict[str, Tensor]:
    """The weights in a ``save_pretrained`` folder, by the names that its model has today: files keep older
    names, which transformers alone knows. Raises RefusedError for weights that do not fit the folder's model.
    """
    known, _ = _classifier(home)
    try:
        model, told = known.from_pretrained(home, local_files_only=True, output_loading_info=True)
    except Exception as error:  # whatever the library raises on a damaged file
        raise RefusedError(f"[model] weights: {home}: {_first(error)}") from None
    if wrong := sorted(map(str, [*told["missing_keys"], *told["mismatched_keys"]])):
        raise RefusedError(
            f"[model] weights: {home}: lacks {', '.join(wrong[:3])}: the folder's model was not trained as a "
            "classifier, or its files are not of one model"
        )
    return {name: value.detach() for name, value in model.state_dict().items()}


def _classifier(home: Path) -> tuple[Any, Any]:
    """The class of transformers that a folder names, and its configuration."""
    vision.torchvision()  # which transformers may import
    try:
        import transformers
    except ImportError:
        raise PlanError("[model] build: transformers is not here: pip install 'prune-audit[hf]'") from None
    try:
        config = transformers.AutoConfig.from_pretrained(home, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever the library raises on a foreign folder
        raise RefusedError(f"[model] build: {home}: {_first(error)}") from None
    name = next(iter(config.architectures or ()), "")
    known = getattr(transformers, name, None)
    if known is None or not name.endswith("Classification"):
        raise RefusedError(
            f"[model] build: {home}: its architecture is {name or 'not named'}: want a classifier of "
            "transformers (ViTForImageClassification, …); for another write a function of your own"
        )
    return known, config


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
