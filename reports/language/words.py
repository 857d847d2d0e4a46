"""How numbers, conditions and names are written on the page and in sentences."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from reports.language.metrics import Unit

MINUS = "\N{MINUS SIGN}"
DASH = "–"
_NORMS = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0", "union": "all norms together"}
_ATTACKS = {
    "worst_case": "worst case over all attacks",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "apgd": "APGD",
    "apgd_ce": "APGD-CE",
    "apgd_t": "targeted APGD-DLR",
    "fmn": "FMN",
    "square": "Square",
    "rays": "RayS",
    "transfer": "transfer from other variants",
    "cured": "cured attack",
    "adaptive": "the user's own attack",
    "loss": "loss-threshold attack",
    "art_black_box": "learned black-box attack",
    "augmented": "loss threshold on augmented queries",
    "class_threshold": "attack with a threshold for each class",
    "confidence": "confidence threshold",
    "ensemble": "ensemble of attacks",
    "entropy": "entropy threshold",
    "label_only": "label-only attack",
    "lira": "LiRA",
    "lira_offline": "offline LiRA",
    "lira_offline_shared": "offline LiRA with one variance",
    "lira_online": "online LiRA",
    "lira_online_shared": "online LiRA with one variance",
    "margin": "margin threshold",
    "modified_entropy": "modified-entropy threshold",
    "noise": "noise-sensitivity attack",
    "quantile": "quantile regression",
    "rmia": "RMIA",
    "rmia_offline": "offline RMIA",
    "rmia_online": "online RMIA",
    "rmia_simple": "short form of RMIA",
    "samia": "learned attack on SAMIA’s features",
    "knockoff": "KnockoffNets",
    "untrained": "no query, untrained copy",
    "same_data": "no query, attacker's own labels",
    "bit_flip": "random bit flips",
    "index_flip": "random flips in a compressed file’s indices",
    "progressive": "progressive bit search",
    "random_search": "random bits one by one",
    "targeted": "targeted bit search",
    "weight_change": "small changes of all weights",
    "stealth": "hidden change",
    "trigger": "the user’s trigger",
}
_ATTACKERS = {
    "pair": "by who holds the dense model too",
    "recipe_unknown": "by who does not know the pruning recipe",
    "versions": "by who holds every version",
}


def clean(text: str) -> str:
    """Text without characters that are invisible or turn the direction of what follows; one line."""
    if text.isprintable():
        return text
    return "".join(
        " "
        if c in "\n\r\t"
        else "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
        else c
        for c in text
    )


def shown(name: object, limit: int = 200) -> str:
    """A name as it may be shown: :func:`clean`, and at most ``limit`` characters long."""
    text = clean(str(name))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def number(value: float | None, unit: Unit) -> str:
    """A figure with its unit; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    match unit:
        case "share":
            text = f"{100 * value:.1f}%"
        case "auc":
            text = f"{value:.3f}"
        case "count":
            text = f"{value / 1e6:,.2f} M" if abs(value) >= 1e7 else f"{value:,.0f}"
        case "bytes":
            text = _bytes(value)
        case "milliseconds":
            text = f"{value:.3g} ms" if abs(value) < 1000 else f"{value:,.0f} ms"
        case "number":
            text = f"{value:.4g}"
    return text.replace("-", MINUS)


def _bytes(value: float) -> str:
    for factor, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(value) >= factor:
            return (
                f"{value / factor:.3g} {name}"
                if abs(value) < 999 * factor
                else f"{value / factor:,.0f} {name}"
            )
    return f"{value:.0f} bytes"


def span(low: float | None, high: float | None, unit: Unit) -> str:
    """Two ends of a range with the unit written once: ``81.2–84.0%``."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return DASH
    first, last = number(low, unit), number(high, unit)
    if unit == "share":
        first = first.removesuffix("%")
    return f"{first}–{last}" if MINUS not in first + last else f"{first} to {last}"


def change(value: float, unit: Unit) -> str:
    """A difference with its sign, without unit for an AUC, in percentage points for a share."""
    if unit == "share":
        return f"{_signed(100 * value, 1)} points"
    return _signed(value, 3) if unit == "auc" else _signed(value, 2)


def change_span(low: float, high: float, unit: Unit) -> str:
    """The interval of a difference: ``−3.0 to +0.6`` (points for a share)."""
    if unit == "share":
        return f"{_signed(100 * low, 1)} to {_signed(100 * high, 1)}"
    digits = 3 if unit == "auc" else 2
    return f"{_signed(low, digits)} to {_signed(high, digits)}"


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    zero = float(text) == 0
    return text[1:] if zero else text.replace("-", MINUS)


def percent(share: float | None) -> str:
    """A share such as a sparsity, without needless decimals: ``90%``, ``97.5%``."""
    if share is None or not math.isfinite(share):
        return DASH
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def attack(name: object) -> str:
    """An attack's name in words; what follows an @ is who runs it."""
    base, _, who = str(name).partition("@")
    told = _ATTACKS.get(base, shown(base, 80))
    return f"{told}, {_ATTACKERS.get(who, shown(who, 40))}" if who else told


def conditions(at: Mapping[str, Any]) -> str:
    """The conditions of a measurement in words: ``ε = 0.1, L∞, PGD``."""
    parts = []
    for key in sorted(at, key=lambda k: (k not in {"eps"}, k not in {"norm"}, k)):
        value = at[key]
        match key:
            case "eps":
                parts.append(
                    f"ε = {value:.4g}" if isinstance(value, int | float) else f"{shown(value, 40)} ε"
                )
            case "norm":
                parts.append(_NORMS.get(str(value), shown(value, 40)))
            case "attacker" if str(at.get("attack", "")).endswith(f"@{value}"):
                pass  # said with the attack
            case "attack":
                parts.append(attack(value))
            case "queries":
                parts.append(
                    f"{value:,} queries" if isinstance(value, int) else f"queries {shown(value, 40)}"
                )
            case "fpr":
                parts.append(f"at {percent(float(value))} false positives")
            case "flips" | "rate" | "storage" | "goal" | "where" | "on" | "source":
                parts.append(_tampering(key, value, at))
            case "target" if "source" in at:
                pass  # said with the source
            case "split":
                parts.append("training examples" if value == "train" else f"{shown(value, 40)} examples")
            case _:
                parts.append(f"{shown(key, 40)} = {shown(value, 80)}")
    return ", ".join(parts)


def _tampering(key: str, value: Any, at: Mapping[str, Any]) -> str:
    """One condition of a tampering attack."""
    text = shown(value, 40)
    match key:
        case "flips" if isinstance(value, int):
            return counted(value, "flip")
        case "rate" if isinstance(value, int | float):
            return f"{value:.4g} of all bits" if value else "untouched"
        case "storage":
            return f"stored as {text}"
        case "goal":
            return "to chance" if value == "chance" else f"to lose {text}"
        case "where":
            return {"mask": "within the mask", "anywhere": "zeros too"}.get(text, text)
        case "on":
            return {"rest": "on the other classes", "triggered": "with it", "clean": "without it"}.get(
                text, text
            )
        case "source":
            return f"class {text} taken for {shown(at.get('target', '?'), 40)}"
    return f"{key} = {text}"


def listing(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
