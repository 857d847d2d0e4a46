"""What a folder that ``save_pretrained`` wrote says of its model: read as JSON; no library is needed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit.errors import PlanError

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
IMAGES = ("folder:", "parquet:")
"""Sources of images in files, which are brought to the model's size."""


def filled(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A plan's table whose ``[model] build`` is ``hf:DIR``, with what DIR says where the plan says nothing:
    weights, normalisation and, for images in files, size, colours and the order of the classes.

    Any other table as it is. Raises PlanError where DIR holds no such model.
    """
    model = table.get("model")
    spec = model.get("build") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(spec, str) or not spec.startswith("hf:"):
        return table
    home = spec.removeprefix("hf:")
    config = _read(folder / home / "config.json")
    if config is None:
        raise PlanError(f"model.build: {folder / home}: no config.json: want a folder of save_pretrained")
    model = dict(model)
    model.setdefault("weights", f"{home}/{_weights(folder / home)}")
    prepare = _read(folder / home / "preprocessor_config.json") or {}
    if "normalise" not in model and prepare.get("do_normalize", "image_mean" in prepare):
        _pixels(prepare, home)
        model["normalise"] = {"mean": _list(prepare["image_mean"]), "std": _list(prepare["image_std"])}
    data = table.get("data")
    if isinstance(data, dict) and str(data.get("source", "")).startswith(IMAGES):
        data = {**_sizes(prepare), **_mode(config), **_order(config, data, folder), **data}
    return {**table, "model": model, **({"data": data} if data is not None else {})}


def _weights(home: Path) -> str:
    if found := next((name for name in WEIGHTS if (home / name).is_file()), None):
        return found
    sharded = any((home / f"{name}.index.json").is_file() for name in WEIGHTS)
    raise PlanError(
        f"model.build: {home}: "
        + (
            "its weights are in several files: write them as one with "
            'model.save_pretrained(DIR, max_shard_size="100GB")'
            if sharded
            else f"holds none of {', '.join(WEIGHTS)}"
        )
    )


def _pixels(prepare: Mapping[str, Any], home: str) -> None:
    """Raises PlanError where the model's inputs before normalisation are not pixels from 0 to 1."""
    factor = prepare.get("rescale_factor", 1 / 255)
    if not prepare.get("do_rescale", True) or abs(255 * factor - 1) > 1e-3:
        raise PlanError(
            f"model.build: {home}: its preprocessor normalises what does not span 0 to 1 (do_rescale "
            f"{prepare.get('do_rescale', True)}, rescale_factor {factor:g}): say [model] normalise and "
            "[data] bounds yourself"
        )


def _sizes(prepare: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    if prepare.get("do_resize") and (size := _size(prepare.get("size"))) is not None:
        found["resize"] = size
    if prepare.get("do_center_crop") and (size := _size(prepare.get("crop_size"))) is not None:
        found["crop"] = size
    return found


def _size(given: Any) -> int | list[int] | None:
    """The shorter side, or height and width."""
    if isinstance(given, Mapping):
        if "height" in given and "width" in given:
            return [given["height"], given["width"]]
        given = given.get("shortest_edge")
    return given if isinstance(given, int) else None


def _mode(config: Mapping[str, Any]) -> dict[str, str]:
    return {"mode": "L" if config.get("num_channels", 3) == 1 else "RGB"}


def _order(config: Mapping[str, Any], data: Mapping[str, Any], folder: Path) -> dict[str, list[str]]:
    """The classes in the order of the model's outputs, where the data's folders have the very names."""
    named = config.get("id2label")
    where = folder / str(data["source"]).partition(":")[2]
    splits = data.get("splits")
    test = where / str((splits if isinstance(splits, Mapping) else {}).get("test", "test"))
    if not isinstance(named, Mapping) or not test.is_dir():
        return {}
    ordered = [str(named[key]) for key in sorted(named, key=int)]
    there = {entry.name for entry in test.iterdir() if entry.is_dir()}
    return {"class_order": ordered} if there == set(ordered) else {}


def _list(values: Any) -> list[float]:
    return [float(value) for value in (values if isinstance(values, list) else [values])]


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is no file. Raises PlanError for anything else in it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise PlanError(f"model.build: {path}: cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise PlanError(f"model.build: {path}: holds no JSON object")
    return found
