"""Clean, adversarial and difference pictures of a few broken examples, as small PNG files inside the page."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.data.ledger import unpack
from reports.data.results import Results
from reports.gate.judge import Decision
from reports.language import words


@dataclass(frozen=True, slots=True)
class Picture:
    """One broken example. ``images``: (what it is, data URI), three of them."""

    images: tuple[tuple[str, str], ...]
    width: int
    height: int
    alt: str
    caption: str


def pictures(results: Results, decision: Decision) -> list[Picture]:
    """Of the variant and norm of a decision on robust accuracy, where the run kept any; of its first seed."""
    if decision.rule.metric != "robust_accuracy" or decision.at is None:
        return []
    at = {"attack": "worst_case", "norm": decision.at.get("norm")}
    bounds = results.about.get("subject", {}).get("bounds") or (0, 1)
    for row in results.select("robust_accuracy", at, variant=decision.variant).to_dict("records"):
        kept = unpack(row["outcomes"]) if isinstance(row["outcomes"], bytes) else None
        if kept and "adversarial" in kept and kept["adversarial"].ndim == 4:
            return [
                _picture(results, row, kept, i, float(bounds[0]), float(bounds[1]))
                for i in range(len(kept["adversarial"]))
            ]
    return []


def _picture(
    results: Results, row: Mapping[Any, Any], kept: Mapping[str, Any], i: int, low: float, high: float
) -> Picture:
    clean, adversarial = (kept[name][i].astype(float) for name in ("clean", "adversarial"))
    change = adversarial - clean
    largest = float(np.abs(change).max())
    shown = (
        ("clean", _uri((clean - low) / ((high - low) or 1.0))),
        ("adversarial", _uri((adversarial - low) / ((high - low) or 1.0))),
        ("difference", _uri(0.5 + change / (2 * largest or 1.0))),
    )
    label, answer = (_name(results, int(kept[name][i])) for name in ("label", "answer"))
    at = words.conditions({k: v for k, v in row["conditions"].items() if k != "attack"})
    return Picture(
        shown,
        clean.shape[2],
        clean.shape[1],
        f"test example {int(kept['example'][i])}, whose label is {label}",
        f"{label}, taken for {answer} ({at}; test example {int(kept['example'][i])}, seed {row['seed']}). "
        f"The difference is stretched: its strongest grey is a change of {largest:.3g}.",
    )


def _name(results: Results, label: int) -> str:
    classes = results.about.get("subject", {}).get("classes") or ()
    return f"“{words.shown(classes[label], 40)}”" if 0 <= label < len(classes) else f"class {label}"


def _uri(picture: NDArray[np.float64]) -> str:
    """A (C, H, W) picture of values in [0, 1] as a PNG in a data URI."""
    from PIL import Image

    values = np.rint(np.nan_to_num(picture).clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    image = Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values[:, :, :3])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
